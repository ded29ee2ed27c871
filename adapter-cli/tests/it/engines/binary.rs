//! The binary: a process for each thing that happens, on one database.

use std::fs;

use counterfoil_core::{Method, Timestamp, view::Filter};
use counterfoil_fixtures::{
    Acted, Answer, Counts, Delivered, Engine, EngineError, Need, Sent, SentBody,
};
use counterfoil_sqlite::Reader;
use serde_json::Value;
use url::form_urlencoded;

use super::receiver::{NEEDED, Receiver};
use crate::sandbox::{Ran, Sandbox};

/// A folder with rules and a database for each scenario.
#[derive(Default)]
pub(super) struct BinaryEngine {
    played: Option<Played>,
}

/// Where one scenario is played.
struct Played {
    sandbox: Sandbox,
    receiver: Receiver,
    tenant: String,
    /// Whether any rules so far make messages: a process that lists none is not worth its time.
    tells: bool,
}

/// A value with which messages can be signed, too.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

impl Played {
    fn new() -> Result<Self, EngineError> {
        let sandbox = Sandbox::new();
        fs::create_dir(sandbox.path("secrets")).map_err(EngineError::new)?;
        let (tenant, tells) = (String::new(), false);
        Ok(Self { sandbox, receiver: Receiver::default(), tenant, tells })
    }

    fn set_rules(&mut self, rules: &str) -> Result<(), EngineError> {
        let redirected = self.receiver.redirected(rules);
        self.write("rules.toml", &redirected)?;
        let table: toml::Table = toml::from_str(rules).map_err(EngineError::new)?;
        self.tenant = table["tenant"].as_str().unwrap_or_default().to_owned();
        self.tells |= ["[[tracking_api]]", "[[postback.step]]"].iter().any(|of| rules.contains(of));
        let named = redirected.split("{secret:").skip(1);
        for name in named.filter_map(|rest| Some(rest.split_once('}')?.0)) {
            self.write(&format!("secrets/{name}"), SECRET)?;
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), EngineError> {
        fs::write(self.sandbox.path(name), text).map_err(EngineError::new)
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Ran {
        let all = command.split(' ').chain(["--db", "acme.db"]).chain(arguments.iter().copied());
        self.sandbox.run_with(all)
    }

    /// Runs a command whose answer, a refusal too, is JSON on stdout.
    fn json(&self, command: &str, arguments: &[&str]) -> Result<Value, EngineError> {
        let arguments: Vec<&str> = [arguments, &["--format", "json"]].concat();
        let ran = self.run(command, &arguments);
        serde_json::from_str(&self.receiver.told(&ran.stdout))
            .map_err(|_| EngineError(format!("{arguments:?}: {ran:?}")))
    }

    /// The same of one that writes.
    fn wrote(
        &self,
        command: &str,
        arguments: &[&str],
        at: Timestamp,
    ) -> Result<Value, EngineError> {
        let at = at.to_string();
        self.json(command, &[arguments, &["--rules", "rules.toml", "--at", &at]].concat())
    }

    /// All rows of a list, newest first.
    fn rows(&self, list: &str) -> Result<Vec<Value>, EngineError> {
        let mut rows = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut arguments = vec!["--limit", "1000"];
            arguments.extend(cursor.iter().flat_map(|cursor| ["--cursor", cursor]));
            let page = self.json(list, &arguments)?;
            rows.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(rows),
            }
        }
    }

    /// The newest row of the log.
    fn newest_request(&self) -> Result<Option<Value>, EngineError> {
        let page = self.json("requests", &["--limit", "1"])?;
        Ok(page["items"].as_array().and_then(|items| items.first().cloned()))
    }

    /// A row of a file, with the moment as its date; the log has what became of it.
    fn import(&self, query: &str, at: Timestamp) -> Result<Answer, EngineError> {
        let mut rows = [vec!["date".to_owned()], vec![at.to_string()]];
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            rows[0].push(name.into_owned());
            rows[1].push(value.into_owned());
        }
        self.write("row.csv", &rows.map(|row| row.join(",")).join("\n"))?;
        let ran = self.run("import row.csv --again --rejects no.csv", &["--rules", "rules.toml"]);
        let row = self.newest_request()?;
        Answer::of_json(&row.ok_or_else(|| EngineError(format!("{ran:?}")))?)
    }
}

impl BinaryEngine {
    fn played(&self) -> Result<&Played, EngineError> {
        let not_begun = || EngineError::new("no scenario has begun");
        self.played.as_ref().ok_or_else(not_begun)
    }
}

impl Engine for BinaryEngine {
    fn lacks(&self) -> &[Need] {
        &[Need::InsideMethods, Need::Senders, Need::Proxies]
    }

    fn begin(&mut self, rules: &str, _: Timestamp) -> Result<(), EngineError> {
        self.played.insert(Played::new()?).set_rules(rules)
    }

    /// They are in force with the next command that writes.
    fn replace_rules(&mut self, rules: &str, _: Timestamp) -> Result<(), EngineError> {
        let not_begun = || EngineError::new("no scenario has begun");
        self.played.as_mut().ok_or_else(not_begun)?.set_rules(rules)
    }

    fn click(&mut self, link: &str, at: Timestamp) -> Result<Answer, EngineError> {
        Answer::of_json(&self.played()?.wrote("click", &[link], at)?)
    }

    fn root(&mut self, json: &str, at: Timestamp) -> Result<Answer, EngineError> {
        let played = self.played()?;
        played.write("root.json", json)?;
        let url = format!("http://localhost/api/{}/conversions", played.tenant);
        Answer::of_json(&played.wrote("send", &[&url, "--json", "@root.json"], at)?)
    }

    fn send(&mut self, sent: Sent<'_>, at: Timestamp) -> Result<Answer, EngineError> {
        let played = self.played()?;
        let Sent { method, dialect, query, body, .. } = sent;
        let path = match (method, dialect) {
            (Method::Import, _) => return played.import(query, at),
            (Method::Pixel, _) => Some("pixel.gif".to_owned()),
            (_, Some(dialect)) => Some(format!("postbacks/{dialect}")),
            (_, None) => None,
        };
        let request = match path {
            Some(path) => format!("http://localhost/api/{}/{path}?{query}", played.tenant),
            None => query.to_owned(),
        };
        let mut arguments = vec![request.as_str()];
        match body {
            None => {}
            Some(SentBody::Form(text)) => arguments.extend(["--form", text]),
            Some(SentBody::Json(text)) => arguments.extend(["--json", text]),
        }
        Answer::of_json(&played.wrote("send", &arguments, at)?)
    }

    fn edit(&mut self, id: &str, json: &str, at: Timestamp) -> Result<Answer, EngineError> {
        let fields: Value = serde_json::from_str(json).map_err(EngineError::new)?;
        let mut arguments = vec![id.to_owned()];
        for (name, value) in fields.as_object().into_iter().flatten() {
            arguments.push(format!("--{name}={}", value.as_str().unwrap_or_default()));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Answer::of_json(&self.played()?.wrote("transactions edit", &arguments, at)?)
    }

    fn advance(&mut self, to: Timestamp) -> Result<Vec<Answer>, EngineError> {
        let done = self.played()?.wrote("catch-up", &["--only", "results"], to)?;
        done["results"].as_array().into_iter().flatten().map(Answer::of_json).collect()
    }

    fn conversion(&mut self, id: &str) -> Result<Option<Value>, EngineError> {
        let page = self.played()?.json("conversions", &["--id", id])?;
        Ok(page["items"].as_array().and_then(|items| items.first().cloned()))
    }

    /// Counted beside the binary: a process for each page would be the slowest part of the suite.
    fn counts(&mut self) -> Result<Counts, EngineError> {
        let db = self.played()?.sandbox.path("acme.db");
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
        let played = self.played()?;
        let mut rows = if played.tells { played.rows("deliveries")? } else { Vec::new() };
        rows.reverse();
        Ok(Some(rows))
    }

    /// The binary sends by itself: over a socket, to a receiver that answers as it is to.
    fn deliver(&mut self, delivered: &Delivered, at: Timestamp) -> Result<Acted, EngineError> {
        let played = self.played()?;
        let newest = played.newest_request()?;
        played.receiver.answers(delivered);
        let secret = played.sandbox.path("secrets").join(NEEDED);
        if delivered.our_fault {
            fs::remove_file(&secret).map_err(EngineError::new)?;
        }
        let step = delivered.step.map(|step| step.to_string());
        let mut arguments = vec!["--only", "messages", "--secrets", "secrets"];
        arguments.extend(step.iter().flat_map(|step| ["--step", step]));
        arguments.extend(delivered.tracking_api.iter().flat_map(|api| ["--tracking-api", api]));
        if !delivered.forbidden {
            arguments.extend(["--allow-destination", "127.0.0.0/8"]);
        }
        let done = played.wrote("catch-up", &arguments, at)?;
        fs::write(secret, SECRET).map_err(EngineError::new)?;
        let last = done["deliveries"].as_array().and_then(|all| all.last());
        let about = last.and_then(|row| row["conversion_id"].as_str()).map(str::to_owned);
        let newest = newest.map(|row| row["id"].clone());
        let rows = played.rows("requests")?;
        let new = rows.iter().take_while(|row| Some(&row["id"]) != newest.as_ref());
        let mut answers: Vec<Answer> = new.map(Answer::of_json).collect::<Result<_, _>>()?;
        answers.reverse();
        Ok((answers, about))
    }

    fn retry(&mut self, message: &str, at: Timestamp) -> Result<(), EngineError> {
        let at = at.to_string();
        let ran = self.played()?.run("deliveries retry", &[message, "--at", &at]);
        match ran.code {
            // One that is in hand goes its way by itself.
            0 => Ok(()),
            1 if ran.stderr.contains("goes its way by itself") => Ok(()),
            _ => Err(EngineError(format!("{ran:?}"))),
        }
    }
}
