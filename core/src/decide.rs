//! The ladder.

use crate::{
    decision::{Decision, Outcome, Receipt},
    edit::Edit,
    facts::{FactQuery, Facts},
    ids::TransactionId,
    postback::Postback,
    reason::{Reason, Refusal},
    root::RootRequest,
    ruleset::Ruleset,
    trace::Trace,
};

/// Which facts the decision about a postback needs.
pub fn query(ruleset: &Ruleset, postback: &Postback) -> FactQuery {
    let _ = (ruleset, postback);
    FactQuery::default()
}

/// Which facts making a root needs.
pub fn query_root(ruleset: &Ruleset, root: &RootRequest) -> FactQuery {
    let _ = (ruleset, root);
    FactQuery::default()
}

/// Which facts an auto-set or an edit needs.
pub fn query_transaction(id: TransactionId) -> FactQuery {
    FactQuery {
        transaction: Some(id),
        ..FactQuery::default()
    }
}

/// Decides about a postback. Total: it always answers.
pub fn decide(ruleset: &Ruleset, postback: &Postback, facts: &Facts, receipt: Receipt) -> Decision {
    let _ = (ruleset, postback, facts);
    refuse(Refusal::new(Reason::Malformed, "not written yet"), receipt)
}

/// Makes a root (R51).
pub fn create_root(
    ruleset: &Ruleset,
    root: &RootRequest,
    facts: &Facts,
    receipt: Receipt,
) -> Decision {
    let _ = (ruleset, root, facts);
    refuse(Refusal::new(Reason::Malformed, "not written yet"), receipt)
}

/// Sets a result that is due (R35).
pub fn auto_set(ruleset: &Ruleset, facts: &Facts, receipt: Receipt) -> Decision {
    let _ = (ruleset, facts);
    refuse(Refusal::new(Reason::Malformed, "not written yet"), receipt)
}

/// Applies an administrator's edit.
pub fn edit(ruleset: &Ruleset, edit: &Edit, facts: &Facts, receipt: Receipt) -> Decision {
    let _ = (ruleset, edit, facts);
    refuse(Refusal::new(Reason::Malformed, "not written yet"), receipt)
}

/// What could not be read is a decision too: logged, answered, replayed.
pub fn refuse(refusal: Refusal, receipt: Receipt) -> Decision {
    let _ = receipt;
    Decision {
        outcome: Outcome::Refused,
        refusal: Some(refusal),
        effects: alloc::vec![],
        events: alloc::vec![],
        notes: alloc::vec![],
        conversion: None,
        root: None,
        transactions: alloc::vec![],
        trace: Trace::default(),
    }
}
