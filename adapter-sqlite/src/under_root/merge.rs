//! Moving rows of the index on, in sorted slices that belong to the transactions of the batches.
//!
//! A row is written twice and yet dirties less than half a page: those that move together into a
//! table are sorted, and so many, that several go to the same page.

use rusqlite::{Connection, TransactionBehavior, params};

use super::{FRESH, OLD, UNMOVED, YOUNG, catch_up};
use crate::{
    effects,
    fault::Fault,
    rows::{one, value},
};

/// Rows that leave memory with each request of a batch: faster than they come.
const MOVED_PER_REQUEST: usize = 4;
/// Rows that leave the middle table with each request: faster than they come, too, and no more, for
/// they meet the most pages.
const AGED_PER_REQUEST: usize = 2;
/// Generations that the middle table takes before its rows move on.
const GENERATIONS: i64 = 16;
/// Requests after which what they made is read: enough that rows share pages in memory, too.
const READ_EVERY: usize = 1024;

/// The moves of the index.
#[derive(Debug)]
pub(crate) struct Merge {
    /// Requests after which fresh rows begin to move.
    generation: usize,
    /// Requests since the newest id that will have moved, or since the opening.
    requests: usize,
    /// Requests since the last time that what they made was read.
    unread: usize,
    /// Fresh rows on their way to the middle table.
    moving: Option<Moving>,
    /// Rows of the middle table on their way to the last.
    aging: Option<Moving>,
    /// Generations that the middle table took since its rows last moved on; absent: not read.
    generations: Option<i64>,
}

impl Merge {
    /// Nothing moves until so many requests came.
    pub(crate) fn new(generation: usize) -> Self {
        Self { generation, requests: 0, unread: 0, moving: None, aging: None, generations: None }
    }

    /// A transaction was rolled back, and what it moved may be back: all begins anew from what is
    /// stored. Where the connection was given up with it, the fresh rows are gone: they are read
    /// again before anything else moves, for what is not found counts as moved.
    pub(crate) fn rolled_back(&mut self) {
        *self = Self {
            requests: self.requests + if self.moving.is_some() { self.generation } else { 0 },
            unread: READ_EVERY,
            ..Self::new(self.generation)
        };
    }

    /// Moves what a batch of so many requests should.
    pub(crate) fn step(&mut self, db: &Connection, requests: usize) -> Result<(), Fault> {
        self.requests += requests;
        self.unread += requests;
        if self.unread >= READ_EVERY.min(self.generation) {
            self.unread = 0;
            catch_up(db)?;
        }
        self.move_fresh(db, requests * MOVED_PER_REQUEST)?;
        self.age(db, requests * AGED_PER_REQUEST)
    }

    fn move_fresh(&mut self, db: &Connection, rows: usize) -> Result<(), Fault> {
        let Some(moving) = &mut self.moving else {
            if self.requests >= self.generation
                && let Some(upto) = effects::newest_id(db)?
            {
                catch_up(db)?;
                self.requests = 0;
                self.moving = Some(Moving::new(FRESH, YOUNG, upto));
            }
            return Ok(());
        };
        if moving.step(db, rows)? {
            return Ok(());
        }
        have_moved(db, moving.upto, 1)?;
        (self.moving, self.generations) = (None, None);
        Ok(())
    }

    fn age(&mut self, db: &Connection, rows: usize) -> Result<(), Fault> {
        let Some(aging) = &mut self.aging else {
            if self.generations(db)? >= GENERATIONS {
                self.aging = Some(Moving::new(YOUNG, OLD, [u8::MAX; 16]));
            }
            return Ok(());
        };
        if aging.step(db, rows)? {
            return Ok(());
        }
        // What came meanwhile is partly left, and counts.
        let sql = "UPDATE under_root_upto SET generations = generations - ?1";
        db.prepare_cached(sql)?.execute([GENERATIONS])?;
        (self.aging, self.generations) = (None, None);
        Ok(())
    }

    fn generations(&mut self, db: &Connection) -> Result<i64, Fault> {
        if let Some(known) = self.generations {
            return Ok(known);
        }
        let found = value(db, "SELECT generations FROM under_root_upto", [])?.unwrap_or_default();
        Ok(*self.generations.insert(found))
    }
}

/// Moves at once what owners have left that ended before their rows had moved: each of them alone
/// had too few requests for it. That happens once in two generations at most.
pub(crate) fn move_left(db: &mut Connection, generation: usize) -> Result<(), Fault> {
    let most = generation.saturating_mul(2);
    let left = format!("SELECT count(*) FROM (SELECT 1 {UNMOVED} LIMIT ?1)");
    let left: Option<i64> = value(db, &left, [i64::try_from(most).unwrap_or(i64::MAX)])?;
    if left.and_then(|left| usize::try_from(left).ok()).unwrap_or_default() < most {
        return Ok(());
    }
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(upto) = effects::newest_id(&transaction)? {
        catch_up(&transaction)?;
        Moving::new(FRESH, YOUNG, upto).step(&transaction, usize::MAX)?;
        // They are more only where an earlier version, which never did this, has left them.
        have_moved(&transaction, upto, 2)?;
    }
    Ok(transaction.commit()?)
}

/// All conversions up to this id have left memory, and are so many generations.
fn have_moved(db: &Connection, upto: [u8; 16], generations: i64) -> Result<(), Fault> {
    let sql = "UPDATE under_root_upto SET id = ?1, generations = generations + ?2";
    db.prepare_cached(sql)?.execute(params![upto, generations])?;
    Ok(())
}

/// Rows on the move from one table to the next.
#[derive(Debug)]
struct Moving {
    from: &'static str,
    to: &'static str,
    /// The last id that moves; what comes later waits for the next time.
    upto: [u8; 16],
    /// The last row that moved.
    after: Row,
}

type Row = ([u8; 16], String, [u8; 16]);

/// What a slice moves: between two rows, and not newer than the last id.
const IS_IN_SLICE: &str =
    "(root, type, id) > (?1, ?2, ?3) AND (root, type, id) <= (?4, ?5, ?6) AND id <= ?7";

impl Moving {
    fn new(from: &'static str, to: &'static str, upto: [u8; 16]) -> Self {
        Self { from, to, upto, after: Row::default() }
    }

    /// Moves the next so many rows; `false` where all have moved.
    fn step(&mut self, db: &Connection, rows: usize) -> Result<bool, Fault> {
        let Some(last) = self.end_of_slice(db, rows)? else {
            return Ok(false);
        };
        let (Self { from, to, upto, after }, last_row) = (&*self, &last);
        let given = params![after.0, after.1, after.2, last_row.0, last_row.1, last_row.2, upto];
        let insert = format!(
            "INSERT OR IGNORE INTO {to} SELECT root, type, id FROM {from} WHERE {IS_IN_SLICE} \
             ORDER BY root, type, id"
        );
        db.prepare_cached(&insert)?.execute(given)?;
        let delete = format!("DELETE FROM {from} WHERE {IS_IN_SLICE}");
        db.prepare_cached(&delete)?.execute(given)?;
        self.after = last;
        Ok(true)
    }

    /// The last of the next so many rows; none: all have moved.
    fn end_of_slice(&self, db: &Connection, rows: usize) -> Result<Option<Row>, Fault> {
        let (root, of_type, id) = &self.after;
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let sql = format!(
            "SELECT root, type, id FROM (SELECT root, type, id FROM {} \
             WHERE (root, type, id) > (?1, ?2, ?3) AND id <= ?4 ORDER BY root, type, id LIMIT ?5) \
             ORDER BY root DESC, type DESC, id DESC LIMIT 1",
            self.from
        );
        one(db, &sql, params![root, of_type, id, self.upto, rows], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use counterfoil_core::{ConversionId, ConversionType, RequestId};

    use super::*;
    use crate::{Options, open, sample, under_root};

    const ROOT: [u8; 16] = [7; 16];

    fn insert(db: &Connection, n: u16) -> [u8; 16] {
        let mut id = [9; 16];
        id[4..6].copy_from_slice(&n.to_be_bytes());
        let sql = "INSERT INTO conversions (number, id, tenant, root, type, method, currency, \
             created_at, updated_at, revision, ruleset) \
             VALUES (next_number(?1), ?1, 1, ?2, 'sale', 0, 'EUR', 0, 0, 1, 1)";
        db.execute(sql, params![id, ROOT]).unwrap();
        id
    }

    fn count(db: &Connection, table: &str) -> i64 {
        value(db, &format!("SELECT count(*) FROM {table}"), []).unwrap().unwrap()
    }

    fn unmoved(db: &Connection) -> i64 {
        value(db, &format!("SELECT count(*) {UNMOVED}"), []).unwrap().unwrap()
    }

    fn found(db: &Connection) -> usize {
        under_root::all(db, &ConversionId::from_bytes(ROOT)).unwrap().len()
    }

    #[test]
    fn what_was_about_to_move_moves_when_its_connection_was_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let open = || open::for_writing(&folder.path().join("x.db"), &Options::default()).unwrap();
        let mut db = open();
        for n in 10..50 {
            insert(&db, n);
        }
        let mut merge = Merge::new(100);
        merge.step(&db, 100).unwrap();
        merge.step(&db, 1).unwrap();
        db = open();
        merge.rolled_back();
        for _ in 0..12 {
            merge.step(&db, 1).unwrap();
        }
        assert_eq!((count(&db, YOUNG), count(&db, OLD)), (40, 0));
        db = open();
        assert_eq!((count(&db, FRESH), found(&db)), (0, 40));
    }

    #[test]
    fn rows_move_though_each_owner_is_asked_little() {
        let folder = tempfile::tempdir().unwrap();
        let open = || open::for_writing(&folder.path().join("x.db"), &Options::default()).unwrap();
        for n in 0..300 {
            let mut db = open();
            move_left(&mut db, 10).unwrap();
            let mut merge = Merge::new(10);
            for m in 0..3 {
                insert(&db, 3 * n + m);
                merge.step(&db, 1).unwrap();
            }
            let not_moved = unmoved(&db);
            assert!(not_moved < 25, "{not_moved} of {}", 3 * n + 3);
        }
        let db = open();
        assert_eq!((found(&db), count(&db, FRESH)), (900, unmoved(&db)));
        assert!(count(&db, OLD) > 0, "none has moved on");
    }

    /// A conversion of another type is found by that alone, wherever its row is (R47).
    #[test]
    fn a_row_of_any_age_changes_its_type() {
        for table in [FRESH, YOUNG, OLD] {
            let folder = tempfile::tempdir().unwrap();
            let db = open::for_writing(&folder.path().join("x.db"), &Options::default()).unwrap();
            let id = insert(&db, 1);
            let sql = format!("INSERT INTO {table} VALUES (?1, 'sale', ?2)");
            db.execute(&sql, params![ROOT, id]).unwrap();
            let (_, _, decision) = sample::click(RequestId::from_bytes(id), "A");
            let mut conversion = Arc::unwrap_or_clone(decision.conversion.unwrap());
            conversion.id = ConversionId::from_bytes(id);
            conversion.root_id = ConversionId::from_bytes(ROOT);
            conversion.conversion_type = ConversionType::Lead;
            under_root::retype(&db, &conversion).unwrap();
            db.execute("UPDATE conversions SET type = 'lead'", []).unwrap();
            let newest = |of_type: &ConversionType| {
                under_root::newest(&db, &conversion.root_id, Some(of_type)).unwrap()
            };
            assert_eq!(newest(&ConversionType::Sale), None, "{table}");
            assert_eq!(newest(&ConversionType::Lead), Some(conversion.id), "{table}");
        }
    }

    /// Every row is found at any time, and each table takes what is meant for it.
    #[test]
    fn rows_grow_old_and_stay_found() {
        let folder = tempfile::tempdir().unwrap();
        let open = || open::for_writing(&folder.path().join("x.db"), &Options::default()).unwrap();
        let mut db = open();
        let mut merge = Merge::new(10);
        let (mut most_young, mut least_old) = (0, 0);
        for n in 0..1200 {
            insert(&db, n);
            merge.step(&db, 1).unwrap();
            if n % 97 == 96 {
                assert_eq!(found(&db), usize::from(n) + 1);
                // A new owner knows nothing of what was under way.
                db = open();
                merge = Merge::new(10);
                assert_eq!(found(&db), usize::from(n) + 1);
            } else if n % 61 == 60 {
                merge.rolled_back();
            }
            most_young = most_young.max(count(&db, YOUNG));
            let old = count(&db, OLD);
            assert!(old >= least_old, "an old row has gone");
            least_old = old;
        }
        assert!(least_old > 600, "{least_old} rows are old");
        assert!((100..500).contains(&most_young), "{most_young} rows were young");
        assert!(count(&db, FRESH) < 100);
    }
}
