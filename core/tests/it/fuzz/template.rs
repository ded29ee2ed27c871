//! Templates: whatever url the rules have and whatever value a macro gets, the rendered url leads
//! to the scheme, host and port that the rules name. An input is a line with the url, and a value.

use std::borrow::Cow;

use counterfoil_core::{Ruleset, RulesetSpec, Template, shown_parts};
use url::Url;

#[test]
fn no_value_leads_to_another_host() {
    super::explore(
        "template",
        &[
            "{pcid}",
            "{affs1}",
            "{click_id}",
            "{offer_id}",
            "{value}",
            "{payout}",
            "{param.x}",
            "{secret:a}",
            "{{",
            "}}",
            "{",
            "}",
            "https://",
            "http://",
            "HTTPS://",
            "//",
            "/",
            "\\",
            "@",
            ":",
            ":443",
            "?",
            "#",
            "&",
            "=",
            "%",
            "%2F",
            "..",
            ".",
            "\n",
            "\r\n",
            "\t",
            " ",
            "\0",
            "\u{e9}",
            "\u{3002}",
            "\u{202e}",
            "[::1]",
            "127.0.0.1",
            "evil.example",
            "user:pass@",
            "javascript:",
            "a.example",
        ],
        check,
    );
}

fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (url, value) = text.split_once('\n').unwrap_or((text, "x"));
    split_and_joined(url);
    let rules = |lines: &str| {
        let quoted = serde_json::to_string(url).unwrap().replace('\u{7f}', "\\u007f");
        let head = "tenant='a'\ncurrency='EUR'\n[[advertiser]]\nid='s'\nname='S'\n";
        let text = format!("{head}{}", lines.replace("URL", &quoted));
        RulesetSpec::from_toml(&text).and_then(Ruleset::check).map(|(rules, _)| rules)
    };
    if let Ok(rules) = rules("[[offer]]\nid='o'\nname='O'\nadvertiser='s'\nurl=URL\n") {
        let offer = &rules.offer("o").unwrap().url;
        let rendered = |value: &str| offer.render_url(|_| Some(Cow::Owned(value.to_owned())));
        leads_to(&rendered(value), &rendered("x"));
    }
    if let Ok(rules) = rules("[[tracking_api]]\nid='t'\nrequest.url=URL\n") {
        let request = &rules.tracking_api("t").unwrap().call.request;
        let filled =
            |value: &str| shown_parts(&request.url.fill(|_| Some(Cow::Owned(value.to_owned()))));
        if let Some(to) = leads_to(&filled(value), &filled("x")) {
            // Its spelling is ours: one for each destination.
            let destination = Url::parse(&request.destination).unwrap();
            assert_eq!(destination.origin(), to.origin());
            assert_eq!(request.destination.to_ascii_lowercase(), *request.destination);
        }
    }
}

/// A rendered url leads where it leads with a plain value, and names no user.
fn leads_to(rendered: &str, plain: &str) -> Option<Url> {
    let (rendered, plain) = match (Url::parse(rendered), Url::parse(plain)) {
        (Ok(rendered), Ok(plain)) => (rendered, plain),
        (rendered, plain) => {
            // Behind `xn--` may be no punycode, and numbers may be no address. Then no value makes
            // it a host.
            assert_eq!(rendered.err(), plain.err());
            return None;
        }
    };
    assert_eq!(rendered.origin(), plain.origin(), "`{rendered}` and `{plain}`");
    assert!(matches!(rendered.scheme(), "http" | "https"), "{rendered}");
    assert_eq!((rendered.username(), rendered.password()), ("", None), "{rendered}");
    assert_eq!(rendered.path().split('/').count(), plain.path().split('/').count(), "{rendered}");
    Some(rendered)
}

/// What is split says the same, and a value is never looked at again.
fn split_and_joined(text: &str) {
    let Ok(template) = Template::parse(text) else {
        return;
    };
    assert_eq!(template.as_str(), text);
    let as_written = template.render_url(|_| Some(Cow::Borrowed("{pcid}")));
    let braces = template.macros().count();
    assert!(as_written.matches("%7Bpcid%7D").count() >= braces, "{as_written}");
    assert_eq!(template.render_url(|_| None), template.render_url(|_| Some(Cow::Borrowed(""))));
}
