//! Who may send to a definition (promises 3; R49): what it asks for, what an arrival shows, and
//! whether the one meets the other.
//!
//! An [`Authentication`] is a part of the rules, a [`Proof`] is gathered by an adapter between
//! [`crate::select`] and [`crate::parse`], and [`Authentication::verify`] compares them: every
//! section that is given must hold, any one secret within it. Nothing here reads a clock or a
//! secret by itself. A failure is a refusal for the log; whoever sent the request is told the same
//! whatever failed, and never this.

use alloc::{collections::BTreeSet, format, string::String, vec::Vec};
use core::{fmt, net::IpAddr};

use hmac::{Hmac, KeyInit, Mac};
use ipnet::IpNet;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::{
    decode::Pairs,
    parameter::Parameter,
    reason::{Reason, Refusal},
    signature::{SignatureError, SignedMessage, SigningKey, moment},
    time::{Period, Timestamp},
    token::SecretName,
};

/// What stands between a signed query and its signature.
const SIGNATURE_MARK: &str = "&sig=";
/// The parameters that may stand in the query beside a signed body.
const BESIDE_WEBHOOK: [Parameter; 2] = [Parameter::Id, Parameter::Token];

/// How requests of a definition prove who sends them. Every section that is given must hold; empty
/// sets and absent sections ask for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authentication {
    /// Whether requests must come over TLS.
    pub https_only: bool,
    /// Tokens in `Authorization: Bearer`, or in the parameter `token`.
    pub tokens: BTreeSet<SecretName>,
    /// A query that is signed: `ts` in Unix seconds, and last of all `sig`, the HMAC-SHA256 over
    /// the query before `&sig=` in hexadecimal digits.
    pub signed_query: Option<Signed>,
    /// A POST with the headers of Standard Webhooks.
    pub standard_webhooks: Option<Signed>,
    /// Networks that requests come from.
    pub addresses: BTreeSet<IpNet>,
}

/// Who may sign, and how far the clock of the sender may be off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The secrets, any one of which is enough.
    pub secrets: BTreeSet<SecretName>,
    /// The most time between signing and arrival, before or after.
    pub tolerance: Period,
}

/// What an arrival shows of who sent it.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// Whether it came over TLS, here or at a trusted proxy.
    pub is_encrypted: bool,
    /// Where it came from, behind the proxies that are trusted.
    pub address: IpAddr,
    /// The token of `Authorization: Bearer`.
    pub bearer: Option<&'a str>,
    /// The parameters of query and body, decoded.
    pub pairs: &'a Pairs<'a>,
    /// The query as it came, without the question mark.
    pub query: &'a str,
    /// The headers of Standard Webhooks, where all three are there.
    pub webhook: Option<WebhookHeaders<'a>>,
    /// The body as it came; none where the method has none.
    pub body: Option<&'a [u8]>,
    /// When it came.
    pub now: Timestamp,
}

/// The headers that sign a body as in Standard Webhooks.
#[derive(Clone, Copy, Debug)]
pub struct WebhookHeaders<'a> {
    /// `webhook-id`
    pub id: &'a str,
    /// `webhook-timestamp`
    pub timestamp: &'a str,
    /// `webhook-signature`
    pub signature: &'a str,
}

/// Why a request proves nothing. For the log: it holds nothing of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailure {
    /// It came in clear text.
    #[error("the request did not come over https")]
    NotEncrypted,
    /// Its address is none of the definition's.
    #[error("the address of the sender is none of the definition's")]
    Address,
    /// Neither header nor parameter.
    #[error("there is no token")]
    NoToken,
    /// There is one, and it is another.
    #[error("the token is none of the definition's")]
    Token,
    /// Nothing signs the query.
    #[error("the query is not signed")]
    NoSignature,
    /// Something follows the signature, or it is no signature at all.
    #[error("`sig` is not the last parameter, or no 64 hexadecimal digits")]
    SignatureForm,
    /// The signature says nothing about a body.
    #[error("a signed query comes with a body, which the signature does not cover")]
    SignedQueryWithBody,
    /// There is not one moment of signing.
    #[error("`ts` must come once, as a whole number of seconds")]
    SignedAt,
    /// It was signed too long ago, or too far in the future.
    #[error("`ts` is too far from now; compare the clocks")]
    TooFar,
    /// No secret has signed this.
    #[error("the signature of the query is not right")]
    Signature,
    /// The headers are missing, or it is no POST.
    #[error("there is no message signed as in Standard Webhooks")]
    NoWebhook,
    /// The query holds what nobody has signed.
    #[error("beside a signed body only `id` and `token` may stand in the query")]
    UnsignedQuery,
    /// The headers do not sign this body.
    #[error(transparent)]
    Webhook(#[from] SignatureError),
    /// None of the secrets of a section can be had, or none is a key.
    #[error("no secret can be had that `{0}` names; look at the start of the log")]
    NoSecret(&'static str),
}

impl Authentication {
    /// Whether anything must be proved; else anyone may send.
    pub fn is_required(&self) -> bool {
        *self != Self::default()
    }

    /// Whether a sender has to show a token or a signature, which it may have got wrong. Without
    /// one it is the way it came in that is refused.
    pub fn takes_credentials(&self) -> bool {
        !self.tokens.is_empty() || self.signed_query.is_some() || self.standard_webhooks.is_some()
    }

    /// What it asks for, by the keys of the rules.
    pub fn sections(&self) -> Vec<&'static str> {
        let asked = [
            ("https_only", self.https_only),
            ("addresses", !self.addresses.is_empty()),
            ("tokens", !self.tokens.is_empty()),
            ("signed_query", self.signed_query.is_some()),
            ("standard_webhooks", self.standard_webhooks.is_some()),
        ];
        asked.iter().filter(|(_, asked)| *asked).map(|(name, _)| *name).collect()
    }

    /// Every secret that it names.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretName> {
        let signed = self.signed_query.iter().chain(&self.standard_webhooks);
        self.tokens.iter().chain(signed.flat_map(|signed| &signed.secrets))
    }

    /// The moment at which an arrival claims to be signed, where a signature is asked for. Nobody
    /// vouches for it before [`Authentication::verify`] has.
    pub fn signed_at(&self, proof: &Proof<'_>) -> Option<Timestamp> {
        if self.signed_query.is_some() {
            return moment_of_query(proof.query);
        }
        self.standard_webhooks.as_ref()?;
        moment(proof.webhook?.timestamp)
    }

    /// Whether an arrival proves everything that is asked for. `secret` is asked for values; one
    /// that cannot be had lets nobody pass. Secrets are compared in constant time, and all of them
    /// whichever is right.
    ///
    /// # Errors
    /// The first section that does not hold.
    pub fn verify(
        &self,
        proof: &Proof<'_>,
        secret: impl Fn(&SecretName) -> Option<String>,
    ) -> Result<(), AuthFailure> {
        if self.https_only && !proof.is_encrypted {
            return Err(AuthFailure::NotEncrypted);
        }
        if !self.addresses.is_empty() {
            address_is_one_of(&self.addresses, proof.address)?;
        }
        let values = |names: &BTreeSet<SecretName>| -> Vec<String> {
            let values = names.iter().filter_map(&secret);
            values.filter(|value| !value.is_empty()).collect()
        };
        if !self.tokens.is_empty() {
            token_is_one_of(&values(&self.tokens), proof)?;
        }
        if let Some(signed) = &self.signed_query {
            query_is_signed(&values(&signed.secrets), signed.tolerance, proof)?;
        }
        if let Some(signed) = &self.standard_webhooks {
            let query_counts = self.signed_query.is_none();
            body_is_signed(&values(&signed.secrets), signed.tolerance, proof, query_counts)?;
        }
        Ok(())
    }
}

/// A query with its signature behind it, as a sender makes it; `query` has its `ts`.
///
/// ```
/// let signed = counterfoil_core::sign_query("ts=1614265330", "key-one");
/// assert_eq!(
///     signed,
///     "ts=1614265330&sig=97597cb6db4d546e62b539b6831d9619a6d9f3172b272e6f7c84b8e5d68d6eba"
/// );
/// ```
pub fn sign_query(query: &str, secret: &str) -> String {
    let mut signed = format!("{query}{SIGNATURE_MARK}");
    // A key of any length is one.
    if let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        for byte in mac.chain_update(query).finalize().into_bytes() {
            // Writing to a string cannot fail.
            let _ = fmt::write(&mut signed, format_args!("{byte:02x}"));
        }
    }
    signed
}

impl AuthFailure {
    /// What whoever runs this can do about it, or tell the sender.
    const fn hint(&self) -> &'static str {
        match self {
            Self::NotEncrypted => {
                "let the sender call https; behind a proxy, name it with --trusted-proxy"
            }
            Self::Address => {
                "if it is the sender's, add it to `auth.addresses`; behind a proxy, name the proxy \
                 with --trusted-proxy"
            }
            Self::NoToken => "let the sender send `token`, or `Authorization: Bearer`",
            Self::Token => "compare the sender's token with the secret, blanks included",
            Self::NoSignature | Self::SignatureForm | Self::SignedAt => {
                "let the sender sign the query: `ts` in Unix seconds and, last of all, `sig`"
            }
            Self::SignedQueryWithBody => "let the sender send all parameters in the query",
            Self::TooFar => "compare the clocks; a request must be signed anew when it is repeated",
            Self::Signature => {
                "compare the sender's key with the secret; the query is signed as it is sent, \
                 after encoding"
            }
            Self::NoWebhook => {
                "let the sender POST with webhook-id, webhook-timestamp and webhook-signature"
            }
            Self::UnsignedQuery => "let the sender send the other parameters in the body",
            Self::Webhook(_) => "compare the sender's key with the secret, and the clocks",
            Self::NoSecret(_) => "`counterfoil doctor` tells which secret is missing",
        }
    }

    /// The refusal that the log row keeps.
    pub fn refusal(&self) -> Refusal {
        let refusal = Refusal::new(Reason::Unauthorized, format!("{self}")).hint(self.hint());
        match self {
            Self::NoToken | Self::Token => refusal.about("token"),
            Self::NoSignature | Self::SignatureForm | Self::Signature => refusal.about("sig"),
            Self::SignedAt | Self::TooFar => refusal.about("ts"),
            _ => refusal,
        }
    }
}

fn address_is_one_of(networks: &BTreeSet<IpNet>, address: IpAddr) -> Result<(), AuthFailure> {
    let address = address.to_canonical();
    let mut networks = networks.iter();
    let is_in = networks.any(|network| network.contains(&address));
    is_in.then_some(()).ok_or(AuthFailure::Address)
}

fn token_is_one_of(secrets: &[String], proof: &Proof<'_>) -> Result<(), AuthFailure> {
    let parameter =
        proof.pairs.iter().find(|(name, _)| Parameter::named(name) == Some(Parameter::Token));
    let given: Vec<&str> =
        proof.bearer.into_iter().chain(parameter.map(|(_, value)| &**value)).collect();
    if given.is_empty() {
        return Err(AuthFailure::NoToken);
    }
    if secrets.is_empty() {
        return Err(AuthFailure::NoSecret("auth.tokens"));
    }
    let pairs = secrets.iter().flat_map(|secret| given.iter().map(move |one| (secret, one)));
    let is_right = pairs
        .fold(Choice::from(0), |any, (secret, one)| any | secret.as_bytes().ct_eq(one.as_bytes()));
    bool::from(is_right).then_some(()).ok_or(AuthFailure::Token)
}

/// Over the bytes as they came, so that nobody can disagree about what was signed.
fn query_is_signed(
    secrets: &[String],
    tolerance: Period,
    proof: &Proof<'_>,
) -> Result<(), AuthFailure> {
    let (signed, signature) =
        proof.query.split_once(SIGNATURE_MARK).ok_or(AuthFailure::NoSignature)?;
    let signature = signature_of_hex(signature).ok_or(AuthFailure::SignatureForm)?;
    if proof.body.is_some_and(|body| !body.is_empty()) {
        return Err(AuthFailure::SignedQueryWithBody);
    }
    let at = moment_of_query(signed).ok_or(AuthFailure::SignedAt)?;
    if proof.now.since(at).max(at.since(proof.now)) > tolerance {
        return Err(AuthFailure::TooFar);
    }
    if secrets.is_empty() {
        return Err(AuthFailure::NoSecret("auth.signed_query"));
    }
    let is_right = |secret: &String| {
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok();
        mac.is_some_and(|mac| mac.chain_update(signed).verify_slice(&signature).is_ok())
    };
    let any = secrets.iter().fold(false, |any, secret| is_right(secret) | any);
    any.then_some(()).ok_or(AuthFailure::Signature)
}

/// The one moment that a query names.
fn moment_of_query(query: &str) -> Option<Timestamp> {
    let mut moments = query.split('&').filter_map(|piece| piece.strip_prefix("ts="));
    match (moments.next(), moments.next()) {
        (Some(only), None) => moment(only),
        _ => None,
    }
}

fn signature_of_hex(digits: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let mut bytes = [0; 32];
    if !rest.is_empty() || pairs.len() != bytes.len() {
        return None;
    }
    let digit =
        |ascii: u8| char::from(ascii).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// The headers sign the body and nothing else, so the rest may say nothing.
fn body_is_signed(
    secrets: &[String],
    tolerance: Period,
    proof: &Proof<'_>,
    query_counts: bool,
) -> Result<(), AuthFailure> {
    let (Some(headers), Some(body)) = (proof.webhook, proof.body) else {
        return Err(AuthFailure::NoWebhook);
    };
    let mut names = proof.query.split('&').map(|piece| piece.split('=').next().unwrap_or_default());
    let may_stand =
        |name| Parameter::named(name).is_some_and(|known| BESIDE_WEBHOOK.contains(&known));
    if query_counts && !names.all(|name| name.is_empty() || may_stand(name)) {
        return Err(AuthFailure::UnsignedQuery);
    }
    let keys: Vec<SigningKey> =
        secrets.iter().filter_map(|secret| SigningKey::parse(secret).ok()).collect();
    if keys.is_empty() {
        return Err(AuthFailure::NoSecret("auth.standard_webhooks"));
    }
    let WebhookHeaders { id, timestamp, signature } = headers;
    SignedMessage { id, timestamp, signature, body }.verify(&keys, proof.now, tolerance)?;
    Ok(())
}
