//! Hands rows to the store: many share a commit, and few are under way at any time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
};

use counterfoil_core::Outcome;
use counterfoil_sqlite::{Decided, ImportRow, Rules, Store, Submission, SubmitError, Waiting};

use super::{header::Header, records::Record, row};
use crate::clock;

/// Rows that are handed in together, and share a commit.
const TOGETHER: usize = 1024;
/// Rows that may wait: while one batch is written, the next is read.
const WAITING_MAX: usize = 2 * TOGETHER;

/// Rows on their way into a store.
pub(super) struct Feed<'a> {
    store: &'a Store,
    rules: &'a Rules,
    header: &'a Header,
    batch: Vec<Waiting>,
    waiting: usize,
    sender: Sender<Answer>,
    answers: Receiver<Answer>,
    /// What is stored of what was handed in.
    pub(super) stored: Stored,
}

/// What is known of rows that are stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    pub(super) rows: u64,
    /// The rows by what became of them.
    pub(super) outcomes: BTreeMap<Outcome, u64>,
    pub(super) messages: u64,
}

/// What became of a row and how many messages it made, once it is stored.
type Answer = Result<(Outcome, u64), SubmitError>;

impl<'a> Feed<'a> {
    pub(super) fn new(store: &'a Store, rules: &'a Rules, header: &'a Header) -> Self {
        let (sender, answers) = mpsc::channel();
        let batch = Vec::with_capacity(TOGETHER);
        let stored = Stored::default();
        Self { store, rules, header, batch, waiting: 0, sender, answers, stored }
    }

    /// Takes a row. Waits where too many are under way; tells whether a batch was handed in.
    ///
    /// # Errors
    /// Where an earlier row was not stored.
    pub(super) fn take(&mut self, record: &Record, row: ImportRow) -> Result<bool, SubmitError> {
        let ruleset = self.rules.ruleset();
        let (arrival, received_at) = row::read(ruleset, self.header, record, clock::now());
        let submission = Submission { ruleset: Arc::clone(ruleset), arrival, received_at };
        let sender = self.sender.clone();
        let answered = move |decided: Result<Decided, SubmitError>| {
            let answer =
                |Decided { decision, .. }| (decision.outcome, decision.messages().count() as u64);
            // Nobody waits any more after the first row that is not stored.
            let _ = sender.send(decided.map(answer));
        };
        self.batch.push(Waiting { submission, row: Some(row), reply: Box::new(answered) });
        if self.batch.len() < TOGETHER {
            return Ok(false);
        }
        self.hand_in()?;
        Ok(true)
    }

    fn hand_in(&mut self) -> Result<(), SubmitError> {
        while self.waiting + self.batch.len() > WAITING_MAX {
            self.answer()?;
        }
        self.waiting += self.batch.len();
        self.store.submit(std::mem::replace(&mut self.batch, Vec::with_capacity(TOGETHER)));
        Ok(())
    }

    fn answer(&mut self) -> Result<(), SubmitError> {
        let answer = self.answers.recv().unwrap_or(Err(SubmitError::Unavailable));
        self.waiting -= 1;
        let (outcome, messages) = answer?;
        *self.stored.outcomes.entry(outcome).or_default() += 1;
        self.stored.messages += messages;
        self.stored.rows += 1;
        Ok(())
    }

    /// Waits until everything is stored.
    ///
    /// # Errors
    /// Where a row was not stored.
    pub(super) fn finish(&mut self) -> Result<(), SubmitError> {
        if !self.batch.is_empty() {
            self.hand_in()?;
        }
        while self.waiting > 0 {
            self.answer()?;
        }
        Ok(())
    }
}
