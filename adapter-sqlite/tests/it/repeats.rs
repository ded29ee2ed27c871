//! P2: one key, one conversion, at any concurrency and across restarts.

use std::{
    collections::BTreeSet,
    sync::{Arc, mpsc},
};

use counterfoil_core::{ConversionId, Method, Outcome, view::Filter};
use counterfoil_sqlite::{RulesFormat, Submission, SubmitError};

use crate::common::{Db, RULES, acme, at, postback, submission, submit};

/// A tracking API for each event.
const TOLD: &str = r#"
[[tracking_api]]
id = "conversion"
trigger = "conversion.created"
request.url = "https://told.example/"

[[tracking_api]]
id = "transaction"
trigger = "transaction.created"
request.url = "https://told.example/"

[[tracking_api]]
id = "conversion-again"
trigger = "conversion.updated"
request.url = "https://told.example/"

[[tracking_api]]
id = "transaction-again"
trigger = "transaction.updated"
request.url = "https://told.example/"
"#;

#[test]
fn of_a_thousand_simultaneous_creates_one_makes_a_conversion() {
    let mut db = Db::new();
    let rules = format!("{RULES}{TOLD}");
    db.store().install_rules(None, &rules, RulesFormat::Toml, at(0)).unwrap();
    let pcid = db.click(at(0));
    let query = format!("pcid={pcid}&type=sale&external_id=o1&value=100");
    let answers = std::thread::scope(|scope| {
        let (db, query) = (&db, &query);
        let senders: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(move || {
                    let (reply, answers) = mpsc::channel();
                    for _ in 0..50 {
                        let arrival = postback(&db.ruleset(), Method::S2s, query);
                        let reply = reply.clone();
                        let submission = submission(db.store(), arrival, at(1));
                        submit(db.store(), submission, move |a| reply.send(a).unwrap());
                    }
                    drop(reply);
                    answers.into_iter().map(Result::unwrap).collect::<Vec<_>>()
                })
            })
            .collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(answers.len(), 1000);
    let of = |outcome| answers.iter().filter(|a| a.decision.outcome == outcome).count();
    assert_eq!((of(Outcome::Created), of(Outcome::Duplicate)), (1, 999));
    let named: BTreeSet<_> =
        answers.iter().map(|a| a.decision.conversion.as_ref().unwrap().id).collect();
    assert_eq!(named.len(), 1);
    assert_eq!(db.number("SELECT count(*) FROM conversions"), 2);
    assert_eq!(db.number("SELECT count(*) FROM transactions"), 1);
    assert_eq!(messages_of(&db, *named.first().unwrap()), ["conversion", "transaction"]);
    db.reopen();
    let again = db.send(&query, at(2));
    assert_eq!(again.decision.outcome, Outcome::Duplicate);
    assert_eq!(again.decision.conversion.unwrap().id, *named.first().unwrap());
    assert_eq!(messages_of(&db, *named.first().unwrap()), ["conversion", "transaction"]);
}

/// The tracking APIs of the messages about a conversion, sorted.
fn messages_of(db: &Db, conversion: ConversionId) -> Vec<String> {
    let filter = Filter { conversion: Some(conversion.to_string()), ..Filter::default() };
    let page = db.reader().deliveries(&acme(), &filter).unwrap();
    let ids = page.items.into_iter().filter_map(|message| message.tracking_api_id);
    let mut ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_full_queue_answers_at_once_and_keeps_nothing() {
    let options = counterfoil_sqlite::Options { queue_len: 1, batch_max: 1, ..Default::default() };
    let db = Db::with(options);
    // The writer waits in the first reply, so nothing leaves the queue meanwhile.
    let (go, wait) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    let arrival = || postback(&db.ruleset(), Method::S2s, "type=sale");
    let blocking = move |_| {
        begun.send(()).unwrap();
        wait.recv().unwrap();
    };
    submit(db.store(), submission(db.store(), arrival(), at(0)), blocking);
    begins.recv().unwrap();
    let (reply, answers) = mpsc::channel();
    for n in 0..3 {
        let reply = reply.clone();
        let submission = submission(db.store(), arrival(), at(1));
        let answer = move |a: Result<_, _>| reply.send((n, a.map(drop))).unwrap();
        submit(db.store(), submission, answer);
    }
    assert_eq!(answers.recv().unwrap(), (1, Err(SubmitError::Busy)));
    assert_eq!(answers.recv().unwrap(), (2, Err(SubmitError::Busy)));
    assert_eq!(db.store().health().queue_depth, 1);
    go.send(()).unwrap();
    assert_eq!(answers.recv().unwrap(), (0, Ok(())));
    assert_eq!(db.number("SELECT count(*) FROM requests"), 2);
}

#[test]
fn dropping_the_store_answers_what_waits() {
    let mut db = Db::new();
    let (reply, answers) = mpsc::channel();
    for _ in 0..500 {
        let reply = reply.clone();
        let arrival = postback(&db.ruleset(), Method::S2s, "type=sale");
        let submission = submission(db.store(), arrival, at(1));
        submit(db.store(), submission, move |a| reply.send(a.is_ok()).unwrap());
    }
    db.store = None;
    drop(reply);
    assert_eq!(answers.into_iter().filter(|answered| *answered).count(), 500);
    assert_eq!(db.number("SELECT count(*) FROM requests"), 500);
}

/// The store is the second guard behind the decision: what breaks it is a defect, told as one, and
/// nothing of the request is kept.
#[test]
fn a_commission_that_would_pay_twice_is_refused_as_a_defect() {
    let db = Db::new();
    let pcid = db.click(at(0));
    let raw = rusqlite::Connection::open(db.path()).unwrap();
    raw.execute_batch(
        "CREATE TRIGGER twice AFTER INSERT ON transactions BEGIN \
         INSERT INTO transactions SELECT conversion, zeroblob(16), tenant, commission, type, \
         result, revenue, payout, currency, terms, direct_amount, revenue_edited, payout_edited, \
         auto_set_at, auto_set_result, created_at, updated_at, revision, direct_original, \
         direct_currency FROM transactions; END",
    )
    .unwrap();
    let sale = format!("pcid={pcid}&type=sale&value=10");
    let refused = db.try_take(postback(&db.ruleset(), Method::S2s, &sale), at(1));
    assert_eq!(refused.map(drop), Err(SubmitError::Internal));
    assert_eq!(db.number("SELECT count(*) FROM requests"), 0);
    assert_eq!(db.number("SELECT count(*) FROM conversions"), 1);
    assert_eq!(db.store().health().not_ready, None);
    raw.execute_batch("DROP TRIGGER twice").unwrap();
    assert_eq!(db.send(&sale, at(2)).decision.outcome, Outcome::Created);
}

/// The facts of repeats are kept in memory: they are those of one tenant.
#[test]
fn a_repeat_of_one_tenant_is_unknown_to_another() {
    let db = Db::new();
    let rules = RULES.replace("\"acme\"", "\"rival\"");
    db.store().install_rules(None, &rules, RulesFormat::Toml, at(0)).unwrap();
    let pcid = db.click(at(0));
    let sale = format!("pcid={pcid}&type=sale&external_id=A&value=1");
    assert_eq!(db.send(&sale, at(1)).decision.outcome, Outcome::Created);
    assert_eq!(db.send(&sale, at(2)).decision.outcome, Outcome::Duplicate);
    let ruleset = Arc::clone(db.store().rules("rival").unwrap().ruleset());
    let arrival = postback(&ruleset, Method::S2s, &sale);
    let foreign = Submission { ruleset, arrival, received_at: at(3) };
    let refused = db.store().submit_wait(foreign).unwrap().decision;
    assert_eq!(refused.outcome, Outcome::Refused);
    assert_eq!(refused.conversion, None);
}
