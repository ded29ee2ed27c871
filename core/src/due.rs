//! Messages that are rendered when they are due, not when they are made: delayed ones (R43), and
//! the later steps of a sequence (R46).

use crate::{
    announce::{condition_that_fails, render},
    facts::Found,
    macros::State,
    message::{Message, MessageOf, Rendered},
    ruleset::Ruleset,
    trace::Silence,
    transaction::TransactionResult,
};

/// What becomes of a message that is due and not rendered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is sent, under this number.
    Send {
        /// The request.
        request: Rendered,
        /// Its number (R44); none for a step.
        sequence: Option<u32>,
    },
    /// The result is still pending: it is held until there is one (R43).
    Hold,
    /// Its conditions hold no more: it is dead ([`DeadReason::ConditionsNotMet`]), and takes no
    /// number.
    ///
    /// [`DeadReason::ConditionsNotMet`]: crate::DeadReason::ConditionsNotMet
    Drop(Silence),
    /// The rules of its event do not know it: a defect, told as one.
    Unknown,
}

/// Renders a message with the state of now, by the rules of its event. `found` is its conversion.
pub fn due(ruleset: &Ruleset, message: &Message, found: &Found) -> Due {
    let state = |sequence| State {
        root: &found.root,
        conversion: &found.conversion,
        transactions: &found.transactions,
        event: message.event,
        currency: ruleset.currency(),
        message: message.id,
        sequence,
    };
    match &message.of {
        MessageOf::Step { .. } => ruleset.call(&message.of).map_or(Due::Unknown, |call| {
            Due::Send { request: render(&call.request, &state(None)), sequence: None }
        }),
        MessageOf::TrackingApi(id) => {
            let Some(api) = ruleset.tracking_api(id.as_str()) else {
                return Due::Unknown;
            };
            let about = message.transaction_id();
            let transaction = found.transactions.iter().find(|t| Some(t.id) == about);
            if transaction.is_some_and(|t| t.result == TransactionResult::Pending) {
                return Due::Hold;
            }
            let (conversion, transactions) = (&found.conversion, &found.transactions);
            match condition_that_fails(api, &found.root, conversion, transactions, about) {
                Some(silence) => Due::Drop(silence),
                None => {
                    let sequence = Some(found.told.sequence(id).saturating_add(1));
                    Due::Send { request: render(&api.call.request, &state(sequence)), sequence }
                }
            }
        }
    }
}
