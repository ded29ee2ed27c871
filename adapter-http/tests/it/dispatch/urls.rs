//! What `check` accepts as the url of a request is a url to the client too, whatever values stand
//! in it (R40): else its messages would be tried for ever.

use counterfoil_core::{
    AttemptOutcome, DeadReason, Next, Ruleset, RulesetSpec, SecretName, complete,
};
use hyper::Uri;
use proptest::prelude::*;

use super::{mail::rules, receiver::Receiver, sending::Sending};

/// Rules with this url, where they are right.
fn checked(url: &str) -> Option<Ruleset> {
    let text = serde_json::json!({
        "tenant": "acme",
        "currency": "EUR",
        "tracking_api": [{ "id": "x", "request": { "url": url } }],
    });
    let spec = RulesetSpec::from_json(&text.to_string()).unwrap();
    Ruleset::check(spec).ok().map(|(ruleset, _)| ruleset)
}

/// The url as the client reads it, with one value for all macros and secrets.
fn rendered(ruleset: &Ruleset, value: &str) -> Result<Uri, String> {
    let call = &ruleset.tracking_api("x").unwrap().call;
    let parts = call.request.url.fill(|_| Some(value.into()));
    let url = complete(&parts, |_: &SecretName| Some(value.into())).unwrap();
    let uri: Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    let reached = format!(
        "{}://{}:{port}",
        uri.scheme_str().unwrap_or_default(),
        uri.host().unwrap_or_default().to_ascii_lowercase()
    );
    match *reached == *call.request.destination {
        true => Ok(uri),
        false => Err(format!("{url} leads to {reached}")),
    }
}

#[test]
fn every_character_that_is_accepted_can_be_sent() {
    let mut accepted = String::new();
    for char in '\0'..='\u{ff}' {
        for url in [
            format!("https://a/{char}"),
            format!("https://a/x?y={char}"),
            format!("https://a?{char}"),
            format!("https://a{char}/"),
            format!("https://{char}"),
            format!("https://a:{char}/"),
        ] {
            let Some(ruleset) = checked(&url) else { continue };
            rendered(&ruleset, "v").unwrap();
            if url.starts_with("https://a/x?") {
                accepted.push(char);
            }
        }
    }
    let odd: String = accepted.chars().filter(|char| !char.is_ascii_alphanumeric()).collect();
    assert_eq!(odd, "!$%&'()*+,-./:;=?@[]_~");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_is_a_url_whatever_stands_in_it(
        scheme in prop_oneof!["http://", "https://", "HTTPS://"],
        authority in prop_oneof![
            "[a-zA-Z0-9._-]{1,12}(:[0-9]{1,5})?",
            "\\[[0-9a-f:]{2,12}\\]",
            "[ -~]{1,8}",
        ],
        rest in proptest::collection::vec(
            prop_oneof![
                "[ -~]{0,3}",
                Just("{affs1}".to_owned()),
                Just("{param.x}".to_owned()),
                Just("{secret:k}".to_owned()),
                Just("/".to_owned()),
                Just("?".to_owned()),
            ],
            0..8,
        ),
        value in "\\PC{0,12}|[\\x00-\\x7f]{0,12}|[./?#@:\\\\]{0,6}",
    ) {
        let slash = if rest.is_empty() { "" } else { "/" };
        let url = format!("{scheme}{authority}{slash}{}", rest.concat());
        if let Some(ruleset) = checked(&url) {
            prop_assert!(rendered(&ruleset, &value).is_ok(), "{:?}", rendered(&ruleset, &value));
        }
    }
}

/// Its url is frozen, so no attempt can mend it: it ends at once, seen, and breaks nothing else.
#[test]
fn a_url_that_became_too_long_ends_its_message() {
    let receiver = Receiver::constant("200", "", "");
    let sending = Sending::start();
    let template = format!("http://{}/{}", receiver.address, "{affs1}".repeat(27));
    let ruleset = rules(&format!("request.url = '{template}'"));
    let id = sending.mail.put_filled(&ruleset, sending.now(), Some(&"ž".repeat(1000)));
    sending.mail.wake();
    let attempted = sending.mail.attempt(id, 1);
    assert_eq!(attempted.outcome, AttemptOutcome::OurFault);
    assert_eq!(attempted.next, Next::Dead(DeadReason::Unsendable));
    assert_eq!(attempted.error.as_deref(), Some("the url cannot be sent: uri too long"));
    assert_eq!(receiver.connections(), 0);
    assert_eq!(sending.send(&receiver.api()).next, Next::Delivered);
}
