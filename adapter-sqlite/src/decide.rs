//! Requests inside the transaction: facts, decision, effects.
//!
//! ```text
//! Round::decide -- facts of repeats from memory (recent.rs), of others from their rows (facts.rs)
//!               -- Request::decide
//!               -- adds only: its rows wait for those of the next requests (unwritten.rs)
//!               -- else: effects (effects.rs)
//! Round::end    -- rows that wait
//! ```
//!
//! What could see rows that wait has them written first, so that each request sees what those
//! before it did.

use std::{borrow::Cow, sync::Arc};

use counterfoil_core::{Arrival, Decision, Effect, FactQuery, Facts, Receipt, Request, RequestId};
use rusqlite::Connection;

use crate::{
    again,
    effects::{self, Place},
    facts,
    fault::Fault,
    recent::Recent,
    rules::Rules,
    store::{Decided, Shared, Submission},
    unwritten::Unwritten,
};

/// Decides about the requests of a batch, one after another.
pub(crate) struct Round<'a> {
    db: &'a Connection,
    shared: &'a Shared,
    recent: &'a mut Recent,
    decided: Vec<Decided>,
    /// How many of them are stored.
    stored: usize,
    /// What the others added.
    unwritten: Unwritten,
}

impl<'a> Round<'a> {
    /// For so many requests.
    pub(crate) fn new(
        db: &'a Connection,
        shared: &'a Shared,
        recent: &'a mut Recent,
        requests: usize,
    ) -> Self {
        let decided = Vec::with_capacity(requests);
        Self { db, shared, recent, decided, stored: 0, unwritten: Unwritten::default() }
    }

    /// Decides about one request and stores what was decided, now or at the end; its log row is
    /// written with those of the batch (log.rs).
    pub(crate) fn decide(&mut self, submission: &Submission, id: RequestId) -> Result<(), Fault> {
        let Submission { ruleset, arrival, received_at } = submission;
        let tenant = ruleset.tenant();
        let missing = || Fault::Row(format!("no rules are installed for the tenant `{tenant}`"));
        let rules = self.shared.rules(tenant.as_str()).ok_or_else(missing)?;
        let receipt = Receipt { id, at: *received_at };
        let request = match Arc::ptr_eq(ruleset, &rules.ruleset) {
            true => Cow::Borrowed(&arrival.request),
            false => Cow::Owned(again::reread(&rules.ruleset, arrival)),
        };
        let facts = self.facts(&rules, request.query(&rules.ruleset))?;
        let decision = request.decide(&rules.ruleset, &facts, receipt);
        self.recent.changed(&decision);
        let can_wait = self.unwritten.takes(&decision);
        if !can_wait {
            self.store_rest()?;
            effects::apply(self.db, Place::of(&rules), arrival, receipt, &decision)?;
            self.stored += 1;
        }
        self.decided.push(Decided { receipt, decision, rules });
        Ok(())
    }

    /// Stores what is not, and gives what was decided.
    pub(crate) fn end(mut self) -> Result<Vec<Decided>, Fault> {
        self.store_rest()?;
        Ok(self.decided)
    }

    fn facts(&mut self, rules: &Rules, query: FactQuery) -> Result<Arc<Facts>, Fault> {
        if let Some(facts) = self.recent.facts(rules.tenant, &query) {
            return Ok(facts);
        }
        if self.unwritten.matters_to(&query) {
            self.store_rest()?;
        }
        let facts = Arc::new(facts::fetch(self.db, rules.tenant, &query, tells(rules))?);
        self.recent.keep(rules.tenant, query, &facts);
        Ok(facts)
    }

    fn store_rest(&mut self) -> Result<(), Fault> {
        effects::add(self.db, self.decided.get(self.stored..).unwrap_or_default())?;
        self.stored = self.decided.len();
        self.unwritten.clear();
        Ok(())
    }
}

/// Facts and decision; nothing is written.
pub(crate) fn consider(
    db: &Connection,
    rules: &Rules,
    request: &Request,
    receipt: Receipt,
) -> Result<Decision, Fault> {
    let query = request.query(&rules.ruleset);
    let facts = facts::fetch(db, rules.tenant, &query, tells(rules))?;
    Ok(request.decide(&rules.ruleset, &facts, receipt))
}

/// Whether what was told of a conversion matters to decisions.
fn tells(rules: &Rules) -> bool {
    !rules.ruleset.tracking_apis().is_empty()
}

/// Stores what was decided, but for the log row.
pub(crate) fn finish(
    db: &Connection,
    rules: Rules,
    arrival: &Arrival,
    receipt: Receipt,
    decision: Decision,
) -> Result<Decided, Fault> {
    effects::apply(db, Place::of(&rules), arrival, receipt, &decision)?;
    Ok(Decided { receipt, decision, rules })
}

/// Whether a decision leaves something to send, at once or later.
pub(crate) fn makes_due(decision: &Decision) -> bool {
    let tells =
        |effect: &Effect| matches!(effect, Effect::InsertMessage(_) | Effect::WakeMessage(_));
    decision.effects.iter().any(tells)
}
