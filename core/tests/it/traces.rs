//! What a trace tells of requests that were refused.

use counterfoil_core::{
    AuthFailure, Decision, Incoming, Method, Receipt, RequestId, Ruleset, RulesetSpec, Timestamp,
    decode, refuse, refused_by, select,
};
use counterfoil_fixtures::World;

const RULES: &str = r#"
tenant = "acme"
currency = "EUR"
advertiser = [{ id = "shoply", name = "Shoply" }]
affiliate = [{ id = "bo", name = "Bo" }]
offer = [{ id = "shoply-cz", name = "S", advertiser = "shoply", url = "https://shoply.example/" }]
exchange_rate = [{ from = "USD", rate = "0.92" }]
[[commission]]
id = "of-leads"
type = "lead"
revenue = { fixed = "1" }
[[commission]]
id = "of-sales"
type = "sale"
revenue = { fixed = "1" }
[[postback]]
id = "limited"
types = ["sale", "lead"]
dedup = { key = "external", on_repeat = "add" }
limits = { types = ["sale"], value_max = "50" }
"#;

const START: Timestamp = Timestamp::from_ms(1_800_000_000_000);

fn ruleset() -> Ruleset {
    Ruleset::check(RulesetSpec::from_toml(RULES).unwrap()).unwrap().0
}

/// What is decided about the last of these requests, `ID` being a click of before.
fn decided(queries: &[&str]) -> Decision {
    let mut world = World::new(ruleset());
    let click = world.click("shoply-cz/bo", START).unwrap().conversion.unwrap().id.to_string();
    let decide = |query: &&str| world.send(&query.replace("ID", &click), START).unwrap();
    queries.iter().map(decide).last().unwrap()
}

fn told(decision: &Decision) -> Vec<String> {
    decision.trace.lines(&ruleset(), decision.outcome)
}

fn has(lines: &[String], words: &str) {
    assert!(lines.iter().any(|line| line.contains(words)), "`{words}` in {lines:#?}");
}

#[test]
fn a_refusal_of_reading_tells_who_decided_and_how_far_it_came() {
    for (query, words) in [
        ("id=limited&pcid=7&type=sale", vec!["`limited`", "refused here: invalid_identifier"]),
        ("id=limited&pcid=ID&type=sale&value=x", vec!["`limited`", "invalid_amount"]),
        ("id=limited&type=sale&extenal_id=4", vec!["`limited`", "external_id", "missing_id"]),
        ("id=limited&pcid=ID&type=lead&extenal_id=4", vec!["`limited`", "`extenal_id`", "create"]),
        ("pcid=ID&action=create", vec!["`global`", "type_required"]),
    ] {
        let lines = told(&decided(&[query]));
        words.iter().for_each(|words| has(&lines, words));
    }
}

#[test]
fn who_did_not_prove_who_it_is_was_refused_by_a_definition() {
    let (ruleset, query) = (ruleset(), "id=limited&type=sale");
    let incoming = Incoming { method: Method::S2s, dialect: None, query, body: None };
    let definition = select(&ruleset, &incoming, &mut decode(&incoming).unwrap()).unwrap();
    let refusal = refused_by(&ruleset, definition, AuthFailure::NoToken.refusal());
    let decision = refuse(refusal, Receipt { id: RequestId::from_bytes([1; 16]), at: START });
    has(&told(&decision), "`limited`");
    assert!(decision.refusal.unwrap().steps.is_empty(), "told once");
}

#[test]
fn a_commission_that_was_named_in_vain_is_told_with_all_others() {
    for commission in ["of-leads", "nobody"] {
        let lines = told(&decided(&[&format!("pcid=ID&type=sale&commission_id={commission}")]));
        has(&lines, "the commission named does not pay this sale (R25)");
        has(&lines, "commission `of-leads`: ");
        has(&lines, "commission `of-sales`: a candidate, but another");
    }
}

#[test]
fn the_sender_of_too_much_is_not_told_what_is_stored_or_what_the_rates_are() {
    let first = "id=limited&pcid=ID&type=sale&external_id=A&value=30";
    let more = "id=limited&pcid=ID&type=sale&external_id=A&value=25.5";
    let foreign = "id=limited&pcid=ID&type=sale&external_id=B&value=99&currency=USD";
    for (queries, hidden) in [(vec![first, more], "55.5"), (vec![foreign], "91.08")] {
        let decision = decided(&queries);
        let refusal = decision.refusal.clone().unwrap();
        assert_eq!(
            (refusal.reason.code(), refusal.parameter.as_deref()),
            ("not_allowed", Some("value"))
        );
        assert!(!format!("{refusal:?}").contains(hidden), "{refusal:?}");
        has(&told(&decision), hidden);
    }
}

#[test]
fn an_id_that_is_close_to_another_partners_does_not_tell_it() {
    let refusal = decided(&["id=limitd&pcid=ID&type=sale"]).refusal.unwrap();
    assert!(!format!("{refusal:?}").contains("limited"), "{refusal:?}");
}

#[test]
fn a_path_that_is_close_to_a_dialect_of_the_rules_does_not_tell_it() {
    let of_partner = "[[dialect]]\nid = 'secretpartner'\nnames = { cid = 'pcid' }\n";
    let spec = RulesetSpec::from_toml(&format!("{RULES}{of_partner}")).unwrap();
    let (ruleset, _) = Ruleset::check(spec).unwrap();
    let hint_of = |dialect| {
        let (method, query) = (Method::S2s, "type=sale");
        let incoming = Incoming { method, dialect: Some(dialect), query, body: None };
        let refusal = select(&ruleset, &incoming, &mut decode(&incoming).unwrap()).unwrap_err();
        refusal.hint.unwrap()
    };
    assert!(!hint_of("secretpartne").contains("secretpartner"), "{}", hint_of("secretpartne"));
    assert!(hint_of("keitaroo").contains("`keitaro`"), "{}", hint_of("keitaroo"));
}
