//! Rewriting a database, so that nothing is left in it of what was deleted.

use std::path::Path;

use crate::open::{self, Lock, OpenError, Options};

/// Writes the whole database anew and empties its write-ahead log. Deleting overwrites a row, but
/// not what earlier writes left of it in unused parts of pages and in the log: this does. It takes
/// as long as a copy, and as much space, and nobody may hold the database meanwhile.
///
/// # Errors
/// As [`crate::Store::open`], and where the disk is full: everything is as before then. Where
/// another process goes on reading, [`OpenError::Read`]: old pages may be left.
pub fn compact(path: &Path, options: &Options) -> Result<(), OpenError> {
    open::check_library()?;
    if !path.exists() {
        return Err(OpenError::Missing { path: path.to_owned() });
    }
    open::refuse_foreign(path)?;
    let _lock = Lock::take(path, &options.role)?;
    let db = open::for_writing(path, options)?;
    let rewritten = db.execute_batch("VACUUM");
    // The log holds the old pages, too, and the new ones until they are copied.
    let is_busy = db.query_row("PRAGMA wal_checkpoint(truncate)", [], |row| row.get(0));
    match rewritten.and(is_busy).map_err(OpenError::sqlite(path))? {
        true => Err(OpenError::Read { path: path.to_owned() }),
        false => Ok(()),
    }
}
