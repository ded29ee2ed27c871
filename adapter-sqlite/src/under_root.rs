//! Which conversions stand under a root (R21): the table `under_root`, kept behind the writes.
//!
//! Roots come in random order, so a row in it for each new conversion would dirty a page each,
//! which costs as much as all else that is written about it. Instead the writer reads many at once
//! from `conversions` into memory, into the temporary table `under_root_fresh`, and moves them on
//! in sorted slices, so that many share a page:
//!
//! ```text
//! conversions -- catch_up: now and then, and before it is asked --> under_root_fresh (memory)
//!             -- Merge: a slice with each batch --> under_root
//! ```
//!
//! Nothing is lost with the memory: `under_root_upto` names the id up to which all conversions have
//! moved, and what comes after it is read again. Readers have a view in the place of the temporary
//! table. Both tables together are the index; a row may be in both.

use counterfoil_core::{Conversion, ConversionId, ConversionType};
use rusqlite::{Connection, MAIN_DB, params};

use crate::{
    effects, facts,
    fault::Fault,
    numbers::{self, Table},
    rows::{one, value},
};

/// Rows that move with each request of a batch: faster than they come.
const MOVED_PER_REQUEST: usize = 4;

/// Requests after which what they made is read: enough that rows share pages in memory, too, and
/// so few that nobody notices who waits for it.
const READ_EVERY: usize = 256;

/// What a connection that writes must have beside the tables: the rows, and the id up to which
/// conversions were read.
const FRESH_TABLE: &str = "CREATE TEMP TABLE under_root_fresh (root BLOB NOT NULL, \
     type TEXT NOT NULL, id BLOB NOT NULL, PRIMARY KEY (root, type, id)) STRICT, WITHOUT ROWID; \
     CREATE TEMP TABLE under_root_read (id BLOB NOT NULL) STRICT; \
     INSERT INTO temp.under_root_read SELECT id FROM under_root_upto";

/// The same for who cannot write.
const FRESH_VIEW: &str = "CREATE TEMP VIEW under_root_fresh AS SELECT root, type, id \
     FROM conversions WHERE number >= number_of((SELECT id FROM under_root_upto)) \
     AND id > (SELECT id FROM under_root_upto) AND root IS NOT NULL";

/// Prepares a connection that writes.
pub(crate) fn prepare_writing(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "temp_store", "memory")?;
    prepare_replaying(db)
}

/// Prepares a connection to an empty database that is thrown away: its rows stay fresh.
pub(crate) fn prepare_replaying(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(FRESH_TABLE)
}

/// Prepares a connection that only reads.
pub(crate) fn prepare_reading(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(FRESH_VIEW)
}

/// Gives a conversion the type that it is about to have (R47). It moves at once: it may be older
/// than those that are read again when the database is opened.
pub(crate) fn retype(db: &Connection, conversion: &Conversion) -> Result<(), Fault> {
    let (root, id) = (conversion.root_id.as_bytes(), conversion.id.as_bytes());
    let number = numbers::find(db, Table::Conversions, id)?;
    let sql = "SELECT type FROM conversions WHERE number = ?1 AND type <> ?2";
    let before: Option<String> =
        value(db, sql, params![number, conversion.conversion_type.name()])?;
    let Some(before) = before else {
        return Ok(());
    };
    for table in ["temp.under_root_fresh", "under_root"] {
        let sql = format!("DELETE FROM {table} WHERE root = ?1 AND type = ?2 AND id = ?3");
        db.prepare_cached(&sql)?.execute(params![root, before, id])?;
    }
    db.prepare_cached("INSERT INTO under_root VALUES (?1, ?2, ?3)")?.execute(params![
        root,
        conversion.conversion_type.name(),
        id
    ])?;
    Ok(())
}

/// Reads what was made since the last time.
fn catch_up(db: &Connection) -> Result<(), Fault> {
    db.prepare_cached(
        "INSERT OR IGNORE INTO temp.under_root_fresh SELECT root, type, id FROM conversions \
         WHERE number >= number_of((SELECT id FROM temp.under_root_read)) \
         AND id > (SELECT id FROM temp.under_root_read) AND root IS NOT NULL",
    )?
    .execute([])?;
    let newest = "SELECT id FROM conversions ORDER BY number DESC LIMIT 1";
    db.prepare_cached(&format!("UPDATE temp.under_root_read SET id = ifnull(({newest}), x'')"))?
        .execute([])?;
    Ok(())
}

/// The newest conversion under a root, of the type where one is given (R21 c, d). Without a type:
/// one seek for each type that occurs.
pub(crate) fn newest(
    db: &Connection,
    root: &ConversionId,
    conversion_type: Option<&ConversionType>,
) -> Result<Option<ConversionId>, Fault> {
    let reads_a_view = db.is_readonly(MAIN_DB)?;
    if !reads_a_view {
        catch_up(db)?;
    }
    let moved = newest_in(db, "under_root", root, conversion_type)?;
    Ok(moved.max(newest_in(db, "temp.under_root_fresh", root, conversion_type)?))
}

/// All conversions under a root, in no order.
pub(crate) fn all(db: &Connection, root: &ConversionId) -> Result<Vec<ConversionId>, Fault> {
    if !db.is_readonly(MAIN_DB)? {
        catch_up(db)?;
    }
    let sql = "SELECT id FROM under_root WHERE root = ?1 \
               UNION SELECT id FROM temp.under_root_fresh WHERE root = ?1";
    let mut statement = db.prepare_cached(sql)?;
    let ids = statement.query_map([root.as_bytes()], |row| row.get(0))?;
    ids.map(|id| Ok(ConversionId::from_bytes(id?))).collect()
}

fn newest_in(
    db: &Connection,
    table: &str,
    root: &ConversionId,
    conversion_type: Option<&ConversionType>,
) -> Result<Option<ConversionId>, Fault> {
    facts::newest(db, table, "root = ?1", params![root.as_bytes()], conversion_type)
}

/// The move of fresh rows, in slices that belong to the transactions of the batches.
#[derive(Debug)]
pub(crate) struct Merge {
    /// Requests after which fresh rows begin to move.
    generation: usize,
    /// Requests since the newest id that will have moved.
    requests: usize,
    /// Requests since the last time that what they made was read.
    unread: usize,
    moving: Option<Moving>,
}

/// Fresh rows on the move.
#[derive(Clone, Debug)]
struct Moving {
    /// The last id that moves; what comes later waits for the next time.
    upto: [u8; 16],
    /// The last row that moved.
    after: Row,
}

type Row = ([u8; 16], String, [u8; 16]);

impl Merge {
    /// Nothing moves until so many requests came.
    pub(crate) fn new(generation: usize) -> Self {
        Self { generation, requests: 0, unread: 0, moving: None }
    }

    /// A transaction that held a slice was rolled back: what moved may be back. Where the
    /// connection was given up with it, the fresh rows are gone: they are read again before
    /// anything else moves, for what is not found counts as moved.
    pub(crate) fn rolled_back(&mut self) {
        self.unread = READ_EVERY;
        if let Some(moving) = &mut self.moving {
            moving.after = Row::default();
        }
    }

    /// Moves what a batch of so many requests should.
    pub(crate) fn step(&mut self, db: &Connection, requests: usize) -> Result<(), Fault> {
        self.requests += requests;
        self.unread += requests;
        if self.unread >= READ_EVERY.min(self.generation) {
            self.unread = 0;
            catch_up(db)?;
        }
        let Some(moving) = &mut self.moving else {
            if self.requests >= self.generation
                && let Some(upto) = effects::newest_id(db)?
            {
                catch_up(db)?;
                self.requests = 0;
                self.moving = Some(Moving { upto, after: Row::default() });
            }
            return Ok(());
        };
        let rows = requests * MOVED_PER_REQUEST;
        let Some(last) = end_of_slice(db, moving, rows)? else {
            db.execute("UPDATE under_root_upto SET id = ?1", [moving.upto])?;
            self.moving = None;
            return Ok(());
        };
        move_slice(db, moving, &last)?;
        moving.after = last;
        Ok(())
    }
}

/// What a slice moves: between two rows, and not newer than the last id.
const IS_IN_SLICE: &str =
    "(root, type, id) > (?1, ?2, ?3) AND (root, type, id) <= (?4, ?5, ?6) AND id <= ?7";

/// The last of the next so many rows; none: all have moved.
fn end_of_slice(db: &Connection, moving: &Moving, rows: usize) -> Result<Option<Row>, Fault> {
    let (root, of_type, id) = &moving.after;
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    let sql = "SELECT root, type, id FROM (SELECT root, type, id FROM temp.under_root_fresh \
         WHERE (root, type, id) > (?1, ?2, ?3) AND id <= ?4 ORDER BY root, type, id LIMIT ?5) \
         ORDER BY root DESC, type DESC, id DESC LIMIT 1";
    one(db, sql, params![root, of_type, id, moving.upto, rows], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
}

fn move_slice(db: &Connection, moving: &Moving, last: &Row) -> Result<(), Fault> {
    let (after, upto) = (&moving.after, &moving.upto);
    let given = params![after.0, after.1, after.2, last.0, last.1, last.2, upto];
    let insert = format!(
        "INSERT OR IGNORE INTO under_root SELECT root, type, id FROM temp.under_root_fresh \
         WHERE {IS_IN_SLICE} ORDER BY root, type, id"
    );
    db.prepare_cached(&insert)?.execute(given)?;
    let delete = format!("DELETE FROM temp.under_root_fresh WHERE {IS_IN_SLICE}");
    db.prepare_cached(&delete)?.execute(given)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, open};

    const ROOT: [u8; 16] = [7; 16];

    fn insert(db: &Connection, n: u8) {
        let sql = "INSERT INTO conversions (number, id, tenant, root, type, method, currency, \
             created_at, updated_at, revision, ruleset) \
             VALUES (number_of(?1), ?1, 1, ?2, 'sale', 0, 'EUR', 0, 0, 1, 1)";
        db.execute(sql, params![[n; 16], ROOT]).unwrap();
    }

    #[test]
    fn what_was_about_to_move_moves_when_its_connection_was_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let open = || open::for_writing(&folder.path().join("x.db"), &Options::default()).unwrap();
        let mut db = open();
        (10..50).for_each(|n| insert(&db, n));
        let mut merge = Merge::new(100);
        merge.step(&db, 100).unwrap();
        merge.step(&db, 1).unwrap();
        db = open();
        merge.rolled_back();
        for _ in 0..12 {
            merge.step(&db, 1).unwrap();
        }
        assert_eq!(value(&db, "SELECT id FROM under_root_upto", []).unwrap(), Some([49; 16]));
        db = open();
        assert_eq!(all(&db, &ConversionId::from_bytes(ROOT)).unwrap().len(), 40);
    }
}
