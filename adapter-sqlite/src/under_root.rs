//! Which conversions stand under a root (R21): an index that is kept behind the writes.
//!
//! Roots come in random order, so a row in a large table for each new conversion would dirty a page
//! each, which costs as much as all else that is written about it. Instead the writer reads many at
//! once from `conversions` into memory, and moves them on in sorted slices, so that many share a
//! page; and because even the many of a memory meet few pages twice where millions are stored, they
//! stay in a middle table until they are very many:
//!
//! ```text
//! conversions -- catch_up: now and then, and before it is asked --> under_root_fresh (memory)
//!             -- Merge: a slice with each batch --> under_root_young
//!             -- Merge: slices, once there are very many --> under_root
//! ```
//!
//! Nothing is lost with the memory: `under_root_upto` names the id up to which all conversions have
//! moved out of it, and what comes after it is read again. Readers have a view in the place of the
//! temporary table. The three tables together are the index; a row may be in several.

mod merge;

use counterfoil_core::{Conversion, ConversionId, ConversionType};
use rusqlite::{Connection, MAIN_DB, params};

pub(crate) use self::merge::{Merge, move_left};
use crate::{
    facts,
    fault::Fault,
    numbers::{self, Table},
    rows::value,
};

/// The tables of the index.
const FRESH: &str = "temp.under_root_fresh";
const YOUNG: &str = "under_root_young";
const OLD: &str = "under_root";

/// What a connection that writes must have beside the tables: the rows, and the id up to which
/// conversions were read.
const FRESH_TABLE: &str = "CREATE TEMP TABLE under_root_fresh (root BLOB NOT NULL, \
     type TEXT NOT NULL, id BLOB NOT NULL, PRIMARY KEY (root, type, id)) STRICT, WITHOUT ROWID; \
     CREATE TEMP TABLE under_root_read (id BLOB NOT NULL) STRICT; \
     INSERT INTO temp.under_root_read SELECT id FROM under_root_upto";

/// Conversions that have not moved out of memory.
const UNMOVED: &str = "FROM conversions \
     WHERE number >= number_of((SELECT id FROM under_root_upto)) \
     AND id > (SELECT id FROM under_root_upto)";

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
    db.execute_batch(&format!(
        "CREATE TEMP VIEW under_root_fresh AS SELECT root, type, id {UNMOVED} AND root IS NOT NULL"
    ))
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
    for table in [FRESH, YOUNG, OLD] {
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
    [FRESH, YOUNG, OLD].into_iter().try_fold(None, |newest, table| {
        Ok(newest.max(newest_in(db, table, root, conversion_type)?))
    })
}

/// All conversions under a root, in no order.
pub(crate) fn all(db: &Connection, root: &ConversionId) -> Result<Vec<ConversionId>, Fault> {
    if !db.is_readonly(MAIN_DB)? {
        catch_up(db)?;
    }
    let sql = [FRESH, YOUNG, OLD].map(|table| format!("SELECT id FROM {table} WHERE root = ?1"));
    let mut statement = db.prepare_cached(&sql.join(" UNION "))?;
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
