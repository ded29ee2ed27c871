//! Copying the write-ahead log into the database while there is little to do.
//!
//! SQLite copies it when it has grown long. Under load nothing is cheaper: a page that many commits
//! wrote is copied once. But then it takes thousands of pages, and whoever comes meanwhile waits
//! for all of them. Under light load nobody needs what is saved by that, so it is copied sooner,
//! and after the answers: a short log takes little longer than a commit.

use rusqlite::{Connection, Row};

use crate::fault::Fault;

/// The most requests and messages under way at once of late under light load.
const LIGHT: usize = 24;
/// Pages in the log after which it is copied then.
const PAGES: i64 = 512;

/// How much there is to do, and to copy.
#[derive(Debug, Default)]
pub(super) struct Copying {
    /// The most requests and messages under way at once of late. It forgets slowly, for under load,
    /// too, few are under way at times.
    most: usize,
    /// Pages that were left the last time, for a reader still needed what they replace, or the disk
    /// failed: it is not tried again before as many more have come as are worth it.
    left: i64,
}

impl Copying {
    /// A commit is answered; so many requests and messages shared it or wait behind it. Copies the
    /// log if it is time, but for what readers still need. Where that fails it is the same as where
    /// SQLite copies it by itself: all is safe in the log, and copied later.
    pub(super) fn answered(&mut self, under_way: usize, db: &Connection) {
        self.most = under_way.max(self.most.saturating_sub(1));
        if self.most > LIGHT {
            return;
        }
        if let Err(error) = self.copy(db) {
            tracing::warn!(%error, "the write-ahead log was not copied into the database");
        }
    }

    /// Copies the log if it is long enough.
    fn copy(&mut self, db: &Connection) -> Result<(), Fault> {
        let not_copied = pages_left(db, "PRAGMA main.wal_checkpoint(noop)")?;
        self.left = self.left.min(not_copied);
        if not_copied < self.left + PAGES {
            return Ok(());
        }
        self.left = not_copied;
        self.left = pages_left(db, "PRAGMA main.wal_checkpoint(passive)")?;
        Ok(())
    }
}

/// How many pages of the log are not copied after this.
fn pages_left(db: &Connection, checkpoint: &str) -> Result<i64, Fault> {
    let mut statement = db.prepare_cached(checkpoint)?;
    let pages = |row: &Row<'_>| Ok(row.get::<_, i64>("log")? - row.get::<_, i64>("checkpointed")?);
    Ok(statement.query_row([], pages)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, open};

    #[test]
    fn what_a_reader_holds_up_is_tried_again_when_it_is_worth_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let db = open::for_writing(&path, &Options::default()).unwrap();
        let write = |pages: i64| {
            let sql = "INSERT INTO probe (filler) VALUES (zeroblob(?1))";
            db.execute(sql, [pages * 4096]).unwrap();
        };
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT * FROM probe").unwrap();
        let mut copying = Copying::default();
        write(2 * PAGES);
        copying.answered(1, &db);
        let left = copying.left;
        assert!(left >= 2 * PAGES, "{left} pages");
        reader.execute_batch("COMMIT").unwrap();
        write(PAGES / 2);
        copying.answered(1, &db);
        assert_eq!(copying.left, left, "it was not worth it");
        write(PAGES / 2);
        copying.answered(LIGHT + 2, &db);
        assert_eq!(copying.left, left, "there was much to do");
        copying.answered(1, &db);
        assert_eq!(copying.left, left, "there was much to do of late");
        copying.answered(1, &db);
        assert_eq!(copying.left, 0, "all is copied");
    }
}
