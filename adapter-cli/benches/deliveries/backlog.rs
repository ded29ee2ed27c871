//! A database with messages that wait: made by creates that were handed to the store, each of which
//! one tracking API tells of.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::{SystemTime, UNIX_EPOCH};

use counterfoil_core::{Arrival, Incoming, Method, Outcome, Request, RootRequest, Timestamp};
use counterfoil_sqlite::{Options, Rules, RulesFormat, Store, Submission, Synchronous, Waiting};
use tempfile::TempDir;
use uuid::Uuid;

use crate::Result;
use crate::receiver::Receiver;

/// The rules of the throughput bench; `bo` is told nothing.
const RULES: &str = include_str!("../throughput/rules.toml");
/// Clicks of `bo`.
const UNTOLD_CLICKS: u64 = 1000;
/// Requests on their way to the writer while a database is filled.
const AT_ONCE: u64 = 4096;

/// The database and its rules.
pub(crate) struct Backlog {
    folder: TempDir,
    untold: Arc<[Uuid]>,
}

impl Backlog {
    /// With so many messages, spread evenly over the receiver's addresses.
    pub(crate) fn new(receiver: &Receiver, messages: u64) -> Result<Self> {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
        let rules = rules(receiver)?;
        std::fs::write(folder.path().join("rules.toml"), &rules)?;
        let options = Options { synchronous: Synchronous::Normal, ..Options::default() };
        let store = Store::open(&folder.path().join("counterfoil.db"), options)?;
        let rules = store.install_rules(None, &rules, RulesFormat::Toml, now()?)?.rules;
        let filling = Filling { store, rules };
        let untold = filling.fill(UNTOLD_CLICKS, |_| filling.click("bo"))?;
        let told = receiver.addresses.len() as u64;
        let clicks = filling.fill(told, |number| filling.click(&format!("a{number}")))?;
        filling.fill(messages, |number| {
            let click = clicks.get((number % told) as usize).copied().unwrap_or_default();
            filling.sale(click, number)
        })?;
        Ok(Self { folder, untold: untold.into() })
    }

    /// Clicks whose conversions nobody is told of.
    pub(crate) fn untold_clicks(&self) -> Arc<[Uuid]> {
        self.untold.clone()
    }

    /// The real server on this database.
    pub(crate) fn serve(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
        command
            .arg("serve")
            .arg("--rules")
            .arg(self.folder.path().join("rules.toml"))
            .arg("--db")
            .arg(self.folder.path().join("counterfoil.db"))
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--allow-destination", "127.0.0.1/32", "--log", "error"]);
        command
    }
}

/// One affiliate for each address, and its tracking API.
fn rules(receiver: &Receiver) -> Result<String> {
    let mut rules = RULES.to_owned();
    for (number, address) in receiver.addresses.iter().enumerate() {
        write!(
            rules,
            "\n[[affiliate]]\nid = \"a{number}\"\nname = \"Affiliate {number}\"\n\n\
             [[tracking_api]]\nid = \"tell-a{number}\"\nowner = {{ affiliate = \"a{number}\" }}\n\
             trigger = \"transaction\"\n\
             request = {{ url = \"http://{address}/pb?{{message_id}}\" }}\n",
        )?;
    }
    Ok(rules)
}

struct Filling {
    store: Store,
    rules: Rules,
}

impl Filling {
    /// Hands in requests; the conversions that they made.
    fn fill(&self, count: u64, arrival: impl Fn(u64) -> Result<Arrival>) -> Result<Vec<Uuid>> {
        let mut made = Vec::new();
        let mut number = 0;
        while number < count {
            let (reply, answers) = mpsc::channel();
            let end = count.min(number + AT_ONCE);
            let batch: Result<Vec<_>> = (number..end)
                .map(|number| {
                    let reply = reply.clone();
                    let ruleset = self.rules.ruleset().clone();
                    let arrival = arrival(number)?;
                    let submission = Submission { ruleset, arrival, received_at: now()? };
                    // Nobody waits for the last answers if the filling has failed.
                    let reply = Box::new(move |answer| drop(reply.send(answer)));
                    Ok(Waiting { submission, row: None, reply })
                })
                .collect();
            drop(reply);
            self.store.submit(batch?);
            for answer in answers {
                let decision = answer?.decision;
                let made_one = decision.outcome == Outcome::Created;
                let conversion = decision.conversion.filter(|_| made_one);
                let conversion = conversion.ok_or("a request was not taken")?;
                made.push(Uuid::from_bytes(*conversion.id.as_bytes()));
            }
            number = end;
        }
        Ok(made)
    }

    fn click(&self, affiliate: &str) -> Result<Arrival> {
        let ruleset = self.rules.ruleset();
        let click = RootRequest::click(ruleset, "shoply-cz", affiliate, &Vec::new())
            .map_err(|refusal| refusal.message.to_string())?;
        Ok(Arrival {
            request: Request::Root(Box::new(click)),
            method: Method::Link,
            dialect: None,
            query: String::new(),
            remote_addr: None,
        })
    }

    fn sale(&self, click: Uuid, number: u64) -> Result<Arrival> {
        let query = format!("pcid={click}&type=sale&value=100&external_id=backlog-{number}");
        let incoming = Incoming { method: Method::S2s, dialect: None, query: &query, body: None };
        Ok(Arrival::read(self.rules.ruleset(), &incoming))
    }
}

fn now() -> Result<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Timestamp::from_ms(since.as_millis() as i64))
}
