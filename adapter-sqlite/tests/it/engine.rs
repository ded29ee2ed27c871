//! The store as an engine that scenarios are played on, closed and opened again before each step.

use std::{collections::BTreeMap, sync::mpsc};

use counterfoil_core::{
    Arrival, Claim, Edit, Method, Pairs, Report, Request, TenantName, Timestamp, Wanted,
    view::{Filter, Page, RequestView},
};
use counterfoil_fixtures::{
    Answer, Counts, Engine, EngineError, Need, Sent, Surroundings, authenticated,
};
use counterfoil_sqlite::{Decided, Options, Retried, RulesFormat, Store, Synchronous};
use serde_json::Value;

use crate::common::{auto_set, click, root};

pub(crate) struct SqliteEngine {
    folder: Option<tempfile::TempDir>,
    store: Option<Store>,
    reopens: bool,
    secrets: BTreeMap<String, String>,
}

impl SqliteEngine {
    /// An engine that has not begun; `reopens`: closed and opened before each step.
    pub(crate) fn new(reopens: bool) -> Self {
        Self { folder: None, store: None, reopens, secrets: BTreeMap::new() }
    }

    pub(crate) fn store(&mut self) -> Result<&Store, EngineError> {
        let folder = self.folder.as_ref().ok_or_else(|| EngineError::new("not begun"))?;
        if self.reopens {
            self.store = None;
        }
        if self.store.is_none() {
            let path = folder.path().join("test.db");
            // Few stay in memory: every way to find what stands under a root is taken. Power cuts
            // are not played here: nobody need wait for the disk.
            let options =
                Options { unmoved_max: 3, synchronous: Synchronous::Normal, ..Options::default() };
            let store = Store::open(&path, options).map_err(EngineError::new)?;
            store.use_stored_rules().map_err(EngineError::new)?;
            self.store = Some(store);
        }
        self.store.as_ref().ok_or_else(|| EngineError::new("closed"))
    }

    fn install(&mut self, rules: &str, at: Timestamp) -> Result<(), EngineError> {
        let store = self.store()?;
        store.install_rules(None, rules, RulesFormat::Toml, at).map_err(EngineError::new)?;
        Ok(())
    }

    fn take(&mut self, arrival: Arrival, at: Timestamp) -> Result<Answer, EngineError> {
        let store = self.store()?;
        let rules = store.all_rules().into_iter().next();
        let rules = rules.ok_or_else(|| EngineError::new("no rules"))?;
        let submission = counterfoil_sqlite::Submission {
            ruleset: rules.ruleset().clone(),
            arrival,
            received_at: at,
        };
        let decided = store.submit_wait(submission).map_err(EngineError::new)?;
        log_tells(store, rules.ruleset().tenant(), &decided)?;
        Ok(Answer::of(&decided.decision, rules.ruleset()))
    }

    fn ruleset(&mut self) -> Result<std::sync::Arc<counterfoil_core::Ruleset>, EngineError> {
        let rules = self.store()?.all_rules();
        let rules = rules.first().ok_or_else(|| EngineError::new("no rules"))?;
        Ok(rules.ruleset().clone())
    }

    fn tenant(&mut self) -> Result<TenantName, EngineError> {
        Ok(self.ruleset()?.tenant().clone())
    }

    /// A page of the log, newest first.
    fn logged(&mut self, limit: u32) -> Result<Page<RequestView>, EngineError> {
        let tenant = self.tenant()?;
        let filter = Filter { limit: Some(limit), ..Filter::default() };
        self.store()?.reader().requests(&tenant, &filter).map_err(EngineError::new)
    }

    fn claim_now(&mut self, wanted: &Wanted) -> Result<Vec<Claim>, EngineError> {
        let (reply, claims) = mpsc::channel();
        // Nobody waits any more where sending fails.
        let reply = Box::new(move |claimed| {
            let _ = reply.send(claimed);
        });
        self.store()?.claim(wanted.clone(), reply);
        claims.recv().map_err(EngineError::new)?.map_err(EngineError::new)
    }
}

/// The log tells of a refusal what the answer told, kept in words or not.
fn log_tells(store: &Store, tenant: &TenantName, decided: &Decided) -> Result<(), EngineError> {
    let row = store.reader().request(tenant, decided.receipt.id).map_err(EngineError::new)?;
    let row = row.ok_or_else(|| EngineError::new("no log row"))?;
    let logged = (row.reason, row.parameter, row.message, row.hint);
    let told = match decided.decision.refusal.clone() {
        Some(told) => (Some(told.reason), told.parameter, Some(told.message), told.hint),
        None => (None, None, None, None),
    };
    if logged == told {
        return Ok(());
    }
    Err(EngineError::new(format!("the log tells {logged:?}, the answer {told:?}")))
}

impl Engine for SqliteEngine {
    /// A proxy is a matter of connections, and here are none.
    fn lacks(&self) -> &[Need] {
        &[Need::Proxies]
    }

    fn surround(&mut self, surroundings: &Surroundings) -> Result<(), EngineError> {
        self.secrets.clone_from(&surroundings.secrets);
        Ok(())
    }

    fn begin(&mut self, rules: &str, at: Timestamp) -> Result<(), EngineError> {
        self.store = None;
        self.folder = Some(tempfile::tempdir().map_err(EngineError::new)?);
        self.install(rules, at)
    }

    fn replace_rules(&mut self, rules: &str, at: Timestamp) -> Result<(), EngineError> {
        self.install(rules, at)
    }

    fn click(&mut self, link: &str, at: Timestamp) -> Result<Answer, EngineError> {
        let (path, query) = link.split_once('?').unwrap_or((link, ""));
        let (offer, affiliate) = path.split_once('/').unwrap_or((path, ""));
        let arrival = click(&*self.ruleset()?, offer, affiliate, query);
        self.take(arrival, at)
    }

    fn root(&mut self, json: &str, at: Timestamp) -> Result<Answer, EngineError> {
        let arrival = root(&*self.ruleset()?, json);
        self.take(arrival, at)
    }

    fn send(&mut self, sent: Sent<'_>, at: Timestamp) -> Result<Answer, EngineError> {
        let (request, query) = authenticated(&*self.ruleset()?, &sent, &self.secrets, at);
        let (method, dialect) = (sent.method, sent.dialect.map(Box::from));
        self.take(Arrival { request, method, dialect, query, remote_addr: None }, at)
    }

    fn edit(&mut self, id: &str, json: &str, at: Timestamp) -> Result<Answer, EngineError> {
        let fields: Value = serde_json::from_str(json).map_err(EngineError::new)?;
        let mut pairs: Pairs<'_> = vec![("transaction_id".into(), id.into())];
        for (name, value) in fields.as_object().into_iter().flatten() {
            let text = value.as_str().ok_or_else(|| EngineError::new("no text"))?;
            pairs.push((name.as_str().into(), text.into()));
        }
        let request = match Edit::read(&pairs) {
            Ok(edit) => Request::Edit(Box::new(edit)),
            Err(refusal) => Request::Unreadable(Box::new(refusal)),
        };
        let query = counterfoil_core::masked_text(&pairs);
        let method = Method::Admin;
        self.take(Arrival { request, method, dialect: None, query, remote_addr: None }, at)
    }

    fn advance(&mut self, to: Timestamp) -> Result<Vec<Answer>, EngineError> {
        let tenant = self.ruleset()?.tenant().clone();
        let due = self.store()?.reader().due_auto_sets(&tenant, to, None, 1000);
        let due = due.map_err(EngineError::new)?;
        due.into_iter().map(|due| self.take(auto_set(due.transaction_id), to)).collect()
    }

    fn conversion(&mut self, id: &str) -> Result<Option<Value>, EngineError> {
        let id = id.parse().map_err(EngineError::new)?;
        let tenant = self.ruleset()?.tenant().clone();
        let row = self.store()?.reader().conversion(&tenant, id).map_err(EngineError::new)?;
        row.map(|row| serde_json::to_value(row).map_err(EngineError::new)).transpose()
    }

    fn counts(&mut self) -> Result<Counts, EngineError> {
        let folder = self.folder.as_ref().ok_or_else(|| EngineError::new("not begun"))?;
        let db = rusqlite::Connection::open(folder.path().join("test.db"));
        let count = |table: &str| {
            let sql = format!("SELECT count(*) FROM {table}");
            let count = db.as_ref().map(|db| db.query_row(&sql, [], |row| row.get::<_, i64>(0)));
            count.ok().and_then(Result::ok).and_then(|count| usize::try_from(count).ok())
        };
        match (count("conversions"), count("transactions")) {
            (Some(conversions), Some(transactions)) => Ok(Counts { conversions, transactions }),
            _ => Err(EngineError::new("cannot count")),
        }
    }

    fn deliveries(&mut self) -> Result<Option<Vec<Value>>, EngineError> {
        let tenant = self.tenant()?;
        let reader = self.store()?.reader();
        let mut filter = Filter { limit: Some(Filter::LIMIT_MAX), ..Filter::default() };
        let mut rows = Vec::new();
        loop {
            let page = reader.deliveries(&tenant, &filter).map_err(EngineError::new)?;
            rows.extend(page.items.iter().map(serde_json::to_value));
            filter.cursor = match page.next_cursor {
                Some(cursor) => Some(cursor),
                None => break,
            };
        }
        let oldest_first = rows.into_iter().rev();
        oldest_first.map(|row| row.map_err(EngineError::new)).collect::<Result<_, _>>().map(Some)
    }

    /// Claimed, and where the store is opened again claimed once more: leases are void then.
    fn claim(&mut self, wanted: &Wanted) -> Result<Vec<Claim>, EngineError> {
        let claims = self.claim_now(wanted)?;
        if self.reopens { self.claim_now(wanted) } else { Ok(claims) }
    }

    /// Leases end with the process, so the store stays open between a claim and its report.
    fn report(&mut self, reports: Vec<Report>) -> Result<Vec<Answer>, EngineError> {
        let reopens = std::mem::replace(&mut self.reopens, false);
        let last = self.logged(1)?.items.into_iter().next();
        let (reply, reported) = mpsc::channel();
        let reply = Box::new(move |outcome| {
            let _ = reply.send(outcome);
        });
        self.store()?.report(reports, reply);
        let reported = reported.recv().map_err(EngineError::new)?.map_err(EngineError::new)?;
        self.reopens = reopens;
        if reported.stale > 0 {
            return Err(EngineError(format!("{} reports were stale", reported.stale)));
        }
        let last = last.map(|row| row.id);
        let rows = self.logged(Filter::LIMIT_MAX)?.items;
        let new = rows.into_iter().take_while(|row| Some(row.id) != last);
        let answers = new.map(|row| {
            let row = serde_json::to_value(row).map_err(EngineError::new)?;
            Answer::of_json(&row)
        });
        let mut answers: Vec<Answer> = answers.collect::<Result<_, _>>()?;
        answers.reverse();
        Ok(answers)
    }

    fn retry(&mut self, message: &str, at: Timestamp) -> Result<(), EngineError> {
        let id = message.parse().map_err(EngineError::new)?;
        let tenant = self.tenant()?;
        match self.store()?.retry(&tenant, id, at).map_err(EngineError::new)? {
            Retried::NotFound => Err(EngineError(format!("there is no message {id}"))),
            Retried::Forgotten => Err(EngineError(format!("`{id}` is forgotten"))),
            Retried::Due | Retried::InHand => Ok(()),
        }
    }
}
