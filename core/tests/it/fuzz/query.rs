//! Postbacks: decoding, finding the definition, parsing, and the text that the log keeps. An input
//! is a line that says how it comes (`get handle`, `form keitaro`, `json native`), a line with the
//! query, and the body.

use std::sync::LazyLock;

use counterfoil_core::{
    Body, Incoming, Method, NAME_LEN_MAX, PARAMS_MAX, Reason, Request, Ruleset, RulesetSpec,
    VALUE_LEN_MAX, decode, logged_text, masked_text, read,
};

static RULES: LazyLock<Ruleset> = LazyLock::new(|| {
    let text = include_str!("../../../../fixtures/rulesets/shoply.toml");
    let capped = "\n[[postback]]\nid = 'capped'\nlimits = { types = ['sale'], value_max = '100' }\n\
                  [[postback]]\nid = 'none'\ndedup.key = 'none'\ndefault_type = 'lead'\n";
    RulesetSpec::from_toml(&format!("{text}{capped}")).and_then(Ruleset::check).unwrap().0
});

/// The names under which secrets come.
const SECRETS: [&str; 6] = ["token", "ts", "sig", "verification_token", "security_token", "secure"];

/// Whether it is one of them, in any case, perhaps as a param of a root.
fn is_secret(name: &str) -> bool {
    let bare = name.strip_prefix("param.").unwrap_or(name);
    SECRETS.iter().any(|secret| secret.eq_ignore_ascii_case(bare))
}

#[test]
fn postbacks_of_any_bytes_are_read_and_read_again() {
    super::explore(
        "query",
        &[
            "&",
            "=",
            "%",
            "%00",
            "%FF",
            "%E2%82%AC",
            "+",
            ";",
            "\0",
            "\u{e9}",
            "pcid=",
            "eid=",
            "type=",
            "value=",
            "1e400",
            "-0.001",
            "NaN",
            "result=approved",
            "status=",
            "payout=",
            "txid=",
            "click_id=",
            "id=capped",
            "id=none",
            "token=secret",
            "secure=secret2",
            "sig=secret",
            "ts=secret",
            "{pcid}",
            "%7Bpcid%7D",
            "[cid]",
            "action=update",
            "external_id=",
            "advertiser_id=shoply",
            "currency=USD",
            "param1=",
            "event7=x",
            "{",
            "}",
            "\"",
            ":",
            ",",
            "null",
            "[1]",
            "\\u0000",
            "\\ud800",
            "99999999999999999999",
            "get handle\n",
            "json native\n",
            "form keitaro\n",
            "json peerclick\n",
            "get nowhere\n",
        ],
        check,
    );
}

fn check(input: &[u8]) {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (how, query, body) = (line(), line(), line());
    // A target that is no text never comes this far.
    let (Ok(how), Ok(query)) = (std::str::from_utf8(how), std::str::from_utf8(query)) else {
        return;
    };
    let (kind, dialect) = how.split_once(' ').unwrap_or((how, "handle"));
    let body = match kind {
        "form" => Some(Body::Form(body)),
        "json" => Some(Body::Json(body)),
        _ => None,
    };
    let dialect = (dialect != "handle").then_some(dialect);
    let incoming = Incoming { method: Method::S2s, dialect, query, body };
    decoded_is_within_the_limits(&incoming);
    is_read_again(&incoming);
}

/// What is decoded is bounded, trimmed and text; what is not is `malformed`. Written down with its
/// secrets masked it decodes to the same parameters.
fn decoded_is_within_the_limits(incoming: &Incoming<'_>) {
    let pairs = match decode(incoming) {
        Ok(pairs) => pairs,
        Err(refusal) => {
            assert_eq!(refusal.reason, Reason::Malformed);
            return;
        }
    };
    assert!(pairs.len() <= 2 * PARAMS_MAX);
    for (name, value) in &pairs {
        assert!(!name.is_empty() && name.len() <= NAME_LEN_MAX, "{name}");
        assert!(!value.is_empty() && value.len() <= VALUE_LEN_MAX, "{name}");
        assert!(!name.contains('\0') && !value.contains('\0'), "{name}");
        assert_eq!(value.trim_matches(|c: char| c.is_ascii_whitespace()), value, "{name}");
    }
    let text = masked_text(&pairs);
    let again = Incoming { query: &text, body: None, ..*incoming };
    let again = decode(&again).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
    assert_eq!(again.len(), pairs.len(), "{text}");
    for ((name, value), (name_again, value_again)) in pairs.iter().zip(&again) {
        assert_eq!(name, name_again);
        match is_secret(name) {
            true => assert!(value_again.starts_with("***"), "{name} is not masked"),
            false => assert_eq!(value, value_again),
        }
    }
    assert_eq!(masked_text(&again), text);
}

/// A row of the log is read as the request was, whatever that was, and shows no secret.
fn is_read_again(incoming: &Incoming<'_>) {
    let (request, text) = read(&RULES, incoming);
    if decode(incoming).is_err() {
        assert_eq!(text, logged_text(&RULES, incoming));
    }
    let undecodable = match (&request, decode(incoming)) {
        (Request::Unreadable(refusal), Err(_)) => Some((**refusal).clone()),
        _ => None,
    };
    let (method, dialect) = (incoming.method, incoming.dialect);
    let again = Request::of_log(&RULES, method, dialect, &text, undecodable);
    assert_eq!(again, request, "{text}");
    if let Request::Unreadable(refusal) = &request {
        assert!(!refusal.message.is_empty() && !refusal.message.ends_with('.'), "{refusal:?}");
    }
}
