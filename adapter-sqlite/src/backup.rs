//! Copies: one consistent state, taken while others write, and verified before it counts (P12).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, backup::Backup};

use crate::{OpenError, ReadError, Reader, fault::Fault, open};

/// A copy that was made and verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// Conversions in it.
    pub conversions: i64,
    /// Transactions in it.
    pub transactions: i64,
    /// Log rows in it.
    pub requests: i64,
    /// Its size.
    pub bytes: u64,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is a file already.
    #[error("`{0}` exists already; choose another name")]
    Exists(PathBuf),
    /// The copy is not what it should be; it was removed.
    #[error("the copy is damaged: {0}")]
    Damaged(String),
    /// The file system failed.
    #[error("the copy cannot be written: {0}")]
    Io(#[from] io::Error),
    /// SQLite failed.
    #[error("the copy cannot be made: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The database cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What is counted in the original and in the copy.
type Counts = [i64; 3];

impl Reader {
    /// Copies the database as it is now to a new file, while others write, and verifies the copy:
    /// its structure, and that it holds as many rows as the original did at that moment. Until
    /// then it carries a random part and `.partial` behind its name.
    ///
    /// # Errors
    /// Where the file exists, cannot be written, or is not a true copy.
    pub fn backup(&self, to: &Path) -> Result<BackupReport, BackupError> {
        if to.exists() {
            return Err(BackupError::Exists(to.to_owned()));
        }
        let partial = create_beside(to)?;
        let copied = self.copy(&partial);
        if copied.is_err() {
            // It is the copy that failed which is told.
            let _ = fs::remove_file(&partial);
        }
        let report = copied?;
        fs::rename(&partial, to)?;
        if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(report)
    }

    fn copy(&self, to: &Path) -> Result<BackupReport, BackupError> {
        let original = self.with(|db| copy_pages(db, to).map_err(Fault::Sqlite))?;
        fs::File::open(to)?.sync_all()?;
        let copy = open::for_reading(to).map_err(|error| match error {
            OpenError::Sqlite { source, .. } | OpenError::Held { source, .. } => {
                BackupError::Sqlite(source)
            }
            other => BackupError::Damaged(other.to_string()),
        })?;
        let problem: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if problem != "ok" {
            return Err(BackupError::Damaged(problem));
        }
        let counts = count(&copy)?;
        if counts != original {
            let message = format!("{counts:?} rows instead of {original:?}");
            return Err(BackupError::Damaged(message));
        }
        let [conversions, transactions, requests] = counts;
        let bytes = fs::metadata(to)?.len();
        Ok(BackupReport { conversions, transactions, requests, bytes })
    }
}

/// Makes an empty file of a name that nothing had, beside the place of a copy.
fn create_beside(to: &Path) -> io::Result<PathBuf> {
    let number = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".{number:016x}.partial"));
    let path = PathBuf::from(name);
    fs::File::create_new(&path)?;
    Ok(path)
}

/// Copies all pages of one state, and counts its rows.
fn copy_pages(from: &Connection, to: &Path) -> rusqlite::Result<Counts> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let mut copy = Connection::open_with_flags(to, flags)?;
    let snapshot = from.unchecked_transaction()?;
    let counts = count(&snapshot)?;
    // All at once: within this snapshot nothing changes, and no writer waits for it.
    Backup::new(&snapshot, &mut copy)?.step(-1)?;
    // A file of its own, without a write-ahead log beside it.
    copy.pragma_update(None, "journal_mode", "delete")?;
    Ok(counts)
}

fn count(db: &Connection) -> rusqlite::Result<Counts> {
    let sql = "SELECT (SELECT count(*) FROM conversions), (SELECT count(*) FROM transactions), \
               (SELECT count(*) FROM requests)";
    db.query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))
}
