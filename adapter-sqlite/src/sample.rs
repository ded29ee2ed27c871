//! A root for tests of what is kept in memory.

use counterfoil_core::{
    Decision, Facts, Method, Receipt, Request, RequestId, RootRequest, Ruleset, RulesetSpec,
    Timestamp, create_root,
};

const RULES: &str = r#"
    tenant = "acme"
    currency = "EUR"
    advertiser = [{ id = "shoply", name = "Shoply" }]
    affiliate = [{ id = "bo", name = "Bo" }]
    offer = [{ id = "cz", name = "CZ", advertiser = "shoply", url = "https://shoply.example/" }]
"#;

/// A click with an external id that a request of this id made: the rules, what was asked, and what
/// was decided.
pub(crate) fn click(id: RequestId, external_id: &'static str) -> (Ruleset, Request, Decision) {
    let (ruleset, _) = Ruleset::check(RulesetSpec::from_toml(RULES).unwrap()).unwrap();
    let pairs = vec![
        ("type".into(), "click".into()),
        ("source".into(), "api".into()),
        ("offer_id".into(), "cz".into()),
        ("affiliate_id".into(), "bo".into()),
        ("external_id".into(), external_id.into()),
    ];
    let root = RootRequest::read(&ruleset, Method::Api, &pairs).unwrap();
    let receipt = Receipt { id, at: Timestamp::from_ms(0) };
    let decision = create_root(&ruleset, &root, &Facts::default(), receipt);
    (ruleset, Request::Root(Box::new(root)), decision)
}
