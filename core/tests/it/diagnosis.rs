//! Diagnosing postbacks: a table from what was sent to what is wrong with it, in full.

use std::collections::BTreeSet;

use counterfoil_core::{
    Arrival, Called, ConversionId, Diagnosis, Finding, Incoming, Known, Likeness, Method,
    NameFault, Ruleset, RulesetSpec, TenantName, Timestamp,
};
use proptest::prelude::*;

const RULES: &str = r#"
tenant = "acme"
currency = "EUR"
[[conversion_type]]
name = "deposit"
[[advertiser]]
id = "shoply"
name = "Shoply"
[[postback]]
id = "shoply-orders"
[[postback]]
id = "pvol"
dialect = "voluum"
[[postback]]
id = "signed"
https_only = true
auth.tokens = ["{secret:a}"]
auth.signed_query = { secrets = ["{secret:b}"], tolerance = "5m" }
[[postback]]
id = "hooked"
auth.standard_webhooks = { secrets = ["{secret:c}"] }
"#;

const ID: &str = "01930000-0000-7000-8000-0000000000ab";
const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

fn rules(tenant: &str) -> Ruleset {
    let text = RULES.replace("\"acme\"", &format!("\"{tenant}\""));
    Ruleset::check(RulesetSpec::from_toml(&text).unwrap()).unwrap().0
}

fn called(text: &str) -> Called<'_> {
    let (text, fragment) =
        text.split_once('#').map_or((text, None), |(text, rest)| (text, Some(rest)));
    let is_plain = text.starts_with("http:");
    let text = text.trim_start_matches("http://x").trim_start_matches("https://x");
    if !text.starts_with('/') {
        return Called { is_plain, path: None, query: text, fragment };
    }
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    Called { is_plain, path: Some(path), query, fragment }
}

fn diagnosed(text: &str) -> Vec<Finding> {
    let (acme, rival) = (rules("acme"), rules("rival"));
    Diagnosis::of(&[&acme, &rival], Some("acme"), &called(text), NOW).findings
}

/// What was sent, and the code and parameter of each finding.
const TEXTS: &[(&str, &[(&str, &str)])] = &[
    // Nothing is wrong.
    ("pcid=ID&type=sale&value=10", &[]),
    ("https://x/api/acme/postbacks/handle?pcid=ID&type=sale", &[]),
    ("https://x/api/acme/pixel.gif?pcid=ID&type=sale", &[]),
    ("https://x/api/acme/postbacks/keitaro?subid=ID&payout=1&status=lead", &[]),
    ("advertiser_id=shoply&external_id=A-1&action=update", &[]),
    ("pcid=ID&type=sale&note=a%2520b&promo=x%25", &[]),
    ("id=shoply-orders&pcid=ID&type=deposit", &[]),
    // The definition that `id` names says what the names mean, wherever it is sent.
    ("id=pvol&cid=ID&payout=1", &[]),
    ("https://x/api/acme/postbacks/native?id=pvol&cid=ID&payout=1", &[("unknown_postback", "id")]),
    // Where it goes.
    ("https://x/api/acme/postback/handle?pcid=ID&type=sale", &[("wrong_path", "")]),
    ("https://x/postbacks/keitaro?subid=ID&payout=1", &[("wrong_path", "")]),
    ("https://x/?pcid=ID&type=sale", &[("wrong_path", "")]),
    ("https://x/API/acme/postbacks/handle?pcid=ID&type=sale", &[("wrong_path", "")]),
    ("https://x/api/acme/postbacks/handle/?pcid=ID&type=sale", &[("wrong_path", "")]),
    ("https://x/api/acmee/postbacks/handle?pcid=ID&type=sale", &[("unknown_tenant", "")]),
    ("https://x/api/nobody/postbacks/handle?pcid=ID&type=sale", &[("unknown_tenant", "")]),
    ("https://x/api/acme/postbacks/keitaroo?pcid=ID&type=sale", &[("unknown_postback", "")]),
    ("https://x/c/acme/shoply-cz/bo", &[("affiliate_link", ""), ("missing_identifier", "pcid")]),
    ("https://x/api/acme/postbacks/handle&pcid=ID&type=sale", &[("no_question_mark", "")]),
    // The query as a whole.
    ("pcid=ID&amp;type=sale&amp;value=1", &[("escaped_ampersand", "")]),
    ("pcid%3DID%26type%3Dsale", &[("encoded_query", "")]),
    ("type=sale&pcid=#clickid#", &[("fragment_cut", "pcid")]),
    ("pcid=ID&type=sale&value=5%", &[("malformed", "value")]),
    ("pcid=ID&type=sale&value=1&value=2", &[("conflicting_parameters", "value")]),
    // Macros.
    ("pcid={clickid}&type=sale", &[("unreplaced_macro", "pcid")]),
    ("pcid=%7Bclickid%7D&type=sale", &[("unreplaced_macro", "pcid")]),
    ("pcid=%cid%&type=sale", &[("unreplaced_macro", "pcid")]),
    ("pcid=[cid]&type=sale", &[("unreplaced_macro", "pcid")]),
    ("pcid=ID&type=sale&value={payout}", &[("unreplaced_macro", "value")]),
    ("pcid=%257Bclickid%257D&type=sale", &[("encoded_twice", "pcid")]),
    ("pcid=ID&type=sale&sub1={sub}", &[("unreplaced_macro", "sub1")]),
    // Names.
    ("PCID=ID&type=sale", &[("wrong_name", "PCID")]),
    ("pcid=ID&Type=sale", &[("wrong_name", "Type")]),
    ("clickid=ID&type=sale", &[("wrong_name", "clickid")]),
    (
        "cid=ID&payout=1&txid=A-1&type=sale",
        &[("wrong_name", "cid"), ("wrong_name", "payout"), ("wrong_name", "txid")],
    ),
    ("advertiser_id=shoply&extenal_id=A-1&action=update", &[("wrong_name", "extenal_id")]),
    ("click_ref=ID&type=sale", &[("wrong_name", "click_ref")]),
    ("https://x/api/acme/postbacks/keitaro?pcid=ID&payout=1", &[("wrong_name", "pcid")]),
    // A known name is there already: the other one is a field of the sender.
    ("pcid=ID&type=sale&clickid=7&payout=1&commission=2", &[]),
    // Values.
    ("pcid=01930000-0000-7000-8000-0000000000&type=sale", &[("cut_id", "pcid")]),
    ("pcid=ID.1&type=sale", &[("wrong_value", "pcid")]),
    ("pcid=nonsense&type=sale", &[("invalid_identifier", "pcid")]),
    ("pcid=ID&type=Deposit", &[("wrong_value", "type")]),
    ("pcid=ID&type=SALE", &[]),
    ("pcid=ID&type=purchase", &[("unknown_type", "type")]),
    ("advertiser_id=Shoply&external_id=A-1&action=update", &[("wrong_value", "advertiser_id")]),
    ("id=shoply_orders&pcid=ID&type=sale", &[("wrong_value", "id")]),
    ("advertiser_id=shoply&external_id=A+1&action=update", &[("plus_is_space", "external_id")]),
    ("advertiser_id=shoply&external_id=A%201&action=update", &[]),
    ("advertiser_id=shoply&external_id=A%252F1&action=update", &[("encoded_twice", "external_id")]),
    ("pcid=ID&type=sale&value=1,50", &[("invalid_amount", "value")]),
    ("pcid=ID&type=sale&result=okay", &[("invalid_result", "result")]),
    // Each value that is wrong, whichever is refused first.
    (
        "pcid=ID&type=sale&value=1,50&result=Aproved",
        &[("invalid_amount", "value"), ("invalid_result", "result")],
    ),
    (
        "pcid=nonsense&type=purchase&value=x&commission=-&action=drop&result=okay",
        &[
            ("invalid_identifier", "pcid"),
            ("invalid_amount", "value"),
            ("invalid_amount", "commission"),
            ("invalid_result", "result"),
            ("invalid_action", "action"),
            ("unknown_type", "type"),
        ],
    ),
    (
        "pcid=nonsense&eid=nonsense&type=purchase&value=x",
        &[("invalid_identifier", "pcid"), ("invalid_amount", "value"), ("unknown_type", "type")],
    ),
    ("pcid={c}&type=sale&value=x", &[("unreplaced_macro", "pcid"), ("invalid_amount", "value")]),
    ("type=purchase", &[("missing_identifier", "pcid"), ("unknown_type", "type")]),
    ("pcid=ID&type=purchase&action=create", &[("unknown_type", "type")]),
    ("external_id=A-1&type=sale", &[("advertiser_id_required", "advertiser_id")]),
    ("type=sale", &[("missing_identifier", "pcid")]),
    ("pcid=ID&action=create", &[("type_required", "type")]),
    // Proof.
    (
        "http://x/api/acme/postbacks/handle?id=signed&pcid=ID&type=sale",
        &[
            ("not_encrypted", ""),
            ("no_token", "token"),
            ("no_signature", "ts"),
            ("no_signature", "sig"),
        ],
    ),
    (
        "https://x/api/acme/postbacks/handle?id=signed&pcid=ID&type=sale&token=t&ts=1799999&sig=x",
        &[("signed_long_ago", "ts")],
    ),
    ("id=signed&pcid=ID&type=sale&token=t&ts=1800000299&sig=x", &[]),
    ("id=hooked&pcid=ID&type=sale", &[("needs_webhook", "")]),
];

#[test]
fn what_was_sent_and_what_is_wrong_with_it() {
    for (text, expected) in TEXTS {
        let text = text.replace("=ID", &format!("={ID}")).replace("%3DID", &format!("%3D{ID}"));
        let findings = diagnosed(&text);
        let found: Vec<(&str, &str)> = findings
            .iter()
            .map(|finding| (finding.code(), finding.parameter().unwrap_or_default()))
            .collect();
        assert_eq!(found, *expected, "{text}: {findings:#?}");
        for finding in findings {
            assert!(!finding.to_string().is_empty(), "{finding:?}");
            assert!(!finding.hint().is_empty(), "{finding:?}");
        }
    }
}

#[test]
fn what_was_probably_meant_is_named() {
    let of = |dialects: &[&'static str]| NameFault::Dialects(dialects.to_vec());
    let table = [
        ("cid=ID&payout=1&txid=A-1&type=sale", "pcid", of(&["peerclick", "voluum"])),
        ("subid=ID&tid=7&type=sale", "pcid", of(&["keitaro"])),
        ("id=pvol&clickid=ID&payout=1", "cid", NameFault::Foreign),
        ("PCID=ID&type=sale", "pcid", NameFault::Case),
        ("pcidd=ID&type=sale", "pcid", NameFault::Spelling),
        ("ref=ID&type=sale", "pcid", NameFault::Value),
    ];
    for (text, expected, fault) in table {
        let findings = diagnosed(&text.replace("=ID", &format!("={ID}")));
        let found = findings.iter().find_map(|finding| match finding {
            Finding::WrongName { meant, because, .. } => Some((meant.clone(), because.clone())),
            _ => None,
        });
        assert_eq!(found, Some((expected.into(), fault)), "{text}: {findings:?}");
    }
    // A request is of one system, the one that knows the most of its names.
    let (one, other) = (of(&["affise"]), of(&["everflow", "tune"]));
    let systems: [(&str, Vec<NameFault>); 2] = [
        ("click_id=ID&action_id=7&sum=1&type=sale", vec![one.clone(), one.clone(), one]),
        (
            "transaction_id=ID&amount=1&status=lead&type=sale",
            vec![other.clone(), other, NameFault::Foreign],
        ),
    ];
    for (text, expected) in systems {
        let findings = diagnosed(&text.replace("=ID", &format!("={ID}")));
        let faults = findings.iter().filter_map(|finding| match finding {
            Finding::WrongName { because, .. } => Some(because.clone()),
            _ => None,
        });
        assert_eq!(faults.collect::<Vec<_>>(), expected, "{text}: {findings:?}");
    }
    let paths = [
        ("/acme/keitaro?subid=ID", "/api/acme/postbacks/keitaro"),
        ("/rival/pixel?pcid=ID&type=sale", "/api/rival/pixel.gif"),
        ("/?pcid=ID&type=sale", "/api/acme/postbacks/handle"),
    ];
    for (text, expected) in paths {
        let findings = diagnosed(&text.replace("ID", ID));
        let found = findings.iter().find_map(|finding| match finding {
            Finding::WrongPath { meant, .. } => Some(&**meant),
            _ => None,
        });
        assert_eq!(found, Some(expected), "{text}: {findings:?}");
    }
}

/// What is read as the same postback arrived, however it was written.
#[test]
fn a_log_row_that_is_read_the_same_is_the_same_in_meaning() {
    let upper = ID.replace('-', "").to_uppercase();
    let table = [
        ("value=100.00&note=a", true),
        ("value=100&note=a&value=100.0", true),
        ("value=100&type=SALE&note=a", true),
        ("value=100&currency=CZK&note=a&token=***", true),
        ("value=100.01&note=a", false),
        ("value=100&note=A", false),
        ("value=100&note=a&type=lead", false),
        ("value=100&note=a&result=approved", false),
        ("value=100&note=a&id=shoply-orders", false),
        ("value=1,0&note=a", false),
        ("value=100", false),
    ];
    let acme = rules("acme");
    let sent = format!("pcid={ID}&type=sale&value=100&note=a&currency=czk");
    let sought = Diagnosis::of(&[&acme], None, &called(&sent), NOW).sought;
    for (rest, is_same) in table {
        let has = |name: &str| rest.contains(name);
        let of_type = if has("type=") { "" } else { "&type=sale" };
        let currency = if has("currency=") { "" } else { "&currency=czk" };
        let logged = format!("pcid={upper}&{rest}{of_type}{currency}");
        let likeness = sought.likeness(&logged);
        let expected = if is_same { Likeness::SameMeaning } else { Likeness::SameClickId };
        assert_eq!(likeness, Some(expected), "{logged}");
    }
    // On the path of a dialect it is read by the names of that.
    let path = format!("/api/acme/postbacks/keitaro?subid={ID}&payout=1&status=lead");
    let sought = Diagnosis::of(&[&acme], None, &called(&path), NOW).sought;
    let logged = format!("subid={upper}&payout=1.0&status=lead");
    assert_eq!(sought.likeness(&logged), Some(Likeness::SameMeaning));
    assert!(Likeness::SameMeaning.is_same() && !Likeness::SameIds.is_same());
    // What is personal is kept masked.
    let sent = format!("pcid={ID}&type=sale&value=5&mail=jan@shop.example");
    let sought = Diagnosis::of(&[&acme], None, &called(&sent), NOW).sought;
    for (name, expected) in [("jan", Likeness::SameMeaning), ("eva", Likeness::SameClickId)] {
        let query = format!("pcid={ID}&type=sale&value=5.0&mail={name}@shop.example");
        let incoming = Incoming { method: Method::S2s, dialect: None, query: &query, body: None };
        let logged = Arrival::read(&acme, &incoming).query;
        assert!(!logged.contains("shop"), "{logged}");
        assert_eq!(sought.likeness(&logged), Some(expected), "{logged}");
    }
}

/// Each way to be wrong is in one of the tables.
#[test]
fn every_finding_has_an_example() {
    let codes = [
        "wrong_path",
        "affiliate_link",
        "unknown_tenant",
        "no_question_mark",
        "fragment_cut",
        "escaped_ampersand",
        "encoded_query",
        "encoded_twice",
        "unreplaced_macro",
        "wrong_name",
        "wrong_value",
        "plus_is_space",
        "cut_id",
        "not_encrypted",
        "no_token",
        "no_signature",
        "signed_long_ago",
        "needs_webhook",
        "truncated",
        "other_case",
        "other_tenant",
        "not_stored",
    ];
    let of_text = TEXTS.iter().flat_map(|(_, expected)| expected.iter().map(|(code, _)| *code));
    let of_stored = STORED.iter().filter_map(|(_, expected)| *expected);
    let shown: BTreeSet<&str> = of_text.chain(of_stored).collect();
    for code in codes {
        assert!(shown.contains(code), "{code} has no example");
    }
}

proptest! {
    /// Whatever is pasted is diagnosed; each finding has words, and what a secret is worth is in
    /// none of them.
    #[test]
    fn whatever_is_pasted_is_diagnosed(
        path in proptest::option::of("[/a-zA-Z%&.-]{0,40}"),
        pieces in proptest::collection::vec(
            (
                "(pcid|external_id|type|cid|TYPE|id|ts|\\PC{0,8})",
                "(\\PC{0,40}|[0-9a-f-]{0,40}|\\{[a-z]*\\}|%[0-9a-f]{0,4})",
            ),
            0..6,
        ),
        separator in "(&|&amp;|%26)",
        fragment in proptest::option::of("\\PC{0,8}"),
    ) {
        let mut pieces: Vec<String> =
            pieces.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pieces.push("token=canary".into());
        let query = pieces.join(&separator);
        let called = Called {
            is_plain: true,
            path: path.as_deref(),
            query: &query,
            fragment: fragment.as_deref(),
        };
        let (acme, rival) = (rules("acme"), rules("rival"));
        let mut diagnosis = Diagnosis::of(&[&acme, &rival], None, &called, NOW);
        diagnosis.compare(&Known::default());
        prop_assert!(!diagnosis.findings.iter().any(|found| found.to_string().is_empty()));
        prop_assert!(!diagnosis.findings.iter().any(|found| found.hint().is_empty()));
        let _ = diagnosis.sought.likeness(&query);
        if separator == "&" && !query.contains(['%', '+']) {
            let words = format!("{:?}", diagnosis.findings);
            prop_assert!(!words.contains("canary"), "{}", words);
        }
    }
}

#[test]
fn no_finding_repeats_a_secret() {
    let text = format!(
        "pcid={ID}&type=sale&token={{canary}}&token=canary&sig=canary%2520&ts=canary\
         &Token={{canary}}&SECURE=canary%2520"
    );
    let undecodable = format!("pcid={ID}&type=sale&secure=%canary%&Secure=%canary%");
    for finding in diagnosed(&text).into_iter().chain(diagnosed(&undecodable)) {
        let words = format!("{finding:?} {finding} {}", finding.hint());
        assert!(!words.contains("canary"), "{words}");
    }
}

fn tenant(name: &str) -> TenantName {
    TenantName::new(name).unwrap()
}

/// What was sent, and the code of what is stored that tells what is wrong with it.
const STORED: &[(&str, Option<&str>)] = &[
    ("/api/acme/postbacks/handle?pcid=ID&type=sale", None),
    ("/api/rival/postbacks/handle?pcid=ID&type=sale", Some("other_tenant")),
    ("pcid=0193000000007000&type=sale", Some("truncated")),
    ("pcid=01930000-0000-7000-8000-0000000000a&type=sale", Some("truncated")),
    ("pcid=01930000-0000-7000-8000-0000000000ac&type=sale", Some("not_stored")),
    ("advertiser_id=shoply&external_id=Order-17&action=update", None),
    ("advertiser_id=shoply&external_id=order-17&action=update", Some("other_case")),
    ("advertiser_id=shoply&external_id=Order-1&action=update", Some("truncated")),
    ("advertiser_id=shoply&external_id=R-1&action=update", Some("other_tenant")),
    ("advertiser_id=shoply&external_id=X-9&action=update", Some("not_stored")),
    // A new order of a known click.
    ("pcid=ID&type=sale&external_id=Order-18", None),
    ("pcid=ID&type=sale&external_id=Order-1", None),
    ("pcid=ID&type=sale&external_id=Order-17", None),
    ("pcid=ID&type=sale&external_id=order-17", Some("other_case")),
];

#[test]
fn what_is_stored_tells_cut_foreign_and_missing_ids() {
    let id: ConversionId = ID.parse().unwrap();
    let known = Known {
        conversions: vec![(tenant("acme"), id)],
        external_ids: vec![
            (tenant("acme"), "Order-17".into()),
            (tenant("acme"), "a+b".into()),
            (tenant("rival"), "R-1".into()),
        ],
    };
    let (acme, rival) = (rules("acme"), rules("rival"));
    for (text, expected) in STORED {
        let text = text.replace("ID", ID);
        let mut diagnosis = Diagnosis::of(&[&acme, &rival], Some("acme"), &called(&text), NOW);
        diagnosis.compare(&known);
        let codes: Vec<&str> = diagnosis.findings.iter().map(Finding::code).collect();
        assert_eq!(codes, expected.iter().copied().collect::<Vec<_>>(), "{text}");
    }
    let mut spaced = Diagnosis::of(
        &[&acme],
        None,
        &called("advertiser_id=shoply&external_id=a+b&action=update"),
        NOW,
    );
    spaced.compare(&known);
    let codes: Vec<&str> = spaced.findings.iter().map(Finding::code).collect();
    assert_eq!(codes, ["plus_is_space", "wrong_value"]);
}

#[test]
fn ids_to_look_up_are_those_that_begin_so() {
    let acme = rules("acme");
    let range = |pcid: &str| {
        let text = format!("pcid={pcid}&type=sale");
        let sought = Diagnosis::of(&[&acme], None, &called(&text), NOW).sought;
        sought.conversions().map(|(first, last)| (first.to_string(), last.to_string()))
    };
    let both = |first: &str, last: &str| Some((first.to_owned(), last.to_owned()));
    assert_eq!(range(ID), both(ID, ID));
    assert_eq!(
        range("01930000-00"),
        both("01930000-0000-0000-0000-000000000000", "01930000-00ff-ffff-ffff-ffffffffffff")
    );
    for none in ["0193", "{clickid}", "nonsense", &format!("{ID}0")] {
        assert_eq!(range(none), None, "{none}");
    }
}

#[test]
fn how_like_a_log_row_is() {
    let sent = format!("pcid={ID}&type=sale&external_id=Order-17&token=t");
    let table = [
        (format!("token=***&type=sale&external_id=Order-17&pcid={ID}"), Some(Likeness::Same)),
        (format!("cid={ID}&txid=Order-17&payout=1"), Some(Likeness::SameIds)),
        (
            format!("pcid={}&type=lead", ID.replace('-', "").to_uppercase()),
            Some(Likeness::SameClickId),
        ),
        ("advertiser_id=shoply&external_id=Order-17".to_owned(), Some(Likeness::SameExternalId)),
        ("advertiser_id=shoply&external_id=ORDER-17".to_owned(), Some(Likeness::Near)),
        ("pcid=0193000000007000&type=sale".to_owned(), Some(Likeness::Near)),
        (format!("pcid={ID}&bad=%zz"), Some(Likeness::Near)),
        ("pcid=01930000-0000-7000-8000-0000000000ac&type=sale".to_owned(), None),
        (format!("note={ID}&type=sale"), None),
        ("bad=%zz".to_owned(), None),
        (String::new(), None),
    ];
    let acme = rules("acme");
    let sought = Diagnosis::of(&[&acme], None, &called(&sent), NOW).sought;
    for (logged, expected) in table {
        assert_eq!(sought.likeness(&logged), expected, "{logged}");
    }
    let without_ids = Diagnosis::of(&[&acme], None, &called("pcid={c}&type=sale&value=1"), NOW);
    let sought = without_ids.sought;
    assert_eq!(sought.likeness("pcid=%7Bc%7D&type=sale&value=1"), Some(Likeness::Same));
    assert_eq!(sought.likeness("pcid=%7Bc%7D&type=sale&value=2"), Some(Likeness::Near));
    assert_eq!(sought.likeness("pcid=%7Bd%7D&type=sale&value=2"), None);
}
