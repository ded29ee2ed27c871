//! How many messages are under way, and who waits for whom.

use std::{
    io::Write,
    sync::{Arc, Condvar, Mutex},
};

use counterfoil_core::{Next, Period};

use super::{
    mail::rules,
    receiver::{Asked, Receiver, http},
    sending::{START, Sending},
};
use crate::harness::PATIENCE;

/// A receiver that holds every request until it is let go.
pub(crate) struct Gate {
    pub(crate) receiver: Receiver,
    state: Arc<(Mutex<GateState>, Condvar)>,
}

#[derive(Default)]
struct GateState {
    is_open: bool,
    waiting: usize,
    most: usize,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let state: Arc<(Mutex<GateState>, Condvar)> = Arc::default();
        let gate = state.clone();
        let receiver = Receiver::new(move |mut stream| {
            while Asked::read(&mut stream).is_some() {
                let mut state = gate.0.lock().unwrap();
                state.waiting += 1;
                state.most = state.most.max(state.waiting);
                gate.1.notify_all();
                let shut = |state: &mut GateState| !state.is_open;
                (state, _) = gate.1.wait_timeout_while(state, PATIENCE, shut).unwrap();
                state.waiting -= 1;
                drop(state);
                if stream.write_all(&http("200", "", b"")).is_err() {
                    return;
                }
            }
        });
        Self { receiver, state }
    }

    /// Waits until so many requests are held.
    pub(crate) fn wait(&self, count: usize) {
        let few = |state: &mut GateState| state.waiting < count;
        let state = self.state.0.lock().unwrap();
        let (state, _) = self.state.1.wait_timeout_while(state, PATIENCE, few).unwrap();
        assert!(state.waiting >= count, "{} of {count}", state.waiting);
    }

    pub(crate) fn open(&self) {
        self.state.0.lock().unwrap().is_open = true;
        self.state.1.notify_all();
    }

    fn most(&self) -> usize {
        self.state.0.lock().unwrap().most
    }
}

#[test]
fn a_destination_has_its_share_and_holds_up_no_other() {
    let slow = Gate::new();
    let sending = Sending::with(|config| config.most_of_one = 4);
    for _ in 0..20 {
        sending.put(&slow.receiver.api());
    }
    slow.wait(4);
    // Others go on, even those that become due while the slow one has its share.
    let quick = Receiver::constant("200", "", "");
    for _ in 0..20 {
        assert_eq!(sending.send(&quick.api()).next, Next::Delivered);
    }
    assert_eq!(slow.most(), 4);
    slow.open();
    sending.mail.wait_for_ends(40);
    assert_eq!(slow.most(), 4);
}

#[test]
fn what_becomes_due_by_time_is_not_hidden_by_a_busy_destination() {
    let slow = Gate::new();
    let sending = Sending::with(|config| config.most_of_one = 1);
    let quick = rules(&Receiver::constant("200", "", "").api());
    let later = START.plus(Period::from_ms(10_000));
    let id = sending.mail.put(&quick, later);
    for _ in 0..3 {
        sending.put(&slow.receiver.api());
    }
    slow.wait(1);
    // Nobody says that it is due now: the clock alone.
    sending.pass_to(later);
    assert_eq!(sending.mail.attempt(id, 1).next, Next::Delivered);
    slow.open();
}

#[test]
fn all_together_have_their_bound() {
    let gates: Vec<Gate> = (0..3).map(|_| Gate::new()).collect();
    let sending = Sending::with(|config| (config.most, config.most_of_one) = (5, 4));
    for gate in gates.iter().cycle().take(30) {
        sending.mail.put(&rules(&gate.receiver.api()), START);
    }
    sending.mail.wake();
    let held = |sending: &Sending| {
        let text = sending.metrics.text();
        text.contains("counterfoil_messages_in_flight 5\n").then_some(())
    };
    sending.mail.wait("five of them", |_| held(&sending));
    gates.iter().for_each(Gate::open);
    sending.mail.wait_for_ends(30);
    assert!(gates.iter().map(Gate::most).sum::<usize>() <= 12);
}

#[test]
fn attempts_that_end_together_are_reported_together() {
    let gate = Gate::new();
    let sending = Sending::with(|config| config.most_of_one = 64);
    for _ in 0..64 {
        sending.mail.put(&rules(&gate.receiver.api()), START);
    }
    sending.mail.wake();
    gate.wait(64);
    gate.open();
    sending.mail.wait_for_ends(64);
    let mail = sending.stop();
    mail.wait("counts", |mail| {
        assert_eq!(mail.batches.iter().sum::<usize>(), 64);
        assert!(mail.batches.len() < 64, "{:?}", mail.batches);
        Some(())
    });
}

#[test]
fn who_has_nothing_to_do_asks_for_nothing() {
    let receiver = Receiver::constant("200", "", "");
    let sending = Sending::start();
    for _ in 0..5 {
        sending.send(&receiver.api());
    }
    let mail = sending.stop();
    // At the start, then for each message: when it is due, whether there is more, after its end.
    mail.wait("counts", |mail| {
        assert!(mail.claims <= 2 + 5 * 4, "{}", mail.claims);
        Some(())
    });
}

#[test]
fn an_outbox_that_fails_is_asked_again_and_loses_no_report() {
    let gate = Gate::new();
    let sending = Sending::start();
    let id = sending.put(&gate.receiver.api());
    gate.wait(1);
    sending.mail.set_failing(true);
    gate.open();
    // While nothing can be reported nothing more is claimed.
    let next = sending.put(&gate.receiver.api());
    sending.mail.set_failing(false);
    assert_eq!(sending.mail.attempt(id, 1).next, Next::Delivered);
    assert_eq!(sending.mail.attempt(next, 1).next, Next::Delivered);
    let mail = sending.stop();
    mail.wait("counts", |mail| {
        assert!(mail.rows.iter().all(|row| row.attempts.len() == 1));
        Some(())
    });
}
