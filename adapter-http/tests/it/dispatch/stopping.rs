//! A stop starts no attempt, lets those end that run, and gives the others back (P11).

use std::time::Duration;

use counterfoil_core::Next;

use super::{
    sending::{START, Sending},
    slots::Gate,
};

#[test]
fn what_runs_may_end() {
    let gate = Gate::new();
    let sending = Sending::with(|config| config.most_of_one = 1);
    let ids: Vec<_> = (0..3).map(|_| sending.put(&gate.receiver.api())).collect();
    gate.wait(1);
    sending.ask_to_stop();
    gate.open();
    let mail = sending.stop();
    mail.wait("ends", |mail| {
        let attempts: Vec<usize> = ids.iter().map(|id| mail.row(*id).attempts.len()).collect();
        // Between the question and the stop another one may have begun; none is left half done.
        assert!(attempts[0] == 1, "{attempts:?}");
        assert!(ids.iter().all(|id| mail.row(*id).releases.is_empty()));
        Some(())
    });
}

#[test]
fn what_does_not_end_in_time_is_given_back() {
    let gate = Gate::new();
    let sending = Sending::with(|config| config.stop = Duration::from_millis(50));
    let ids: Vec<_> = (0..3).map(|_| sending.put(&gate.receiver.api())).collect();
    gate.wait(3);
    let mail = sending.stop();
    mail.wait("releases", |mail| {
        for id in &ids {
            let row = mail.row(*id);
            assert_eq!((&row.releases[..], row.attempts.len()), (&[START][..], 0));
        }
        Some(())
    });
    gate.open();
}

#[test]
fn a_stop_with_an_outbox_that_fails_ends_all_the_same() {
    let gate = Gate::new();
    let sending = Sending::with(|config| config.stop = Duration::from_millis(50));
    let id = sending.put(&gate.receiver.api());
    gate.wait(1);
    sending.mail.set_failing(true);
    let mail = sending.stop();
    mail.wait("nothing", |mail| {
        assert!(mail.row(id).attempts.is_empty() && mail.row(id).releases.is_empty());
        Some(())
    });
    gate.open();
}

#[test]
fn a_stop_with_nothing_to_do_is_at_once() {
    let gate = Gate::new();
    gate.open();
    let sending = Sending::start();
    assert_eq!(sending.send(&gate.receiver.api()).next, Next::Delivered);
    sending.stop();
}
