//! The numbers of conversions and log rows, which rise as the ids do.
//!
//! A table whose key is a number that rises takes half as many pages for each commit as one whose
//! key is an id, and finds a row with half as many reads: its inner pages hold ten times as many
//! keys. An index from ids to numbers would take that back, so there is none:
//!
//! ```text
//! log rows     numbered one after another; sought now and then, by halving: some twenty seeks
//! conversions  sought with each request: the number follows from the id
//! ```
//!
//! The number of a conversion is the beginning of its id, without the bits that all ids share. Ids
//! of now have each a number of their own (ids.rs). Of before version 5 many share one: the first
//! of them stands on it, the others on the next free ones, so that the order stays, and
//! `conversions_apart` tells where.

use std::cell::Cell;

use rusqlite::{Connection, Row, functions::FunctionFlags};

use crate::{
    fault::Fault,
    rows::{one, value},
};

/// Bits of the number that count within a millisecond.
const COUNTER_BITS: u32 = 12;
const COUNTER_MASK: u64 = (1 << COUNTER_BITS) - 1;
/// Bits of an id between its time and its counter: the version.
const VERSION_BITS: u32 = 4;

/// A table that is keyed by numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Table {
    Conversions,
    Requests,
}

/// The number of the id of a conversion: no row of it, nor of a higher one, stands on a lower
/// number.
pub(crate) fn of(id: &[u8; 16]) -> i64 {
    let beginning = (u128::from_be_bytes(*id) >> 64) as u64;
    let version = (beginning >> COUNTER_BITS) & ((1 << VERSION_BITS) - 1);
    // Ids of other versions are none of ours, but they can be asked for.
    let counter = match version {
        ..7 => 0,
        7 => beginning & COUNTER_MASK,
        8.. => COUNTER_MASK,
    };
    let number = beginning >> (COUNTER_BITS + VERSION_BITS) << COUNTER_BITS | counter;
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Finds the row of a number and an id.
pub(crate) const IS_IT: &str = "number = ?1 AND id = ?2";

/// Reads the conversion of an id, where there is one, by a query that asks with [`IS_IT`].
pub(crate) fn conversion<T>(
    db: &Connection,
    sql: &str,
    id: &[u8; 16],
    read: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    if let Some(found) = one(db, sql, (of(id), id), &read)? {
        return Ok(Some(found));
    }
    match apart(db, id)? {
        Some(number) => one(db, sql, (number, id), &read),
        None => Ok(None),
    }
}

/// Joins `c`, the conversion that the column of another table names.
pub(crate) fn join_conversion(column: &str) -> String {
    format!(
        "JOIN conversions c ON c.id = {column} AND c.number = \
         ifnull((SELECT number FROM conversions_apart WHERE id = {column}), number_of({column}))"
    )
}

/// The number of the row of an id, where there is one.
pub(crate) fn find(db: &Connection, table: Table, id: &[u8; 16]) -> Result<Option<i64>, Fault> {
    if let Table::Conversions = table {
        let sql = format!("SELECT number FROM conversions WHERE {IS_IT}");
        return conversion(db, &sql, id, |row| Ok(row.get(0)?));
    }
    let found = at(db, table, id)?;
    Ok(found.filter(|(_, there)| there == id).map(|(number, _)| number))
}

/// The number of a conversion that stands on another one than that of its id.
fn apart(db: &Connection, id: &[u8; 16]) -> Result<Option<i64>, Fault> {
    value(db, "SELECT number FROM conversions_apart WHERE id = ?1", [id])
}

/// Keeps the number that a new conversion was given, where it is not that of its id.
pub(crate) fn keep(db: &Connection, id: &[u8; 16], number: i64) -> Result<(), Fault> {
    if number != of(id) {
        let sql = "INSERT INTO conversions_apart (id, number) VALUES (?1, ?2)";
        db.prepare_cached(sql)?.execute((id, number))?;
    }
    Ok(())
}

/// Deletes a conversion.
pub(crate) fn delete_conversion(db: &Connection, id: &[u8; 16]) -> Result<(), Fault> {
    let number = find(db, Table::Conversions, id)?;
    db.prepare_cached("DELETE FROM conversions WHERE number = ?1")?.execute([number])?;
    db.prepare_cached("DELETE FROM conversions_apart WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// A number at which the rows begin whose id is not below this one.
pub(crate) fn first_from(db: &Connection, table: Table, id: &[u8; 16]) -> Result<i64, Fault> {
    Ok(at(db, table, id)?.map_or(i64::MAX, |(number, _)| number))
}

/// A number at which the rows begin whose id is above this one.
pub(crate) fn first_behind(db: &Connection, table: Table, id: &[u8; 16]) -> Result<i64, Fault> {
    match u128::from_be_bytes(*id).checked_add(1) {
        Some(next) => first_from(db, table, &next.to_be_bytes()),
        None => Ok(i64::MAX),
    }
}

type Numbered = (i64, [u8; 16]);

/// The row of an id, or that of the next higher one.
fn at(db: &Connection, table: Table, id: &[u8; 16]) -> Result<Option<Numbered>, Fault> {
    let (from, table) = match table {
        Table::Conversions => (of(id).max(behind_apart(db, id)?), "conversions"),
        Table::Requests => (halve(db, id)?, "requests"),
    };
    let sql = format!(
        "SELECT number, id FROM {table} WHERE number >= ?1 AND id >= ?2 ORDER BY number LIMIT 1"
    );
    one(db, &sql, (from, id), |row| Ok((row.get(0)?, row.get(1)?)))
}

/// A number behind the conversions of lower ids that stand apart.
fn behind_apart(db: &Connection, id: &[u8; 16]) -> Result<i64, Fault> {
    let sql = "SELECT number + 1 FROM conversions_apart WHERE id < ?1 ORDER BY id DESC LIMIT 1";
    Ok(value(db, sql, [id])?.unwrap_or(i64::MIN))
}

/// A number of log rows at which those begin whose id is not below this one; it need not be that of
/// a row.
fn halve(db: &Connection, id: &[u8; 16]) -> Result<i64, Fault> {
    let edge = |sql: &str| value::<Option<i64>>(db, sql, []).map(Option::flatten);
    let Some(mut from) = edge("SELECT min(number) FROM requests")? else {
        return Ok(i64::MAX);
    };
    let mut upto = edge("SELECT max(number) FROM requests")?.map_or(from, |last| last + 1);
    let next = "SELECT number, id FROM requests WHERE number >= ?1 ORDER BY number LIMIT 1";
    // The row that is sought stands from `from` on, and not behind `upto`.
    while from < upto {
        let middle = from + (upto - from) / 2;
        match one::<Numbered>(db, next, [middle], |row| Ok((row.get(0)?, row.get(1)?)))? {
            Some((number, there)) if there < *id => from = number + 1,
            _ => upto = middle,
        }
    }
    Ok(from)
}

/// Gives new conversions their numbers, in the order of their ids.
#[derive(Clone, Copy)]
pub(crate) struct Free {
    /// The lowest free one above all that are taken.
    from: i64,
}

impl Free {
    /// Above all that are stored.
    pub(crate) fn of(db: &Connection) -> Result<Self, Fault> {
        let last = value::<Option<i64>>(db, "SELECT max(number) FROM conversions", [])?.flatten();
        Ok(Self { from: last.map_or(0, |last| last + 1) })
    }

    /// The number of a new row, which the next one will not have.
    pub(crate) fn take(&mut self, id: &[u8; 16]) -> i64 {
        let number = of(id).max(self.from);
        self.from = number + 1;
        number
    }
}

/// Teaches a connection the SQL functions `number_of` an id, and `next_number`, which gives
/// conversions theirs, in the order of their ids.
pub(crate) fn prepare(db: &Connection) -> rusqlite::Result<()> {
    let innocuous = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    let deterministic = innocuous | FunctionFlags::SQLITE_DETERMINISTIC;
    // An empty one stands before all.
    let number_of = |given: &[u8]| given.try_into().map_or(0, |id| of(&id));
    db.create_scalar_function("number_of", 1, deterministic, move |given| {
        Ok(number_of(given.get_raw(0).as_blob().unwrap_or_default()))
    })?;
    let next = Cell::new(Free { from: 0 });
    db.create_scalar_function("next_number", 1, innocuous, move |given| {
        let mut free = next.get();
        let number = free.take(&given.get(0)?);
        next.set(free);
        Ok(number)
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    /// An id of a millisecond, with a counter and something behind it.
    fn id(ms: u64, counter: u64, rest: u8) -> [u8; 16] {
        let mut id = [rest; 16];
        let beginning = ms << 16 | 0x7000 | counter;
        id.iter_mut().zip(beginning.to_be_bytes()).for_each(|(to, from)| *to = from);
        id
    }

    #[test]
    fn numbers_rise_with_the_ids() {
        let mut ids = Vec::new();
        for ms in [0, 1, 0xffff_ffff_ffff] {
            for counter in [0, 1, 0xffe, 0xfff] {
                ids.extend([id(ms, counter, 0x80), id(ms, counter, 0x81)]);
            }
            for version in [0, 1, 6, 8, 15] {
                let mut other = id(ms, 0x123, 0x80);
                other[6] = version << 4 | 1;
                ids.push(other);
            }
        }
        ids.sort_unstable();
        assert!(ids.is_sorted_by_key(of));
        assert_eq!(of(&id(5, 7, 0)), (5 << 12) + 7);
        assert!(of(&[0xff; 16]) > 0);
    }

    /// Both tables with rows of these ids, of which every third is then deleted.
    fn db(ids: &[[u8; 16]]) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        let columns = "(number INTEGER PRIMARY KEY, id BLOB)";
        for table in ["conversions", "requests"] {
            db.execute_batch(&format!("CREATE TABLE {table} {columns}")).unwrap();
        }
        db.execute_batch("CREATE TABLE conversions_apart (id BLOB PRIMARY KEY, number INTEGER)")
            .unwrap();
        let mut free = Free::of(&db).unwrap();
        for id in ids {
            let number = free.take(id);
            db.execute("INSERT INTO conversions VALUES (?1, ?2)", (number, id)).unwrap();
            keep(&db, id, number).unwrap();
            db.execute("INSERT INTO requests (id) VALUES (?1)", [id]).unwrap();
        }
        for id in ids.iter().skip(2).step_by(3) {
            delete_conversion(&db, id).unwrap();
            db.execute("DELETE FROM requests WHERE id = ?1", [id]).unwrap();
        }
        db
    }

    fn rows(db: &Connection, table: Table) -> Vec<Numbered> {
        let sql = match table {
            Table::Conversions => "SELECT number, id FROM conversions ORDER BY number",
            Table::Requests => "SELECT number, id FROM requests ORDER BY number",
        };
        let mut rows = db.prepare(sql).unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Every id, and those beside it, in every table.
    fn are_found(ids: &[[u8; 16]]) {
        let db = db(ids);
        for table in [Table::Conversions, Table::Requests] {
            let left = rows(&db, table);
            assert!(left.is_sorted_by_key(|(_, id)| *id));
            assert_eq!(left.len(), ids.len() - ids.len() / 3);
            let beside = ids.iter().flat_map(|id| {
                let id = u128::from_be_bytes(*id);
                [id - 1, id, id + 1].map(u128::to_be_bytes)
            });
            for sought in beside.chain([[0; 16], [0xff; 16]]) {
                let first = |is_it: &dyn Fn(&[u8; 16]) -> bool| {
                    left.iter().find(|(_, id)| is_it(id)).map_or(i64::MAX, |(number, _)| *number)
                };
                let from = first_from(&db, table, &sought).unwrap();
                assert_eq!(from, first(&|id| *id >= sought), "{table:?} {sought:x?}");
                let behind = first_behind(&db, table, &sought).unwrap();
                assert_eq!(behind, first(&|id| *id > sought), "{table:?} {sought:x?}");
                let there = left.iter().find(|(_, id)| *id == sought).map(|(number, _)| *number);
                assert_eq!(find(&db, table, &sought).unwrap(), there, "{table:?} {sought:x?}");
            }
        }
    }

    #[test]
    fn ids_are_found_between_gaps_and_where_many_share_a_number() {
        let alone = (0..20).map(|n| id(10 + n / 6, 100 + n, 0x90));
        let together = (0..40).map(|n| id(20, 300, 0x80 + n * 3));
        let behind = (0..20).map(|n| id(20, 301 + n, 0x90));
        let ids: Vec<_> = alone.chain(together).chain(behind).collect();
        for len in [0, 1, 2, 3, 4, 19, 45, ids.len()] {
            are_found(&ids[..len]);
        }
    }

    /// An old import could leave half a million ids that begin alike.
    #[test]
    fn none_is_sought_through_others_that_begin_alike() {
        let alike = (0..5_000_u32).map(|n| {
            let mut id = id(20, 300, 0x80);
            id.iter_mut().skip(9).zip(n.to_be_bytes()).for_each(|(to, from)| *to = from);
            id
        });
        let ids: Vec<_> = alike.collect();
        let db = db(&ids);
        let id = &ids[4_990];
        let sought = [
            format!("SELECT number FROM conversions WHERE {IS_IT}"),
            "SELECT number, id FROM conversions WHERE number >= ?1 AND id >= ?2 \
             ORDER BY number LIMIT 1"
                .to_owned(),
        ];
        let steps = |sql: &String| {
            let statement = db.prepare_cached(sql).unwrap();
            statement.reset_status(StatementStatus::VmStep)
        };
        for sql in &sought {
            let _before = steps(sql);
        }
        assert_eq!(find(&db, Table::Conversions, id).unwrap(), Some(of(id) + 4_990));
        assert_eq!(first_from(&db, Table::Conversions, id).unwrap(), of(id) + 4_990);
        for sql in &sought {
            let steps = steps(sql);
            assert!((1..100).contains(&steps), "{steps}: {sql}");
        }
    }

    #[test]
    fn sql_numbers_rows_as_rust_does() {
        let db = Connection::open_in_memory().unwrap();
        prepare(&db).unwrap();
        let sql = "SELECT number_of(?1), next_number(?1)";
        let number = |id: &[u8]| {
            db.query_row(sql, [id], |row| Ok::<(i64, i64), _>((row.get(0)?, row.get(1)?))).unwrap()
        };
        let (first, second) = (id(5, 7, 1), id(5, 7, 2));
        assert_eq!(number(&first), (of(&first), of(&first)));
        assert_eq!(number(&second), (of(&first), of(&first) + 1));
        let none: i64 = db.query_row("SELECT number_of(x'')", [], |row| row.get(0)).unwrap();
        assert_eq!(none, 0);
    }
}
