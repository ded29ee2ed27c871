//! Retention while serving: what is older than a period is pruned, at the start and every hour.

use std::{
    io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use counterfoil_core::{Period, Timestamp};

use crate::{clock, store::EmbeddedStore};

/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(60 * 60);

/// Reads a period of retention.
pub(crate) fn period(text: &str) -> Result<Period, String> {
    let period: Period = text.parse().map_err(|error| format!("{error}"))?;
    if period.as_ms() == 0 {
        Err("write how long to keep, as in 90d".to_owned())
    } else {
        Ok(period)
    }
}

/// The moment that is a period before another.
pub(crate) fn moment(now: Timestamp, period: Period) -> Timestamp {
    Timestamp::from_ms(now.as_ms().saturating_sub_unsigned(period.as_ms()).max(0))
}

/// A running timer; dropping it stops it and waits for the round that it is about.
#[derive(Debug)]
pub(crate) struct RetentionTimer {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RetentionTimer {
    /// Starts it on a thread of its own.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(crate) fn start(store: Arc<EmbeddedStore>, older_than: Period) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let run = move || {
            let mut pause = Duration::ZERO;
            while stopped.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
                prune(&store, older_than);
                pause = PAUSE;
            }
        };
        let thread = thread::Builder::new().name("retention".to_owned()).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for RetentionTimer {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic of the thread was reported when it happened.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn prune(store: &EmbeddedStore, older_than: Period) {
    let now = clock::now();
    let before = moment(now, older_than);
    match store.store().prune(before, now) {
        Ok(pruned) if pruned.is_nothing() => {}
        Ok(pruned) => tracing::info!(
            requests = pruned.requests,
            messages = pruned.messages,
            clicks = pruned.clicks,
            %before,
            "pruned"
        ),
        Err(error) => tracing::warn!(%error, "pruning broke off; the next round goes on"),
    }
}
