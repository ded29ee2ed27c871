//! Imports: how far each file came, in the same transaction as its rows, so that a file whose
//! import was cut short goes on behind the last row that is stored.
//!
//! A row is a request like any other; its [`Waiting::row`] says which row of which file it is. The
//! first row of a file makes the row in `imports`, each later one must follow the one before it:
//! where a commit failed, nothing behind it is stored.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use counterfoil_core::{Outcome, Reason, Refusal, RequestId, TenantName, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    ReadError, Reader,
    codes::Coded,
    fault::{Fault, bad},
    log,
    numbers::{self, Table},
    rows, rules,
    store::{Decided, Waiting},
};

/// A file that is imported once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Unique in the database; see [`Reader::next_import_id`].
    pub id: i64,
    /// What people call the file: its path.
    pub name: String,
    /// The SHA-256 of its content.
    pub hash: [u8; 32],
    /// When its first row was handed in.
    pub started_at: Timestamp,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilePlace {
    /// The line, from 1.
    pub line: u64,
    /// Bytes before it.
    pub offset: u64,
}

/// Which row of which file a request is.
#[derive(Clone, Debug)]
pub struct ImportRow {
    /// The file.
    pub import: Arc<Import>,
    /// Rows of the file before this one: all of them are stored, or wait before this one.
    pub rows_before: u64,
    /// Where it begins.
    pub from: FilePlace,
    /// Where the next one begins.
    pub next: FilePlace,
}

/// How far an import came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportProgress {
    /// The file.
    pub import: Import,
    /// Rows that are stored.
    pub rows: u64,
    /// Where the first row begins that is not.
    pub next: FilePlace,
    /// What became of the rows: outcome, reason where there was one, how many.
    pub counts: Vec<(Outcome, Option<Reason>, u64)>,
}

/// A row that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// Where it begins.
    pub from: FilePlace,
    /// Its log row.
    pub request_id: RequestId,
    /// Why.
    pub refusal: Refusal,
}

/// What stands for a request without a reason.
const NO_REASON: i64 = -1;
const IMPORT: &str = "id, name, hash, started_at, rows, line, offset";

impl Reader {
    /// The id of the next import. Only the owner of the database may use it.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn next_import_id(&self) -> Result<i64, ReadError> {
        let newest = "SELECT ifnull(max(id), 0) + 1 FROM imports";
        self.with(|db| Ok(db.query_row(newest, [], |row| row.get(0))?))
    }

    /// The newest import of a file with this content.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn import_of(
        &self,
        tenant: &TenantName,
        hash: &[u8; 32],
    ) -> Result<Option<ImportProgress>, ReadError> {
        self.newest_import(tenant, "hash = ?2", hash)
    }

    /// The newest import of a file with this name.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn import_named(
        &self,
        tenant: &TenantName,
        name: &str,
    ) -> Result<Option<ImportProgress>, ReadError> {
        self.newest_import(tenant, "name = ?2", name)
    }

    fn newest_import(
        &self,
        tenant: &TenantName,
        condition: &str,
        value: impl rusqlite::ToSql,
    ) -> Result<Option<ImportProgress>, ReadError> {
        self.with(|db| {
            let Some((tenant, _)) = rules::tenant_of(db, tenant)? else {
                return Ok(None);
            };
            let sql = format!(
                "SELECT {IMPORT} FROM imports WHERE tenant = ?1 AND {condition} \
                 ORDER BY id DESC LIMIT 1"
            );
            let found = db.query_row(&sql, params![tenant, value], read_progress).optional()?;
            let Some(mut progress) = found else {
                return Ok(None);
            };
            let mut counts = db.prepare_cached(
                "SELECT outcome, reason, rows FROM import_counts WHERE import = ?1 \
                 ORDER BY outcome, rows DESC",
            )?;
            let mut counts = counts.query([progress.import.id])?;
            while let Some(row) = counts.next()? {
                let has_reason = row.get::<_, i64>(1)? != NO_REASON;
                let reason = has_reason.then(|| rows::coded(row, 1, "reason")).transpose()?;
                progress.counts.push((rows::coded(row, 0, "outcome")?, reason, number(row, 2)?));
            }
            Ok(Some(progress))
        })
    }

    /// The refused rows of an import behind an offset, in the order of the file, at most `limit`.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn refused_rows(
        &self,
        import: i64,
        behind: Option<u64>,
        limit: usize,
    ) -> Result<Vec<RefusedRow>, ReadError> {
        self.with(|db| {
            // Of those that were pruned nothing is left to tell.
            let mut statement = db.prepare_cached(
                "SELECT line, offset, request FROM import_refusals \
                 WHERE import = ?1 AND offset > ?2 ORDER BY offset",
            )?;
            let behind = behind.map_or(-1, integer);
            let mut rows = statement.query(params![import, behind])?;
            let mut refused = Vec::new();
            while refused.len() < limit
                && let Some(row) = rows.next()?
            {
                let from = place(row, 0)?;
                let number = numbers::find(db, Table::Requests, &row.get(2)?)?;
                let Some(logged) = log::numbered(db, number)? else {
                    continue;
                };
                let refusal = logged.refusal().ok_or_else(|| bad("refusal", logged.id))?;
                refused.push(RefusedRow { from, request_id: logged.id, refusal });
            }
            Ok(refused)
        })
    }
}

fn read_progress(row: &Row<'_>) -> rusqlite::Result<ImportProgress> {
    Ok(ImportProgress {
        import: Import {
            id: row.get(0)?,
            name: row.get(1)?,
            hash: row.get(2)?,
            started_at: Timestamp::from_ms(row.get(3)?),
        },
        rows: number(row, 4)?,
        next: place(row, 5)?,
        counts: Vec::new(),
    })
}

/// A place from two columns.
fn place(row: &Row<'_>, index: usize) -> rusqlite::Result<FilePlace> {
    Ok(FilePlace { line: number(row, index)?, offset: number(row, index + 1)? })
}

/// A number that is never negative.
fn number(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    row.get(index).map(|number: i64| u64::try_from(number).unwrap_or_default())
}

/// No file has as many lines or bytes as a column cannot hold.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The rows of one file that share a commit.
struct Advance<'a> {
    tenant: i64,
    first: &'a ImportRow,
    last: &'a ImportRow,
    counts: BTreeMap<(i64, i64), u64>,
}

/// Moves the imports forward that have rows among what was decided.
pub(crate) fn advance<'a>(
    db: &Connection,
    decided: impl Iterator<Item = (&'a Waiting, &'a Decided)>,
) -> Result<(), Fault> {
    let mut advances: BTreeMap<i64, Advance<'_>> = BTreeMap::new();
    for (waiting, decided) in decided {
        let Some(row) = &waiting.row else { continue };
        let advance = match advances.entry(row.import.id) {
            Entry::Vacant(free) => free.insert(Advance::from(decided.rules.tenant, row)),
            Entry::Occupied(taken) if taken.get().last.rows_before + 1 == row.rows_before => {
                taken.into_mut()
            }
            Entry::Occupied(_) => return Err(bad("the order of an import", row.rows_before)),
        };
        advance.last = row;
        let decision = &decided.decision;
        let reason = decision.refusal.as_ref().map_or(NO_REASON, |r| r.reason.stored());
        *advance.counts.entry((decision.outcome.stored(), reason)).or_default() += 1;
        if decision.outcome == Outcome::Refused {
            refuse(db, row, decided.receipt.id)?;
        }
    }
    advances.values().try_for_each(|advance| advance.store(db))
}

fn refuse(db: &Connection, row: &ImportRow, request: RequestId) -> Result<(), Fault> {
    db.prepare_cached(
        "INSERT INTO import_refusals (import, offset, line, request) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        row.import.id,
        integer(row.from.offset),
        integer(row.from.line),
        request.as_bytes()
    ])?;
    Ok(())
}

impl<'a> Advance<'a> {
    fn from(tenant: i64, first: &'a ImportRow) -> Self {
        Self { tenant, first, last: first, counts: BTreeMap::new() }
    }

    fn store(&self, db: &Connection) -> Result<(), Fault> {
        let Import { id, name, hash, started_at } = &*self.first.import;
        let before = integer(self.first.rows_before);
        if before == 0 {
            db.prepare_cached(
                "INSERT INTO imports (id, tenant, name, hash, started_at, rows, line, offset) \
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0)",
            )?
            .execute(params![id, self.tenant, name, hash, started_at.as_ms()])?;
        }
        let FilePlace { line, offset } = self.last.next;
        let (line, offset) = (integer(line), integer(offset));
        let rows = integer(self.last.rows_before + 1);
        let moved = db
            .prepare_cached(
                "UPDATE imports SET rows = ?3, line = ?4, offset = ?5 WHERE id = ?1 AND rows = ?2",
            )?
            .execute(params![id, before, rows, line, offset])?;
        if moved != 1 {
            return Err(bad("the progress of an import", before));
        }
        for ((outcome, reason), rows) in &self.counts {
            db.prepare_cached(
                "INSERT INTO import_counts (import, outcome, reason, rows) \
                 VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (import, outcome, reason) DO UPDATE SET rows = rows + excluded.rows",
            )?
            .execute(params![id, outcome, reason, integer(*rows)])?;
        }
        Ok(())
    }
}
