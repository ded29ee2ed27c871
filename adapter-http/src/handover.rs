//! Submissions on their way to the store, and its answers on their way back to the connections
//! that wait.
//!
//! ```text
//! submit -- gathered: a few, or all that the runtime had to read --> store
//!        <-- answers, a batch at once ------------------------------ store
//! ```
//!
//! Both go in batches. The first submission wakes a task that hands over what has gathered, and
//! this task runs when the runtime has read what else had arrived: a lone request waits for
//! nothing, and under load many share a transaction. Where many arrive together the store is given
//! the first ones while the others are still read, so that both have something to do. The store
//! answers a whole batch at once, from its own thread; waking this runtime for each answer would
//! cost a system call each.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{
    mpsc::{self, UnboundedReceiver, UnboundedSender},
    oneshot,
};

use crate::store::{Decided, Reply, Store, Submission, SubmitError};

type Outcome = Result<Decided, SubmitError>;
type Answered = (oneshot::Sender<Outcome>, Outcome);

/// Submissions that gather before the store is given them while others are still read.
const GATHERED_MAX: usize = 16;
/// Answers that are handed on at once.
const ANSWERS_MAX: usize = 256;

/// Where submissions go in. No more are under way than connections, which are bounded.
pub(crate) struct Handover {
    gathering: Arc<Gathering>,
    /// Has the task hand over what has gathered.
    wake: UnboundedSender<()>,
    answers: UnboundedSender<Answered>,
}

/// Submissions that the store has not been given yet.
struct Gathering {
    store: Arc<dyn Store>,
    gathered: Mutex<Vec<(Submission, Reply)>>,
}

impl Handover {
    /// Starts handing over, on the runtime that runs this; it ends when this is dropped and the
    /// last reply is.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let gathering = Arc::new(Gathering { store, gathered: Mutex::default() });
        let (wake, woken) = mpsc::unbounded_channel();
        let (answers, answered) = mpsc::unbounded_channel();
        tokio::spawn(hand_on_submissions(woken, Arc::clone(&gathering)));
        tokio::spawn(hand_on_answers(answered));
        Self { gathering, wake, answers }
    }

    /// Has an arrival decided and stored; answers when it is on stable storage.
    pub(crate) async fn submit(&self, submission: Submission) -> Outcome {
        let (waiting, answer) = oneshot::channel();
        let answers = self.answers.clone();
        let reply: Reply = Box::new(move |outcome| drop(answers.send((waiting, outcome))));
        match self.gathering.add(submission, reply) {
            1 => drop(self.wake.send(())),
            GATHERED_MAX.. => self.gathering.hand_on(),
            _ => {}
        }
        answer.await.unwrap_or(Err(SubmitError::Unavailable))
    }
}

impl Gathering {
    /// Adds a submission; tells how many there are.
    fn add(&self, submission: Submission, reply: Reply) -> usize {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        gathered.push((submission, reply));
        gathered.len()
    }

    /// Gives the store what has gathered.
    fn hand_on(&self) {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = std::mem::take(&mut *gathered);
        drop(gathered);
        if batch.is_empty() {
            return;
        }
        // A store that breaks has dropped the replies of this batch; it may take the next one.
        if catch_unwind(AssertUnwindSafe(|| self.store.submit(batch))).is_err() {
            tracing::error!("the store broke while it took requests in");
        }
    }
}

async fn hand_on_submissions(mut woken: UnboundedReceiver<()>, gathering: Arc<Gathering>) {
    while woken.recv().await.is_some() {
        gathering.hand_on();
    }
}

async fn hand_on_answers(mut answered: UnboundedReceiver<Answered>) {
    let mut batch = Vec::new();
    while answered.recv_many(&mut batch, ANSWERS_MAX).await > 0 {
        for (waiting, outcome) in batch.drain(..) {
            // Where nobody waits any more (the deadline passed) the result is for the log alone.
            let _ = waiting.send(outcome);
        }
    }
}
