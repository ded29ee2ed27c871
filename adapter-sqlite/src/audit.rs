//! The audit log: a row for each administrative change, written in the transaction of the change.
//!
//! Each row is hashed together with the hash of the row before it, so a row that is changed, taken
//! out, put in or moved breaks the chain where it stands. A row about rules holds the hash of
//! their text, so a stored text that was changed later is told, too. What the chain alone cannot
//! tell: rows cut off at its end, and a chain that was made anew by someone who can write the file.
//! Both are told where a row's hash was noted elsewhere ([`AuditHead`]).

use counterfoil_core::{TenantName, Timestamp};
use rusqlite::{Connection, Row, params};
use sha2::{Digest, Sha256};

use crate::{ReadError, Reader, fault::Fault, rows, rules};

/// What every hash begins with.
const DOMAIN: &[u8] = b"counterfoil audit 1\0";
/// What stands for the hash before the first row.
const NO_HASH: [u8; 32] = [0; 32];
const COLUMNS: &str = "number, at, tenant, action, subject, detail, hash";

/// A change that an administrator made.
pub(crate) struct Change<'a> {
    pub(crate) at: Timestamp,
    /// The tenant's name; empty: all of them.
    pub(crate) tenant: &'a str,
    pub(crate) action: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) detail: &'a str,
}

/// A row of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number, from 1.
    pub number: u64,
    /// When it was.
    pub at: Timestamp,
    /// The tenant's name; empty: all of them.
    pub tenant: String,
    /// What was done: `rules`, `edit`, `retry`, `prune` or `erase`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// How.
    pub detail: String,
    /// The hash of it and all before it.
    pub hash: [u8; 32],
}

/// A row that was noted elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// What verifying found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Rows that are right.
    pub rows: u64,
    /// The last of them: what to note elsewhere.
    pub head: Option<AuditHead>,
    /// The first row that is not right, and what is wrong with it.
    pub broken: Option<(u64, &'static str)>,
    /// Stored versions of rules that no row tells of: rows are missing, unless a build before the
    /// first audit log installed them. Counted where no row is wrong.
    pub rules_untold: u64,
}

/// Writes a row.
pub(crate) fn append(db: &Connection, change: &Change<'_>) -> Result<(), Fault> {
    let sql = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1";
    let last = rows::one(db, sql, [], |row| Ok((row.get::<_, u32>(0)?, row.get(1)?)))?;
    let (number, before) = last.map_or((1, NO_HASH), |(last, hash)| (u64::from(last) + 1, hash));
    let row = AuditRow {
        number,
        at: change.at,
        tenant: change.tenant.to_owned(),
        action: change.action.to_owned(),
        subject: change.subject.to_owned(),
        detail: change.detail.to_owned(),
        hash: NO_HASH,
    };
    let sql = format!("INSERT INTO audit ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    db.prepare_cached(&sql)?.execute(params![
        i64::try_from(number).unwrap_or(i64::MAX),
        row.at.as_ms(),
        row.tenant,
        row.action,
        row.subject,
        row.detail,
        hash(&before, &row),
    ])?;
    Ok(())
}

/// Every field with its length before it, so that no two rows have one text.
fn hash(before: &[u8; 32], row: &AuditRow) -> [u8; 32] {
    let mut hash = Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(before)
        .chain_update(row.number.to_be_bytes())
        .chain_update(row.at.as_ms().to_be_bytes());
    for text in [&row.tenant, &row.action, &row.subject, &row.detail] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

fn read(row: &Row<'_>) -> Result<AuditRow, Fault> {
    let number: i64 = row.get(0)?;
    Ok(AuditRow {
        number: u64::try_from(number).unwrap_or_default(),
        at: rows::time(row, 1)?,
        tenant: row.get(2)?,
        action: row.get(3)?,
        subject: row.get(4)?,
        detail: row.get(5)?,
        hash: row.get(6)?,
    })
}

impl Reader {
    /// The newest rows of the audit log, the newest first, at most so many.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn audit(&self, most: u32) -> Result<Vec<AuditRow>, ReadError> {
        self.with(|db| {
            let sql = format!("SELECT {COLUMNS} FROM audit ORDER BY number DESC LIMIT ?1");
            let mut statement = db.prepare_cached(&sql)?;
            let mut rows = statement.query([most])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                all.push(read(row)?);
            }
            Ok(all)
        })
    }

    /// Computes the chain anew, and compares the rules that it names with those that are stored.
    /// `noted` must be in it, where it is given: else its end was cut off, or it is another chain.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn verify_audit(&self, noted: Option<AuditHead>) -> Result<AuditReport, ReadError> {
        self.with(|db| {
            let sql = format!("SELECT {COLUMNS} FROM audit ORDER BY number");
            let mut statement = db.prepare(&sql)?;
            let mut rows = statement.query([])?;
            let mut report = AuditReport::default();
            while let Some(row) = rows.next()? {
                let number: i64 = row.get(0)?;
                let number = u64::try_from(number).unwrap_or_default();
                let before = report.head.map_or(NO_HASH, |head| head.hash);
                let found = match checked(&before, report.rows + 1, read(row).ok(), noted) {
                    Ok(found) => found,
                    Err(wrong) => {
                        report.broken = Some((number, wrong));
                        return Ok(report);
                    }
                };
                if !has_its_rules(db, &found)? {
                    report.broken = Some((number, "the rules that it installed were changed"));
                    return Ok(report);
                }
                report.rows += 1;
                report.head = Some(AuditHead { number, hash: found.hash });
            }
            if let Some(noted) = noted.filter(|noted| noted.number > report.rows) {
                report.broken = Some((noted.number, "it was noted, and is gone"));
            }
            if report.broken.is_none() {
                report.rules_untold = rules_untold(db)?;
            }
            Ok(report)
        })
    }
}

/// Every version of rules has a row from when it was first installed. The rows are read once,
/// however many versions there are.
fn rules_untold(db: &Connection) -> Result<u64, Fault> {
    let sql = "SELECT count(*) FROM (\
                 SELECT t.name, 'version ' || r.version \
                 FROM rulesets r JOIN tenants t ON t.id = r.tenant \
                 EXCEPT SELECT tenant, subject FROM audit WHERE action = 'rules')";
    Ok(u64::from(rows::value::<u32>(db, sql, [])?.unwrap_or_default()))
}

/// The row, where it is the one that should have this number; else what is wrong with it.
fn checked(
    before: &[u8; 32],
    number: u64,
    row: Option<AuditRow>,
    noted: Option<AuditHead>,
) -> Result<AuditRow, &'static str> {
    let row = row.ok_or("it cannot be read")?;
    if row.number != number {
        return Err("a row before it is missing");
    }
    if row.hash != hash(before, &row) {
        return Err("it does not follow from the row before it");
    }
    match noted.filter(|noted| noted.number == number && noted.hash != row.hash) {
        Some(_) => Err("another hash was noted"),
        None => Ok(row),
    }
}

/// Whether the text that a row made decide is stored as it was then; so for all other rows.
fn has_its_rules(db: &Connection, row: &AuditRow) -> Result<bool, Fault> {
    if row.action != "rules" {
        return Ok(true);
    }
    let version = row.subject.strip_prefix("version ").and_then(|version| version.parse().ok());
    let tenant = TenantName::new(&row.tenant).ok();
    let (Some(version), Some(tenant)) = (version, tenant) else {
        return Ok(false);
    };
    let stored = match rules::tenant_of(db, &tenant)? {
        Some((tenant, _)) => rules::text_of(db, tenant, Some(version)),
        None => Ok(None),
    };
    match stored {
        Ok(Some(stored)) => {
            let fingerprint = rules::fingerprint(stored.format, &stored.text);
            // Rows of the first builds have no hash of the rules.
            Ok(row.detail.rsplit_once("; ").is_none_or(|(_, noted)| noted == fingerprint))
        }
        Err(fault) if fault.is_of_the_machine() => Err(fault),
        // They are gone, or cannot be read.
        Ok(None) | Err(_) => Ok(false),
    }
}
