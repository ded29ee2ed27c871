//! Submissions on their way to the store, and its answers on their way back to the connections
//! that wait.
//!
//! Both go in batches, through a channel each. The first submission wakes the task that hands them
//! over, and this task runs when the runtime has read what else had arrived: a lone request waits
//! for nothing, and under load many share a transaction. The store answers a whole batch at once,
//! from its own thread; waking this runtime for each answer would cost a system call each.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::sync::{
    mpsc::{self, UnboundedReceiver, UnboundedSender},
    oneshot,
};

use crate::store::{Decided, Reply, Store, Submission, SubmitError};

type Outcome = Result<Decided, SubmitError>;
type Answered = (oneshot::Sender<Outcome>, Outcome);

/// Submissions, and answers, that are handed over at once.
const BATCH_MAX: usize = 256;

/// Where submissions go in. No more are under way than connections, which are bounded.
pub(crate) struct Handover {
    submissions: UnboundedSender<(Submission, Reply)>,
    answers: UnboundedSender<Answered>,
}

impl Handover {
    /// Starts handing over, on the runtime that runs this; it ends when this is dropped and the
    /// last reply is.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let (submissions, submitted) = mpsc::unbounded_channel();
        let (answers, answered) = mpsc::unbounded_channel();
        tokio::spawn(hand_on_submissions(submitted, store));
        tokio::spawn(hand_on_answers(answered));
        Self { submissions, answers }
    }

    /// Has an arrival decided and stored; answers when it is on stable storage.
    pub(crate) async fn submit(&self, submission: Submission) -> Outcome {
        let (waiting, answer) = oneshot::channel();
        let answers = self.answers.clone();
        let reply: Reply = Box::new(move |outcome| drop(answers.send((waiting, outcome))));
        if self.submissions.send((submission, reply)).is_err() {
            return Err(SubmitError::Unavailable);
        }
        answer.await.unwrap_or(Err(SubmitError::Unavailable))
    }
}

async fn hand_on_submissions(
    mut submitted: UnboundedReceiver<(Submission, Reply)>,
    store: Arc<dyn Store>,
) {
    let mut batch = Vec::new();
    while submitted.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let batch = std::mem::take(&mut batch);
        // A store that breaks has dropped the replies of this batch; it may take the next one.
        if catch_unwind(AssertUnwindSafe(|| store.submit(batch))).is_err() {
            tracing::error!("the store broke while it took requests in");
        }
    }
}

async fn hand_on_answers(mut answered: UnboundedReceiver<Answered>) {
    let mut batch = Vec::new();
    while answered.recv_many(&mut batch, BATCH_MAX).await > 0 {
        for (waiting, outcome) in batch.drain(..) {
            // Where nobody waits any more (the deadline passed) the result is for the log alone.
            let _ = waiting.send(outcome);
        }
    }
}
