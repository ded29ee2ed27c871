//! Copying the write-ahead log into the database while there is little to do.
//!
//! SQLite copies it when it has grown long. Under load nothing is cheaper: a page that many commits
//! wrote is copied once. But then it takes thousands of pages, and whoever comes meanwhile waits
//! for all of them. Under light load nobody needs what is saved by that, so it is copied sooner, and
//! after the answers: a short log is copied in little more time than a commit takes.

use rusqlite::Connection;

use crate::fault::Fault;

/// The most requests and messages in the largest commit of late under light load.
const LIGHT: usize = 16;
/// Pages in the log after which it is copied then.
const PAGES: i64 = 512;

/// How much there is to do.
#[derive(Debug, Default)]
pub(super) struct Copying {
    /// Requests and messages in the largest commit of late. It forgets slowly, for under load small
    /// commits stand between large ones: few come while many are answered.
    largest: usize,
}

impl Copying {
    /// So many requests and messages shared a commit, and are answered. Copies the log if it is
    /// time, but for what readers still need. Where that fails it is the same as where SQLite copies
    /// it by itself: all is safe in the log, and copied later.
    pub(super) fn answered(&mut self, count: usize, db: &Connection) {
        self.largest = count.max(self.largest.saturating_sub(1));
        if self.largest > LIGHT {
            return;
        }
        if let Err(error) = copy(db) {
            tracing::warn!(%error, "the write-ahead log was not copied into the database");
        }
    }
}

/// Copies the log if enough of its pages are not copied yet.
fn copy(db: &Connection) -> Result<(), Fault> {
    let mut length = db.prepare_cached("PRAGMA main.wal_checkpoint(noop)")?;
    let not_copied: i64 = length
        .query_row([], |row| Ok(row.get::<_, i64>("log")? - row.get::<_, i64>("checkpointed")?))?;
    if not_copied < PAGES {
        return Ok(());
    }
    let mut copy = db.prepare_cached("PRAGMA main.wal_checkpoint(passive)")?;
    Ok(copy.query_row([], |_| Ok(()))?)
}
