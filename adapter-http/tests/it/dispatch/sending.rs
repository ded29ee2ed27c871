//! A running dispatcher with its outbox.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use counterfoil_core::{Attempted, Draw, MessageId, Timestamp};
use counterfoil_http::{DispatchConfig, DispatchMetrics, Dispatcher, Dispatching, Secret};

use super::mail::{Mail, rules};

/// When every test begins.
pub(crate) const START: Timestamp = Timestamp::from_ms(1_700_000_000_000);
/// A signing key.
pub(crate) const SIGNING_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A dispatcher that may reach loopback, with a clock that stands still.
pub(crate) struct Sending {
    pub(crate) mail: Arc<Mail>,
    pub(crate) metrics: DispatchMetrics,
    clock: Arc<AtomicI64>,
    dispatching: Option<Dispatching>,
}

impl Sending {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// A dispatcher that is configured otherwise.
    pub(crate) fn with(change: impl FnOnce(&mut DispatchConfig)) -> Self {
        let mut config = DispatchConfig::new(Arc::new(|name| {
            let value = match name.as_str() {
                "key" => "canary&key",
                "sign" => SIGNING_KEY,
                "odd" => "canary-no-signing-key",
                _ => return None,
            };
            Some(Secret::new(value))
        }));
        let clock = Arc::new(AtomicI64::new(START.as_ms()));
        let now = clock.clone();
        config.clock = Arc::new(move || Timestamp::from_ms(now.load(Ordering::SeqCst)));
        config.draws = Arc::new(|| Draw(0));
        config.allowed = vec!["127.0.0.0/8".parse().unwrap()];
        change(&mut config);
        let mail = Arc::new(Mail::default());
        let dispatcher = Dispatcher::new(config, mail.clone()).unwrap();
        let metrics = dispatcher.metrics();
        let dispatching = Some(dispatcher.start().unwrap());
        Self { mail, metrics, clock, dispatching }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.clock.load(Ordering::SeqCst))
    }

    /// Lets time pass, and has everything looked at anew.
    pub(crate) fn set_clock(&self, now: Timestamp) {
        self.pass_to(now);
        self.mail.wake();
    }

    /// Lets time pass, and tells nobody.
    pub(crate) fn pass_to(&self, now: Timestamp) {
        self.clock.store(now.as_ms(), Ordering::SeqCst);
    }

    /// Puts in a message of a tracking API.
    pub(crate) fn put(&self, api: &str) -> MessageId {
        let id = self.mail.put(&rules(api), self.now());
        self.mail.wake();
        id
    }

    /// Puts in a message, and waits for its first attempt.
    #[track_caller]
    pub(crate) fn send(&self, api: &str) -> Attempted {
        let id = self.put(api);
        self.mail.attempt(id, 1)
    }

    pub(crate) fn ask_to_stop(&self) {
        self.dispatching.as_ref().unwrap().stop();
    }

    /// Stops, and waits for it.
    pub(crate) fn stop(mut self) -> Arc<Mail> {
        assert!(self.dispatching.take().unwrap().join(), "the dispatcher broke");
        self.mail.clone()
    }
}
