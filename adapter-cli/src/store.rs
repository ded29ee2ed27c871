//! The store behind the server: [`counterfoil_http::Store`] over [`counterfoil_sqlite::Store`].
//!
//! Everything is handed through, but for the rules: the server reads requests with a [`Ruleset`],
//! the store decides with the installed version that it came from. [`EmbeddedStore`] keeps both
//! side by side, for the version that runs and the one before: a request that was read just
//! before a change is still decided with the rules that read it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use counterfoil_core::{
    Arrival, ConversionId, Issue, RequestId, Ruleset, Severity, TenantName, Timestamp,
    TransactionId,
    view::{ConversionView, Explanation, Filter, Page, RequestView, TransactionView},
};
use counterfoil_http as http;
use counterfoil_sqlite as sqlite;

use crate::clock;

/// An embedded store that a server can use. Rules must be announced with
/// [`EmbeddedStore::run_rules`] before their tenant is served.
#[derive(Debug)]
pub struct EmbeddedStore {
    store: sqlite::Store,
    running: RwLock<BTreeMap<TenantName, Running>>,
    waiting: Arc<AtomicU64>,
}

/// The rules of a tenant that run now, and those before them.
#[derive(Clone, Debug)]
struct Running {
    current: Version,
    previous: Option<Version>,
}

/// One version of rules, as the server and as the store knows it.
#[derive(Clone, Debug)]
struct Version {
    ruleset: Arc<Ruleset>,
    installed: Arc<sqlite::Rules>,
}

impl Version {
    fn number(&self) -> i64 {
        i64::from(self.installed.version())
    }
}

impl EmbeddedStore {
    /// Takes a store that this process owns; no tenant is served yet.
    pub fn new(store: sqlite::Store) -> Self {
        Self {
            store,
            running: RwLock::default(),
            waiting: Arc::default(),
        }
    }

    /// The store itself.
    pub fn store(&self) -> &sqlite::Store {
        &self.store
    }

    /// Serves a tenant with these rules from now on.
    pub fn run_rules(&self, installed: Arc<sqlite::Rules>) {
        let tenant = installed.ruleset().tenant().clone();
        let ruleset = Arc::new(installed.ruleset().clone());
        let current = Version { ruleset, installed };
        let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
        let previous = running.remove(&tenant).map(|before| before.current);
        running.insert(tenant, Running { current, previous });
    }

    fn running(&self, tenant: &str) -> Option<Running> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running.get(tenant).cloned()
    }

    /// The installed rules that the server's copy was made from, unless they are long gone.
    fn installed(&self, rules: &http::RunningRules) -> Option<Arc<sqlite::Rules>> {
        let running = self.running(rules.ruleset.tenant().as_str())?;
        [Some(running.current), running.previous]
            .into_iter()
            .flatten()
            .find(|version| version.number() == rules.version)
            .map(|version| version.installed)
    }

    fn reader(&self) -> &sqlite::Reader {
        self.store.reader()
    }

    /// The tenant by its name, where it is served.
    fn tenant(&self, name: &str) -> Option<TenantName> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running
            .get_key_value(name)
            .map(|(tenant, _)| tenant.clone())
    }
}

impl http::Store for EmbeddedStore {
    fn rules(&self, tenant: &str) -> Option<http::RunningRules> {
        let current = self.running(tenant)?.current;
        Some(http::RunningRules {
            version: current.number(),
            ruleset: current.ruleset,
        })
    }

    fn submit(&self, submission: http::Submission, reply: http::Reply) {
        let Some(rules) = self.installed(&submission.rules) else {
            return reply(Err(http::SubmitError::Unavailable));
        };
        let known = self.reader().known(&rules, &submission.arrival.request);
        let submission = sqlite::Submission {
            rules,
            arrival: submission.arrival,
            received_at: submission.received_at,
            known,
        };
        let waiting = Arc::clone(&self.waiting);
        waiting.fetch_add(1, Ordering::Relaxed);
        let answered = move |result: Result<sqlite::Decided, sqlite::SubmitError>| {
            waiting.fetch_sub(1, Ordering::Relaxed);
            reply(result.map(decided).map_err(submit_error));
        };
        self.store.submit(submission, Box::new(answered));
    }

    fn explain(
        &self,
        rules: &http::RunningRules,
        arrival: Arrival,
        at: Timestamp,
    ) -> Result<Explanation, http::ReadError> {
        let ruleset = &rules.ruleset;
        let explained = self
            .reader()
            .explain(ruleset.tenant(), ruleset, &arrival.request, at)
            .map_err(read_error)?;
        Ok(Explanation::of(&explained.decision, ruleset))
    }

    fn conversions(
        &self,
        tenant: &str,
        filter: &Filter,
    ) -> Result<Page<ConversionView>, http::ReadError> {
        let list = |tenant| self.reader().conversions(&tenant, filter);
        self.tenant(tenant)
            .map_or_else(empty, list)
            .map_err(read_error)
    }

    fn conversion(
        &self,
        tenant: &str,
        id: ConversionId,
    ) -> Result<Option<ConversionView>, http::ReadError> {
        let find = |tenant| self.reader().conversion(&tenant, id);
        self.tenant(tenant)
            .map_or(Ok(None), find)
            .map_err(read_error)
    }

    fn transactions(
        &self,
        tenant: &str,
        filter: &Filter,
    ) -> Result<Page<TransactionView>, http::ReadError> {
        let list = |tenant| self.reader().transactions(&tenant, filter);
        self.tenant(tenant)
            .map_or_else(empty, list)
            .map_err(read_error)
    }

    fn transaction(
        &self,
        tenant: &str,
        id: TransactionId,
    ) -> Result<Option<TransactionView>, http::ReadError> {
        let find = |tenant| self.reader().transaction(&tenant, id);
        self.tenant(tenant)
            .map_or(Ok(None), find)
            .map_err(read_error)
    }

    fn requests(
        &self,
        tenant: &str,
        filter: &Filter,
    ) -> Result<Page<RequestView>, http::ReadError> {
        let list = |tenant| self.reader().requests(&tenant, filter);
        self.tenant(tenant)
            .map_or_else(empty, list)
            .map_err(read_error)
    }

    fn request(&self, tenant: &str, id: RequestId) -> Result<Option<RequestView>, http::ReadError> {
        let find = |tenant| self.reader().request(&tenant, id);
        self.tenant(tenant)
            .map_or(Ok(None), find)
            .map_err(read_error)
    }

    fn rules_text(&self, tenant: &str) -> Result<Option<http::RulesText>, http::ReadError> {
        let (Some(running), Some(tenant)) = (self.running(tenant), self.tenant(tenant)) else {
            return Ok(None);
        };
        let version = running.current.installed.version();
        let stored = self
            .reader()
            .rules_text(&tenant, Some(version))
            .map_err(read_error)?;
        Ok(stored.map(|stored| http::RulesText {
            version: i64::from(stored.version),
            text: stored.text,
            format: match stored.format {
                sqlite::RulesFormat::Toml => http::RulesFormat::Toml,
                sqlite::RulesFormat::Json => http::RulesFormat::Json,
            },
        }))
    }

    fn put_rules(
        &self,
        tenant: &str,
        text: &str,
        format: http::RulesFormat,
    ) -> Result<http::RulesAccepted, http::PutRulesError> {
        let tenant = self.tenant(tenant);
        let format = match format {
            http::RulesFormat::Toml => sqlite::RulesFormat::Toml,
            http::RulesFormat::Json => sqlite::RulesFormat::Json,
        };
        let installed = self
            .store
            .install_rules(tenant.as_ref(), text, format, clock::now())
            .map_err(put_rules_error)?;
        self.run_rules(Arc::clone(&installed.rules));
        Ok(http::RulesAccepted {
            version: i64::from(installed.rules.version()),
            warnings: installed.warnings,
        })
    }

    fn health(&self) -> http::Health {
        let not_ready = match self.store.health() {
            sqlite::Health::Ready => None,
            sqlite::Health::NotReady(reason) => Some(reason),
        };
        http::Health {
            not_ready,
            queue_depth: self.waiting.load(Ordering::Relaxed),
            ..http::Health::default()
        }
    }
}

/// The page of a tenant that is not served.
fn empty<T>() -> Result<Page<T>, sqlite::ReadError> {
    Ok(Page {
        items: Vec::new(),
        next_cursor: None,
    })
}

fn decided(decided: sqlite::Decided) -> http::Decided {
    http::Decided {
        request_id: decided.receipt.id,
        decision: decided.decision,
    }
}

fn submit_error(error: sqlite::SubmitError) -> http::SubmitError {
    match error {
        sqlite::SubmitError::Busy => http::SubmitError::Busy,
        sqlite::SubmitError::Unavailable | sqlite::SubmitError::Internal => {
            http::SubmitError::Unavailable
        }
    }
}

fn read_error(error: sqlite::ReadError) -> http::ReadError {
    match error {
        sqlite::ReadError::Cursor(cursor) => http::ReadError::Cursor(cursor),
        other => http::ReadError::Unavailable(other.to_string()),
    }
}

fn put_rules_error(error: sqlite::InstallError) -> http::PutRulesError {
    let path = match &error {
        sqlite::InstallError::OtherTenant { .. } => "tenant",
        sqlite::InstallError::CurrencyChange { .. } => "currency",
        _ => "",
    };
    let message = error.to_string();
    match error {
        sqlite::InstallError::Invalid(issues) => http::PutRulesError::Invalid(issues),
        _ if path.is_empty() => http::PutRulesError::Unavailable(message),
        _ => http::PutRulesError::Invalid(vec![Issue {
            severity: Severity::Error,
            position: None,
            path: path.to_owned(),
            message,
            hint: None,
        }]),
    }
}
