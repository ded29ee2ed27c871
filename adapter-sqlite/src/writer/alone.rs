//! Work that has a transaction to itself: pruning, erasing, rounds of imports. Each piece is short,
//! and requests are served between two of them.

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
    /// The rows that it deletes are overwritten in the file.
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
            tracing::error!(error = %fault, "work of its own could not be stored: a defect");
            SubmitError::Internal
        });
        // Nobody waits any more where this fails.
        let _ = reply.send(result);
    }

    fn commit_alone(&mut self, work: Work) -> Result<(), Fault> {
        // First, for rows may have changed whatever fails below.
        self.recent.clear();
        let db = self.connection()?;
        let done = panic::catch_unwind(AssertUnwindSafe(|| {
            db.pragma_update(None, "secure_delete", true)?;
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            work(&transaction)?;
            Ok(transaction.commit()?)
        }));
        // The work is done all the same; whoever comes next opens the database again.
        if let Err(error) = db.pragma_update(None, "secure_delete", false) {
            tracing::warn!(%error, "the database cannot go back to deleting fast");
            self.db = None;
            self.merge.rolled_back();
        }
        done.unwrap_or(Err(Fault::Panic))?;
        self.is_well();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use counterfoil_core::{
        Amount, Arrival, Conversion, Incoming, Method, Outcome, Request, RootRequest, Timestamp,
        read,
    };
    use rusqlite::limits::Limit;

    use super::*;
    use crate::{Options, RulesFormat, Submission};

    const RULES: &str = "tenant = 'acme'\ncurrency = 'EUR'\n\
         advertiser = [{ id = 'shop', name = 'Shop' }]\n\
         affiliate = [{ id = 'bo', name = 'Bo' }]\n\
         offer = [{ id = 'o', name = 'O', advertiser = 'shop', url = 'https://shop.example/' }]\n";

    fn take(store: &Store, method: Method, request: Request) -> (Outcome, Arc<Conversion>) {
        let ruleset = store.rules("acme").unwrap().ruleset().clone();
        let (query, received_at) = (String::new(), Timestamp::from_ms(1));
        let arrival = Arrival { request, method, dialect: None, query, remote_addr: None };
        let decided = store.submit_wait(Submission { ruleset, arrival, received_at }).unwrap();
        (decided.decision.outcome, decided.decision.conversion.unwrap())
    }

    fn send(store: &Store, query: &str) -> (Outcome, Arc<Conversion>) {
        let rules = store.rules("acme").unwrap();
        let (method, dialect) = (Method::S2s, None);
        let (request, _) = read(rules.ruleset(), &Incoming { method, dialect, query, body: None });
        take(store, method, request)
    }

    #[test]
    fn a_connection_that_would_go_on_overwriting_is_given_up_and_nothing_is_kept_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("x.db"), Options::default()).unwrap();
        store.install_rules(None, RULES, RulesFormat::Toml, Timestamp::from_ms(0)).unwrap();
        let rules = store.rules("acme").unwrap();
        let click = RootRequest::click(rules.ruleset(), "o", "bo", &Vec::new()).unwrap();
        let (_, click) = take(&store, Method::Link, Request::Root(Box::new(click)));
        let sale = format!("pcid={}&type=sale&external_id=A&value=1", click.id);
        assert_eq!(send(&store, &sale).0, Outcome::Created);
        assert_eq!(send(&store, &sale).0, Outcome::Duplicate);
        let done = store.alone(|db| {
            let sql = "UPDATE conversions SET value = 7000000 WHERE value IS NOT NULL";
            assert_eq!(db.execute(sql, [])?, 1);
            // Enough for `COMMIT`, too little for what follows it.
            Ok(db.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, 16)?)
        });
        let (outcome, again) = send(&store, &sale);
        assert_eq!(outcome, Outcome::Duplicate);
        assert_eq!(again.value.unwrap().amount, Amount::from_micros(7_000_000).unwrap());
        assert!(done.is_ok(), "it is committed: {done:?}");
        store.alone(|_| Ok(())).unwrap();
    }
}
