//! The numbers of log rows: they rise as the ids do, so that an id is found by halving the numbers
//! between which it must be, some twenty seeks. An index would cost a page in each commit.

use rusqlite::Connection;

use crate::{
    fault::Fault,
    rows::{one, value},
};

/// A number at which the rows begin whose id is not below this one; it need not be that of a row.
pub(crate) fn first_from(db: &Connection, id: &[u8; 16]) -> Result<i64, Fault> {
    let edge = |sql: &str| value::<Option<i64>>(db, sql, []).map(Option::flatten);
    let Some(mut from) = edge("SELECT min(number) FROM requests")? else {
        return Ok(i64::MAX);
    };
    let mut upto = edge("SELECT max(number) FROM requests")?.map_or(from, |last| last + 1);
    // The row that is sought stands from `from` on, and not behind `upto`.
    while from < upto {
        let middle = from + (upto - from) / 2;
        match next(db, middle)? {
            Some((number, there)) if there < *id => from = number + 1,
            _ => upto = middle,
        }
    }
    Ok(from)
}

/// A number at which the rows begin whose id is above this one.
pub(crate) fn first_behind(db: &Connection, id: &[u8; 16]) -> Result<i64, Fault> {
    match u128::from_be_bytes(*id).checked_add(1) {
        Some(next) => first_from(db, &next.to_be_bytes()),
        None => Ok(i64::MAX),
    }
}

/// The number of the row of a request, where there is one.
pub(crate) fn of(db: &Connection, id: &[u8; 16]) -> Result<Option<i64>, Fault> {
    let next = next(db, first_from(db, id)?)?;
    Ok(next.filter(|(_, there)| there == id).map(|(number, _)| number))
}

/// The first row from a number on.
fn next(db: &Connection, number: i64) -> Result<Option<(i64, [u8; 16])>, Fault> {
    let sql = "SELECT number, id FROM requests WHERE number >= ?1 ORDER BY number LIMIT 1";
    one(db, sql, [number], |row| Ok((row.get(0)?, row.get(1)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows with these ids, of which every third is then deleted.
    fn db(ids: &[u8]) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE requests (number INTEGER PRIMARY KEY, id BLOB)").unwrap();
        for id in ids {
            db.execute("INSERT INTO requests (id) VALUES (?1)", [[*id; 16]]).unwrap();
        }
        db.execute("DELETE FROM requests WHERE number % 3 = 0", []).unwrap();
        db
    }

    #[test]
    fn ids_are_found_between_gaps() {
        for len in 0..40_u8 {
            let ids: Vec<u8> = (0..len).map(|n| 10 + n * 5).collect();
            let db = db(&ids);
            let left: Vec<(i64, u8)> = (1..).zip(ids).filter(|(n, _)| n % 3 != 0).collect();
            let end = left.last().map_or(i64::MAX, |(number, _)| number + 1);
            for sought in 0..=u8::MAX {
                let first = |is_it: &dyn Fn(u8) -> bool| {
                    left.iter().find(|(_, id)| is_it(*id)).map_or(end, |(number, _)| *number)
                };
                let id = [sought; 16];
                let between = |seen: i64, expected: i64| {
                    assert!(seen <= expected, "{len} {sought}");
                    let before = left.iter().rfind(|(number, _)| *number < expected);
                    assert!(before.is_none_or(|(number, _)| *number < seen), "{len} {sought}");
                };
                between(first_from(&db, &id).unwrap(), first(&|id| id >= sought));
                if sought < u8::MAX {
                    between(first_behind(&db, &id).unwrap(), first(&|id| id > sought));
                }
                let there = left.iter().find(|(_, id)| *id == sought);
                assert_eq!(of(&db, &id).unwrap(), there.map(|(number, _)| *number));
            }
        }
    }
}
