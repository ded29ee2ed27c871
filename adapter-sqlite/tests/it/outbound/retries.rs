//! Manual retries (R42).

use counterfoil_sqlite::Retried;

use super::*;

fn retry(db: &Db, id: MessageId) -> Retried {
    db.store().retry(&acme(), id, at(1_000)).unwrap()
}

#[test]
fn what_is_not_in_hand_is_due_again_under_its_id_and_keeps_its_counters() {
    let (db, click) = begin(&tells("x", "a.example", ""));
    db.send(&format!("pcid={click}&type=sale&value=1"), at(1));
    let claimed = claim_one(&db, 2);
    let id = claimed.message.id;
    assert_eq!(retry(&db, id), Retried::InHand);
    ended(&db, &claimed, 2, again(9_000, RetryKind::Delivery));
    assert_eq!(retry(&db, id), Retried::Due);
    let claimed = claim_one(&db, 1_000);
    assert_eq!((claimed.attempt, claimed.delivery_retries), (2, 1));
    ended(&db, &claimed, 2, Next::Dead(DeadReason::Gone));
    assert_eq!(delivery(&db, id).reason, Some(DeadReason::Gone));
    assert_eq!(retry(&db, id), Retried::Due);
    assert_eq!((state(&db, id), delivery(&db, id).reason), (MessageState::Due, None));
    let claimed = claim_one(&db, 1_000);
    assert_eq!((claimed.message.id, claimed.attempt, claimed.delivery_retries), (id, 3, 1));
    delivered(&db, &claimed, 3);
    assert_eq!(retry(&db, id), Retried::Due);
    delivered(&db, &claim_one(&db, 1_000), 4);
    assert_eq!(delivery(&db, id).attempts.len(), 4);
    let other = counterfoil_core::TenantName::new("other").unwrap();
    assert_eq!(db.store().retry(&other, id, at(0)), Ok(Retried::NotFound));
    let none = "01930000-0000-7abc-8def-012345671000".parse().unwrap();
    assert_eq!(retry(&db, none), Retried::NotFound);
}

#[test]
fn what_is_held_is_left_alone() {
    let rules = "[[tracking_api]]\nid = 'x'\ndelay = '1s'\nrequest.url = 'https://a.example/'\n";
    let (db, click) = begin(rules);
    db.send(&format!("pcid={click}&type=sale&value=1"), at(1));
    claim(&db, 2_000);
    assert_eq!(states(&db), "held");
    assert_eq!(retry(&db, all(&db)[0].id), Retried::InHand);
    assert_eq!(states(&db), "held");
}

#[test]
fn all_that_a_filter_names_is_retried_dead_ones_unless_it_says_otherwise() {
    let (db, click) = begin(&(tells("x", "a.example", "") + &tells("y", "b.example", "")));
    for n in 0..1_200 {
        db.send(&format!("pcid={click}&type=sale&external_id={n}&value=1"), at(1));
    }
    let all_of = |ms| try_claim(&db, wanted(ms, 5_000)).unwrap();
    let claims = all_of(2);
    assert_eq!(claims.len(), 2_400);
    let reports = claims.iter().enumerate().map(|(n, claim)| {
        let next = if n % 3 == 0 { Next::Delivered } else { DEAD };
        Report::Attempted(attempted(claim, 2, next))
    });
    assert_eq!(report(&db, reports.collect()), 0);
    let outbox = db.reader().outbox().unwrap();
    assert_eq!((outbox.due, outbox.dead), (0, 1_600));
    let retry_all = |filter: &Filter| db.store().retry_all(&acme(), filter, at(3)).unwrap();
    let of_x = Filter { tracking_api: Some("x".into()), ..Filter::default() };
    assert_eq!(retry_all(&of_x), 800);
    assert_eq!((retry_all(&of_x), retry_all(&Filter::default())), (0, 800));
    assert_eq!(db.reader().outbox().unwrap().due, 1_600);
    let state = Some(MessageState::Delivered);
    assert_eq!(retry_all(&Filter { state, ..Filter::default() }), 800);
    assert_eq!(all_of(3).len(), 2_400);
}
