//! Answers of the store on their way back to the connections that wait.
//!
//! The store answers a whole batch at once, from its own thread. Waking this runtime for each
//! answer would cost a system call each, so answers go through one channel: the first wakes the
//! task that hands them on, and the rest of the batch is there by the time it looks.

use tokio::sync::{
    mpsc::{self, UnboundedSender},
    oneshot,
};

use crate::store::{Decided, Reply, SubmitError};

type Outcome = Result<Decided, SubmitError>;

/// Answers that are handed on at once.
const BATCH_MAX: usize = 256;

/// Where answers come in. No more are under way than requests, which are bounded.
pub(crate) struct Answers {
    incoming: UnboundedSender<(oneshot::Sender<Outcome>, Outcome)>,
}

impl Answers {
    /// Starts handing answers on, on the runtime that runs this; it ends with the last reply.
    pub(crate) fn new() -> Self {
        let (incoming, mut coming) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut batch: Vec<(oneshot::Sender<Outcome>, Outcome)> = Vec::new();
            while coming.recv_many(&mut batch, BATCH_MAX).await > 0 {
                for (waiting, outcome) in batch.drain(..) {
                    // Where nobody waits any more (the deadline passed) the result is for the log
                    // alone.
                    let _ = waiting.send(outcome);
                }
            }
        });
        Self { incoming }
    }

    /// A reply for the store, and what it will answer.
    pub(crate) fn expect(&self) -> (Reply, oneshot::Receiver<Outcome>) {
        let (waiting, receiver) = oneshot::channel();
        let incoming = self.incoming.clone();
        let reply = move |outcome| drop(incoming.send((waiting, outcome)));
        (Box::new(reply), receiver)
    }
}
