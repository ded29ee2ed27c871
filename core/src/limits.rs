//! What a definition lets a request claim in amounts (end of rung 11, R50): in the tenant's
//! currency, after conversion, and under `add` on the sum.

use alloc::format;

use crate::{
    conversion::Received,
    read::LIMITS_SAY,
    reason::{Reason, Refusal},
    ruleset::Limits,
};

/// Tests the amounts that a request claims.
///
/// # Errors
/// `not_allowed`, naming the parameter.
pub(crate) fn amounts_allowed(
    limits: &Limits,
    value: Option<Received>,
    commission: Option<Received>,
) -> Result<(), Refusal> {
    let claims =
        [("value", value, limits.value_max), ("commission", commission, limits.commission_max)];
    for (parameter, claimed, most) in claims {
        if let (Some(claimed), Some(most)) = (claimed, most)
            && claimed.amount > most
        {
            return Err(too_much(parameter));
        }
    }
    Ok(())
}

/// `not_allowed` about an amount. How much it is after conversion, or with what was there, is told
/// by the trace alone: the sender may be anyone.
fn too_much(parameter: &str) -> Refusal {
    let message = format!("the {parameter} is more than this postback may claim");
    Refusal::new(Reason::NotAllowed, message).about(parameter).hint(LIMITS_SAY)
}
