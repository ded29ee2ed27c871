//! Reading beside the writer: a few connections that cannot write. Lists are in lists.rs.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use counterfoil_core::{
    Decision, Receipt, Request, RequestId, Ruleset, TenantName, Timestamp, TransactionId,
};
use rusqlite::{Connection, params};

use crate::{
    decide, effects,
    fault::{Fault, bad},
    ids::Ids,
    open::{self, OpenError, is_held},
    rows::{self, value},
    rules::{self, InstallError, Rules, RulesVersion, Versions},
    store::SubmitError,
};

/// Connections that are kept open for the next read.
const CONNECTIONS_KEPT: usize = 4;

/// Reads a database, beside whoever owns it. Every read is short and sees one committed state.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    rules: Versions,
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Another process holds it in SQLite, and went on doing so for as long as is waited.
    #[error("the database is held by another process")]
    Held(#[source] rusqlite::Error),
    /// SQLite failed.
    #[error("the database cannot be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A row does not hold what this version writes.
    #[error("the database holds what this version cannot read: {0}")]
    Row(String),
    /// The cursor is none that a page has named.
    #[error("`{0}` is no cursor: pass `next_cursor` of the page before")]
    Cursor(String),
    /// An external id means one visitor only together with an advertiser (R14).
    #[error(
        "the external id `{external_id}` is known of several advertisers: `{}`; name one of them",
        advertisers.join("`, `")
    )]
    SeveralAdvertisers {
        /// The id.
        external_id: String,
        /// The advertisers, in order.
        advertisers: Vec<Box<str>>,
    },
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Sqlite(error) if is_held(&error) => Self::Held(error),
            Fault::Sqlite(error) => Self::Sqlite(error),
            Fault::Open(error) => Self::Open(error),
            Fault::SeveralAdvertisers { external_id, advertisers } => {
                Self::SeveralAdvertisers { external_id, advertisers }
            }
            other => Self::Row(other.to_string()),
        }
    }
}

/// An auto-set that waits for its time (R35).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The transaction; submit [`Request::AutoSet`] with it.
    pub transaction_id: TransactionId,
    /// When it is due.
    pub at: Timestamp,
}

impl Reader {
    /// Opens a database for reading, beside a running server or alone.
    ///
    /// # Errors
    /// Where there is none, or it is of another version or something else.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        open::check_library()?;
        let first = open::for_reading(path)?;
        Ok(Self {
            path: path.to_owned(),
            idle: Mutex::new(vec![first]),
            rules: Versions::default(),
        })
    }

    /// Decides without writing: what would become of the request now, under `ruleset`, which need
    /// not be installed.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn explain(
        &self,
        ruleset: &Arc<Ruleset>,
        request: &Request,
        at: Timestamp,
    ) -> Result<Decision, ReadError> {
        self.with(|db| {
            let snapshot = db.unchecked_transaction()?;
            let tenant = rules::tenant_of(&snapshot, ruleset.tenant())?;
            // No tenant has the id 0: nothing is found then.
            let (tenant, version) = tenant.unwrap_or_default();
            let rules = Rules { tenant, version, ruleset: Arc::clone(ruleset) };
            let newest = effects::newest_id(&snapshot)?.map(RequestId::from_bytes);
            let id = Ids::above(newest).next(at.as_ms()).map_err(Fault::Random)?;
            let receipt = Receipt { id, at };
            decide::consider(&snapshot, &rules, request, receipt)
        })
    }

    /// The tenants of the database, by name.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn tenants(&self) -> Result<Vec<TenantName>, ReadError> {
        self.with(|db| {
            let mut statement = db.prepare_cached("SELECT name FROM tenants ORDER BY name")?;
            let names = statement.query_map([], |row| row.get::<_, String>(0))?;
            names.map(|name| tenant_name(&name?)).collect()
        })
    }

    /// The rules of a tenant that decided last, or those of a version, as text.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn rules_text(
        &self,
        tenant: &TenantName,
        version: Option<u32>,
    ) -> Result<Option<RulesVersion>, ReadError> {
        self.with(|db| match rules::tenant_of(db, tenant)? {
            Some((tenant, _)) => rules::text_of(db, tenant, version),
            None => Ok(None),
        })
    }

    /// The rules of a tenant that decided last, or those of a version, checked. Absent where there
    /// are none, and where this build finds mistakes in them.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn rules(
        &self,
        tenant: &TenantName,
        version: Option<u32>,
    ) -> Result<Option<Rules>, ReadError> {
        self.with(|db| match rules::tenant_of(db, tenant)? {
            Some((tenant, last)) => self.rules_of(db, tenant, version.unwrap_or(last)),
            None => Ok(None),
        })
    }

    /// Whether rules may become the ones that decide: they must keep the currency of what is
    /// stored (R34). Installing them checks it again; this is for whoever installs several.
    ///
    /// # Errors
    /// [`InstallError::CurrencyChange`], and where the database cannot be read.
    pub fn check_rules(&self, ruleset: &Ruleset) -> Result<(), InstallError> {
        let (tenant, to) = (ruleset.tenant(), ruleset.currency());
        let fixed = self.with(|db| match rules::tenant_of(db, tenant)? {
            Some((id, _)) => rules::fixed_currency(db, id),
            None => Ok(None),
        });
        let fixed = fixed.map_err(|error| {
            tracing::error!(%error, "the currency of a tenant cannot be read");
            InstallError::Store(SubmitError::Unavailable)
        })?;
        match fixed.filter(|from| *from != to) {
            Some(from) => Err(InstallError::CurrencyChange { tenant: tenant.clone(), from, to }),
            None => Ok(()),
        }
    }

    pub(crate) fn rules_of(
        &self,
        db: &Connection,
        tenant: i64,
        version: u32,
    ) -> Result<Option<Rules>, Fault> {
        self.rules.get(db, tenant, version)
    }

    /// Auto-sets of a tenant that are due by `now`, the earliest first (R35); also of transactions
    /// that are not pending any more, where the decision will be that nothing happens. A decision
    /// about one takes it off this list. `after` is where the page before has ended.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn due_auto_sets(
        &self,
        tenant: &TenantName,
        now: Timestamp,
        after: Option<&Due>,
        limit: u32,
    ) -> Result<Vec<Due>, ReadError> {
        let (after_at, after_id) = after
            .map_or((i64::MIN, [0; 16]), |due| (due.at.as_ms(), *due.transaction_id.as_bytes()));
        self.with(|db| {
            let Some((tenant, _)) = rules::tenant_of(db, tenant)? else {
                return Ok(Vec::new());
            };
            let mut statement = db.prepare_cached(
                "SELECT id, auto_set_at FROM transactions \
                 WHERE tenant = ?1 AND auto_set_at <= ?2 AND (auto_set_at, id) > (?3, ?4) \
                 ORDER BY auto_set_at, id LIMIT ?5",
            )?;
            let mut rows =
                statement.query(params![tenant, now.as_ms(), after_at, after_id, limit])?;
            let mut due = Vec::new();
            while let Some(row) = rows.next()? {
                let transaction_id = TransactionId::from_bytes(row.get(0)?);
                due.push(Due { transaction_id, at: rows::time(row, 1)? });
            }
            Ok(due)
        })
    }

    /// When the next auto-set of a tenant is due.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn next_auto_set(&self, tenant: &TenantName) -> Result<Option<Timestamp>, ReadError> {
        let sql = "SELECT auto_set_at FROM transactions WHERE tenant = ?1 \
                   AND auto_set_at IS NOT NULL ORDER BY auto_set_at LIMIT 1";
        let next = self.with(|db| match rules::tenant_of(db, tenant)? {
            Some((tenant, _)) => value(db, sql, params![tenant]),
            None => Ok(None),
        })?;
        Ok(next.map(Timestamp::from_ms))
    }

    /// What is wrong with the file, in words: nothing, where it is whole. Reads all of it.
    ///
    /// # Errors
    /// Where the database cannot be read at all.
    pub fn problems(&self) -> Result<Vec<String>, ReadError> {
        self.with(|db| {
            let mut statement = db.prepare("PRAGMA quick_check")?;
            let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
            let lines = lines.collect::<Result<Vec<_>, _>>()?;
            Ok(lines.into_iter().filter(|line| line != "ok").collect())
        })
    }

    /// Where the database is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads with a connection of its own.
    pub(crate) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, ReadError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let db = match kept {
            Some(db) => db,
            None => open::for_reading(&self.path)?,
        };
        let result = read(&db);
        let mut idle = idle();
        if idle.len() < CONNECTIONS_KEPT {
            idle.push(db);
        }
        Ok(result?)
    }
}

fn tenant_name(name: &str) -> Result<TenantName, Fault> {
    TenantName::new(name).map_err(|_| bad("tenants", name))
}
