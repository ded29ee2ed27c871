//! Work that has a transaction to itself: pruning and erasing. Each piece is short, and requests
//! are served between two of them.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::mpsc::{self, SyncSender},
};

use rusqlite::{Connection, TransactionBehavior};

use super::{Job, Writer};
use crate::{
    fault::Fault,
    store::{Store, SubmitError},
};

/// A piece of work.
type Work = Box<dyn FnOnce(&Connection) -> Result<(), Fault> + Send>;

/// A piece of work and who waits for it.
pub(crate) struct Alone {
    work: Work,
    reply: SyncSender<Result<(), SubmitError>>,
}

impl Store {
    /// Does a piece of work in a transaction of its own, and waits until it is on stable storage.
    /// What it deletes is overwritten in the file.
    ///
    /// # Errors
    /// As [`Store::submit`]; nothing has changed then.
    pub(crate) fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, SubmitError> {
        let (made, take) = mpsc::sync_channel(1);
        let (reply, done) = mpsc::sync_channel(1);
        let work = Box::new(move |db: &Connection| {
            // It is taken below, after the commit.
            let _ = made.send(work(db)?);
            Ok(())
        });
        self.send(Job::Alone(Alone { work, reply })).map_err(|(_, error)| error)?;
        done.recv().unwrap_or(Err(SubmitError::Unavailable))?;
        take.recv().map_err(|_| SubmitError::Internal)
    }
}

impl Writer {
    pub(super) fn work_alone(&mut self, alone: Alone) {
        let Alone { work, reply } = alone;
        let result = self.commit_alone(work).map_err(|fault| {
            if fault.is_of_the_machine() {
                self.give_up(&fault);
                return SubmitError::Unavailable;
            }
            tracing::error!(error = %fault, "the database could not be tidied: a defect");
            SubmitError::Internal
        });
        // Nobody waits any more where this fails.
        let _ = reply.send(result);
    }

    fn commit_alone(&mut self, work: Work) -> Result<(), Fault> {
        let db = self.connection()?;
        db.pragma_update(None, "secure_delete", true)?;
        let done = panic::catch_unwind(AssertUnwindSafe(|| {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            work(&transaction)?;
            Ok(transaction.commit()?)
        }));
        db.pragma_update(None, "secure_delete", false)?;
        self.recent.clear();
        done.unwrap_or(Err(Fault::Panic))?;
        self.is_well();
        Ok(())
    }
}
