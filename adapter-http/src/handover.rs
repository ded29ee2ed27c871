//! Submissions on their way to the store, and its answers on their way back to the connections
//! that wait.
//!
//! ```text
//! submit -- gathered: a group, or all that the runtime had to read --> store
//!        <-- answers, those of a group at once ------------------------ store
//! ```
//!
//! Both go in groups. The first submission wakes a task that hands over what has gathered, and
//! this task runs when the runtime has read what else had arrived: a lone request waits for
//! nothing, and under load many share a transaction. Where many arrive together the store is given
//! the first ones while the others are still read, so that both have something to do. The store
//! answers from its own thread, and what it answers of a group comes back at once: waking this
//! runtime for each answer would cost a system call each.

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

/// Where submissions go in. No more are under way than connections, which are bounded.
pub(crate) struct Handover {
    gathering: Arc<Gathering>,
    /// Has the task hand over what has gathered.
    wake: UnboundedSender<()>,
}

/// Submissions that the store has not been given yet.
struct Gathering {
    store: Arc<dyn Store>,
    gathered: Mutex<Gathered>,
    answered: UnboundedSender<Vec<Answered>>,
}

struct Gathered {
    submissions: Vec<(Submission, Reply)>,
    group: Arc<Group>,
}

/// What is answered of the submissions that were handed over together. Each reply holds it, so it
/// ends, and hands the answers on, when the store has called or dropped the last of them.
struct Group {
    answers: Mutex<Vec<Answered>>,
    answered: UnboundedSender<Vec<Answered>>,
}

impl Handover {
    /// Starts handing over, on the runtime that runs this; it ends when this is dropped and the
    /// last reply is.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let (answered, answers) = mpsc::unbounded_channel();
        let gathered = Mutex::new(Gathered::new(&answered));
        let gathering = Arc::new(Gathering { store, gathered, answered });
        let (wake, woken) = mpsc::unbounded_channel();
        tokio::spawn(hand_on_submissions(woken, Arc::clone(&gathering)));
        tokio::spawn(hand_on_answers(answers));
        Self { gathering, wake }
    }

    /// Has an arrival decided and stored; answers when it is on stable storage.
    pub(crate) async fn submit(&self, submission: Submission) -> Outcome {
        let (waiting, answer) = oneshot::channel();
        match self.gathering.add(submission, waiting) {
            1 => drop(self.wake.send(())),
            GATHERED_MAX.. => self.gathering.hand_on(),
            _ => {}
        }
        answer.await.unwrap_or(Err(SubmitError::Unavailable))
    }
}

impl Gathering {
    /// Adds a submission; tells how many there are.
    fn add(&self, submission: Submission, waiting: oneshot::Sender<Outcome>) -> usize {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        let group = Arc::clone(&gathered.group);
        let reply: Reply = Box::new(move |outcome| group.answer(waiting, outcome));
        gathered.submissions.push((submission, reply));
        gathered.submissions.len()
    }

    /// Gives the store what has gathered.
    fn hand_on(&self) {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        if gathered.submissions.is_empty() {
            return;
        }
        let Gathered { submissions, group } =
            std::mem::replace(&mut *gathered, Gathered::new(&self.answered));
        drop((gathered, group));
        // A store that breaks has dropped the replies of this batch; it may take the next one.
        if catch_unwind(AssertUnwindSafe(|| self.store.submit(submissions))).is_err() {
            tracing::error!("the store broke while it took requests in");
        }
    }
}

impl Gathered {
    fn new(answered: &UnboundedSender<Vec<Answered>>) -> Self {
        let submissions = Vec::with_capacity(GATHERED_MAX);
        let group = Group { answers: Mutex::default(), answered: answered.clone() };
        Self { submissions, group: Arc::new(group) }
    }
}

impl Group {
    /// Keeps an answer for the end of the group. What is not stored is told at once: the others
    /// may still have to wait.
    fn answer(&self, waiting: oneshot::Sender<Outcome>, outcome: Outcome) {
        if outcome.is_err() {
            // Nobody waits any more where this fails.
            let _ = waiting.send(outcome);
            return;
        }
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push((waiting, outcome));
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let answers = self.answers.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nobody is left where this fails: the runtime has ended.
        let _ = self.answered.send(std::mem::take(answers));
    }
}

async fn hand_on_submissions(mut woken: UnboundedReceiver<()>, gathering: Arc<Gathering>) {
    while woken.recv().await.is_some() {
        gathering.hand_on();
    }
}

async fn hand_on_answers(mut answered: UnboundedReceiver<Vec<Answered>>) {
    while let Some(answers) = answered.recv().await {
        for (waiting, outcome) in answers {
            // Where nobody waits any more (the deadline passed) the result is for the log alone.
            let _ = waiting.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use counterfoil_core::{Reason, Receipt, Refusal, Timestamp, refuse};

    use super::*;
    use crate::problem::fresh_id;

    #[test]
    fn what_is_stored_comes_back_with_its_group_and_an_error_at_once() {
        let request_id = fresh_id();
        let receipt = Receipt { id: request_id, at: Timestamp::from_ms(0) };
        let decision = refuse(Refusal::new(Reason::Malformed, "broken"), receipt);
        let (answered, mut answers) = mpsc::unbounded_channel();
        let group = Gathered::new(&answered).group;
        let (stored, _) = oneshot::channel();
        group.answer(stored, Ok(Decided { request_id, decision }));
        let (refused, mut told) = oneshot::channel();
        group.answer(refused, Err(SubmitError::Busy));
        assert!(matches!(told.try_recv(), Ok(Err(SubmitError::Busy))));
        assert!(answers.try_recv().is_err(), "others of the group may come");
        drop(group);
        assert_eq!(answers.try_recv().unwrap().len(), 1);
    }
}
