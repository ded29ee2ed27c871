//! Personal values: what a log row keeps is read again as it was decided, whatever the policy, and
//! holds no value that the policy masks.

use counterfoil_core::{
    Body, Incoming, Method, Pairs, Request, RootRequest, Ruleset, RulesetSpec, decode, logged_text,
    masked_text, read,
};
use proptest::prelude::*;

fn rules(policy: &str) -> Ruleset {
    let text = format!(
        "tenant = 'acme'\ncurrency = 'EUR'\n[[advertiser]]\nid = 'shoply'\n\
         [[affiliate]]\nid = 'bo'\n[[offer]]\nid = 'cz'\nadvertiser = 'shoply'\n\
         url = 'https://a.example/'\n[[postback]]\nid = 'keitaro'\ndialect = 'keitaro'\n\
         [[postback]]\nid = 'peer'\ndialect = 'peerclick'\n[privacy]\n{policy}"
    );
    Ruleset::check(RulesetSpec::from_toml(&text).unwrap()).unwrap().0
}

const POLICIES: [&str; 4] = [
    "",
    "email = 'drop'\nphone = 'drop'\ndrop = ['who', 'affs1', 'tid', 'event1']\n",
    "hash = ['who', 'event2', 'conversion_id']\nkeep = ['mail']\n",
    "email = 'keep'\nphone = 'keep'\n",
];
const NAMES: [&str; 24] = [
    "pcid",
    "eid",
    "cid",
    "external_id",
    "txid",
    "tid",
    "type",
    "action",
    "value",
    "commission",
    "currency",
    "result",
    "status",
    "id",
    "token",
    "who",
    "mail",
    "phone",
    "order",
    "event1",
    "event2",
    "affs1",
    "param.who",
    "conversion_id",
];
const VALUES: [&str; 18] = [
    "canary@a.example",
    "CANARY%40a.example",
    "canary%2540a.example",
    "%2B420777000111",
    "777000111",
    "sale",
    "100",
    "keitaro",
    "peer",
    "EUR",
    "***",
    "***1",
    "create",
    "approved",
    "x%zz",
    "A-1",
    "01930000-0000-7000-8000-000000000000",
    "sha256:0000000000000000000000000000000000000000000000000000000000000000",
];

fn query() -> impl Strategy<Value = String> {
    let pair = (prop::sample::select(&NAMES[..]), prop::sample::select(&VALUES[..]));
    let pairs = prop::collection::vec(pair, 0..7);
    pairs.prop_map(|all| {
        all.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    })
}

fn incoming<'q>(method: Method, dialect: Option<&'q str>, query: &'q str) -> Incoming<'q> {
    Incoming { method, dialect, query, body: None }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_log_row_is_read_again_as_it_was_decided(
        policy in prop::sample::select(&POLICIES[..]),
        path in prop::sample::select(&[None, Some("keitaro"), Some("peerclick"), Some("no")][..]),
        method in prop::sample::select(&[Method::S2s, Method::Import, Method::TrackingApi][..]),
        query in query(),
    ) {
        let rules = rules(policy);
        let (request, text) = read(&rules, &incoming(method, path, &query));
        if decode(&incoming(method, path, &query)).is_err() {
            prop_assert_eq!(logged_text(&rules, &incoming(method, path, &query)), text);
            return Ok(());
        }
        let (again, text_again) = read(&rules, &incoming(method, path, &text));
        prop_assert_eq!(&text_again, &text);
        // Secrets are masked, and a conflict between two of them is told in other words.
        if !query.contains("token") {
            prop_assert_eq!(again, request, "{} {}", query, text);
        }
    }

    #[test]
    fn what_is_masked_is_in_no_text_and_no_request(query in query()) {
        let rules = rules(POLICIES[1]);
        let (request, text) = read(&rules, &incoming(Method::S2s, None, &query));
        // What pairs is never touched, whatever a dialect calls it.
        let exempt = ["external_id", "tid", "txid"];
        let is_exempt = |pair: &str| exempt.contains(&pair.split('=').next().unwrap());
        prop_assume!(!query.split('&').any(is_exempt));
        let all = format!("{text} {request:?}").to_lowercase();
        prop_assert!(!all.contains("canary"), "{query}: {all}");
        prop_assert!(!all.contains("420777"), "{query}: {all}");
    }

    #[test]
    fn a_root_is_read_again_as_it_was_decided(
        policy in prop::sample::select(&POLICIES[..]),
        values in prop::collection::vec(prop::sample::select(&VALUES[..12]), 5),
    ) {
        let rules = rules(policy);
        let query = format!(
            "type=lead&source=api&offer_id=cz&affiliate_id=bo&external_id={}&affs1={}&\
             param.who={}&param.mail={}&channel={}",
            values[0], values[1], values[2], values[3], values[4]
        );
        let mask_and_read = |text: &str| {
            let mut pairs: Pairs<'_> = decode(&incoming(Method::Api, None, text)).unwrap();
            rules.privacy().mask_root(&mut pairs);
            (RootRequest::read(&rules, Method::Api, &pairs), masked_text(&pairs))
        };
        let (root, text) = mask_and_read(&query);
        let (again, text_again) = mask_and_read(&text);
        prop_assert_eq!(&text_again, &text);
        prop_assert_eq!(&again, &root);
        let logged = Request::of_log(&rules, Method::Api, None, &text, None);
        prop_assert_eq!(logged, match root {
            Ok(root) => Request::Root(Box::new(root)),
            Err(refusal) => Request::Unreadable(Box::new(refusal)),
        });
    }
}

/// Masking a parameter that has a meaning changes no outcome: what is masked was refused anyway.
#[test]
fn masking_what_has_a_meaning_changes_no_outcome() {
    let (masks, keeps) = (rules(POLICIES[1]), rules(POLICIES[3]));
    for name in &NAMES[..14] {
        for value in &VALUES[..5] {
            let base = "pcid=01930000-0000-7000-8000-000000000000&type=sale";
            let query = match *name {
                "pcid" | "type" => format!("{name}={value}"),
                _ => format!("{base}&{name}={value}"),
            };
            let reason = |rules| match read(rules, &incoming(Method::S2s, None, &query)).0 {
                Request::Unreadable(refusal) => Some(refusal.reason),
                _ => None,
            };
            assert_eq!(reason(&masks), reason(&keeps), "{query}");
        }
    }
}

#[test]
fn a_body_is_masked_like_a_query() {
    let body = br#"{"mail": "canary@a.example", "phone": 777000111, "order": 777000111}"#;
    let body = Some(Body::Json(body));
    let incoming = Incoming { method: Method::S2s, dialect: None, query: "", body };
    let (_, text) = read(&rules(""), &incoming);
    assert!(!text.contains("canary") && text.contains("order=777000111"), "{text}");
    assert_eq!(text.matches("sha256").count(), 2);
}
