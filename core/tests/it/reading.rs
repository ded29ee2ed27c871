//! Reading, exhausted where the space is small: the action table (R11), and every combination of
//! faults of rungs 1 to 5, of which the earliest must be the answer.

use counterfoil_core::{
    Action, Body, Facts, Incoming, Method, Outcome, Reason, Receipt, Request, Ruleset, RulesetSpec,
    read,
};
use proptest::prelude::*;

const RULES: &str = r#"
tenant = "acme"
currency = "EUR"
[[conversion_type]]
name = "deposit"
[[postback]]
id = "narrow"
limits = { types = ["sale"], results = ["pending"], currencies = ["EUR"] }
status = { hold = { result = "pending" }, won = { type = "deposit" } }
"#;

fn ruleset() -> Ruleset {
    Ruleset::check(RulesetSpec::from_toml(RULES).unwrap()).unwrap().0
}

fn get(query: &str) -> Incoming<'_> {
    Incoming { method: Method::S2s, dialect: None, query, body: None }
}

fn reason(request: &Request) -> Option<Reason> {
    match request {
        Request::Unreadable(refusal) => Some(refusal.reason),
        _ => None,
    }
}

#[test]
fn actions_and_types_exhausted() {
    let ruleset = ruleset();
    let actions = [None, Some("create"), Some("UPDATE"), Some("upsert")];
    let types = [
        None,
        Some("click"),
        Some("view"),
        Some("Send"),
        Some("lead"),
        Some("Prospect"),
        Some("sale"),
        Some("deposit"),
        Some("Deposit"),
        Some("custom"),
    ];
    for action in actions {
        for type_name in types {
            let mut query = String::from("pcid=01930000-0000-7000-8000-000000000000");
            if let Some(action) = action {
                query += &format!("&action={action}");
            }
            if let Some(type_name) = type_name {
                query += &format!("&type={type_name}");
            }
            let (request, _) = read(&ruleset, &get(&query));
            let want: Result<Action, Reason> = match (action, type_name) {
                (Some("upsert"), _) => Err(Reason::InvalidAction),
                (_, Some("Deposit" | "custom")) => Err(Reason::UnknownType),
                (Some("create"), None) => Err(Reason::TypeRequired),
                (None, None) | (Some("UPDATE"), _) => Ok(Action::Update),
                (_, Some("click" | "view" | "Send")) => Err(Reason::TypeNotTrackable),
                (_, Some(_)) => Ok(Action::Create),
                (Some(_), None) => Ok(Action::Update),
            };
            match (&request, want) {
                (Request::Postback(postback), Ok(action)) => {
                    assert_eq!(postback.action, action, "{query}");
                }
                (_, want) => assert_eq!(reason(&request), want.err(), "{query}"),
            }
        }
    }
}

/// One fault a row, in the order of the ladder: what it puts into the query and what it is.
const FAULTS: [(&str, Reason); 11] = [
    ("bad=%zz", Reason::Malformed),
    ("price=1&price=2", Reason::ConflictingParameters),
    ("id=nobody", Reason::UnknownPostback),
    ("external_id={x}", Reason::UnresolvedMacro),
    ("commission_id=a%20b", Reason::InvalidIdentifier),
    ("value=1,5", Reason::InvalidAmount),
    ("result=maybe", Reason::InvalidResult),
    ("action=upsert", Reason::InvalidAction),
    ("", Reason::MissingIdentifier),
    ("type=saIe", Reason::UnknownType),
    ("currency=USD", Reason::NotAllowed),
];

#[test]
fn the_earliest_fault_is_the_answer() {
    let ruleset = ruleset();
    for set in 1_u32..(1 << FAULTS.len()) {
        let has = |at: usize| set & (1 << at) != 0;
        let place = |wanted: Reason| FAULTS.iter().position(|(_, reason)| *reason == wanted);
        let mut parts: Vec<&str> = Vec::new();
        for (at, (text, _)) in FAULTS.iter().enumerate() {
            if has(at) && !text.is_empty() {
                parts.push(text);
            }
        }
        if !has(place(Reason::MissingIdentifier).unwrap()) {
            parts.push("pcid=01930000-0000-7000-8000-000000000000");
        }
        if !has(place(Reason::UnknownPostback).unwrap()) {
            parts.push("id=narrow");
        }
        let query = parts.join("&");
        let first = (0..FAULTS.len()).find(|at| has(*at)).unwrap();
        let mut want = FAULTS[first].1;
        // An external id without its advertiser is the other way to fail rung 4.
        if want == Reason::MissingIdentifier && query.contains("external_id") {
            want = Reason::AdvertiserIdRequired;
        }
        let (request, _) = read(&ruleset, &get(&query));
        assert_eq!(reason(&request), Some(want), "{query}");
    }
}

#[test]
fn a_definition_translates_its_own_status_words() {
    let ruleset = ruleset();
    let pcid = "pcid=01930000-0000-7000-8000-000000000000&id=narrow";
    let (request, _) = read(&ruleset, &get(&format!("{pcid}&type=sale&result=Hold")));
    let Request::Postback(postback) = request else { panic!("{request:?}") };
    assert_eq!(postback.result, Some(counterfoil_core::TransactionResult::Pending));
    assert_eq!(postback.params["result"].as_ref(), "Hold");
    let (request, _) = read(&ruleset, &get(&format!("{pcid}&result=won")));
    assert_eq!(reason(&request), Some(Reason::NotAllowed), "the word makes it a deposit");
}

#[test]
fn what_a_log_row_keeps_reads_the_same_again() {
    let ruleset = ruleset();
    let body = br#"{"type": "sale", "value": 1.50, "note": "a b&c"}"#;
    let query = "eid=0193000000007000800000000000000A&token=s3cret";
    let body = Some(Body::Json(body));
    let incoming = Incoming { method: Method::S2s, dialect: None, query, body };
    let (request, logged) = read(&ruleset, &incoming);
    assert!(!logged.contains("s3cret"), "{logged}");
    assert_eq!(Request::of_log(&ruleset, Method::S2s, None, &logged, None), request);
}

#[test]
fn what_is_null_in_a_root_is_absent() {
    let read = |json: &str| counterfoil_core::root_pairs(json.as_bytes());
    assert_eq!(read(r#"{"params":null,"affs": null ,"channel":null}"#), Ok(Vec::new()));
    assert_eq!(read(r#"{"params":{"a":null},"affs":{"affs1":null}}"#), Ok(Vec::new()));
    for other in ["[]", "\"\"", "0", "true", "\"null\""] {
        let refusal = read(&format!(r#"{{"affs":{other}}}"#)).unwrap_err();
        assert_eq!(refusal.reason, Reason::Malformed, "{other}");
        assert_eq!(refusal.parameter.as_deref(), Some("affs"), "{other}");
    }
}

#[test]
fn a_root_reads_the_same_again_at_the_edge_of_its_limits() {
    let rules = r#"
tenant = "acme"
currency = "EUR"
[[advertiser]]
id = "shoply"
[[affiliate]]
id = "bo"
[[offer]]
id = "cz"
advertiser = "shoply"
url = "https://shoply.example/"
"#;
    let ruleset = Ruleset::check(RulesetSpec::from_toml(rules).unwrap()).unwrap().0;
    let root = |params: &str| {
        let of = r#""type":"lead","source":"api","offer_id":"cz","affiliate_id":"bo""#;
        let body = format!(r#"{{{of},"params":{{{params}}}}}"#);
        let pairs = counterfoil_core::root_pairs(body.as_bytes())?;
        let logged = counterfoil_core::masked_text(&pairs);
        assert!(!logged.contains("s3cret"), "{logged}");
        let root = counterfoil_core::RootRequest::read(&ruleset, Method::Api, &pairs)?;
        let again = Request::of_log(&ruleset, Method::Api, None, &logged, None);
        assert_eq!(again, Request::Root(root.into()));
        Ok::<(), counterfoil_core::Refusal>(())
    };
    let many = |n: usize| (0..n).map(|i| format!(r#""p{i}":"v""#)).collect::<Vec<_>>().join(",");
    let long = |n: usize| format!(r#""{}":"v""#, "n".repeat(n));
    assert_eq!(root(&many(100)), Ok(()));
    assert_eq!(root(&many(101)).unwrap_err().reason, Reason::Malformed);
    assert_eq!(root(&long(64)), Ok(()));
    assert_eq!(root(&long(65)).unwrap_err().reason, Reason::Malformed);
    for secret in ["token", "Token", "SECURE", "Sig"] {
        let param = format!(r#""{secret}":"s3cret""#);
        assert_eq!(root(&param).unwrap_err().reason, Reason::InvalidParameter, "{secret}");
    }
    assert!(root(r#""a\u0000":"x""#).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_query_is_answered(query in "([a-z_]{0,14}=?(%[0-9a-fg]{2}|[ -~]|é){0,12}&?){0,6}") {
        let ruleset = ruleset();
        let (request, logged) = read(&ruleset, &get(&query));
        let receipt = Receipt {
            id: "01930000-0000-7000-8000-000000000001".parse().unwrap(),
            at: "2026-01-31T12:00:00Z".parse().unwrap(),
        };
        let decision = request.decide(&ruleset, &Facts::default(), receipt);
        prop_assert_eq!(decision.outcome, Outcome::Refused);
        prop_assert!(decision.effects.is_empty() && decision.events.is_empty());
        if reason(&request) != Some(Reason::Malformed) {
            prop_assert_eq!(Request::of_log(&ruleset, Method::S2s, None, &logged, None), request);
        }
    }

    #[test]
    fn any_body_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let ruleset = ruleset();
        for body in [Body::Form(&bytes), Body::Json(&bytes)] {
            let incoming =
                Incoming { method: Method::Pixel, dialect: None, query: "", body: Some(body) };
            let (request, logged) = read(&ruleset, &incoming);
            prop_assert!(reason(&request).is_some());
            if reason(&request) != Some(Reason::Malformed) {
                let again = Request::of_log(&ruleset, Method::Pixel, None, &logged, None);
                prop_assert_eq!(again, request);
            }
        }
    }
}
