//! Signatures: whatever is made of a signed message or a signed query, only what was signed passes.
//! An input is four lines: the id, the timestamp and the signature of a message, and a signed
//! query; then the body of the message.

use counterfoil_core::{
    Authentication, Incoming, Method, Proof, Ruleset, RulesetSpec, SecretName, SigningKey,
    Timestamp, WebhookHeaders, decode,
};

/// The vector that the reference libraries of Standard Webhooks share, and a query that OpenSSL
/// signed; the corpus has them as its first input.
const SIGNED: [&str; 5] = [
    "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "1614265330",
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    "ts=1614265330&sig=97597cb6db4d546e62b539b6831d9619a6d9f3172b272e6f7c84b8e5d68d6eba",
    r#"{"test": 2432232314}"#,
];
const WEBHOOK: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const KEY: &str = "key-one";
const NOW: Timestamp = Timestamp::from_ms(1_614_265_330_000);

#[test]
fn only_what_was_signed_passes() {
    assert_eq!(passes(&SIGNED.map(str::as_bytes)), (true, true));
    super::explore(
        "signature",
        &[
            "v1,",
            "v1a,",
            "v2,",
            " ",
            ".",
            "=",
            "==",
            "+",
            "/",
            "-",
            "0",
            "1614265330",
            "&sig=",
            "&ts=1614265330",
            "ts=",
            "&",
            "%73ig",
            "sig",
            "\n",
            "\u{e9}",
            "AAAA",
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            "97597cb6db4d546e62b539b6831d9619a6d9f3172b272e6f7c84b8e5d68d6eba",
        ],
        check,
    );
}

fn check(input: &[u8]) {
    let mut lines = input.splitn(5, |byte| *byte == b'\n');
    let parts = [(); 5].map(|()| lines.next().unwrap_or_default());
    let (message, query) = passes(&parts);
    let [id, timestamp, signature, signed_query, body] = SIGNED.map(str::as_bytes);
    if message {
        assert_eq!((parts[0], parts[1], parts[4]), (id, timestamp, body));
        let mut given = parts[2].split(|byte| *byte == b' ');
        assert!(given.any(|given| given == signature), "{:?}", parts[2]);
    }
    // The digits of a signature may be in capitals.
    assert_eq!(query, parts[3].eq_ignore_ascii_case(signed_query) && is_from(parts[3], b"ts="));
}

fn is_from(query: &[u8], names: &[u8]) -> bool {
    let at = query.iter().position(|byte| *byte == b'&').unwrap_or(query.len());
    query.starts_with(names) && query[at..].starts_with(b"&sig=")
}

/// Whether the message passes, and whether the query does.
fn passes(parts: &[&[u8]; 5]) -> (bool, bool) {
    // A header or a target that is no text never comes this far.
    let text = |part: usize| std::str::from_utf8(parts[part]).unwrap_or_default();
    let headers = WebhookHeaders { id: text(0), timestamp: text(1), signature: text(2) };
    let message = verified("standard_webhooks", "", Some((headers, parts[4])));
    (message, verified("signed_query", text(3), None))
}

fn verified(section: &str, query: &str, message: Option<(WebhookHeaders<'_>, &[u8])>) -> bool {
    let incoming = Incoming { method: Method::S2s, dialect: None, query, body: None };
    let Ok(pairs) = decode(&incoming) else {
        return false;
    };
    let proof = Proof {
        is_encrypted: false,
        address: [192, 0, 2, 1].into(),
        bearer: None,
        pairs: &pairs,
        query,
        webhook: message.map(|(headers, _)| headers),
        body: message.map(|(_, body)| body),
        now: NOW,
    };
    let value = |name: &SecretName| Some(name.as_str().to_owned());
    let secret = |_: &SecretName| match section {
        "signed_query" => Some(KEY.to_owned()),
        _ => Some(WEBHOOK.to_owned()),
    };
    // A key that is any other text lets nobody pass.
    assert!(asked(section).verify(&proof, value).is_err());
    asked(section).verify(&proof, secret).is_ok()
}

fn asked(section: &str) -> Authentication {
    let text = format!(
        "tenant='a'\ncurrency='EUR'\n[[postback]]\nid='p'\nauth.{section}.secrets=['{{secret:s}}']"
    );
    let (rules, _) = RulesetSpec::from_toml(&text).and_then(Ruleset::check).unwrap();
    rules.postbacks()[0].authentication.clone()
}

/// A key reads as the text that it was made of, or not at all.
#[test]
fn a_key_is_its_base64() {
    let key = SigningKey::parse(WEBHOOK).unwrap();
    let [id, _, signature, _, body] = SIGNED;
    assert_eq!(key.sign(id, NOW.as_ms() / 1000, body.as_bytes()), signature);
}
