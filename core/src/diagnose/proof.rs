//! What a definition asks for as proof, and a URL does not show. Secrets are not looked at.

use alloc::vec::Vec;

use super::Finding;
use crate::{
    decode::Pairs, parameter::Parameter, ruleset::PostbackDefinition, signature::moment,
    time::Timestamp,
};

/// Tells what is missing from the URL, section by section.
pub(super) fn look(
    definition: &PostbackDefinition,
    is_plain: bool,
    pairs: &Pairs<'_>,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) {
    let asked = &definition.authentication;
    let postback = || definition.id.clone();
    let value = |wanted: Parameter| {
        let mut pairs = pairs.iter();
        pairs.find(|(name, _)| Parameter::named(name) == Some(wanted)).map(|(_, value)| &**value)
    };
    if asked.https_only && is_plain {
        findings.push(Finding::NotEncrypted { postback: postback() });
    }
    if !asked.tokens.is_empty() && value(Parameter::Token).is_none() {
        findings.push(Finding::NoToken { postback: postback() });
    }
    if let Some(signed) = &asked.signed_query {
        let parts = [("ts", Parameter::Ts), ("sig", Parameter::Sig)];
        let missing = parts.into_iter().filter(|(_, part)| value(*part).is_none());
        findings.extend(
            missing.map(|(missing, _)| Finding::NoSignature { postback: postback(), missing }),
        );
        let at = value(Parameter::Ts).and_then(moment);
        let tolerance = signed.tolerance;
        let late = at.filter(|at| now.since(*at).max(at.since(now)) > tolerance);
        findings.extend(late.map(|at| Finding::SignedLongAgo { at, tolerance }));
    }
    if asked.standard_webhooks.is_some() {
        findings.push(Finding::NeedsWebhook { postback: postback() });
    }
}
