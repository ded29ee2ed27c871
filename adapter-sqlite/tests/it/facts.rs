//! The store finds what the in-memory world finds by looking at every row: random histories,
//! played on both, give the same answers and the same rows, and replay to the same.

use counterfoil_core::{Method, TransactionResult};
use counterfoil_fixtures::{Answer, Engine, Sent, WorldEngine};
use proptest::prelude::*;
use serde_json::Value;

use crate::{
    common::{RULES, at},
    engine::SqliteEngine,
};

/// A step of a history; numbers choose among what the history has made so far.
#[derive(Clone, Debug)]
enum Act {
    Click(bool),
    Root { lead: bool, external: u8 },
    Send { postback: u8, pcid: Option<u8>, external: u8, type_name: u8, update: bool, fields: u8 },
    Edit(u8),
    Advance,
    Rules(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => any::<bool>().prop_map(Act::Click),
        1 => (any::<bool>(), 0..4_u8).prop_map(|(lead, external)| Act::Root { lead, external }),
        12 => (0..6_u8, prop::option::of(any::<u8>()), 0..4_u8, 0..5_u8, any::<bool>(), any::<u8>())
            .prop_map(|(postback, pcid, external, type_name, update, fields)| Act::Send {
                postback, pcid, external, type_name, update, fields,
            }),
        1 => any::<u8>().prop_map(Act::Edit),
        1 => Just(Act::Advance),
        1 => any::<bool>().prop_map(Act::Rules),
    ]
}

/// One engine with the ids that it gave, in order.
struct Side<'a> {
    engine: &'a mut dyn Engine,
    conversions: Vec<String>,
    transactions: Vec<String>,
}

impl Side<'_> {
    fn note(&mut self, answer: &Answer) {
        let Some(id) = &answer.conversion_id else {
            return;
        };
        if !self.conversions.contains(id) {
            self.conversions.push(id.clone());
        }
        let row = self.engine.conversion(id).unwrap().unwrap();
        for transaction in row["transactions"].as_array().unwrap() {
            let id = transaction["id"].as_str().unwrap().to_owned();
            if !self.transactions.contains(&id) {
                self.transactions.push(id);
            }
        }
    }

    fn play(&mut self, act: &Act, ms: i64) -> Vec<Answer> {
        let now = at(ms);
        let engine = &mut self.engine;
        let answers = match act {
            Act::Click(first) => {
                let link = if *first { "shoply-cz/bo?affs1=x" } else { "other-de/bo?channel=a" };
                vec![engine.click(link, now)]
            }
            Act::Root { lead, external } => {
                let of_type = if *lead { "lead" } else { "view" };
                let external = match external {
                    0 => String::new(),
                    n => format!(r#","external_id":"o{n}""#),
                };
                let json = format!(
                    r#"{{"type":"{of_type}","source":"api","offer_id":"shoply-cz",
                     "affiliate_id":"bo","value":"12.5","params":{{"k":"v"}}{external}}}"#
                );
                vec![engine.root(&json, now)]
            }
            Act::Send { .. } => {
                let query = query(act, &self.conversions);
                let method = if ms % 7 == 0 { Method::Pixel } else { Method::S2s };
                let sent = Sent::of(method, &query);
                vec![engine.send(sent, now)]
            }
            Act::Edit(which) => {
                let Some(id) = pick(&self.transactions, *which) else {
                    return Vec::new();
                };
                let json = r#"{"result":"rejected","payout":"1.23","reason":"so"}"#;
                vec![engine.edit(id, json, now)]
            }
            Act::Advance => {
                let later = now.plus("40d".parse().unwrap());
                engine.advance(later).unwrap().into_iter().map(Ok).collect()
            }
            Act::Rules(limited) => {
                let rules =
                    RULES.replace("recurrence = 2", if *limited { "recurrence = 1" } else { "" });
                engine.replace_rules(&rules, now).unwrap();
                Vec::new()
            }
        };
        let answers: Vec<Answer> = answers.into_iter().map(Result::unwrap).collect();
        for answer in &answers {
            self.note(answer);
        }
        answers
    }

    /// A text in which ids are replaced by their places.
    fn placed(&self, text: String) -> String {
        let mut text = text;
        for (n, id) in self.conversions.iter().enumerate() {
            text = text.replace(id.as_str(), &format!("conversion-{n}"));
        }
        for (n, id) in self.transactions.iter().enumerate() {
            text = text.replace(id.as_str(), &format!("transaction-{n}"));
        }
        text
    }

    fn rows(&mut self) -> Vec<Value> {
        let engine = &mut self.engine;
        let mut rows: Vec<Value> =
            self.conversions.iter().map(|id| engine.conversion(id).unwrap().unwrap()).collect();
        for row in &mut rows {
            for transaction in row["transactions"].as_array_mut().unwrap() {
                // The world sets a result at the moment it is due, we when time has come there.
                transaction["updated_at"].take();
            }
        }
        rows
    }
}

fn pick(ids: &[String], which: u8) -> Option<&String> {
    ids.get(usize::from(which) % ids.len().max(1))
}

fn query(act: &Act, ids: &[String]) -> String {
    let Act::Send { postback, pcid, external, type_name, update, fields } = act else {
        return String::new();
    };
    let mut query = String::new();
    let ids = ids.iter().rev().take(6).cloned().collect::<Vec<_>>();
    if let Some(id) = pcid.and_then(|which| pick(&ids, which)) {
        query.push_str(&format!("&pcid={id}"));
    }
    match postback {
        1 => query.push_str("&id=per-click"),
        2 => query.push_str("&id=per-order"),
        3 => query.push_str("&id=unkeyed"),
        _ => {}
    }
    if *external > 0 {
        query.push_str(&format!("&external_id=o{external}"));
    }
    if pcid.is_none() || fields & 64 > 0 {
        query.push_str("&advertiser_id=shoply");
    }
    let types = ["", "sale", "lead", "deposit", "click"];
    if let Some(name) = types.get(usize::from(*type_name)).filter(|name| !name.is_empty()) {
        query.push_str(&format!("&type={name}"));
    }
    if *update {
        query.push_str("&action=update");
    }
    if fields & 1 > 0 {
        query.push_str(&format!("&value={}", fields >> 1));
    }
    if fields & 2 > 0 {
        let result = TransactionResult::ALL[usize::from(fields >> 2) % 3];
        query.push_str(&format!("&result={result}"));
    }
    if fields & 4 > 0 {
        query.push_str("&currency=USD&note=a%20b");
    }
    if fields & 24 == 24 {
        query.push_str("&commission=3.5");
    }
    if fields & 40 == 40 {
        query.push_str("&commission_id=deposit-2");
    }
    query.trim_start_matches('&').to_owned()
}

fn play_both(acts: &[Act], reopens: bool) {
    let mut sqlite = SqliteEngine::new(reopens);
    let mut world = WorldEngine::new();
    sqlite.begin(RULES, at(0)).unwrap();
    world.begin(RULES, at(0)).unwrap();
    fn side(engine: &mut dyn Engine) -> Side<'_> {
        Side { engine, conversions: vec![], transactions: vec![] }
    }
    let mut ours = side(&mut sqlite);
    let mut theirs = side(&mut world);
    let mut answered = 0;
    for (n, act) in (1..).zip(acts) {
        let (a, b) = (ours.play(act, n), theirs.play(act, n));
        answered += a.len() as u64;
        let (a, b) = (ours.placed(format!("{a:#?}")), theirs.placed(format!("{b:#?}")));
        assert_eq!(a, b, "step {n}: {act:?}: {}", query(act, &theirs.conversions));
    }
    let (a, b) = (ours.rows(), theirs.rows());
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(ours.placed(a.to_string()), theirs.placed(b.to_string()));
    }
    assert_eq!(ours.engine.counts(), theirs.engine.counts());
    let report = sqlite.store().unwrap().reader().replay().unwrap();
    assert_eq!(report.differences, []);
    assert_eq!(report.requests + report.clicks, answered);
}

/// So many histories.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn histories_come_out_as_in_the_world(acts in prop::collection::vec(act(), 1..40)) {
        play_both(&acts, false);
    }
}

proptest! {
    #![proptest_config(cases(4))]

    #[test]
    fn histories_come_out_the_same_when_reopened(acts in prop::collection::vec(act(), 1..25)) {
        play_both(&acts, true);
    }
}
