//! Opening a database: who may write, which files are ours, how connections are set.

use std::{io, path::PathBuf};

/// How a [`crate::Store`] is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the owner is, in words for whoever finds the database taken: `counterfoil serve on
    /// 127.0.0.1:8080`.
    pub role: String,
    /// When a commit counts as durable.
    pub synchronous: Synchronous,
    /// The page cache of the writer, in KiB.
    pub cache_kib: u32,
    /// Requests that may wait for the writer; one more is [`crate::SubmitError::Busy`].
    pub queue_len: usize,
    /// The most requests that share one commit.
    pub batch_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            role: "counterfoil".to_owned(),
            synchronous: Synchronous::Full,
            cache_kib: 64 * 1024,
            queue_len: 4096,
            batch_max: 512,
        }
    }
}

/// When a commit counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// When it is on stable storage: what was answered survives a power cut.
    #[default]
    Full,
    /// When the operating system has it: a power cut may lose the newest answers, and leaves the
    /// database whole.
    Normal,
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no file.
    #[error("there is no database at `{path}`")]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("`{path}` is not a Counterfoil database")]
    NotADatabase {
        /// The path.
        path: PathBuf,
    },
    /// A newer version of Counterfoil has written it.
    #[error(
        "`{path}` has schema version {found}, and this version knows up to {known}; use a newer \
         version of counterfoil"
    )]
    Newer {
        /// The path.
        path: PathBuf,
        /// The version in the file.
        found: i64,
        /// The newest version that this build knows.
        known: i64,
    },
    /// An older version of Counterfoil has written it, and it was opened for reading only.
    #[error(
        "`{path}` has schema version {found}, and this version reads {known}; open it once with \
         `counterfoil serve` to upgrade it"
    )]
    Older {
        /// The path.
        path: PathBuf,
        /// The version in the file.
        found: i64,
        /// The version that this build reads.
        known: i64,
    },
    /// Another process owns it.
    #[error("`{path}` is in use by {owner}")]
    Locked {
        /// The path.
        path: PathBuf,
        /// What the lock file says of the owner: its role and its process id.
        owner: String,
    },
    /// The SQLite library is older than 3.51.3 and may corrupt databases.
    #[error("SQLite {found} is too old: 3.51.3 or newer is needed")]
    OldSqlite {
        /// The version of the library.
        found: &'static str,
    },
    /// The file system failed.
    #[error("`{path}` cannot be opened")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// SQLite failed.
    #[error("`{path}` cannot be opened: {source}")]
    Sqlite {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}
