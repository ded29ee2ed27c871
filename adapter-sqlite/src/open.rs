//! Opening a database: who may write, which files are ours, how connections are set.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use crate::{numbers, schema, under_root};

/// The oldest SQLite without the WAL race that corrupts databases.
const SQLITE_MIN: i32 = 3_051_003;
/// Pages in the write-ahead log after which it is copied under load: so rarely that, with
/// the usual number of connections, fewer than one request in a hundred waits for it.
const CHECKPOINT_PAGES: u32 = 8000;
/// The page cache of a reader, in KiB.
const READER_CACHE_KIB: u32 = 8 * 1024;
/// Statements that a connection keeps ready.
const STATEMENTS_KEPT: usize = 64;
/// How long SQLite waits for a lock of another process, such as a copy that is made.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a file of SQLite begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Bytes of such a file up to the end of the application's id.
const HEADER_LEN: u64 = 72;

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
    /// Requests in a commit after which no more join it.
    pub batch_max: usize,
    /// Requests after which their conversions move from memory into the index by root; the more,
    /// the fewer pages are written and the longer opening takes.
    pub unmoved_max: usize,
    /// The most pages of 4 KiB that the database may have; beyond it the disk counts as full.
    /// Absent: as many as the disk holds.
    pub pages_max: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            role: "counterfoil".to_owned(),
            synchronous: Synchronous::Full,
            cache_kib: 4 * 1024,
            queue_len: 4096,
            batch_max: 512,
            unmoved_max: 32 * 1024,
            pages_max: None,
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
    /// The file is damaged.
    #[error("`{path}` is damaged")]
    Damaged {
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
    /// Another process holds it in SQLite, and went on doing so for as long as is waited; an owner
    /// would be [`OpenError::Locked`].
    #[error("`{path}` is held by another process")]
    Held {
        /// The path.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// Another process reads it, so that old pages of it are still there.
    #[error("`{path}` was written anew, but is being read: what was deleted may still be in it")]
    Read {
        /// The path.
        path: PathBuf,
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

impl OpenError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }

    pub(crate) fn sqlite(path: &Path) -> impl FnOnce(rusqlite::Error) -> Self {
        let path = path.to_owned();
        |source| match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path },
            _ if is_held(&source) => Self::Held { path, source },
            _ => Self::Sqlite { path, source },
        }
    }
}

/// Whether another connection's lock is why SQLite failed.
pub(crate) fn is_held(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// The lock of a database's one owner, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a database: the file beside it with `.lock` appended, which names the
    /// owner. The file stays when the owner ends; only its lock counts.
    pub(crate) fn take(database: &Path, role: &str) -> Result<Self, OpenError> {
        let mut name = database.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let failed = || OpenError::io(&path);
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed())?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // What cannot be read is not worth hiding the lock for.
                let _ = file.take(1024).read_to_string(&mut owner);
                let owner = match owner.trim() {
                    "" => "another process".to_owned(),
                    named => named.to_owned(),
                };
                return Err(OpenError::Locked { path: database.to_owned(), owner });
            }
            Err(TryLockError::Error(source)) => return Err(failed()(source)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{role} (process {})", std::process::id())
        };
        write(&mut file).map_err(failed())?;
        Ok(Self { _file: file })
    }
}

/// Refuses a library that may corrupt databases.
pub(crate) fn check_library() -> Result<(), OpenError> {
    if rusqlite::version_number() < SQLITE_MIN {
        return Err(OpenError::OldSqlite { found: rusqlite::version() });
    }
    Ok(())
}

/// Refuses a file that is something else before anything is made beside it. What is missing or
/// empty may become a database; what cannot be read is told when it is opened.
pub(crate) fn refuse_foreign(path: &Path) -> Result<(), OpenError> {
    let mut header = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEADER_LEN).read_to_end(&mut header));
    if read.is_err() || header.is_empty() {
        return Ok(());
    }
    if !header.starts_with(MAGIC) {
        return Err(OpenError::NotADatabase { path: path.to_owned() });
    }
    if header.ends_with(&schema::APPLICATION_ID.to_be_bytes()) {
        return Ok(());
    }
    // What makes it ours may still be in its write-ahead log alone.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).map_err(OpenError::sqlite(path));
    match opened.and_then(|db| schema::version_of(&db, path)) {
        Err(error @ OpenError::NotADatabase { .. }) => Err(error),
        _ => Ok(()),
    }
}

/// Opens the connection of the writer; makes and upgrades the database.
pub(crate) fn for_writing(path: &Path, options: &Options) -> Result<Connection, OpenError> {
    let failed = || OpenError::sqlite(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(failed())?;
    harden(&db, options.cache_kib).map_err(failed())?;
    let found = schema::version_of(&db, path)?;
    set_writing(&db, options).map_err(failed())?;
    schema::upgrade(&mut db, found).map_err(failed())?;
    under_root::prepare_writing(&db).map_err(failed())?;
    Ok(db)
}

/// Opens a connection that cannot write.
pub(crate) fn for_reading(path: &Path) -> Result<Connection, OpenError> {
    let failed = || OpenError::sqlite(path);
    if !path.exists() {
        return Err(OpenError::Missing { path: path.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(failed())?;
    harden(&db, READER_CACHE_KIB).map_err(failed())?;
    let path = path.to_owned();
    match schema::version_of(&db, &path)? {
        schema::VERSION => {
            under_root::prepare_reading(&db).map_err(OpenError::sqlite(&path))?;
            db.pragma_update(None, "query_only", true).map_err(OpenError::sqlite(&path))?;
            Ok(db)
        }
        0 => Err(OpenError::NotADatabase { path }),
        found => Err(OpenError::Older { path, found, known: schema::VERSION }),
    }
}

/// What every connection has: our SQL functions, and settings by which a malformed file does no
/// more harm than being refused.
fn harden(db: &Connection, cache_kib: u32) -> rusqlite::Result<()> {
    numbers::prepare(db)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Plans must not depend on bound values: near partial indexes SQLite would otherwise compile
    // a statement anew for each value, which costs a third of the writer's time.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update(None, "mmap_size", 0)?;
    // Negative: KiB rather than pages.
    db.pragma_update(None, "cache_size", -i64::from(cache_kib))
}

fn set_writing(db: &Connection, options: &Options) -> rusqlite::Result<()> {
    db.pragma_update(None, "journal_mode", "wal")?;
    let synchronous = match options.synchronous {
        Synchronous::Full => "full",
        Synchronous::Normal => "normal",
    };
    db.pragma_update(None, "synchronous", synchronous)?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    db.pragma_update(None, "journal_size_limit", 64 << 20)?;
    match options.pages_max {
        Some(pages) => db.pragma_update(None, "max_page_count", pages),
        None => Ok(()),
    }
}
