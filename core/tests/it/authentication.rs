//! What proves who sends a postback, and what does not.

use std::net::IpAddr;

use counterfoil_core::{
    AuthFailure, Authentication, Body, DIALECTS, Dialect, Incoming, Method, Parameter, Proof,
    Reason, Ruleset, RulesetSpec, SecretName, SignatureError, Timestamp, WebhookHeaders, decode,
    read,
};
use proptest::prelude::*;

const SIGNED_AT: i64 = 1_614_265_330;
/// Signed by `key-one` and `key-two`, as OpenSSL does it.
const SIGNED: &str =
    "id=shop&pcid=01930000-0000-7000-8000-000000000000&type=sale&value=1%2E50&ts=1614265330";
const BY_ONE: &str = "797154b4e175bdd2feb16ef5b7561ee93d389231718f843d72a2523e2d0396e1";
const BY_TWO: &str = "af3a32b2e03efb1bb88d73fc1da63f16fb1affd5faff8d772d4e998e94de126f";
/// The vector that the reference libraries of Standard Webhooks share.
const HEADERS: WebhookHeaders<'_> = WebhookHeaders {
    id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    timestamp: "1614265330",
    signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
};
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SECRETS: [(&str, &str); 7] = [
    ("one", "key-one"),
    ("two", "key-two"),
    ("webhook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ("next-webhook", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    ("token", "canary-token"),
    ("next-token", "canary-next"),
    ("empty", ""),
];

/// What the lines of one definition ask for.
fn asked(lines: &str) -> Authentication {
    let text = format!("tenant=\"a\"\ncurrency=\"EUR\"\n[[postback]]\nid=\"shop\"\n{lines}\n");
    let (rules, _) = RulesetSpec::from_toml(&text).and_then(Ruleset::check).unwrap();
    rules.postbacks()[0].authentication.clone()
}

/// An arrival, as far as tests vary it.
#[derive(Clone, Copy)]
struct Sent<'a> {
    query: &'a str,
    bearer: Option<&'a str>,
    webhook: Option<WebhookHeaders<'a>>,
    body: Option<&'a [u8]>,
    address: &'a str,
    is_encrypted: bool,
    late_s: i64,
}

const BARE: Sent<'_> = Sent {
    query: "",
    bearer: None,
    webhook: None,
    body: None,
    address: "203.0.113.9",
    is_encrypted: false,
    late_s: 0,
};

fn verified(asked: &Authentication, sent: Sent<'_>) -> Result<(), AuthFailure> {
    let query = sent.query;
    let pairs = decode(&Incoming { method: Method::S2s, dialect: None, query, body: None });
    let proof = Proof {
        is_encrypted: sent.is_encrypted,
        address: sent.address.parse::<IpAddr>().unwrap(),
        bearer: sent.bearer,
        pairs: &pairs.unwrap(),
        query,
        webhook: sent.webhook,
        body: sent.body,
        now: Timestamp::from_ms((SIGNED_AT + sent.late_s) * 1000),
    };
    let value = |name: &SecretName| {
        let found = SECRETS.iter().find(|(known, _)| *known == name.as_str());
        found.map(|(_, value)| (*value).to_owned())
    };
    asked.verify(&proof, value)
}

#[test]
fn a_token_comes_in_the_header_or_as_a_parameter() {
    let both = asked("auth.tokens = [\"{secret:token}\", \"{secret:next-token}\"]");
    for token in ["canary-token", "canary-next"] {
        assert_eq!(verified(&both, Sent { bearer: Some(token), ..BARE }), Ok(()));
        let query = format!("type=sale&token={token}");
        assert_eq!(verified(&both, Sent { query: &query, ..BARE }), Ok(()));
        let old = Sent { query: &query, bearer: Some("wrong"), ..BARE };
        assert_eq!(verified(&both, old), Ok(()));
    }
    assert_eq!(verified(&both, BARE), Err(AuthFailure::NoToken));
    for wrong in ["", "canary", "canary-token2", "Canary-token", "canary-token,canary-next"] {
        let sent = Sent { bearer: Some(wrong), ..BARE };
        assert_eq!(verified(&both, sent), Err(AuthFailure::Token), "{wrong}");
    }
}

/// R2: under each of its names a token lets in and is masked, in every dialect and way to send.
#[test]
fn every_name_of_a_token_is_one_that_authentication_reads_and_the_log_masks() {
    let rules = |dialect: &str| {
        let text = format!(
            "tenant=\"a\"\ncurrency=\"EUR\"\n[[postback]]\nid=\"shop\"\ndialect=\"{dialect}\"\n"
        );
        RulesetSpec::from_toml(&text).and_then(Ruleset::check).unwrap().0
    };
    let names = |dialect: &'static Dialect| {
        let known = dialect.known_names().filter(|(_, parameter)| *parameter == Parameter::Token);
        known.map(move |(name, _)| (name, dialect)).collect::<Vec<_>>()
    };
    let tokens = asked("auth.tokens = [\"{secret:token}\"]");
    let all = DIALECTS.map(names).concat();
    assert_eq!(all.len(), 4 * DIALECTS.len());
    for (name, dialect) in all {
        let query = format!("id=shop&{name}=canary-token");
        assert_eq!(verified(&tokens, Sent { query: &query, ..BARE }), Ok(()), "{name}");
        let json = format!("{{\"{name}\":\"canary-token\"}}");
        let bodies = [
            (&*query, None),
            ("id=shop", Some(Body::Form(&query.as_bytes()["id=shop&".len()..]))),
            ("id=shop", Some(Body::Json(json.as_bytes()))),
            // What cannot be decoded is masked all the same.
            (&*format!("{query}&value=%"), None),
        ];
        for (query, body) in bodies {
            let incoming = Incoming { method: Method::S2s, dialect: None, query, body };
            let (request, logged) = read(&rules(&dialect.name), &incoming);
            let kept = format!("{request:?} {logged}");
            assert!(!kept.contains("canary"), "{name}, {}: {kept}", dialect.name);
        }
    }
}

#[test]
fn a_secret_that_cannot_be_had_lets_nobody_pass() {
    for name in ["missing", "empty"] {
        let tokens = asked(&format!("auth.tokens = [\"{{secret:{name}}}\"]"));
        for token in ["", "missing", "empty"] {
            let sent = Sent { bearer: Some(token), ..BARE };
            assert_eq!(verified(&tokens, sent), Err(AuthFailure::NoSecret("auth.tokens")));
        }
        let signed = asked(&format!("auth.signed_query.secrets = [\"{{secret:{name}}}\"]"));
        let query = format!("{SIGNED}&sig={BY_ONE}");
        let failed = verified(&signed, Sent { query: &query, ..BARE });
        assert_eq!(failed, Err(AuthFailure::NoSecret("auth.signed_query")));
    }
    // A secret that is no signing key.
    let webhook = asked("auth.standard_webhooks.secrets = [\"{secret:token}\"]");
    let sent = Sent { webhook: Some(HEADERS), body: Some(BODY), ..BARE };
    let failed = verified(&webhook, sent);
    assert_eq!(failed, Err(AuthFailure::NoSecret("auth.standard_webhooks")));
    // One that is missing beside one that is right is no hindrance.
    let tokens = asked("auth.tokens = [\"{secret:missing}\", \"{secret:token}\"]");
    assert_eq!(verified(&tokens, Sent { bearer: Some("canary-token"), ..BARE }), Ok(()));
}

#[test]
fn a_signed_query_is_right_byte_for_byte() {
    use AuthFailure::{
        NoSignature, Signature, SignatureForm, SignedAt, SignedQueryWithBody as Body, TooFar,
    };
    let one = asked("auth.signed_query.secrets = [\"{secret:one}\"]");
    let good = format!("{SIGNED}&sig={BY_ONE}");
    let passes = |query: &str| verified(&one, Sent { query, ..BARE });
    assert_eq!(passes(&good), Ok(()));
    assert_eq!(passes(&format!("{SIGNED}&sig={}", BY_ONE.to_uppercase())), Ok(()));
    let ts_alone = "97597cb6db4d546e62b539b6831d9619a6d9f3172b272e6f7c84b8e5d68d6eba";
    assert_eq!(passes(&format!("ts=1614265330&sig={ts_alone}")), Ok(()));
    let table = [
        (SIGNED.to_owned(), NoSignature),
        (String::new(), NoSignature),
        (format!("sig={BY_ONE}"), NoSignature),
        (format!("{SIGNED}&%73ig={BY_ONE}"), NoSignature),
        (format!("{good}&value=9"), SignatureForm),
        (format!("{good}&"), SignatureForm),
        (format!("{good}&sig={BY_ONE}"), SignatureForm),
        (format!("{SIGNED}&sig={}", &BY_ONE[2..]), SignatureForm),
        (format!("{SIGNED}&sig={}g", &BY_ONE[1..]), SignatureForm),
        (format!("{SIGNED}&sig="), SignatureForm),
        (format!("{SIGNED}&sig={BY_TWO}"), Signature),
        (good.replace("1%2E50", "1.50"), Signature),
        (good.replace("1%2E50", "9%2E50"), Signature),
        (format!("value=9&{good}"), Signature),
        (good.replace("&ts=1614265330", ""), SignedAt),
        (format!("ts=1614265330&{good}"), SignedAt),
        (good.replace("ts=", "ts=-"), SignedAt),
        (good.replace("ts=1614265330", "ts="), SignedAt),
        (good.replace("ts=1614265330", "ts=9223372036854775807"), SignedAt),
        (good.replace("ts=1614265330", "ts=1614265331"), Signature),
        (good.replace("ts=1614265330", "ts=9"), TooFar),
    ];
    for (query, failure) in table {
        assert_eq!(passes(&query), Err(failure), "{query}");
    }
    let with = |body| verified(&one, Sent { query: &good, body: Some(body), ..BARE });
    assert_eq!(with(b""), Ok(()));
    assert_eq!(with(b"value=9"), Err(Body));
}

#[test]
fn clocks_may_differ_by_the_tolerance() {
    let query = asked("auth.signed_query.secrets = [\"{secret:one}\"]");
    let tight = "{ secrets = [\"{secret:webhook}\"], tolerance = \"10s\" }";
    let webhook = asked(&format!("auth.standard_webhooks = {tight}"));
    let good = format!("{SIGNED}&sig={BY_ONE}");
    for (late_s, passes) in [(300, true), (-300, true), (301, false), (-301, false)] {
        let failed = (!passes).then_some(AuthFailure::TooFar);
        assert_eq!(verified(&query, Sent { query: &good, late_s, ..BARE }).err(), failed);
    }
    for (late_s, passes) in [(10, true), (-10, true), (11, false), (-11, false)] {
        let sent = Sent { webhook: Some(HEADERS), body: Some(BODY), late_s, ..BARE };
        let failed = (!passes).then_some(AuthFailure::Webhook(SignatureError::TooFar));
        assert_eq!(verified(&webhook, sent).err(), failed, "{late_s}");
    }
}

#[test]
fn two_secrets_hold_while_one_replaces_the_other() {
    let both = asked("auth.signed_query.secrets = [\"{secret:one}\", \"{secret:two}\"]");
    for signature in [BY_ONE, BY_TWO] {
        let query = format!("{SIGNED}&sig={signature}");
        assert_eq!(verified(&both, Sent { query: &query, ..BARE }), Ok(()));
    }
    let names = "[\"{secret:webhook}\", \"{secret:next-webhook}\"]";
    let both = asked(&format!("auth.standard_webhooks.secrets = {names}"));
    let sent = Sent { webhook: Some(HEADERS), body: Some(BODY), ..BARE };
    assert_eq!(verified(&both, sent), Ok(()));
    assert_eq!(both.secrets().count(), 2);
}

#[test]
fn a_signed_body_says_everything() {
    let asked = asked("auth.standard_webhooks.secrets = [\"{secret:webhook}\"]");
    let sent = Sent { webhook: Some(HEADERS), body: Some(BODY), ..BARE };
    for query in ["", "id=shop", "id=shop&token=x", "&&"] {
        assert_eq!(verified(&asked, Sent { query, ..sent }), Ok(()), "{query}");
    }
    for query in ["value=9", "id=shop&commission=9", "%69d=shop", "ts=1"] {
        let failed = verified(&asked, Sent { query, ..sent });
        assert_eq!(failed, Err(AuthFailure::UnsignedQuery), "{query}");
    }
    let failed = verified(&asked, Sent { body: Some(b"{}"), ..sent });
    assert_eq!(failed, Err(AuthFailure::Webhook(SignatureError::NoMatch)));
    for unsigned in [Sent { body: None, ..sent }, Sent { webhook: None, ..sent }] {
        assert_eq!(verified(&asked, unsigned), Err(AuthFailure::NoWebhook));
    }
}

#[test]
fn an_address_is_in_one_of_the_networks() {
    let asked = asked("auth.addresses = [\"203.0.113.0/24\", \"198.51.100.7\", \"2001:db8::/32\"]");
    for address in
        ["203.0.113.0", "203.0.113.255", "198.51.100.7", "2001:db8:1::1", "::ffff:203.0.113.9"]
    {
        assert_eq!(verified(&asked, Sent { address, ..BARE }), Ok(()), "{address}");
    }
    for address in ["203.0.114.0", "198.51.100.8", "2001:db9::1", "::1"] {
        let failed = verified(&asked, Sent { address, ..BARE });
        assert!(failed == Err(AuthFailure::Address), "{address}");
    }
}

/// Each section with the lines that ask for it.
const SECTIONS: [&str; 5] = [
    "https_only = true",
    "auth.addresses = [\"203.0.113.0/24\"]",
    "auth.tokens = [\"{secret:token}\"]",
    "auth.signed_query.secrets = [\"{secret:one}\"]",
    "auth.standard_webhooks.secrets = [\"{secret:webhook}\"]",
];

#[test]
fn every_section_that_is_given_must_hold() {
    let query = format!("{SIGNED}&sig={BY_ONE}");
    for given in 0..1u32 << SECTIONS.len() {
        let has = |section: usize| given >> section & 1 == 1;
        let lines: Vec<&str> =
            (0..SECTIONS.len()).filter(|s| has(*s)).map(|s| SECTIONS[s]).collect();
        let asked = asked(&lines.join("\n"));
        assert_eq!(asked.is_required(), given > 0);
        assert_eq!(asked.sections().len(), lines.len());
        for shown in 0..1u32 << SECTIONS.len() {
            let shows = |section: usize| shown >> section & 1 == 1;
            let signs_both = has(3) && has(4);
            // What a sender that signs one of both has to send; no sender can sign both.
            let is_webhook = shows(4) && !(shows(3) && has(3));
            let sent = Sent {
                is_encrypted: shows(0),
                address: if shows(1) { "203.0.113.9" } else { "192.0.2.1" },
                bearer: shows(2).then_some("canary-token"),
                query: if shows(3) && !is_webhook { &query } else { "id=shop" },
                webhook: is_webhook.then_some(HEADERS),
                body: is_webhook.then_some(BODY),
                ..BARE
            };
            let holds = given & !shown == 0 && !signs_both;
            assert_eq!(verified(&asked, sent).is_ok(), holds, "{given:05b} {shown:05b}");
        }
    }
}

#[test]
fn a_failure_says_for_the_log_what_was_wrong_and_no_secret() {
    let failures = [
        (AuthFailure::NoToken, Some("token")),
        (AuthFailure::Signature, Some("sig")),
        (AuthFailure::TooFar, Some("ts")),
        (AuthFailure::NotEncrypted, None),
        (AuthFailure::Webhook(SignatureError::NoMatch), None),
    ];
    for (failure, parameter) in failures {
        let refusal = failure.refusal();
        assert_eq!(refusal.reason, Reason::Unauthorized);
        assert_eq!(refusal.parameter.as_deref(), parameter);
        assert_eq!(*refusal.message, *failure.to_string());
    }
    let tokens = asked("auth.tokens = [\"{secret:token}\"]");
    let failed = verified(&tokens, Sent { bearer: Some("canary-given"), ..BARE });
    let told = format!("{failed:?} {:?}", failed.clone().unwrap_err().refusal());
    assert!(!told.contains("canary"), "{told}");
}

proptest! {
    /// Whatever a client sends: nothing panics, and nobody passes who does not know a secret.
    #[test]
    fn nobody_guesses(
        query in "(id=shop&)?(ts=[0-9]{0,20}&?)?[a-z0-9=&%é]{0,20}(&sig=[0-9a-fé]{0,70})?",
        id in "[ -~]{0,8}",
        timestamp in "(1614265330|[ -~]{0,20})",
        signature in "(v1,[A-Za-z0-9+/=]{0,60} ?){0,3}",
        token in prop::option::of("[ -~é]{0,20}"),
        body in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let webhook = WebhookHeaders { id: &id, timestamp: &timestamp, signature: &signature };
        let asked = |section: usize| asked(SECTIONS[section]);
        let incoming = Incoming { method: Method::S2s, dialect: None, query: &query, body: None };
        prop_assume!(decode(&incoming).is_ok());
        let sent = Sent { query: &query, bearer: token.as_deref(), ..BARE };
        prop_assert!(verified(&asked(2), sent).is_err());
        prop_assert!(verified(&asked(3), sent).is_err());
        let sent = Sent { query: "", webhook: Some(webhook), body: Some(&body), ..sent };
        prop_assert!(verified(&asked(4), sent).is_err());
    }
}
