//! A server in this process, asked over loopback HTTP. Only the clock, the auto-sets that it makes
//! due, and the receiver of messages do not go through a socket: no dispatcher runs.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

use counterfoil::EmbeddedStore;
use counterfoil_core::{
    Arrival, Claim, Method, Report, Request, Ruleset, RulesetSpec, Timestamp, Wanted, auto_set_text,
};
use counterfoil_fixtures::{
    Answer, Counts, Engine, EngineError, Need, Sent, SentBody, Surroundings,
};
use counterfoil_http::{Config, IpNet, Secret, Server, ServerHandle};
use counterfoil_sqlite as sqlite;
use hyper::Method as Verb;
use serde_json::Value;

use crate::{
    client::{self, Client, Content, block_on},
    sandbox::ADMIN_TOKEN,
};

/// A server for each scenario.
#[derive(Default)]
pub(super) struct LoopbackEngine {
    running: Option<Running>,
    surroundings: Surroundings,
}

struct Running {
    tenant: String,
    store: Arc<EmbeddedStore>,
    now_ms: Arc<AtomicI64>,
    public: SocketAddr,
    admin: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
    /// Removed when everything else is gone.
    _folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server");
        }
    }
}

impl Running {
    fn start(rules: &str, surroundings: &Surroundings, at: Timestamp) -> Result<Self, EngineError> {
        let folder = tempfile::tempdir().map_err(EngineError::new)?;
        let store = sqlite::Store::open(&folder.path().join("acme.db"), sqlite::Options::default())
            .map_err(EngineError::new)?;
        store
            .install_rules(None, rules, sqlite::RulesFormat::Toml, at)
            .map_err(EngineError::new)?;
        let now_ms = Arc::new(AtomicI64::new(at.as_ms()));
        let store = Arc::new(EmbeddedStore::new(store));
        let mut config = Config::new(Secret::new(ADMIN_TOKEN));
        let now = Arc::clone(&now_ms);
        config.clock = Arc::new(move || Timestamp::from_ms(now.load(Ordering::SeqCst)));
        config.trusted_proxies = proxies(&surroundings.trusted_proxies)?;
        let secrets = surroundings.secrets.clone();
        config.secrets =
            Arc::new(move |name| secrets.get(name.as_str()).map(|value| Secret::new(value)));
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.admin_listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(config, Arc::clone(&store) as _).map_err(EngineError::new)?;
        Ok(Self {
            tenant: tenant_of(rules)?,
            store,
            now_ms,
            public: server.public_addr().map_err(EngineError::new)?,
            admin: server.admin_addr().map_err(EngineError::new)?,
            handle: server.handle(),
            thread: Some(std::thread::spawn(move || {
                server.run(std::future::pending()).expect("the server");
            })),
            _folder: folder,
        })
    }

    fn at(&self, at: Timestamp) -> &Self {
        self.now_ms.store(at.as_ms(), Ordering::SeqCst);
        self
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/{}/{rest}", self.tenant)
    }

    /// The trace of a request: only its log row tells it.
    fn trace(&self, body: &Value) -> Result<Option<Vec<String>>, EngineError> {
        let Some(id) = body["request_id"].as_str() else {
            return Ok(None);
        };
        let target = self.path(&format!("requests/{id}"));
        let row = ask(self.admin, Verb::GET, &target, Content::None)?;
        Ok(Answer::of_json(&row)?.trace)
    }

    /// What became of a request whose sender is told nothing of it.
    fn logged(&self, problem: &Value) -> Result<Answer, EngineError> {
        let id = problem["request_id"].as_str().unwrap_or_default();
        let target = self.path(&format!("requests/{id}"));
        Answer::of_json(&ask(self.admin, Verb::GET, &target, Content::None)?)
    }

    /// The path of an admin list, with all rows that one page holds.
    fn rows(&self, list: &str) -> Result<Vec<Value>, EngineError> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let target = self.path(&format!("{list}?limit=1000{cursor}"));
            let page = ask(self.admin, Verb::GET, &target, Content::None)?;
            rows.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(rows),
            }
        }
    }
}

fn tenant_of(rules: &str) -> Result<String, EngineError> {
    let ruleset = RulesetSpec::from_toml(rules).and_then(Ruleset::check);
    let (ruleset, _) = ruleset.map_err(|issues| EngineError(format!("{issues:?}")))?;
    Ok(ruleset.tenant().as_str().to_owned())
}

fn ask_whole(
    address: SocketAddr,
    verb: Verb,
    target: &str,
    content: Content<'_>,
) -> Result<client::Answer, EngineError> {
    let token = ("authorization".to_owned(), format!("Bearer {ADMIN_TOKEN}"));
    ask_as(address, verb, target, &[token], content)
}

fn ask_as(
    address: SocketAddr,
    verb: Verb,
    target: &str,
    headers: &[(String, String)],
    content: Content<'_>,
) -> Result<client::Answer, EngineError> {
    let answer = block_on(async {
        let mut client = Client::connect(address).await?;
        client.ask_as(verb, target, headers, content).await
    });
    answer.map_err(|error| EngineError(format!("{target}: {error}")))
}

/// The networks of proxies, and before them all this machine: it stands for the last of them.
fn proxies(networks: &[String]) -> Result<Vec<IpNet>, EngineError> {
    let all = networks.iter().map(String::as_str).chain(["127.0.0.1/32"]);
    all.map(|network| network.parse().map_err(EngineError::new)).collect()
}

fn ask(
    address: SocketAddr,
    verb: Verb,
    target: &str,
    content: Content<'_>,
) -> Result<Value, EngineError> {
    let answer = ask_whole(address, verb, target, content)?;
    serde_json::from_str(&answer.body)
        .map_err(|error| EngineError(format!("{target}: {error}: {answer:?}")))
}

impl LoopbackEngine {
    fn running(&self) -> Result<&Running, EngineError> {
        let not_begun = || EngineError::new("no scenario has begun");
        self.running.as_ref().ok_or_else(not_begun)
    }
}

impl Engine for LoopbackEngine {
    fn lacks(&self) -> &[Need] {
        &[Need::Import, Need::InsideMethods]
    }

    fn surround(&mut self, surroundings: &Surroundings) -> Result<(), EngineError> {
        self.surroundings = surroundings.clone();
        Ok(())
    }

    fn begin(&mut self, rules: &str, at: Timestamp) -> Result<(), EngineError> {
        self.running = None;
        let surroundings = std::mem::take(&mut self.surroundings);
        self.running = Some(Running::start(rules, &surroundings, at)?);
        Ok(())
    }

    fn replace_rules(&mut self, rules: &str, at: Timestamp) -> Result<(), EngineError> {
        let running = self.running()?.at(at);
        let target = running.path("rules");
        let answer = ask_whole(running.admin, Verb::PUT, &target, Content::Toml(rules))?;
        match answer.status {
            200 => Ok(()),
            _ => Err(EngineError(answer.body)),
        }
    }

    fn click(&mut self, link: &str, at: Timestamp) -> Result<Answer, EngineError> {
        let running = self.running()?.at(at);
        let target = format!("/c/{}/{link}", running.tenant);
        let answer = ask_whole(running.public, Verb::GET, &target, Content::None)?;
        if answer.status != 302 {
            let body = serde_json::from_str(&answer.body).map_err(EngineError::new)?;
            return Answer::of_json(&body);
        }
        let newest = running.path("conversions?limit=1");
        let page = ask(running.admin, Verb::GET, &newest, Content::None)?;
        let made = serde_json::json!({"outcome": "created", "conversion": page["items"][0]});
        Answer::of_json(&made)
    }

    fn root(&mut self, json: &str, at: Timestamp) -> Result<Answer, EngineError> {
        let running = self.running()?.at(at);
        let target = running.path("conversions");
        Answer::of_json(&ask(running.public, Verb::POST, &target, Content::Json(json))?)
    }

    fn send(&mut self, sent: Sent<'_>, at: Timestamp) -> Result<Answer, EngineError> {
        let running = self.running()?.at(at);
        let dialect = sent.dialect.unwrap_or("handle");
        let target = match sent.method {
            Method::Pixel => running.path(&format!("pixel.gif?{}", sent.query)),
            _ => running.path(&format!("postbacks/{dialect}?{}", sent.query)),
        };
        let (verb, content) = match sent.body {
            None => (Verb::GET, Content::None),
            Some(SentBody::Form(text)) => (Verb::POST, Content::Form(text)),
            Some(SentBody::Json(text)) => (Verb::POST, Content::Json(text)),
        };
        let answer = ask_as(running.public, verb, &target, &sent.shown.through_proxy(), content)?;
        if let Ok(body) = serde_json::from_str(&answer.body) {
            if let 401 | 403 = answer.status {
                return running.logged(&body);
            }
            return Ok(Answer { trace: running.trace(&body)?, ..Answer::of_json(&body)? });
        }
        // A pixel says nothing, and the words of a dialect little: the log row does.
        if answer.status != 200 {
            return Err(EngineError(format!("{answer:?}")));
        }
        let newest = running.path("requests?limit=1");
        let page = ask(running.admin, Verb::GET, &newest, Content::None)?;
        Answer::of_json(&page["items"][0])
    }

    fn edit(&mut self, id: &str, json: &str, at: Timestamp) -> Result<Answer, EngineError> {
        let running = self.running()?.at(at);
        let target = running.path(&format!("transactions/{id}"));
        Answer::of_json(&ask(running.admin, Verb::POST, &target, Content::Json(json))?)
    }

    fn advance(&mut self, to: Timestamp) -> Result<Vec<Answer>, EngineError> {
        let running = self.running()?.at(to);
        let store = running.store.store();
        let rules = store.rules(&running.tenant);
        let rules = rules.ok_or_else(|| EngineError::new("no rules"))?;
        let due = store.reader().due_auto_sets(rules.ruleset().tenant(), to, None, 1000);
        let submit = |due: sqlite::Due| {
            let arrival = Arrival {
                request: Request::AutoSet(due.transaction_id),
                method: Method::AutoSet,
                dialect: None,
                query: auto_set_text(due.transaction_id),
                remote_addr: None,
            };
            let submission =
                sqlite::Submission { ruleset: rules.ruleset().clone(), arrival, received_at: to };
            let decided = store.submit_wait(submission).map_err(EngineError::new)?;
            Ok(Answer::of(&decided.decision, rules.ruleset()))
        };
        due.map_err(EngineError::new)?.into_iter().map(submit).collect()
    }

    fn conversion(&mut self, id: &str) -> Result<Option<Value>, EngineError> {
        let running = self.running()?;
        let target = running.path(&format!("conversions/{id}"));
        let answer = ask_whole(running.admin, Verb::GET, &target, Content::None)?;
        match answer.status {
            404 => Ok(None),
            _ => Ok(Some(serde_json::from_str(&answer.body).map_err(EngineError::new)?)),
        }
    }

    fn counts(&mut self) -> Result<Counts, EngineError> {
        let running = self.running()?;
        Ok(Counts {
            conversions: running.rows("conversions")?.len(),
            transactions: running.rows("transactions")?.len(),
        })
    }

    fn deliveries(&mut self) -> Result<Option<Vec<Value>>, EngineError> {
        let mut rows = self.running()?.rows("deliveries")?;
        rows.reverse();
        Ok(Some(rows))
    }

    fn claim(&mut self, wanted: &Wanted) -> Result<Vec<Claim>, EngineError> {
        let (reply, claims) = mpsc::channel();
        let reply = Box::new(move |claimed| {
            let _ = reply.send(claimed);
        });
        self.running()?.store.store().claim(wanted.clone(), reply);
        claims.recv().map_err(EngineError::new)?.map_err(EngineError::new)
    }

    fn report(&mut self, reports: Vec<Report>) -> Result<Vec<Answer>, EngineError> {
        let running = self.running()?;
        let before = running.rows("requests")?.len();
        let (reply, reported) = mpsc::channel();
        let reply = Box::new(move |outcome| {
            let _ = reply.send(outcome);
        });
        running.store.store().report(reports, reply);
        let reported = reported.recv().map_err(EngineError::new)?.map_err(EngineError::new)?;
        if reported.stale > 0 {
            return Err(EngineError(format!("{} reports were stale", reported.stale)));
        }
        let rows = running.rows("requests")?;
        let new = rows.len().saturating_sub(before);
        rows.iter().take(new).rev().map(Answer::of_json).collect()
    }

    fn retry(&mut self, message: &str, at: Timestamp) -> Result<(), EngineError> {
        let running = self.running()?;
        let store = running.store.store();
        let rules = store.rules(&running.tenant).ok_or_else(|| EngineError::new("no rules"))?;
        let id = message.parse().map_err(EngineError::new)?;
        match store.retry(rules.ruleset().tenant(), id, at).map_err(EngineError::new)? {
            sqlite::Retried::NotFound => Err(EngineError(format!("there is no message {id}"))),
            sqlite::Retried::Forgotten => Err(EngineError(format!("`{id}` is forgotten"))),
            sqlite::Retried::Due | sqlite::Retried::InHand => Ok(()),
        }
    }
}
