//! Versions of rules: every text that was ever installed is kept, and each stored decision names
//! the version that made it.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use counterfoil_core::{
    CommissionId, Currency, Issue, Ruleset, RulesetSpec, TenantName, Timestamp,
};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use crate::{
    audit,
    codes::Coded,
    fault::{Fault, bad},
    numbers,
    rows::{self, value},
};

/// The language of a rules text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RulesFormat {
    /// TOML
    Toml,
    /// JSON
    Json,
}

/// An installed version of a tenant's rules: what requests are read and decided with. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(crate) tenant: i64,
    pub(crate) version: u32,
    pub(crate) ruleset: Arc<Ruleset>,
}

impl Rules {
    /// The version: 1 for the first text of the tenant, and so on.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The rules.
    pub fn ruleset(&self) -> &Arc<Ruleset> {
        &self.ruleset
    }
}

/// A stored version of a tenant's rules, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesVersion {
    /// The version.
    pub version: u32,
    /// The language of the text.
    pub format: RulesFormat,
    /// The text, as it was installed.
    pub text: String,
    /// When it was installed first.
    pub installed_at: Timestamp,
}

/// Why rules were not installed. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The rules have mistakes: these, and warnings.
    #[error("the rules have mistakes")]
    Invalid(Vec<Issue>),
    /// The rules are for another tenant than the one that was asked for.
    #[error("the rules are for the tenant `{found}`, not for `{expected}`")]
    OtherTenant {
        /// The tenant in the rules.
        found: TenantName,
        /// The tenant that was asked for.
        expected: TenantName,
    },
    /// The tenant has conversions in another currency (R34).
    #[error(
        "the tenant `{tenant}` has conversions in {from}, so its currency cannot become {to}; \
         start a new tenant for {to}"
    )]
    CurrencyChange {
        /// The tenant.
        tenant: TenantName,
        /// The currency of what is stored.
        from: Currency,
        /// The currency of the new rules.
        to: Currency,
    },
    /// The store could not write; see [`crate::SubmitError`].
    #[error(transparent)]
    Store(#[from] crate::SubmitError),
}

/// What an installation did.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The rules that decide from now on.
    pub rules: Rules,
    /// The version that decided before, where another did.
    pub replaced: Option<u32>,
    /// Whether the text is new to the database.
    pub is_new: bool,
    /// What is suspicious about the rules.
    pub warnings: Vec<Issue>,
}

/// The version that was there before, and what the new text became.
pub(crate) struct Stored {
    pub(crate) tenant: i64,
    pub(crate) version: u32,
    pub(crate) before: Option<u32>,
    pub(crate) is_new: bool,
}

/// Reads and checks a rules text.
///
/// # Errors
/// All mistakes and warnings.
pub(crate) fn parse(text: &str, format: RulesFormat) -> Result<(Ruleset, Vec<Issue>), Vec<Issue>> {
    let spec = match format {
        RulesFormat::Toml => RulesetSpec::from_toml(text),
        RulesFormat::Json => RulesetSpec::from_json(text),
    }?;
    Ruleset::check(spec)
}

/// A rules text that is to decide.
pub(crate) struct Text<'a> {
    pub(crate) ruleset: &'a Ruleset,
    pub(crate) text: &'a str,
    pub(crate) format: RulesFormat,
    pub(crate) at: Timestamp,
}

/// Keeps a text as a version, unless it is one already, and makes it the one that decides.
pub(crate) fn store(db: &Connection, new: &Text<'_>) -> Result<Result<Stored, Currency>, Fault> {
    let name = new.ruleset.tenant();
    let currency = new.ruleset.currency();
    let (tenant, before) = match tenant_of(db, name)? {
        Some(known) => known,
        None => {
            db.execute(
                "INSERT INTO tenants (name, currency, ruleset) VALUES (?1, ?2, 0)",
                params![name.as_str(), currency.code()],
            )?;
            (db.last_insert_rowid(), 0)
        }
    };
    if let Some(other) = fixed_currency(db, tenant)?.filter(|fixed| *fixed != currency) {
        return Ok(Err(other));
    }
    let (version, is_new) = version_of(db, tenant, new)?;
    let before = (before > 0).then_some(before);
    if before != Some(version) {
        activate(db, tenant, before, version, new.ruleset)?;
        let before = before.map_or_else(|| "none".to_owned(), |before| before.to_string());
        let change = audit::Change {
            at: new.at,
            tenant: name.as_str(),
            action: "rules",
            subject: &format!("version {version}"),
            detail: &format!("before: {before}; {}", fingerprint(new.format, new.text)),
        };
        audit::append(db, &change)?;
    }
    Ok(Ok(Stored { tenant, version, before, is_new }))
}

/// Makes a version the one that decides.
pub(crate) fn activate(
    db: &Connection,
    tenant: i64,
    before: Option<u32>,
    version: u32,
    ruleset: &Ruleset,
) -> Result<(), Fault> {
    let before = before.map(|before| load(db, tenant, before)).transpose()?;
    count_anew(db, tenant, before.and_then(Result::ok).as_deref(), ruleset)?;
    db.execute(
        "UPDATE tenants SET ruleset = ?2, currency = ?3 WHERE id = ?1",
        params![tenant, version, ruleset.currency().code()],
    )?;
    Ok(())
}

/// The id of a tenant and the version that decides about it.
pub(crate) fn tenant_of(db: &Connection, name: &TenantName) -> Result<Option<(i64, u32)>, Fault> {
    let sql = "SELECT id, ruleset FROM tenants WHERE name = ?1";
    rows::one(db, sql, params![name.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// A stored version as text; without a number, the one that decides.
pub(crate) fn text_of(
    db: &Connection,
    tenant: i64,
    version: Option<u32>,
) -> Result<Option<RulesVersion>, Fault> {
    let sql = "SELECT r.version, r.format, r.text, r.installed_at \
               FROM rulesets r JOIN tenants t ON t.id = r.tenant \
               WHERE t.id = ?1 AND r.version = ifnull(?2, t.ruleset)";
    rows::one(db, sql, params![tenant, version], |row| {
        Ok(RulesVersion {
            version: row.get(0)?,
            format: rows::coded(row, 1, "format")?,
            text: row.get(2)?,
            installed_at: rows::time(row, 3)?,
        })
    })
}

/// What the audit log says about a text: its language, and the hash of its bytes.
pub(crate) fn fingerprint(format: RulesFormat, text: &str) -> String {
    let language = match format {
        RulesFormat::Toml => "toml",
        RulesFormat::Json => "json",
    };
    let mut said = format!("{language} sha256:");
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a string does not fail.
        let _ = write!(said, "{byte:02x}");
    }
    said
}

/// A stored version, checked; the inner error is what this build finds wrong with it.
pub(crate) fn load(
    db: &Connection,
    tenant: i64,
    version: u32,
) -> Result<Result<Arc<Ruleset>, Vec<Issue>>, Fault> {
    let stored = text_of(db, tenant, Some(version))?;
    let stored = stored.ok_or_else(|| bad("ruleset", version))?;
    Ok(parse(&stored.text, stored.format).map(|(ruleset, _)| Arc::new(ruleset)))
}

/// The most versions of one tenant that are kept at hand: rules may be replaced for ever, and
/// messages of old versions go out in about the order of their versions.
const VERSIONS_MAX: usize = 8;

/// Versions of rules that were read before, by tenant and version; absent where this build cannot
/// read one.
#[derive(Debug, Default)]
pub(crate) struct Versions(Mutex<Read>);

#[derive(Debug, Default)]
struct Read {
    /// With when each was last asked for, counted in questions.
    known: BTreeMap<(i64, u32), (u64, Option<Rules>)>,
    questions: u64,
}

impl Read {
    fn get(&mut self, key: (i64, u32)) -> Option<Option<Rules>> {
        self.questions += 1;
        let (asked, rules) = self.known.get_mut(&key)?;
        *asked = self.questions;
        Some(rules.clone())
    }

    /// Keeps a version, and forgets the one of its tenant that was not asked for the longest.
    fn keep(&mut self, key: (i64, u32), rules: Option<Rules>) {
        self.questions += 1;
        self.known.insert(key, (self.questions, rules));
        let of_tenant = || self.known.range((key.0, 0)..=(key.0, u32::MAX));
        if of_tenant().count() > VERSIONS_MAX {
            let oldest = of_tenant().min_by_key(|(_, (asked, _))| *asked).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
    }
}

impl Versions {
    /// Keeps a version that was read already.
    pub(crate) fn keep(&self, rules: &Rules) {
        self.read().keep((rules.tenant, rules.version), Some(rules.clone()));
    }

    /// A stored version; none: there is none, or this build finds mistakes in it.
    pub(crate) fn get(
        &self,
        db: &Connection,
        tenant: i64,
        version: u32,
    ) -> Result<Option<Rules>, Fault> {
        if let Some(rules) = self.read().get((tenant, version)) {
            return Ok(rules);
        }
        if text_of(db, tenant, Some(version))?.is_none() {
            return Ok(None);
        }
        let loaded = load(db, tenant, version)?.ok();
        let loaded = loaded.map(|ruleset| Rules { tenant, version, ruleset });
        self.read().keep((tenant, version), loaded.clone());
        Ok(loaded)
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The currency that the tenant's rows have made final (R34).
pub(crate) fn fixed_currency(db: &Connection, tenant: i64) -> Result<Option<Currency>, Fault> {
    let sql = "SELECT currency FROM tenants WHERE id = ?1 \
               AND EXISTS (SELECT 1 FROM conversions WHERE tenant = ?1)";
    let code: Option<String> = value(db, sql, params![tenant])?;
    code.map(|code| code.parse().map_err(|_| bad("currency", code))).transpose()
}

fn version_of(db: &Connection, tenant: i64, new: &Text<'_>) -> Result<(u32, bool), Fault> {
    let hash = Sha256::digest(new.text.as_bytes());
    let sql = "SELECT version FROM rulesets WHERE tenant = ?1 AND hash = ?2 AND format = ?3";
    let known = value(db, sql, params![tenant, hash.as_slice(), new.format.stored()])?;
    if let Some(known) = known {
        return Ok((known, false));
    }
    let sql = "SELECT ifnull(max(version), 0) + 1 FROM rulesets WHERE tenant = ?1";
    let version = value(db, sql, params![tenant])?.unwrap_or(1);
    db.execute(
        "INSERT INTO rulesets (tenant, version, hash, format, text, installed_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![tenant, version, hash.as_slice(), new.format.stored(), new.text, new.at.as_ms()],
    )?;
    Ok((version, true))
}

/// Counts what each commission has made that has a recurrence limit now and had none before:
/// counters are kept only while there is one (R27).
fn count_anew(
    db: &Connection,
    tenant: i64,
    before: Option<&Ruleset>,
    ruleset: &Ruleset,
) -> Result<(), Fault> {
    let had_limit = |id: &CommissionId| {
        before.and_then(|b| b.commission(id)).is_some_and(|c| c.recurrence.is_some())
    };
    let limited = ruleset.commissions().iter().filter(|c| c.recurrence.is_some());
    for commission in limited.filter(|commission| !had_limit(&commission.id)) {
        let given = params![tenant, commission.id.as_str()];
        db.execute("DELETE FROM counters WHERE tenant = ?1 AND commission = ?2", given)?;
        let sql = format!(
            "INSERT INTO counters (root, tenant, commission, made) \
             SELECT ifnull(c.root, c.id), ?1, ?2, count(*) FROM transactions t {} \
             WHERE t.tenant = ?1 AND t.commission = ?2 GROUP BY ifnull(c.root, c.id)",
            numbers::join_conversion("t.conversion")
        );
        db.execute(&sql, given)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_versions_of_a_tenant_are_kept_at_hand() {
        let mut read = Read::default();
        for version in 1..=100 {
            read.keep((7, version), None);
            read.keep((version.into(), 1), None);
            // The first is asked for all the time.
            assert_eq!(read.get((7, 1)).map(|known| known.is_none()), Some(true));
        }
        let of = |tenant: i64| read.known.range((tenant, 0)..=(tenant, u32::MAX)).count();
        assert_eq!((of(7), of(8)), (VERSIONS_MAX, 1));
        assert!(read.known.contains_key(&(7, 100)) && !read.known.contains_key(&(7, 50)));
    }
}
