//! Answers mapped back (R45) and the steps of a definition (R46).

use counterfoil_core::{Method, Outcome, Unmapped, UnmappedReason};

use super::*;

const ASKS: &str = "set = { value = { path = '/v' }, result = { path = '/r' } }";

const STEPS: &str = r#"
[[postback]]
id = "three"
types = ["sale"]
[[postback.step]]
request.url = "https://a.example/{external_id}?v={value}"
set = { value = { path = "/v" } }
[[postback.step]]
request.url = "https://b.example/?v={value}&p={payout}"
[[postback.step]]
request.url = "https://c.example/?v={value}"
"#;

fn log(db: &Db) -> Vec<counterfoil_core::view::RequestView> {
    let mut page = db.reader().requests(&acme(), &Filter::default()).unwrap();
    page.items.reverse();
    page.items
}

#[test]
fn an_answer_is_an_update_with_its_own_log_row_and_events() {
    let rules = tells("x", "a.example", ASKS) + &tells("y", "b.example", "");
    let (db, click) = begin(&rules);
    let sale = db.send(&format!("pcid={click}&type=sale&external_id=1&value=1"), at(1));
    let claims = claim(&db, 2);
    let asks = claims.iter().find(|c| c.call().unwrap().set.len() == 2).unwrap();
    let report_of = answered(asks, 1_000, &[("value", "300"), ("result", "approved")]);
    // Told twice, in one batch and later: applied once.
    assert_eq!(report(&db, vec![report_of.clone(), report_of.clone()]), 1);
    assert_eq!(report(&db, vec![report_of]), 1);
    let logged = log(&db);
    let row = &logged[1];
    assert_eq!(logged.len(), 2);
    assert_eq!((row.method, row.outcome), (Method::TrackingApi, Outcome::Updated));
    assert_eq!(row.received_at, at(1_020), "when the answer was there");
    let id = sale.decision.conversion.unwrap().id;
    assert_eq!(row.conversion_id, Some(id));
    let conversion = db.reader().conversion(&acme(), id).unwrap().unwrap();
    assert_eq!(conversion.transactions[0].payout.to_string(), "15.00");
    // The other is told of it, the one that asked is not.
    let told: Vec<_> = all(&db)
        .into_iter()
        .map(|m| (m.tracking_api_id.unwrap().to_string(), m.sequence))
        .collect();
    let told: Vec<_> = told.iter().map(|(id, n)| (id.as_str(), n.unwrap())).collect();
    assert_eq!(told, [("x", 1), ("y", 1), ("y", 2)]);
    assert_eq!(all(&db)[2].event, Some("conversion.updated"));
    replays(&db);
}

#[test]
fn an_answer_is_read_with_the_rules_that_run_now() {
    let (mut db, click) = begin(&tells("x", "a.example", ASKS));
    db.send(&format!("pcid={click}&type=sale&external_id=1&value=1"), at(1));
    let claimed = claim_one(&db, 2);
    install(&db, "", 3);
    assert!(claimed.call().is_some(), "by the rules of its event");
    assert_eq!(report(&db, vec![answered(&claimed, 4, &[("value", "300")])]), 0);
    let row = log(&db).remove(1);
    assert_eq!(row.outcome, Outcome::Updated);
    assert_eq!(db.number("SELECT max(ruleset) FROM requests"), 3);
    // Also where this process has installed none.
    db.store().retry(&acme(), claimed.message.id, at(5)).unwrap();
    db.store = None;
    db.store = Some(counterfoil_sqlite::Store::open(&db.path(), Default::default()).unwrap());
    let claimed = claim_one(&db, 6);
    assert_eq!(report(&db, vec![answered(&claimed, 7, &[("value", "400")])]), 0);
    assert_eq!(log(&db).len(), 3);
    replays(&db);
}

#[test]
fn an_answer_that_is_refused_is_logged_and_the_message_is_delivered() {
    let (db, click) = begin(&tells("x", "a.example", ASKS));
    db.send(&format!("pcid={click}&type=sale&external_id=1&value=1"), at(1));
    let claimed = claim_one(&db, 2);
    assert_eq!(report(&db, vec![answered(&claimed, 3, &[("value", "a lot")])]), 0);
    assert_eq!(log(&db)[1].outcome, Outcome::Refused);
    assert_eq!(state(&db, claimed.message.id), MessageState::Delivered);
    replays(&db);
}

#[test]
fn what_an_answer_left_out_stands_at_its_attempt() {
    let (db, click) = begin(&tells("x", "a.example", ASKS));
    db.send(&format!("pcid={click}&type=sale&external_id=1&value=1"), at(1));
    let claimed = claim_one(&db, 2);
    let mut attempted = attempted(&claimed, 3, Next::Delivered);
    let left_out = |parameter: &str, reason, found: &str| Unmapped {
        parameter: parameter.into(),
        reason,
        found: found.into(),
    };
    let unmapped = vec![
        left_out("value", UnmappedReason::Absent, "/total"),
        left_out("result", UnmappedReason::NotInMap, "weird"),
    ];
    let want = unmapped.clone();
    attempted.answer = Some(ReadAnswer { unmapped, ..ReadAnswer::default() });
    assert_eq!(report(&db, vec![Report::Attempted(attempted)]), 0);
    let attempt = delivery(&db, claimed.message.id).attempts.remove(0);
    assert_eq!(attempt.unmapped_values, want);
    assert_eq!(attempt.outcome, "answered");
    assert_eq!(log(&db).len(), 1);
}

fn steps() -> (Db, Vec<MessageId>) {
    let (db, click) = begin(STEPS);
    let query = format!("id=three&pcid={click}&type=sale&external_id=1&value=1");
    db.send(&query, at(1));
    let ids = all(&db).iter().map(|message| message.id).collect();
    assert_eq!(states(&db), "due held held");
    for (postback, len) in [("three", 3), ("two", 0)] {
        let filter = Filter { postback: Some(postback.into()), ..Filter::default() };
        assert_eq!(db.reader().deliveries(&acme(), &filter).unwrap().items.len(), len);
    }
    (db, ids)
}

#[test]
fn a_step_is_rendered_when_the_one_before_it_is_applied() {
    let (db, ids) = steps();
    let first = claim_one(&db, 2);
    assert_eq!(first.message.id, ids[0]);
    assert_eq!(report(&db, vec![answered(&first, 1_000, &[("value", "200")])]), 0);
    assert_eq!((states(&db), next_due(&db)), ("delivered due held".into(), Some(at(1_020))));
    assert_eq!(log(&db)[1].method, Method::Step);
    let second = claim_one(&db, 1_020);
    let url = delivery(&db, ids[1]).request.unwrap().url;
    assert_eq!(url, "https://b.example/?v=200.00&p=10.00");
    delivered(&db, &second, 1_030);
    let third = claim_one(&db, 1_050);
    delivered(&db, &third, 1_060);
    assert_eq!((states(&db), next_due(&db)), ("delivered delivered delivered".into(), None));
    replays(&db);
}

#[test]
fn a_dead_step_ends_the_sequence_and_a_retry_takes_it_up_again() {
    let (db, ids) = steps();
    ended(&db, &claim_one(&db, 2), 2, DEAD);
    assert_eq!(states(&db), "dead dead dead");
    let reasons: Vec<_> = all(&db).iter().map(|message| message.reason.unwrap()).collect();
    let failed = DeadReason::PreviousStepFailed;
    assert_eq!(reasons, [DeadReason::RetriesExhausted, failed, failed]);
    db.store().retry(&acme(), ids[0], at(3)).unwrap();
    assert_eq!(states(&db), "due held held");
    let again = claim_one(&db, 3);
    assert_eq!(again.attempt, 2);
    delivered(&db, &again, 4);
    assert_eq!(states(&db), "delivered due held");
    let second = claim_one(&db, 100);
    ended(&db, &second, 100, DEAD);
    // Only what stands behind it died with it.
    assert_eq!(states(&db), "delivered dead dead");
}

/// A report whose update fails by a defect does not take the others with it.
#[test]
fn a_defect_in_one_report_leaves_the_others() {
    let (db, click) = begin(&tells("x", "a.example", &format!("ordered = false\n{ASKS}")));
    for n in 0..3 {
        db.send(&format!("pcid={click}&type=sale&external_id={n}&value=1"), at(n));
    }
    let claims = claim(&db, 9);
    let raw = rusqlite::Connection::open(db.path()).unwrap();
    let broken = claims[1].message.conversion_id;
    let sql = "UPDATE conversions SET currency = 'none' WHERE id = ?1";
    raw.execute(sql, [broken.as_bytes()]).unwrap();
    let reports = claims.iter().map(|claim| answered(claim, 10, &[("value", "5")])).collect();
    assert_eq!(report(&db, reports), 0);
    assert_eq!(states(&db), "delivered due delivered");
    // It rests, and tells why.
    let attempt = delivery(&db, claims[1].message.id).attempts.remove(0);
    assert!(attempt.error.unwrap().contains("could not be applied"));
    assert_eq!(next_due(&db), Some(at(30 + 600_000)));
    assert_eq!(log(&db).len(), 5);
    assert_eq!(db.store().health().not_ready, None);
}
