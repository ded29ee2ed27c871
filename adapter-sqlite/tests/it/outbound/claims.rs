//! Claims: leases, fences, what survives a restart, and fairness between destinations.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use super::*;

#[test]
fn a_late_report_changes_nothing() {
    let (db, click) = begin(&tells("x", "a.example", "timeout = '10s'"));
    db.send(&format!("pcid={click}&type=sale&value=1"), at(1));
    let paused = claim_one(&db, 1_000);
    assert_eq!(state(&db, paused.message.id), MessageState::Sending);
    // The timeout and the slack.
    let lease_end = 1_000 + 10_000 + 5_000;
    assert_eq!(next_due(&db), Some(at(lease_end)));
    assert_eq!(claim(&db, lease_end - 1).len(), 0);
    let second = claim_one(&db, lease_end);
    assert_eq!((second.message.id, second.attempt), (paused.message.id, 1));
    assert!(second.fence > paused.fence);
    let stale = vec![
        Report::Attempted(attempted(&paused, 1, DEAD)),
        answered(&paused, 1, &[("value", "7")]),
        Report::Released { message: paused.message.id, fence: paused.fence, until: at(0) },
    ];
    let before = delivery(&db, paused.message.id);
    assert_eq!(report(&db, stale), 3);
    assert_eq!(delivery(&db, paused.message.id), before);
    delivered(&db, &second, 2);
    let twice = Report::Attempted(attempted(&second, 2, DEAD));
    assert_eq!(report(&db, vec![twice]), 1);
    let after = delivery(&db, paused.message.id);
    assert_eq!((after.state, after.attempts.len()), (MessageState::Delivered, 1));
}

#[test]
fn a_lease_that_ended_is_reported_where_nobody_claimed_since() {
    let (db, click) = begin(&tells("x", "a.example", "timeout = '1s'"));
    db.send(&format!("pcid={click}&type=sale&value=1"), at(1));
    let slow = claim_one(&db, 1);
    delivered(&db, &slow, 60_000);
    assert_eq!(claim(&db, 90_000).len(), 0);
}

#[test]
fn what_was_being_sent_is_due_again_after_a_restart() {
    let (mut db, click) = begin(&tells("x", "a.example", ""));
    db.send(&format!("pcid={click}&type=sale&value=1"), at(1));
    let lost = claim_one(&db, 2);
    db.reopen();
    assert_eq!(state(&db, lost.message.id), MessageState::Due);
    assert_eq!(next_due(&db), Some(at(1)));
    let late = Report::Attempted(attempted(&lost, 3, Next::Delivered));
    assert_eq!(report(&db, vec![late]), 1);
    let found = claim_one(&db, 3);
    assert_eq!(found.message, lost.message);
    assert!(found.fence > lost.fence);
    delivered(&db, &found, 4);
}

#[test]
fn what_is_released_waits_and_uses_up_nothing() {
    let (db, click) = begin(&tells("x", "a.example", ""));
    db.send(&format!("pcid={click}&type=sale&value=1"), at(1));
    let claimed = claim_one(&db, 2);
    let (message, fence) = (claimed.message.id, claimed.fence);
    assert_eq!(report(&db, vec![Report::Released { message, fence, until: at(500) }]), 0);
    assert_eq!((claim(&db, 499).len(), next_due(&db)), (0, Some(at(500))));
    let again = claim_one(&db, 500);
    assert_eq!((again.attempt, again.delivery_retries, again.polls), (1, 0, 0));
    assert!(delivery(&db, message).attempts.is_empty());
}

#[test]
fn each_kind_of_retry_has_its_counter() {
    let (db, click) = begin(&tells("x", "a.example", ""));
    db.send(&format!("pcid={click}&type=sale&value=1"), at(1));
    let story = [
        (RetryKind::Delivery, (1, 0, 0), "due"),
        (RetryKind::Polling, (2, 1, 0), "polling"),
        (RetryKind::Ours, (3, 1, 1), "polling"),
        (RetryKind::Polling, (4, 1, 1), "polling"),
        (RetryKind::Delivery, (5, 1, 2), "due"),
    ];
    for (n, (kind, before, after)) in (2..).zip(story) {
        let claimed = claim_one(&db, n);
        assert_eq!((claimed.attempt, claimed.delivery_retries, claimed.polls), before);
        ended(&db, &claimed, n, again(n + 1, kind));
        assert_eq!(state(&db, claimed.message.id).name(), after);
    }
    let last = claim_one(&db, 9);
    assert_eq!((last.attempt, last.delivery_retries, last.polls), (6, 2, 2));
    delivered(&db, &last, 9);
    let attempts = delivery(&db, last.message.id).attempts;
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert_eq!((attempts[0].status, attempts[5].status), (Some(503), Some(200)));
    assert_eq!((attempts[5].duration_ms, attempts[5].started_at), (20, at(9)));
    assert_eq!(attempts[5].response.as_deref(), Some("answer"));
}

/// Claims by destination, in the order in which they came.
fn by_destination(claims: &[Claim]) -> Vec<(String, usize)> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for claim in claims {
        let name = claim.call().unwrap().request.destination.to_string();
        match counts.last_mut() {
            Some((last, count)) if *last == name => *count += 1,
            _ => counts.push((name, 1)),
        }
    }
    counts
}

fn three_destinations() -> (Db, ConversionId) {
    let rules = ["a", "b", "c"].map(|name| tells(name, &format!("{name}.example"), ""));
    begin(&rules.concat())
}

#[test]
fn no_destination_starves_behind_another() {
    let (db, click) = three_destinations();
    for n in 0..20 {
        db.send(&format!("pcid={click}&type=sale&external_id={n}&value=1"), at(n));
    }
    let few = Wanted { most_of_one: 4, ..wanted(100, 6) };
    let name = |host: &str| format!("https://{host}.example:443");
    let claims = try_claim(&db, few.clone()).unwrap();
    assert_eq!(by_destination(&claims), [(name("a"), 4), (name("b"), 2)]);
    // The oldest first.
    let ids: Vec<_> = claims.iter().map(|claim| claim.message.id).collect();
    assert!(ids[..4].is_sorted() && ids[0] == all(&db)[0].id);
    let claims = try_claim(&db, few.clone()).unwrap();
    assert_eq!(by_destination(&claims), [(name("c"), 4), (name("a"), 2)]);
    let busy = Wanted { except: vec![name("b").into(), name("a").into()], ..few };
    let claims = try_claim(&db, busy.clone()).unwrap();
    assert_eq!(by_destination(&claims), [(name("c"), 4)]);
    let none = Wanted { most: 0, ..busy };
    assert_eq!(try_claim(&db, none).unwrap().len(), 0);
}

/// Another message like the first.
const COPY: &str = "INSERT INTO messages SELECT ?1, tenant, ruleset, tracking_api, postback, step, \
     owner, event, conversion, transaction_id, ?2 + 1, standing, reason, due_at + ?2, destination, \
     request, depth, is_delayed, settled_after, fence, lease_until, attempts, delivery_retries, \
     polls FROM messages WHERE sequence = 1 LIMIT 1";

/// Ten thousand messages of one destination are claimed in slices, each once, and another
/// destination is served all the time.
#[test]
fn a_long_queue_is_claimed_in_slices() {
    let (db, click) = begin(&tells("x", "a.example", "ordered = false"));
    db.send(&format!("pcid={click}&type=sale&value=1"), at(1));
    let first = all(&db)[0].id;
    let mut raw = rusqlite::Connection::open(db.path()).unwrap();
    let copies = raw.transaction().unwrap();
    for n in 1..=10_000_u16 {
        let mut id = *first.as_bytes();
        let [high, low] = n.to_be_bytes();
        id[12] ^= high;
        id[13] ^= low;
        copies.execute(COPY, rusqlite::params![id, n]).unwrap();
    }
    copies.commit().unwrap();
    install(&db, &(tells("x", "a.example", "ordered = false") + &tells("y", "b.example", "")), 2);
    db.send(&format!("pcid={click}&type=sale&value=2"), at(2));
    let mut seen = BTreeMap::new();
    let mut slices = 0;
    loop {
        let slice = Wanted { most_of_one: 500, ..wanted(20_000, 600) };
        let claims = try_claim(&db, slice).unwrap();
        if claims.is_empty() {
            break;
        }
        slices += 1;
        assert!(claims.len() <= 501, "{}", claims.len());
        for claim in &claims {
            *seen.entry(claim.message.id).or_insert(0) += 1;
        }
        let ends = claims.iter().map(|c| Report::Attempted(attempted(c, 3, Next::Delivered)));
        assert_eq!(report(&db, ends.collect()), 0);
    }
    assert_eq!(seen.len(), 10_003);
    assert!(seen.values().all(|times| *times == 1));
    assert_eq!(slices, 21);
    assert_eq!(next_due(&db), None);
}

#[test]
fn whoever_sends_is_woken_by_what_becomes_due_and_by_nothing_else() {
    let (db, click) = begin(&tells("x", "a.example", ""));
    let rings = Arc::new(AtomicU32::new(0));
    let bell = Arc::clone(&rings);
    db.store().on_due(Box::new(move || {
        bell.fetch_add(1, Ordering::SeqCst);
    }));
    let rung = || rings.swap(0, Ordering::SeqCst);
    db.send("type=nonsense", at(1));
    assert_eq!(rung(), 0);
    db.send(&format!("pcid={click}&type=sale&external_id=1&value=1"), at(1));
    assert_eq!(rung(), 1);
    db.send(&format!("pcid={click}&action=update&external_id=1&value=2"), at(2));
    rung();
    let first = claim_one(&db, 3);
    assert_eq!(rung(), 0, "a claim wakes nobody");
    delivered(&db, &first, 4);
    assert_eq!(rung(), 1, "the next number is due");
    let second = claim_one(&db, 4);
    ended(&db, &second, 5, again(6, RetryKind::Delivery));
    assert_eq!(rung(), 1);
    let second = claim_one(&db, 6);
    delivered(&db, &second, 6);
    assert_eq!(rung(), 0, "nothing follows");
    db.store().retry(&acme(), second.message.id, at(7)).unwrap();
    assert_eq!(rung(), 1);
}

/// A fault of ours is met every minute until somebody mends it: it stands there once.
#[test]
fn a_fault_of_ours_that_is_met_again_is_kept_once() {
    let (db, click) = begin(&tells("x", "a.example", ""));
    db.send(&format!("pcid={click}&type=sale&value=1"), at(1));
    let fault = |ms: i64, error: &str| {
        let claimed = claim_one(&db, ms);
        let outcome = AttemptOutcome::OurFault;
        let next = again(ms + 1, RetryKind::Ours);
        let made = Attempted {
            outcome,
            error: Some(error.into()),
            response: None,
            ..attempted(&claimed, ms, next)
        };
        assert_eq!(report(&db, vec![Report::Attempted(made)]), 0);
        delivery(&db, claimed.message.id)
    };
    for ms in 10..200 {
        let shown = fault(ms, "there is no secret `key`");
        assert_eq!(shown.attempts.len(), 1);
        assert_eq!((shown.attempts[0].number, shown.attempts[0].started_at), (1, at(ms)));
        assert_eq!(shown.attempts[0].outcome, "our_fault");
        assert_eq!(shown.last_error.as_deref(), Some("there is no secret `key`"));
    }
    assert_eq!(fault(200, "there is no secret `other`").attempts.len(), 2);
    let last = claim_one(&db, 201);
    assert_eq!((last.attempt, last.delivery_retries), (3, 0));
    delivered(&db, &last, 201);
    let shown = delivery(&db, last.message.id);
    assert_eq!((shown.attempts.len(), shown.last_error), (3, None));
}

/// The clock of whoever sends is set forward by a day, then back by an hour and a day: nothing is
/// lost, nothing is sent before it is due by the clock of then, and all goes on.
#[test]
fn a_clock_that_jumps_loses_nothing() {
    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    let delayed = "[[tracking_api]]\nid = 'later'\ndelay = '2h'\nresults = ['approved']\n\
                   request.url = 'https://b.example/'\n";
    let (mut db, click) = begin(&(tells("x", "a.example", "timeout = '1s'") + delayed));
    let sale = |n: u32| format!("pcid={click}&type=sale&external_id={n}&value=1");
    db.send(&sale(1), at(DAY));
    let waits = claim_one(&db, DAY);
    ended(&db, &waits, DAY, again(DAY + 5_000, RetryKind::Delivery));
    // Back by an hour: what waits, waits by the old clock; what is new goes at once.
    let back = DAY - HOUR;
    assert!(claim(&db, back).is_empty());
    db.send(&sale(2), at(back));
    let new = claim_one(&db, back);
    delivered(&db, &new, back);
    // A lease that was given before the clock went back ends by the old clock, or with a restart.
    let lost = claim_one(&db, DAY + 5_000);
    assert_eq!(lost.message.id, waits.message.id);
    assert!(claim(&db, back).is_empty());
    db.reopen();
    let again = claim_one(&db, DAY + 5_000);
    // Forward by a day while it is sent: it is given out again, and reported once.
    let twice = claim(&db, 3 * DAY);
    assert!(twice.iter().any(|claim| claim.message.id == again.message.id));
    let stale = Report::Attempted(attempted(&again, DAY, Next::Delivered));
    assert_eq!(report(&db, vec![stale]), 1);
    for claim in &twice {
        delivered(&db, claim, 3 * DAY);
    }
    // The ids of what comes after a clock went back are above those of before.
    db.send(&sale(3), at(back));
    delivered(&db, &claim_one(&db, back), back);
    let ids: Vec<_> = all(&db).iter().map(|message| message.id).collect();
    assert!(ids.is_sorted());
    assert!(claim(&db, i64::from(u32::MAX)).is_empty());
    let left: Vec<_> = all(&db).into_iter().map(|message| message.state.name()).collect();
    assert_eq!(left.iter().filter(|state| **state == "delivered").count(), 3);
    replays(&db);
}
