//! What the tests share: rules, a database in a folder of its own, and short ways to say requests.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
};

use counterfoil_core::{
    Arrival, ConversionId, Incoming, Method, Request, Ruleset, TenantName, Timestamp, TransactionId,
};
use counterfoil_sqlite::{
    Decided, Options, Reader, RulesFormat, Store, Submission, SubmitError, Waiting,
};
use tempfile::TempDir;

/// Rules with a bit of everything that the store treats in a way of its own.
pub(crate) const RULES: &str = r#"
tenant   = "acme"
currency = "EUR"

[[conversion_type]]
name = "deposit"

[[advertiser]]
id   = "shoply"
name = "Shoply"

[[advertiser]]
id   = "other"
name = "Other"

[[affiliate]]
id   = "bo"
name = "Blogger Bo"

[[offer]]
id         = "shoply-cz"
name       = "Shoply Czechia"
advertiser = "shoply"
url        = "https://shoply.example/?pcid={pcid}"

[[offer]]
id         = "other-de"
name       = "Other Germany"
advertiser = "other"
url        = "https://other.example/"

[[commission]]
id      = "sale-10"
type    = "sale"
revenue = { percent = "10" }
payout  = { percent_of_revenue = "50" }

[[commission]]
id      = "lead-once"
type    = "lead"
revenue = { fixed = "20" }
payout  = { fixed = "12" }
recurrence = 1
auto_set = { result = "approved", after = "30d" }

[[commission]]
id      = "deposit-2"
type    = "deposit"
revenue = { percent = "2" }
recurrence = 2

[[postback]]
id = "per-click"
dedup = { key = "click", on_repeat = "update" }

[[postback]]
id = "per-order"
dedup = { key = "click+external", on_repeat = "add" }

[[postback]]
id = "unkeyed"
dedup = { key = "none" }

[[exchange_rate]]
from = "USD"
rate = "0.92"
"#;

/// When stories begin.
pub(crate) const START_MS: i64 = 1_767_225_600_000;

/// A moment so many milliseconds after the beginning.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(START_MS + ms)
}

/// The tenant of [`RULES`].
pub(crate) fn acme() -> TenantName {
    TenantName::new("acme").unwrap()
}

/// A database in a folder of its own.
pub(crate) struct Db {
    pub(crate) folder: TempDir,
    pub(crate) store: Option<Store>,
}

impl Db {
    /// A new database with [`RULES`].
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    /// A new database with [`RULES`], opened in a certain way.
    pub(crate) fn with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("test.db"), options).unwrap();
        store.install_rules(None, RULES, RulesFormat::Toml, at(0)).unwrap();
        Self { folder, store: Some(store) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("test.db")
    }

    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub(crate) fn reader(&self) -> &Reader {
        self.store().reader()
    }

    /// Closes the database and opens it again, with the rules that decided last.
    pub(crate) fn reopen(&mut self) {
        self.store = None;
        let store = Store::open(&self.path(), Options::default()).unwrap();
        store.use_stored_rules().unwrap();
        self.store = Some(store);
    }

    /// A number that a query of SQL answers.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        let db = rusqlite::Connection::open(self.path()).unwrap();
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    pub(crate) fn take(&self, arrival: Arrival, at: Timestamp) -> Decided {
        self.try_take(arrival, at).unwrap()
    }

    pub(crate) fn try_take(&self, arrival: Arrival, at: Timestamp) -> Result<Decided, SubmitError> {
        self.store().submit_wait(submission(self.store(), arrival, at))
    }

    /// A postback.
    pub(crate) fn send(&self, query: &str, at: Timestamp) -> Decided {
        self.take(postback(&self.ruleset(), Method::S2s, query), at)
    }

    /// A click on the affiliate link of the first offer; its id.
    pub(crate) fn click(&self, at: Timestamp) -> ConversionId {
        let decided = self.take(click(&self.ruleset(), "shoply-cz", "bo", ""), at);
        decided.decision.conversion.unwrap().id
    }

    pub(crate) fn auto_set(&self, id: TransactionId, at: Timestamp) -> Decided {
        self.take(auto_set(id), at)
    }

    pub(crate) fn ruleset(&self) -> Arc<Ruleset> {
        Arc::clone(self.store().rules("acme").unwrap().ruleset())
    }
}

/// The length of a page, and of a page with its head in the write-ahead log.
const FRAME: u64 = 4096 + 24;

/// Pages that were written since the last call: the one cost of a commit that is the same on every
/// machine.
pub(crate) struct Pages<'a> {
    db: &'a Db,
    before: u64,
}

impl<'a> Pages<'a> {
    pub(crate) fn of(db: &'a Db) -> Self {
        let mut pages = Self { db, before: 0 };
        pages.written();
        pages
    }

    pub(crate) fn written(&mut self) -> u64 {
        let log = format!("{}-wal", self.db.path().display());
        let frames = std::fs::metadata(log).unwrap().len() / FRAME;
        frames - std::mem::replace(&mut self.before, frames)
    }
}

/// Decides about some requests in one commit.
pub(crate) fn commit(db: &Db, arrivals: Vec<Arrival>) -> Vec<Decided> {
    let (reply, answers) = mpsc::channel();
    let count = arrivals.len();
    let waiting = |arrival| {
        let reply = reply.clone();
        let reply = Box::new(move |decided: Result<_, _>| reply.send(decided.unwrap()).unwrap());
        Waiting { submission: submission(db.store(), arrival, at(1)), row: None, reply }
    };
    db.store().submit(arrivals.into_iter().map(waiting).collect());
    answers.iter().take(count).collect()
}

/// Submits as the server does.
pub(crate) fn submit(
    store: &Store,
    submission: Submission,
    reply: impl FnOnce(Result<Decided, SubmitError>) + Send + 'static,
) {
    store.submit(vec![Waiting { submission, row: None, reply: Box::new(reply) }]);
}

pub(crate) fn submission(store: &Store, arrival: Arrival, received_at: Timestamp) -> Submission {
    let rules = store.rules("acme").unwrap();
    Submission { ruleset: Arc::clone(rules.ruleset()), arrival, received_at }
}

pub(crate) fn postback(ruleset: &Ruleset, method: Method, query: &str) -> Arrival {
    Arrival::read(ruleset, &Incoming { method, dialect: None, query, body: None })
}

pub(crate) fn click(ruleset: &Ruleset, offer: &str, affiliate: &str, query: &str) -> Arrival {
    let incoming = Incoming { method: Method::Link, dialect: None, query, body: None };
    Arrival::click(ruleset, offer, affiliate, counterfoil_core::decode(&incoming).unwrap())
}

pub(crate) fn root(ruleset: &Ruleset, json: &str) -> Arrival {
    Arrival::root(ruleset, json.as_bytes())
}

pub(crate) fn auto_set(id: TransactionId) -> Arrival {
    Arrival {
        request: Request::AutoSet(id),
        method: Method::AutoSet,
        dialect: None,
        query: format!("transaction_id={id}"),
        remote_addr: None,
    }
}
