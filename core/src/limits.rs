//! What a definition lets a request claim in amounts (end of rung 11, R50): in the tenant's
//! currency, after conversion, and under `add` on the sum.

use crate::{conversion::Received, read::not_allowed, reason::Refusal, ruleset::Limits};

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
            return Err(not_allowed(parameter, claimed.amount));
        }
    }
    Ok(())
}
