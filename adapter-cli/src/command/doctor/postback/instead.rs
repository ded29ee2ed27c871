//! What the server would answer instead of deciding, if a postback came now just as it was pasted:
//! nothing is found at its path, or it proves nothing of who sends it.

use std::{
    cell::Cell,
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use counterfoil_core::{
    AuthFailure, Authentication, Diagnosis, Finding, PostbackDefinition, Proof, Ruleset, decode,
};
use serde::Serialize;

use super::{Pasted, Told};
use crate::{address::Address, clock, command::doctor::State, secrets::Secrets};

/// An answer without a decision.
#[derive(Serialize)]
pub(super) struct Instead {
    /// The status; absent where it is no postback at all.
    pub(super) status: Option<u16>,
    pub(super) message: String,
    /// What is wrong for certain, where secrets say so.
    #[serde(skip)]
    pub(super) wrong: Option<Told>,
}

impl Instead {
    /// What becomes of one that does not come to where postbacks are decided.
    pub(super) fn of_route(told: &Told) -> Self {
        let message = format!("it would not be decided: {}", told.message);
        Self { status: None, message, wrong: None }
    }
}

/// What would be answered; none: it would be decided.
pub(super) fn look(
    rulesets: &[Arc<Ruleset>],
    diagnosis: &Diagnosis<'_>,
    pasted: &Pasted,
    secrets: &Secrets,
) -> Option<Instead> {
    let of_place = diagnosis.findings.iter().find_map(|finding| match finding {
        Finding::WrongPath { path, .. } if takes_roots(path) => {
            Some((None, "roots are handed in there by POST, and no postback is decided".into()))
        }
        Finding::WrongPath { .. } | Finding::UnknownTenant { .. } => {
            Some((Some(404), format!("it would be answered 404, and not decided: {finding}")))
        }
        Finding::AffiliateLink => {
            Some((None, "it would be followed as a link, and not decided as a postback".into()))
        }
        _ => None,
    });
    if let Some((status, message)) = of_place {
        return Some(Instead { status, message, wrong: None });
    }
    let tenant = diagnosis.ruleset?.tenant();
    let rules = rulesets.iter().find(|rules| rules.tenant() == tenant)?;
    let address = Address::read(&pasted.text, None).ok()?;
    let definition = address.definition(rules)?;
    unproved(&address, definition, pasted.is_plain, secrets)
}

fn takes_roots(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').collect();
    matches!(segments.as_slice(), ["", "api", _, "conversions"])
}

/// A URL that proves nothing, as far as a URL can.
fn unproved(
    address: &Address,
    definition: &PostbackDefinition,
    is_plain: bool,
    secrets: &Secrets,
) -> Option<Instead> {
    let asked = &definition.authentication;
    let is_lacking = Cell::new(false);
    let failure = failure(address, asked, |name| {
        secrets.value(name).inspect_err(|_| is_lacking.set(true)).ok()
    });
    // One of the secrets that are not here may well be the right one.
    let failure = failure.map(|failure| match failure {
        AuthFailure::Token | AuthFailure::Signature if is_lacking.get() => None,
        AuthFailure::NoSecret(_) => None,
        failure => Some(failure),
    });
    let why = match &failure {
        _ if asked.https_only && is_plain => "it comes in clear text, and not over https".into(),
        Some(None) => "its proof must be right, which cannot be checked without \
                       the secrets: name them with --secrets"
            .into(),
        Some(Some(failure @ (AuthFailure::NoToken | AuthFailure::Token))) => {
            format!("{failure}, unless the header `Authorization: Bearer` has the right one")
        }
        Some(Some(failure)) => failure.to_string(),
        None if asked.standard_webhooks.is_some() => {
            "there is no signed body, unless it is a POST with the proof in its headers".into()
        }
        None if !asked.addresses.is_empty() => {
            "only the addresses of the definition may send, unless it comes from one of them".into()
        }
        None => return None,
    };
    let status = if asked.takes_credentials() { 401 } else { 403 };
    let message =
        format!("it would be refused ({status}) by the postback `{}`: {why}", definition.id);
    let wrong = failure.flatten().and_then(|failure| wrong(definition, &failure));
    Some(Instead { status: Some(status), message, wrong })
}

/// What fails of that which a URL shows: tokens and signed queries.
fn failure(
    address: &Address,
    asked: &Authentication,
    secret: impl Fn(&counterfoil_core::SecretName) -> Option<String>,
) -> Option<AuthFailure> {
    let pairs = decode(&address.incoming()).ok()?;
    let shown = Authentication {
        https_only: false,
        addresses: BTreeSet::new(),
        standard_webhooks: None,
        ..asked.clone()
    };
    let proof = Proof {
        is_encrypted: true,
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        bearer: None,
        pairs: &pairs,
        query: &address.query,
        webhook: None,
        body: None,
        now: clock::now(),
    };
    shown.verify(&proof, secret).err()
}

/// What only secrets tell; what is missing or late is told without them.
fn wrong(definition: &PostbackDefinition, failure: &AuthFailure) -> Option<Told> {
    let (code, parameter, what) = match failure {
        AuthFailure::Token => ("wrong_token", "token", "wrong token"),
        AuthFailure::Signature | AuthFailure::SignatureForm => {
            ("wrong_signature", "sig", "wrong signature")
        }
        _ => return None,
    };
    Some(Told {
        state: State::Fault,
        code,
        parameter: Some(parameter.to_owned()),
        message: format!("{what} for the postback `{}`: {failure}", definition.id),
        hint: "compare the secret of the sender with that of the server".into(),
    })
}
