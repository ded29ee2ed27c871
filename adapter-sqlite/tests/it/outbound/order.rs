//! The order of one tracking API's messages about one conversion (R44).

use super::*;

#[test]
fn a_message_is_not_claimed_before_the_one_before_it_has_ended() {
    let (db, click) = begin(&tells("x", "a.example", ""));
    db.send(&format!("pcid={click}&type=sale&external_id=1&value=1"), at(1));
    for value in 2..4 {
        let update = format!("pcid={click}&action=update&external_id=1&value={value}");
        db.send(&update, at(value));
    }
    db.send(&format!("pcid={click}&type=sale&external_id=2&value=9"), at(4));
    let numbers: Vec<_> = all(&db).iter().map(|message| message.sequence.unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 1]);
    assert_eq!(states(&db), "due due due due", "what waits for another is shown as due");
    let claims = claim(&db, 10);
    let [first, other] = &claims[..] else { panic!("two") };
    assert_eq!((first.message.sequence, other.message.sequence), (Some(1), Some(1)));
    // A retry of the first keeps the second back.
    ended(&db, first, 11, again(20, RetryKind::Delivery));
    assert_eq!(claim(&db, 15).len(), 0);
    let first = claim_one(&db, 20);
    assert_eq!((first.attempt, first.delivery_retries), (2, 1));
    ended(&db, &first, 20, DEAD);
    let second = claim_one(&db, 21);
    assert_eq!(second.message.sequence, Some(2));
    assert_eq!(claim(&db, 22).len(), 0);
    delivered(&db, &second, 22);
    delivered(&db, &claim_one(&db, 23), 23);
    delivered(&db, other, 24);
    assert_eq!(states(&db), "dead delivered delivered delivered");
    assert_eq!(next_due(&db), None);
    replays(&db);
}

#[test]
fn without_order_all_are_claimed_at_once() {
    let (db, click) = begin(&tells("x", "a.example", "ordered = false"));
    db.send(&format!("pcid={click}&type=sale&external_id=1&value=1"), at(1));
    db.send(&format!("pcid={click}&action=update&external_id=1&value=2"), at(2));
    assert_eq!(claim(&db, 10).len(), 2);
}

#[test]
fn a_message_retried_by_hand_is_in_order_again() {
    let (db, click) = begin(&tells("x", "a.example", ""));
    db.send(&format!("pcid={click}&type=sale&external_id=1&value=1"), at(1));
    db.send(&format!("pcid={click}&action=update&external_id=1&value=2"), at(2));
    let first = claim_one(&db, 3);
    ended(&db, &first, 3, DEAD);
    db.store().retry(&acme(), first.message.id, at(4)).unwrap();
    let claimed = claim_one(&db, 5);
    assert_eq!(claimed.message.id, first.message.id);
    delivered(&db, &claimed, 5);
    assert_eq!(claim_one(&db, 6).message.sequence, Some(2));
}

/// R44 where the second is being sent as the first is retried: its attempt may end, and whatever
/// follows it waits for the first.
#[test]
fn what_is_being_sent_when_the_one_before_it_is_retried_waits_behind_it() {
    let ends = [
        ("delivery", Some(again(9, RetryKind::Delivery))),
        ("polling", Some(again(9, RetryKind::Polling))),
        ("ours", Some(again(9, RetryKind::Ours))),
        ("lease", None),
    ];
    for (name, end) in ends {
        let (db, click) = begin(&tells("x", "a.example", "timeout = '1s'"));
        db.send(&format!("pcid={click}&type=sale&external_id=1&value=1"), at(1));
        db.send(&format!("pcid={click}&action=update&external_id=1&value=2"), at(2));
        let first = claim_one(&db, 3);
        ended(&db, &first, 3, DEAD);
        let second = claim_one(&db, 4);
        db.store().retry(&acme(), first.message.id, at(5)).unwrap();
        assert_eq!(db.reader().outbox().unwrap().due, 2, "{name}");
        if let Some(next) = end {
            ended(&db, &second, 6, next);
        }
        // Long after: of both, the first alone is claimed.
        let claimed = claim_one(&db, 60_000);
        assert_eq!(claimed.message.id, first.message.id, "{name}");
        delivered(&db, &claimed, 60_000);
        let claimed = claim_one(&db, 120_000);
        assert_eq!(claimed.message.id, second.message.id, "{name}");
        delivered(&db, &claimed, 120_000);
        assert_eq!(states(&db), "delivered delivered", "{name}");
    }
}

/// Where its attempt ends well it is not sent again.
#[test]
fn what_arrives_while_the_one_before_it_is_retried_has_ended() {
    let (mut db, click) = begin(&tells("x", "a.example", ""));
    db.send(&format!("pcid={click}&type=sale&external_id=1&value=1"), at(1));
    db.send(&format!("pcid={click}&action=update&external_id=1&value=2"), at(2));
    let first = claim_one(&db, 3);
    ended(&db, &first, 3, DEAD);
    let second = claim_one(&db, 4);
    db.store().retry(&acme(), first.message.id, at(5)).unwrap();
    delivered(&db, &second, 6);
    db.reopen();
    let claimed = claim_one(&db, 7);
    assert_eq!(claimed.message.id, first.message.id);
    delivered(&db, &claimed, 8);
    assert!(claim(&db, 999_999).is_empty());
}
