//! The schema: made and upgraded one version at a time, in one transaction (P12).

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::open::OpenError;

/// Marks a file as ours: `CFOL`.
pub(crate) const APPLICATION_ID: i32 = 0x4346_4f4c;

/// The step from each version to the next. A step that was released is never changed.
const STEPS: [&str; 7] = [
    include_str!("schema/v1.sql"),
    include_str!("schema/v2.sql"),
    include_str!("schema/v3.sql"),
    include_str!("schema/v4.sql"),
    include_str!("schema/v5.sql"),
    include_str!("schema/v6.sql"),
    include_str!("schema/v7.sql"),
];

/// The version of the schema that this build writes.
pub const VERSION: i64 = STEPS.len() as i64;

/// The version of a database; 0: it is empty.
pub(crate) fn version_of(db: &Connection, path: &Path) -> Result<i64, OpenError> {
    let failed = || OpenError::sqlite(path);
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failed());
    let found = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    let is_ours = number("PRAGMA application_id")? == i64::from(APPLICATION_ID);
    let is_empty = tables == 0 && found == 0;
    if !is_ours && !is_empty {
        return Err(OpenError::NotADatabase { path: path.to_owned() });
    }
    if found > VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: VERSION });
    }
    Ok(found)
}

/// Takes the steps from `found` to [`VERSION`].
pub(crate) fn upgrade(db: &mut Connection, found: i64) -> rusqlite::Result<()> {
    if found == VERSION {
        return Ok(());
    }
    if found > 0 {
        tracing::info!(
            from = found,
            to = VERSION,
            "upgrading the database: a large one takes time"
        );
    }
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
