//! The binary: a process for each step, on one database.

use counterfoil_core::{Method, Timestamp, view::Filter};
use counterfoil_fixtures::{Answer, Counts, Engine, EngineError, Need, Sent};
use counterfoil_sqlite::Reader;
use serde_json::Value;

use crate::sandbox::Sandbox;

/// A folder with rules and a database for each scenario.
#[derive(Default)]
pub(super) struct BinaryEngine {
    sandbox: Option<Sandbox>,
    /// Whether any rules so far make messages: a process that lists none is not worth its time.
    tells: bool,
}

const WRITE: [&str; 6] = ["--db", "acme.db", "--rules", "rules.toml", "--format", "json"];
const READ: [&str; 4] = ["--db", "acme.db", "--format", "json"];

impl BinaryEngine {
    fn sandbox(&self) -> Result<&Sandbox, EngineError> {
        let not_begun = || EngineError::new("no scenario has begun");
        self.sandbox.as_ref().ok_or_else(not_begun)
    }

    /// Runs a command whose answer, a refusal too, is JSON on stdout.
    fn json(&self, arguments: &[&str]) -> Result<Value, EngineError> {
        let ran = self.sandbox()?.run_with(arguments);
        serde_json::from_str(&ran.stdout).map_err(|_| EngineError(format!("{ran:?}")))
    }
}

impl Engine for BinaryEngine {
    fn lacks(&self) -> &[Need] {
        &[Need::Clock, Need::InsideMethods, Need::Receiver, Need::Senders, Need::Proxies]
    }

    fn begin(&mut self, rules: &str, _: Timestamp) -> Result<(), EngineError> {
        self.sandbox = Some(Sandbox::new().file("rules.toml", rules));
        self.tells = tells(rules);
        Ok(())
    }

    fn replace_rules(&mut self, rules: &str, _: Timestamp) -> Result<(), EngineError> {
        self.tells |= tells(rules);
        self.sandbox = self.sandbox.take().map(|sandbox| sandbox.file("rules.toml", rules));
        Ok(())
    }

    fn click(&mut self, link: &str, _: Timestamp) -> Result<Answer, EngineError> {
        let mut arguments = vec!["click", link];
        arguments.extend(WRITE);
        Answer::of_json(&self.json(&arguments)?)
    }

    fn root(&mut self, _: &str, _: Timestamp) -> Result<Answer, EngineError> {
        Err(EngineError::new("no command hands in a root"))
    }

    fn send(&mut self, sent: Sent<'_>, _: Timestamp) -> Result<Answer, EngineError> {
        let url = match (sent.method, sent.dialect) {
            (Method::Pixel, _) => {
                format!("http://localhost/api/acme/pixel.gif?{}", sent.query)
            }
            (_, Some(dialect)) => {
                format!("http://localhost/api/acme/postbacks/{dialect}?{}", sent.query)
            }
            (_, None) => sent.query.to_owned(),
        };
        let mut arguments = vec!["send", &url];
        arguments.extend(WRITE);
        Answer::of_json(&self.json(&arguments)?)
    }

    fn edit(&mut self, _: &str, _: &str, _: Timestamp) -> Result<Answer, EngineError> {
        Err(EngineError::new("no command edits a transaction"))
    }

    fn advance(&mut self, _: Timestamp) -> Result<Vec<Answer>, EngineError> {
        Err(EngineError::new("the binary has the clock of the machine"))
    }

    fn conversion(&mut self, id: &str) -> Result<Option<Value>, EngineError> {
        let mut arguments = vec!["conversions", "--id", id];
        arguments.extend(READ);
        let page = self.json(&arguments)?;
        Ok(page["items"].as_array().and_then(|items| items.first().cloned()))
    }

    /// Counted beside the binary: a process for each page would be the slowest part of the suite.
    fn counts(&mut self) -> Result<Counts, EngineError> {
        let db = self.sandbox()?.path("acme.db");
        let reader = Reader::open(&db).map_err(EngineError::new)?;
        let tenants = reader.tenants().map_err(EngineError::new)?;
        let tenant = tenants.first().ok_or_else(|| EngineError::new("no tenant"))?;
        let filter = Filter { limit: Some(Filter::LIMIT_MAX), ..Filter::default() };
        let conversions = reader.conversions(tenant, &filter);
        let conversions = conversions.map_err(EngineError::new)?;
        let transactions = reader.transactions(tenant, &filter);
        let transactions = transactions.map_err(EngineError::new)?;
        if conversions.next_cursor.is_some() || transactions.next_cursor.is_some() {
            return Err(EngineError::new("a scenario has more rows than a page"));
        }
        Ok(Counts { conversions: conversions.items.len(), transactions: transactions.items.len() })
    }

    fn deliveries(&mut self) -> Result<Option<Vec<Value>>, EngineError> {
        if !self.tells {
            return Ok(Some(Vec::new()));
        }
        let mut arguments = vec!["deliveries", "--limit", "1000"];
        arguments.extend(READ);
        let mut rows = self.json(&arguments)?["items"].as_array().cloned().unwrap_or_default();
        rows.reverse();
        Ok(Some(rows))
    }
}

/// Whether rules make messages.
fn tells(rules: &str) -> bool {
    ["[[tracking_api]]", "[[postback.step]]"].iter().any(|table| rules.contains(table))
}
