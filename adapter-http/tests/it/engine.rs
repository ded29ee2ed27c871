//! The server as an engine of the fixtures: the same stories are told over HTTP and without it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use counterfoil_core::{Claim, Method, Report, Timestamp, Wanted};
use counterfoil_fixtures::{
    Answer, Counts, Engine, EngineError, Retried, Sent, SentBody, Surroundings, Verdict,
    WorldEngine, load,
    random::{self, Watch},
    run,
};
use counterfoil_http::Secret;
use proptest::{collection::vec, prelude::*, test_runner::TestCaseError};
use serde_json::Value;

use crate::harness::{Reply, Running};

/// Sends every step over a socket; the store behind the server is told the time.
#[derive(Default)]
struct HttpEngine {
    running: Option<Running>,
    surroundings: Surroundings,
    now_ms: Arc<AtomicI64>,
}

impl HttpEngine {
    fn at(&mut self, at: Timestamp) -> Result<&Running, EngineError> {
        let running = self.running.as_ref();
        let running = running.ok_or_else(|| EngineError::new("no scenario has begun"))?;
        self.now_ms.store(at.as_ms(), Ordering::SeqCst);
        Ok(running)
    }
}

/// A query as it can stand in a request target: what cannot is escaped, as senders must.
fn sendable(query: &str) -> String {
    let escapes = [(" ", "%20"), ("\"", "%22"), ("#", "%23"), ("<", "%3C"), (">", "%3E")];
    let escaped = |text: String, (plain, escape): &(&str, &str)| text.replace(plain, escape);
    escapes.iter().fold(query.to_owned(), escaped)
}

/// The latest decision, which is all of what an answer tells only a part of.
fn latest(running: &Running) -> Answer {
    let decision = running.store.latest();
    running.store.with_world(|world| Answer::of(&decision, world.ruleset()))
}

/// What an answer tells, after comparing it with what was decided. A text in the words of a dialect
/// tells less than could be compared.
fn told(running: &Running, reply: &Reply) -> Result<Answer, EngineError> {
    if reply.header("content-type").is_some_and(|media_type| media_type.starts_with("text/")) {
        return Ok(latest(running));
    }
    let seen = Answer::of_json(&reply.json())?;
    let decided = latest(running);
    let essence = |answer: &Answer| {
        let id = answer.conversion_id.clone();
        (answer.outcome, answer.reason, answer.parameter.clone(), id)
    };
    if essence(&seen) == essence(&decided) {
        return Ok(decided);
    }
    Err(EngineError(format!("{seen:?} was told of {decided:?}")))
}

impl Engine for HttpEngine {
    fn surround(&mut self, surroundings: &Surroundings) -> Result<(), EngineError> {
        self.surroundings = surroundings.clone();
        Ok(())
    }

    fn begin(&mut self, rules: &str, at: Timestamp) -> Result<(), EngineError> {
        self.running = None;
        let Surroundings { secrets, trusted_proxies } = std::mem::take(&mut self.surroundings);
        let now = Arc::new(AtomicI64::new(at.as_ms()));
        let networks = trusted_proxies.iter().map(|network| network.parse());
        // This machine stands for the last of the proxies.
        let networks = networks.chain(["127.0.0.1/32".parse()]);
        let networks = networks.collect::<Result<Vec<_>, _>>().map_err(EngineError::new)?;
        self.now_ms = Arc::clone(&now);
        self.running = Some(Running::of(rules, |config| {
            config.clock = Arc::new(move || Timestamp::from_ms(now.load(Ordering::SeqCst)));
            config.trusted_proxies = networks;
            config.secrets =
                Arc::new(move |name| secrets.get(name.as_str()).map(|value| Secret::new(value)));
        }));
        Ok(())
    }

    fn replace_rules(&mut self, rules: &str, at: Timestamp) -> Result<(), EngineError> {
        let running = self.at(at)?;
        let media_type = Some("application/toml");
        let reply = running.admin("PUT", "/api/acme/rules", media_type, rules.as_bytes());
        match reply.status {
            200 => Ok(()),
            _ => Err(EngineError::new(reply.text())),
        }
    }

    fn click(&mut self, link: &str, at: Timestamp) -> Result<Answer, EngineError> {
        let running = self.at(at)?;
        let reply = running.get(&format!("/c/acme/{}", sendable(link)));
        if reply.status != 302 {
            return Answer::of_json(&reply.json());
        }
        let answer = latest(running);
        let id = answer.conversion_id.clone().unwrap_or_default();
        match reply.header("location") {
            Some(to) if to.contains(&id) => Ok(answer),
            to => Err(EngineError(format!("{to:?} does not name the click {id}"))),
        }
    }

    fn root(&mut self, json: &str, at: Timestamp) -> Result<Answer, EngineError> {
        let running = self.at(at)?;
        told(running, &running.hand_in(json))
    }

    fn send(&mut self, sent: Sent<'_>, at: Timestamp) -> Result<Answer, EngineError> {
        let running = self.at(at)?;
        let headers = sent.shown.through_proxy();
        let mut headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        if sent.method == Method::Pixel {
            let target = format!("/api/acme/pixel.gif?{}", sendable(sent.query));
            let reply = running.public("GET", &target, &headers, b"");
            assert!(matches!(reply.status, 200 | 401 | 403), "{reply:?}");
            return Ok(latest(running));
        }
        if sent.method != Method::S2s {
            // From inside: no route leads there.
            return running.store.with_world(|world| {
                let decision = world.send_as(sent, at).map_err(EngineError::new)?;
                Ok(Answer::of(&decision, world.ruleset()))
            });
        }
        let dialect = sent.dialect.unwrap_or("handle");
        let target = format!("/api/acme/postbacks/{dialect}?{}", sendable(sent.query));
        let (method, media_type) = match sent.body {
            None => ("GET", None),
            Some(SentBody::Form(_)) => ("POST", Some("application/x-www-form-urlencoded")),
            Some(SentBody::Json(_)) => ("POST", Some("application/json")),
        };
        headers.extend(media_type.map(|media_type| ("content-type", media_type)));
        let body = sent.body.map_or("", SentBody::text);
        let reply = running.public(method, &target, &headers, body.as_bytes());
        if let 401 | 403 = reply.status {
            return Ok(latest(running));
        }
        told(running, &reply)
    }

    fn edit(
        &mut self,
        transaction: &str,
        json: &str,
        at: Timestamp,
    ) -> Result<Answer, EngineError> {
        let running = self.at(at)?;
        let path = format!("/api/acme/transactions/{transaction}");
        let reply = running.admin("POST", &path, Some("application/json"), json.as_bytes());
        Answer::of_json(&reply.json())
    }

    fn advance(&mut self, to: Timestamp) -> Result<Vec<Answer>, EngineError> {
        let running = self.at(to)?;
        running.store.with_world(|world| {
            let decisions = world.advance(to).map_err(EngineError::new)?;
            Ok(decisions.iter().map(|decision| Answer::of(decision, world.ruleset())).collect())
        })
    }

    fn conversion(&mut self, id: &str) -> Result<Option<Value>, EngineError> {
        let running = self.running.as_ref().ok_or_else(|| EngineError::new("not begun"))?;
        let reply = running.admin_get(&format!("/api/acme/conversions/{id}"));
        Ok((reply.status == 200).then(|| reply.json()))
    }

    fn counts(&mut self) -> Result<Counts, EngineError> {
        let running = self.running.as_ref().ok_or_else(|| EngineError::new("not begun"))?;
        let len = |name: &str| {
            let list = running.admin_get(&format!("/api/acme/{name}?limit=1000")).json();
            list["items"].as_array().map_or(0, Vec::len)
        };
        Ok(Counts { conversions: len("conversions"), transactions: len("transactions") })
    }

    /// Messages have no sender here: they are seen, claimed and reported behind the server.
    fn deliveries(&mut self) -> Result<Option<Vec<Value>>, EngineError> {
        let running = self.running.as_ref().ok_or_else(|| EngineError::new("not begun"))?;
        running.store.with_world(|world| {
            let rows = world.deliveries().map(serde_json::to_value);
            rows.map(|row| row.map_err(EngineError::new)).collect::<Result<_, _>>().map(Some)
        })
    }

    fn claim(&mut self, wanted: &Wanted) -> Result<Vec<Claim>, EngineError> {
        let running = self.at(wanted.now)?;
        running.store.with_world(|world| world.claim(wanted)).map_err(EngineError::new)
    }

    fn report(&mut self, reports: Vec<Report>) -> Result<Vec<Answer>, EngineError> {
        let running = self.running.as_ref().ok_or_else(|| EngineError::new("not begun"))?;
        running.store.with_world(|world| {
            let decisions = world.report(&reports).map_err(EngineError::new)?.decisions;
            Ok(decisions.iter().map(|decision| Answer::of(decision, world.ruleset())).collect())
        })
    }

    fn retry(&mut self, message: &str, at: Timestamp) -> Result<(), EngineError> {
        let id = message.parse().map_err(EngineError::new)?;
        match self.at(at)?.store.with_world(|world| world.retry(id, at)) {
            Retried::NotFound => Err(EngineError(format!("there is no message {id}"))),
            Retried::Due | Retried::InHand => Ok(()),
        }
    }
}

#[test]
fn every_scenario_passes_over_http() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/scenarios");
    let mut engine = HttpEngine::default();
    let mut passed = 0;
    let files = load(Path::new(folder)).unwrap_or_else(|error| panic!("{error}"));
    for file in files {
        for playable in file.scenarios {
            let name = format!("{}: {}", file.path.display(), playable.scenario.title);
            match run(&playable, &mut engine) {
                Verdict::Passed => passed += 1,
                verdict => panic!("{name}: {verdict:#?}"),
            }
        }
    }
    assert!(passed > 20, "only {passed} scenarios were played");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20,
        max_shrink_iters: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_story_is_the_same_over_http(rules in any::<u64>(), seeds in vec(any::<u64>(), 1..40)) {
        let rules = random::rules(rules);
        let fail = |error| TestCaseError::fail(format!("{error}\n{rules}"));
        let expected = random::on_engine(&mut WorldEngine::new(), &rules, &seeds, &mut Watch::new())
            .map_err(fail)?;
        let mut engine = HttpEngine::default();
        let seen = random::on_engine(&mut engine, &rules, &seeds, &mut Watch::new())
            .map_err(fail)?;
        prop_assert_eq!(expected, seen, "\n{}", rules);
    }
}
