//! Random histories of requests and deliveries: order, numbers and one message for each event hold,
//! and all of it replays.

use std::{cell::Cell, collections::BTreeMap};

use counterfoil_core::Note;
use proptest::{prelude::*, test_runner::TestRunner};

use super::*;
use crate::common::postback;

const SECOND: i64 = 1_000;

#[derive(Clone, Debug, PartialEq)]
enum Act {
    Sale(u8),
    Update { sale: u8, value: u8, result: u8, steps: bool },
    Send { most: u8, one: u8 },
    Report { which: u8, how: u8 },
    Retry(u8),
    Argue(u8),
    Rules(bool),
    Reopen,
    Wait(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let any = any::<u8>;
    prop_oneof![
        3 => any().prop_map(Act::Sale),
        6 => (any(), any(), any(), prop::bool::ANY)
            .prop_map(|(sale, value, result, steps)| Act::Update { sale, value, result, steps }),
        6 => (any(), any()).prop_map(|(most, one)| Act::Send { most, one }),
        8 => (any(), any()).prop_map(|(which, how)| Act::Report { which, how }),
        1 => any().prop_map(Act::Retry),
        1 => any().prop_map(Act::Argue),
        1 => prop::bool::ANY.prop_map(Act::Rules),
        1 => Just(Act::Reopen),
        4 => any().prop_map(Act::Wait),
    ]
}

fn rules(delay: &str) -> String {
    let delayed = format!(
        "[[tracking_api]]\nid = 'd'\nresults = ['approved', 'pending']\n{delay}\n\
         request.url = 'https://d.example/?n={{sequence}}'\n"
    );
    let steps = "[[postback]]\nid = 'two'\n[[postback.step]]\n\
         request.url = 'https://a.example/'\nset = { price = { path = '/p' } }\n\
         [[postback.step]]\nrequest.url = 'https://s.example/?v={value}'\n";
    let asks = "ordered = false\nset = { value = { path = '/v' } }";
    tells("a", "a.example", asks) + &tells("b", "b.example", asks) + &delayed + steps
}

struct Story {
    db: Db,
    click: ConversionId,
    now: i64,
    /// Claims that were not reported yet; some are late.
    claims: Vec<Claim>,
}

impl Story {
    fn play(&mut self, act: &Act) {
        let now = self.now;
        match act {
            Act::Sale(n) => {
                self.send(&format!("type=sale&external_id={}&value=10", n % 4));
            }
            Act::Update { sale, value, result, steps } => {
                let result = ["pending", "approved", "rejected"][usize::from(result % 3)];
                let id = if *steps { "&id=two" } else { "" };
                self.send(&format!(
                    "action=update&external_id={}&value={}&result={result}{id}",
                    sale % 4,
                    value % 3
                ));
            }
            Act::Send { most, one } => {
                let most_of_one = usize::from(one % 3) + 1;
                let wanted = Wanted { most_of_one, ..wanted(now, usize::from(most % 6)) };
                let claims = try_claim(&self.db, wanted).unwrap();
                self.claims.extend(claims);
            }
            Act::Report { which, how } => {
                if !self.claims.is_empty() {
                    let claim = self.claims.remove(usize::from(*which) % self.claims.len());
                    report(&self.db, vec![self.reported(&claim, *how)]);
                }
            }
            Act::Retry(which) => {
                let messages = all(&self.db);
                if !messages.is_empty() {
                    let id = messages[usize::from(*which) % messages.len()].id;
                    self.db.store().retry(&acme(), id, at(now)).unwrap();
                }
            }
            Act::Argue(value) => self.argue(usize::from(*value)),
            Act::Rules(delays) => {
                install(&self.db, &rules(if *delays { "delay = '20s'" } else { "" }), now);
            }
            Act::Reopen => self.db.reopen(),
            Act::Wait(seconds) => self.now += i64::from(*seconds) * SECOND / 4,
        }
        self.now += 1;
    }

    /// Whoever is told answers with another value, until a chain of causes is stopped (R45).
    fn argue(&mut self, value: usize) {
        for round in 0..8 {
            let value = (value + round).to_string();
            let answer = |claim: &Claim| {
                let mut set = claim.call().unwrap().set.iter();
                match set.any(|set| &*set.parameter == "value") {
                    true => answered(claim, self.now, &[("value", &value)]),
                    false => Report::Attempted(attempted(claim, self.now, Next::Delivered)),
                }
            };
            report(&self.db, claim(&self.db, self.now).iter().map(answer).collect());
            self.now += SECOND;
        }
    }

    /// Whether a chain of causes was stopped.
    fn has_stopped(&self) -> bool {
        let filter = Filter { limit: Some(Filter::LIMIT_MAX), ..Filter::default() };
        let log = self.db.reader().requests(&acme(), &filter).unwrap();
        log.items.iter().any(|row| row.notes.contains(&Note::LoopStopped))
    }

    fn send(&self, query: &str) {
        let query = format!("pcid={}&{query}", self.click);
        let ruleset = self.db.ruleset();
        let arrival = postback(&ruleset, counterfoil_core::Method::S2s, &query);
        self.db.take(arrival, at(self.now));
    }

    fn reported(&self, claim: &Claim, how: u8) -> Report {
        let now = self.now;
        let message = claim.message.id;
        match how % 6 {
            0 => Report::Released { message, fence: claim.fence, until: at(now + SECOND) },
            1 => Report::Attempted(attempted(claim, now, DEAD)),
            2 => Report::Attempted(attempted(claim, now, again(now + 9, RetryKind::Delivery))),
            3 if !claim.call().unwrap().set.is_empty() => {
                let name = claim.call().unwrap().set[0].parameter.clone();
                answered(claim, now, &[(&name, &format!("{}", how % 7))])
            }
            _ => Report::Attempted(attempted(claim, now, Next::Delivered)),
        }
    }

    /// What holds at any time.
    fn check(&self) {
        let mut numbers = BTreeMap::new();
        for message in all(&self.db) {
            let Some(number) = message.sequence else { continue };
            let key = (message.conversion_id, message.tracking_api_id.unwrap());
            numbers.entry(key).or_insert_with(Vec::new).push((number, message.state));
        }
        for ((_, api), mut numbers) in numbers {
            numbers.sort_unstable();
            let gapless = (1..).zip(&numbers).all(|(n, (number, _))| n == *number);
            assert!(gapless, "{api}: {numbers:?}");
        }
        let held = self.db.number("SELECT count(*) FROM messages WHERE standing = 1");
        let outbox = self.db.reader().outbox().unwrap();
        assert_eq!(outbox.held, held.unsigned_abs());
        // Nothing waits for what has ended.
        let waits_for_nothing = self.db.number(
            "SELECT count(*) FROM messages m WHERE standing = 5 AND NOT EXISTS (SELECT 1 FROM \
             messages b WHERE b.conversion = m.conversion AND b.tracking_api = m.tracking_api \
             AND b.sequence = m.sequence - 1 AND b.standing NOT IN (2, 4))",
        );
        assert_eq!(waits_for_nothing, 0);
    }

    /// With a good destination everything ends, but for what is held.
    fn drain(&mut self) {
        for _ in 0..1_000 {
            self.now += 60 * SECOND;
            let claims = claim(&self.db, self.now);
            if claims.is_empty() {
                break;
            }
            for claim in claims {
                delivered(&self.db, &claim, self.now);
            }
        }
        assert_eq!(next_due(&self.db), None);
        let open = all(&self.db).into_iter().filter(|message| {
            !matches!(
                message.state,
                MessageState::Delivered | MessageState::Dead | MessageState::Held
            )
        });
        assert_eq!(open.count(), 0);
    }
}

#[test]
fn whatever_happens_it_is_in_order_and_replays() {
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() };
    let stopped = Cell::new(0);
    let played = TestRunner::new(config).run(&prop::collection::vec(act(), 1..60), |acts| {
        let (db, click) = begin(&rules("delay = '20s'"));
        let mut story = Story { db, click, now: 1, claims: Vec::new() };
        for act in &acts {
            story.play(act);
        }
        story.check();
        replays(&story.db);
        story.drain();
        story.check();
        replays(&story.db);
        stopped.set(stopped.get() + usize::from(story.has_stopped()));
        Ok(())
    });
    assert_eq!(played, Ok(()));
    assert!(stopped.get() > 0, "no history reaches a loop that is stopped (R45)");
}
