//! Delayed messages (R43): one for each transaction, held, woken, dropped, and replayed.

use counterfoil_core::Outcome;

use super::*;

fn later(more: &str) -> String {
    format!(
        "[[tracking_api]]\nid = 'x'\ndelay = '1h'\n\
         request.url = 'https://a.example/?r={{result}}&p={{payout}}&n={{sequence}}'\n{more}\n"
    )
}

const HOUR: i64 = 3_600_000;

fn sold(more: &str) -> (Db, String) {
    let (db, click) = begin(&later(more));
    db.send(&format!("pcid={click}&type=sale&external_id=1&value=100"), at(0));
    let update = format!("pcid={click}&action=update&external_id=1");
    (db, update)
}

fn url(db: &Db, id: MessageId) -> String {
    delivery(db, id).request.unwrap().url
}

#[test]
fn events_are_coalesced_until_a_message_has_ended() {
    let (db, update) = sold("");
    db.send(&format!("{update}&value=200&result=approved"), at(1));
    db.send(&format!("{update}&value=300"), at(2));
    assert_eq!((states(&db), next_due(&db)), ("due".into(), Some(at(HOUR))));
    assert_eq!(claim(&db, HOUR - 1).len(), 0);
    let first = claim_one(&db, HOUR);
    assert_eq!(first.message.sequence, Some(1));
    let expected = "https://a.example/?r=approved&p=15.00&n=1";
    assert_eq!(url(&db, first.message.id), expected);
    // No news; then news.
    db.send(&format!("{update}&note=x"), at(HOUR + 1));
    assert_eq!(all(&db).len(), 1);
    db.send(&format!("{update}&value=400"), at(HOUR + 2));
    assert_eq!(states(&db), "sending due");
    // The next is rendered and numbered, and kept back by the order.
    ended(&db, &first, HOUR + 3, again(3 * HOUR, RetryKind::Delivery));
    assert_eq!(claim(&db, 2 * HOUR + 2).len(), 0);
    assert_eq!(all(&db)[1].sequence, Some(2));
    let first = claim_one(&db, 3 * HOUR);
    delivered(&db, &first, 3 * HOUR);
    let second = claim_one(&db, 3 * HOUR);
    assert_eq!(url(&db, second.message.id), "https://a.example/?r=approved&p=20.00&n=2");
    delivered(&db, &second, 3 * HOUR);
    replays(&db);
}

#[test]
fn a_message_is_held_for_its_result_and_woken_by_it() {
    let (db, update) = sold("");
    assert_eq!(claim(&db, HOUR).len(), 0);
    assert_eq!((states(&db), next_due(&db)), ("held".into(), None));
    db.send(&format!("{update}&value=200"), at(HOUR + 1));
    assert_eq!((states(&db), next_due(&db)), ("held".into(), None));
    db.send(&format!("{update}&result=rejected"), at(HOUR + 2));
    assert_eq!((states(&db), next_due(&db)), ("due".into(), Some(at(HOUR + 2))));
    let claimed = claim_one(&db, HOUR + 2);
    assert_eq!(url(&db, claimed.message.id), "https://a.example/?r=rejected&p=10.00&n=1");
    replays(&db);
}

#[test]
fn what_is_held_is_woken_by_rules_that_know_no_tracking_api() {
    let (db, update) = sold("");
    claim(&db, HOUR);
    install(&db, "", HOUR);
    db.send(&format!("{update}&result=approved"), at(HOUR + 1));
    assert_eq!(claim_one(&db, HOUR + 1).message.sequence, Some(1));
    replays(&db);
}

#[test]
fn what_its_conditions_hold_back_when_it_is_due_is_dead_and_takes_no_number() {
    let (db, update) = sold("results = ['approved', 'pending']");
    db.send(&format!("{update}&result=rejected"), at(1));
    assert_eq!(claim(&db, HOUR).len(), 0);
    let dropped = all(&db).remove(0);
    assert_eq!(dropped.reason, Some(DeadReason::ConditionsNotMet));
    assert_eq!((dropped.sequence, dropped.request), (None, None));
    db.send(&format!("{update}&result=approved"), at(HOUR + 1));
    let next = claim_one(&db, 2 * HOUR + 1);
    assert_eq!(next.message.sequence, Some(1));
    // By hand it is looked at once more, and told after the other.
    delivered(&db, &next, 2 * HOUR + 2);
    db.store().retry(&acme(), dropped.id, at(2 * HOUR + 3)).unwrap();
    let by_hand = claim_one(&db, 2 * HOUR + 3);
    assert_eq!((by_hand.message.id, by_hand.message.sequence), (dropped.id, Some(2)));
    replays(&db);
}

#[test]
fn what_was_dropped_is_not_held_when_it_is_retried() {
    let (db, update) = sold("results = ['approved', 'pending']");
    db.send(&format!("{update}&result=rejected"), at(1));
    claim(&db, HOUR);
    let dropped = all(&db)[0].id;
    db.send(&format!("{update}&result=pending"), at(HOUR + 1));
    db.store().retry(&acme(), dropped, at(HOUR + 2)).unwrap();
    assert_eq!(claim(&db, HOUR + 2).len(), 0);
    assert_eq!(state(&db, dropped), MessageState::Dead);
    replays(&db);
}

/// When a delayed message was sent decides whether a later event starts another: replaying knows.
#[test]
fn replay_settles_delayed_messages_when_they_were_settled() {
    let (db, update) = sold("");
    db.send(&format!("{update}&result=approved"), at(1));
    for n in 1..6 {
        // Two events before each message is due, and one after it.
        db.send(&format!("{update}&value={n}00"), at(n * 2 * HOUR));
        db.send(&format!("{update}&value={n}50"), at(n * 2 * HOUR + 1));
        for claimed in claim(&db, n * 2 * HOUR + HOUR) {
            delivered(&db, &claimed, n * 2 * HOUR + HOUR);
        }
    }
    let count = all(&db).len();
    assert!(count > 3, "{count}");
    replays(&db);
    // Without what is kept of those moments it could not know.
    let raw = rusqlite::Connection::open(db.path()).unwrap();
    raw.execute_batch("UPDATE messages SET settled_after = NULL").unwrap();
    let report = db.reader().replay().unwrap();
    assert!(report.differences.iter().all(|found| found.what == "message"), "{report:?}");
    assert_eq!(report.differences_total, count as u64 - 1);
}

/// What becomes of a delayed message is no decision, so facts of repeats that tell of one are not
/// kept in memory.
#[test]
fn a_repeat_knows_that_a_delayed_message_was_sent_since_the_repeat_before() {
    let definition =
        "[[postback]]\nid = 'again'\ndedup = { key = 'external', on_repeat = 'update' }\n";
    let (db, click) = begin(&later(definition));
    let sale = format!("id=again&pcid={click}&type=sale&external_id=1");
    db.send(&format!("{sale}&value=100"), at(0));
    let update = format!("pcid={click}&action=update&external_id=1&result=approved");
    db.send(&update, at(1));
    let repeat = db.send(&format!("{sale}&value=100"), at(2)).decision;
    assert_eq!(repeat.outcome, Outcome::Unchanged);
    delivered(&db, &claim_one(&db, HOUR), HOUR);
    db.send(&format!("{sale}&value=400"), at(HOUR + 1));
    assert_eq!(states(&db), "delivered due");
    replays(&db);
}
