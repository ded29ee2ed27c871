//! One request inside the transaction: facts, decision, effects.
//!
//! ```text
//! one -- facts of repeats from memory (recent.rs), of others from their rows (facts.rs)
//!     -- Request::decide
//!     -- finish: effects (effects.rs)
//! ```

use std::{borrow::Cow, sync::Arc};

use counterfoil_core::{Arrival, Decision, Effect, Receipt, Request, RequestId};
use rusqlite::Connection;

use crate::{
    again,
    effects::{self, Place},
    facts,
    fault::Fault,
    recent::Recent,
    rules::Rules,
    store::{Decided, Shared, Submission},
};

/// Decides about one request and stores what was decided; its log row is written with those of the
/// batch (log.rs).
pub(crate) fn one(
    db: &Connection,
    shared: &Shared,
    recent: &mut Recent,
    submission: &Submission,
    id: RequestId,
) -> Result<Decided, Fault> {
    let Submission { ruleset, arrival, received_at } = submission;
    let tenant = ruleset.tenant();
    let rules = shared
        .rules(tenant.as_str())
        .ok_or_else(|| Fault::Row(format!("no rules are installed for the tenant `{tenant}`")))?;
    let receipt = Receipt { id, at: *received_at };
    let request = match Arc::ptr_eq(ruleset, &rules.ruleset) {
        true => Cow::Borrowed(&arrival.request),
        false => Cow::Owned(again::reread(&rules.ruleset, arrival)),
    };
    let decision = with_recent(db, &rules, recent, &request, receipt)?;
    finish(db, rules, arrival, receipt, decision)
}

/// As [`consider`], with the facts of repeats from memory.
fn with_recent(
    db: &Connection,
    rules: &Rules,
    recent: &mut Recent,
    request: &Request,
    receipt: Receipt,
) -> Result<Decision, Fault> {
    let query = request.query(&rules.ruleset);
    let facts = match recent.facts(rules.tenant, &query) {
        Some(facts) => facts,
        None => {
            let facts = Arc::new(facts::fetch(db, rules.tenant, &query, tells(rules))?);
            recent.keep(rules.tenant, query, &facts);
            facts
        }
    };
    let decision = request.decide(&rules.ruleset, &facts, receipt);
    recent.changed(&decision);
    Ok(decision)
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
    let place = Place { tenant: rules.tenant, version: rules.version, ruleset: &rules.ruleset };
    effects::apply(db, place, arrival, receipt, &decision)?;
    Ok(Decided { receipt, decision, rules })
}

/// Whether a decision leaves something to send, at once or later.
pub(crate) fn makes_due(decision: &Decision) -> bool {
    let tells =
        |effect: &Effect| matches!(effect, Effect::InsertMessage(_) | Effect::WakeMessage(_));
    decision.effects.iter().any(tells)
}
