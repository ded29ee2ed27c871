//! What shape a database is in, for whoever looks for what is wrong: sizes, versions, times.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use counterfoil_core::{RequestId, Timestamp};
use rusqlite::{Connection, params};

use crate::{ReadError, Reader, effects, fault::Fault, ids, rows::value, schema};

/// What shape a database is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The version of its schema, which is that of this build.
    pub schema_version: i64,
    /// Bytes of the file.
    pub file_len: u64,
    /// Bytes of its write-ahead log.
    pub wal_len: u64,
    /// The time that the newest id carries: of the newest request or click.
    pub newest_at: Option<Timestamp>,
    /// When the newest request of the log arrived.
    pub last_request_at: Option<Timestamp>,
}

impl Reader {
    /// What shape the database is in. Reads a few rows.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn condition(&self) -> Result<Condition, ReadError> {
        let (newest_at, last_request_at) = self.with(|db| {
            let snapshot = db.unchecked_transaction()?;
            let newest = effects::newest_id(&snapshot)?;
            Ok((
                newest.map(|id| ids::time_of(&RequestId::from_bytes(id))),
                last_request(&snapshot)?,
            ))
        })?;
        Ok(Condition {
            schema_version: schema::VERSION,
            file_len: len(self.path()),
            wal_len: len(&beside(self.path(), "-wal")),
            newest_at,
            last_request_at,
        })
    }
}

/// What the owner of a database wrote of itself when it opened it, its role and its process id;
/// none, where nobody owns it.
///
/// # Errors
/// Where the lock file is there and cannot be read.
pub fn owner(database: &Path) -> io::Result<Option<String>> {
    let mut file = match fs::File::open(beside(database, ".lock")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Err(fs::TryLockError::WouldBlock) => {}
        Err(fs::TryLockError::Error(error)) => return Err(error),
        // What it says is of one that has ended.
        Ok(()) => return Ok(None),
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn last_request(db: &Connection) -> Result<Option<Timestamp>, Fault> {
    // Its id, for a row of an import says when it happened, and not when it came.
    let sql = "SELECT id FROM requests ORDER BY number DESC LIMIT 1";
    Ok(value(db, sql, params![])?.map(|id| ids::time_of(&RequestId::from_bytes(id))))
}

fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What is not there has no bytes.
fn len(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}
