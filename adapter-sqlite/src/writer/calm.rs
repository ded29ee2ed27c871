//! Copying the write-ahead log into the database while there is little to do.
//!
//! SQLite copies it when it has grown long. Under load nothing is cheaper: a page that many commits
//! wrote is copied once. But it takes thousands of pages, and where little else takes time, they
//! are what the slowest answers wait for. So after some commits in a row that were small, and when
//! nobody waits, it is copied already, while it is short.

use rusqlite::Connection;

/// The most requests and messages of a small commit.
const SMALL: usize = 4;
/// Small commits after which the log is copied.
const COMMITS: u32 = 16;

/// How calm it is.
#[derive(Debug, Default)]
pub(super) struct Calm {
    /// Small commits since the last one that was not, or since the log was copied.
    commits: u32,
}

impl Calm {
    /// So many requests and messages shared a commit.
    pub(super) fn committed(&mut self, count: usize) {
        self.commits = if count > SMALL { 0 } else { self.commits + 1 };
    }

    /// Whether the log is to be copied when nobody waits.
    pub(super) fn is_due(&self) -> bool {
        self.commits >= COMMITS
    }

    /// Copies it, but for what readers still need. Where that fails it is the same as where SQLite
    /// copies it by itself: all is safe in the log, and copied later.
    pub(super) fn copy(&mut self, db: &Connection) {
        self.commits = 0;
        let copied = db.query_row("PRAGMA wal_checkpoint(passive)", [], |_| Ok(()));
        if let Err(error) = copied {
            tracing::warn!(%error, "the write-ahead log was not copied into the database");
        }
    }
}
