//! A destination that fails is left alone for a while, then one message tries (R42).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use counterfoil_core::{Breaker, Next, Period, Timestamp};

use super::{
    mail::rules,
    receiver::{Receiver, http},
    sending::{START, Sending},
};

fn state(sending: &Sending, line: &str) -> bool {
    sending.metrics.text().lines().any(|known| known == line)
}

#[test]
fn a_breaker_opens_and_one_message_tries() {
    let works = Arc::new(AtomicBool::new(false));
    let is_up = works.clone();
    let receiver = Receiver::answering(move |_| match is_up.load(Ordering::SeqCst) {
        true => http("200", "", b""),
        false => http("500", "", b""),
    });
    let sending = Sending::start();
    let opens_at = usize::try_from(Breaker::FAILURES_MAX).unwrap();
    for _ in 0..opens_at {
        sending.send(&receiver.api());
    }
    assert_eq!(receiver.asked().len(), opens_at);

    // While it is open nothing is tried, and nothing is used up; others go on.
    let held: Vec<_> = (0..20).map(|_| sending.put(&receiver.api())).collect();
    let other = Receiver::constant("200", "", "");
    assert_eq!(sending.send(&other.api()).next, Next::Delivered);
    assert_eq!(receiver.asked().len(), opens_at);
    assert!(
        state(&sending, "counterfoil_breakers{state=\"open\"} 1"),
        "{}",
        sending.metrics.text()
    );

    // Half open, and it still fails: one message has tried.
    sending.set_clock(START.plus(Period::from_ms(30_000)));
    sending.mail.wait("a try", |mail| {
        let tried = mail.rows.iter().map(|row| row.attempts.len()).sum::<usize>();
        (tried == opens_at + 2).then_some(())
    });
    assert_eq!(sending.send(&other.api()).next, Next::Delivered);
    assert_eq!(receiver.asked().len(), opens_at + 1);

    // Half open, and it works again: all go.
    works.store(true, Ordering::SeqCst);
    sending.set_clock(START.plus(Period::from_ms(120_000)));
    let tried = sending.mail.wait("the rest", |mail| {
        let rows = || held.iter().map(|id| mail.row(*id));
        let tried = rows().map(|row| row.attempts.len()).sum::<usize>();
        rows().all(|row| row.end.is_some()).then_some(tried)
    });
    // One of them may have been the message that tried.
    assert!((held.len()..=held.len() + 1).contains(&tried), "{tried}");
}

#[test]
fn what_was_claimed_as_a_breaker_opens_is_given_back() {
    let receiver = Receiver::constant("500", "", "");
    let sending = Sending::start();
    for _ in 0..=Breaker::FAILURES_MAX {
        sending.put(&receiver.api());
    }
    for _ in 0..100 {
        sending.put(&receiver.api());
    }
    let text = "counterfoil_breakers{state=\"open\"} 1";
    sending.mail.wait("a breaker", |_| state(&sending, text).then_some(()));
    let mail = sending.stop();
    mail.wait("no failed retry", |mail| {
        for row in &mail.rows {
            assert!(row.attempts.len() <= 1);
            let until = START.plus(Period::from_ms(30_000));
            assert!(row.releases.iter().all(|at| *at == until || *at == START), "when it may try");
        }
        Some(())
    });
}

/// A clock that jumps: nothing is sent before it is due by the clock of then, nothing is lost, and
/// a breaker stays open for no longer than it was opened for.
#[test]
fn a_clock_that_jumps_holds_nothing_up() {
    const HOUR: Period = Period::from_ms(3_600_000);
    let works = Arc::new(AtomicBool::new(false));
    let is_up = works.clone();
    let receiver = Receiver::answering(move |_| match is_up.load(Ordering::SeqCst) {
        true => http("200", "", b""),
        false => http("500", "", b""),
    });
    let other = Receiver::constant("200", "", "");
    let sending = Sending::start();
    let late = sending.mail.put(&rules(&other.api()), START.plus(Period::from_ms(10_000)));
    for _ in 0..Breaker::FAILURES_MAX {
        sending.send(&receiver.api());
    }
    let open = "counterfoil_breakers{state=\"open\"} 1";
    sending.mail.wait("a breaker", |_| state(&sending, open).then_some(()));

    let back = START.as_ms() - i64::try_from(HOUR.as_ms()).unwrap();
    sending.set_clock(Timestamp::from_ms(back));
    works.store(true, Ordering::SeqCst);
    assert_eq!(sending.send(&receiver.api()).next, Next::Delivered);
    assert_eq!(sending.send(&other.api()).next, Next::Delivered);
    sending.mail.wait("what is not due", |mail| mail.row(late).attempts.is_empty().then_some(()));

    sending.set_clock(START.plus(Period::from_ms(24 * HOUR.as_ms())));
    assert_eq!(sending.mail.attempt(late, 1).next, Next::Delivered);
    sending.mail.wait_for_ends(13);
}
