//! The timer that submits due auto-sets (R35), through the same path as every request.

use std::{
    io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use counterfoil_core::{Arrival, Method, Request};
use counterfoil_sqlite::{Decided, Due, Store, Submission, SubmitError};

use crate::{clock, store::EmbeddedStore};

/// How often the timer looks, at the least: new transactions may be due earlier than it knew.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How many auto-sets are submitted before the timer looks for a stop.
const BATCH_LEN: u32 = 256;

/// A running timer; dropping it stops it and waits for what it is about.
#[derive(Debug)]
pub(crate) struct AutoSetTimer {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl AutoSetTimer {
    /// Starts it on a thread of its own.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(crate) fn start(store: Arc<EmbeddedStore>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let run = move || {
            let mut pause = PAUSE_MAX;
            while stopped.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
                let more = submit_due(store.store());
                pause = if more { Duration::ZERO } else { PAUSE_MAX };
            }
        };
        let thread = thread::Builder::new().name("auto-sets".to_owned()).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for AutoSetTimer {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic of the thread was reported when it happened.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Submits what is due, as one batch; says whether there may be more. What fails stays due, and is
/// tried again after the next pause.
fn submit_due(store: &Store) -> bool {
    let due = match store.reader().due_auto_sets(clock::now(), BATCH_LEN) {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(%error, "cannot read which auto-sets are due");
            return false;
        }
    };
    let (reply, replies) = mpsc::channel();
    let submitted = due.iter().filter(|one| submit(store, one, reply.clone()));
    let submitted = submitted.count();
    drop(reply);
    let mut decided = 0;
    for result in replies {
        match result {
            Ok(_) => decided += 1,
            Err(error) => tracing::warn!(%error, "an auto-set waits"),
        }
    }
    decided == submitted && due.len() >= BATCH_LEN as usize && decided > 0
}

/// Says whether it was submitted: what belongs to a tenant that is not served waits until it is.
fn submit(store: &Store, due: &Due, reply: mpsc::Sender<Result<Decided, SubmitError>>) -> bool {
    let Some(rules) = store.rules(due.tenant.as_str()) else {
        return false;
    };
    let arrival = Arrival {
        request: Request::AutoSet(due.transaction_id),
        method: Method::AutoSet,
        dialect: None,
        query: counterfoil_core::auto_set_text(due.transaction_id),
        remote_addr: None,
    };
    let submission = Submission {
        ruleset: rules.ruleset().clone(),
        arrival,
        received_at: clock::now(),
        known: None,
    };
    // The receiver outlives every sender, so it is there.
    let answered = move |result| drop(reply.send(result));
    store.submit(submission, Box::new(answered));
    true
}
