//! The whole of what a rules file can say, once in TOML and once in JSON.

use counterfoil_core::{
    AnswerStyle, AutoSet, ConversionType, KeyKind, OnRepeat, PayoutTerm, RevenueTerm, Ruleset,
    RulesetSpec, Source, TransactionResult,
};

use super::check;

pub(super) const TOML: &str = r#"
tenant   = "acme"
currency = "EUR"
api_tokens = ["{secret:acme_api}"]

[[conversion_type]]
name = "deposit"

[[conversion_type]]
name = "Registration"

[[advertiser]]
id   = "shoply"
name = "Shoply"

[[affiliate]]
id    = "bo"
name  = "Blogger Bo"
group = "gold"

[[affiliate]]
id = "cy"

[[offer]]
id         = "shoply-cz"
name       = "Shoply Czechia"
advertiser = "shoply"
country    = "CZ"
url        = "https://shoply.example/{channel}?click={pcid}&sub={affs10}"
click_window = "90d"

[[commission]]
id      = "9e321d3b-3690-4100-821d-86476cc4c2fb"
type    = "sale"
revenue = { percent = "10" }
payout  = { percent_of_revenue = "50" }
offers = ["shoply-cz"]
advertisers = ["shoply"]
affiliates = ["bo", "cy"]
groups = ["gold"]
sources = ["link", "api"]
channels = ["mail"]
valid_from = 2026-01-01T00:00:00Z
valid_to = "2027-01-01T00:00:00+01:00"
transaction_type = "prospect"
recurrence = 1
auto_approve = false
inherit_result = ["approved"]
auto_set = { result = "approved", after = "30d" }
accept_direct_amount = false
active = true

[[commission]]
id      = "fixed"
type    = "SALE"
revenue = { fixed = "20" }

[[commission]]
id      = "deposits"
type    = "deposit"
revenue.fixed = "20.50"
payout.fixed = "12"

[[postback]]
id   = "shoply-orders"
sources = ["link"]
types = ["custom", "sale"]
affiliates = ["bo"]
advertisers = ["shoply"]
offers = ["shoply-cz"]
dialect = "native"
default_type = "sale"
answer = "strict"
https_only = false
status = { hold = { result = "pending" }, "paid out" = { result = "approved", type = "deposit" } }
dedup = { key = "external", on_repeat = "update" }
limits.types = ["custom", "sale"]
limits.results = ["pending"]
limits.currencies = ["EUR", "usd"]
limits.value_max = "5000"
limits.commission_max = "100.123"

[[exchange_rate]]
from = "USD"
rate = "0.92"
"#;

const JSON: &str = r#"{
  "tenant": "acme", "currency": "EUR", "api_tokens": ["{secret:acme_api}"],
  "conversion_type": [{"name": "deposit"}, {"name": "Registration"}],
  "advertiser": [{"id": "shoply", "name": "Shoply"}],
  "affiliate": [{"id": "bo", "name": "Blogger Bo", "group": "gold"}, {"id": "cy"}],
  "offer": [{
    "id": "shoply-cz", "name": "Shoply Czechia", "advertiser": "shoply", "country": "CZ",
    "url": "https://shoply.example/{channel}?click={pcid}&sub={affs10}", "click_window": "90d"
  }],
  "commission": [{
    "id": "9e321d3b-3690-4100-821d-86476cc4c2fb", "type": "sale",
    "revenue": {"percent": "10"}, "payout": {"percent_of_revenue": "50"},
    "offers": ["shoply-cz"], "advertisers": ["shoply"], "affiliates": ["bo", "cy"],
    "groups": ["gold"], "sources": ["link", "api"], "channels": ["mail"],
    "valid_from": "2026-01-01T00:00:00Z", "valid_to": "2026-12-31T23:00:00Z",
    "transaction_type": "prospect", "recurrence": 1, "auto_approve": false,
    "inherit_result": ["approved"], "auto_set": {"result": "approved", "after": "30d"},
    "accept_direct_amount": false, "active": true
  }, {
    "id": "fixed", "type": "SALE", "revenue": {"fixed": "20"}
  }, {
    "id": "deposits", "type": "deposit", "revenue": {"fixed": "20.50"}, "payout": {"fixed": "12"}
  }],
  "postback": [{
    "id": "shoply-orders", "sources": ["link"], "types": ["custom", "sale"],
    "affiliates": ["bo"], "advertisers": ["shoply"], "offers": ["shoply-cz"],
    "dialect": "native", "default_type": "sale", "answer": "strict", "https_only": false,
    "status": {
      "hold": {"result": "pending"}, "paid out": {"result": "approved", "type": "deposit"}
    },
    "dedup": {"key": "external", "on_repeat": "update"},
    "limits": {
      "types": ["custom", "sale"], "results": ["pending"], "currencies": ["EUR", "usd"],
      "value_max": "5000", "commission_max": "100.123"
    }
  }],
  "exchange_rate": [{"from": "USD", "rate": "0.92"}]
}"#;

fn example() -> Ruleset {
    let (ruleset, warnings) = check(TOML).unwrap_or_else(|issues| panic!("{issues:#?}"));
    assert_eq!(warnings, []);
    ruleset
}

#[test]
fn parties_and_the_tenant() {
    let rules = example();
    assert_eq!(rules.tenant().as_str(), "acme");
    assert_eq!(rules.currency().code(), "EUR");
    assert_eq!(rules.api_tokens()[0].as_str(), "acme_api");
    let types: Vec<&str> = rules.conversion_types().map(|t| t.as_str()).collect();
    assert_eq!(types, ["Registration", "deposit"]);
    assert_eq!(rules.advertisers().next().unwrap().name, "Shoply");
    let bo = rules.affiliate("bo").unwrap();
    assert_eq!(bo.name, "Blogger Bo");
    assert_eq!(bo.group.as_ref().unwrap().as_str(), "gold");
    // Without a name of its own it is called by its id.
    let cy = rules.affiliate("cy").unwrap();
    assert_eq!((cy.name.as_str(), &cy.group), ("cy", &None));
    let offer = rules.offer("shoply-cz").unwrap();
    assert_eq!(offer.country.as_deref(), Some("CZ"));
    assert_eq!(offer.click_window.unwrap().to_string(), "90d");
    let usd = rules.exchange_rate("USD".parse().unwrap()).unwrap();
    assert_eq!(usd.to_string(), "0.92");
}

#[test]
fn commissions_with_everything_and_with_defaults() {
    let rules = example();
    let [full, plain, deposits] = rules.commissions() else {
        panic!("three commissions");
    };
    assert_eq!(full.conversion_type, ConversionType::Sale);
    assert_eq!(full.transaction_type, ConversionType::Prospect);
    assert_eq!(full.recurrence, Some(1));
    assert_eq!(full.inherit_result.iter().collect::<Vec<_>>(), [&TransactionResult::Approved]);
    let auto_set = AutoSet { result: TransactionResult::Approved, after: "30d".parse().unwrap() };
    assert_eq!(full.auto_set, Some(auto_set));
    assert!(!full.terms.accept_direct_amount);
    let percent = |text: &str| text.parse().unwrap();
    assert_eq!(full.terms.revenue, RevenueTerm::PercentOfValue(percent("10")));
    assert_eq!(full.terms.payout, PayoutTerm::PercentOfRevenue(percent("50")));
    let conditions = &full.conditions;
    assert_eq!(conditions.offers.as_ref().unwrap().len(), 1);
    assert_eq!(conditions.affiliates.as_ref().unwrap().len(), 2);
    assert!(conditions.groups.as_ref().unwrap().contains("gold"));
    assert!(conditions.channels.as_ref().unwrap().contains("mail"));
    assert!(!conditions.sources.as_ref().unwrap().contains(&Source::Iframe));
    assert_eq!(conditions.valid_from.unwrap().to_string(), "2026-01-01T00:00:00.000Z");
    assert_eq!(conditions.valid_to.unwrap().to_string(), "2026-12-31T23:00:00.000Z");
    assert_eq!(plain.conditions, Default::default());
    assert_eq!(plain.transaction_type, ConversionType::Sale);
    assert_eq!(plain.terms.payout, PayoutTerm::Nothing);
    assert!(plain.active && plain.terms.accept_direct_amount && !plain.auto_approve);
    assert!(plain.recurrence.is_none() && plain.auto_set.is_none());
    assert!(plain.inherit_result.is_empty());
    assert_eq!(deposits.conversion_type.name(), "deposit");
    assert_eq!(deposits.terms.revenue, RevenueTerm::Fixed("20.5".parse().unwrap()));
}

#[test]
fn postbacks_with_everything_and_the_implicit_ones() {
    let rules = example();
    let [orders, global] = rules.postbacks() else {
        panic!("two definitions");
    };
    assert_eq!(orders.answer, AnswerStyle::Strict);
    assert_eq!(orders.default_type, Some(ConversionType::Sale));
    assert_eq!(orders.dedup.key, KeyKind::External);
    assert_eq!(orders.dedup.on_repeat, OnRepeat::Update);
    let names = |types: &Option<std::collections::BTreeSet<ConversionType>>| {
        let types = types.as_ref().unwrap().iter();
        types.map(|t| t.name().to_owned()).collect::<Vec<_>>()
    };
    // `custom` is spelled out.
    assert_eq!(names(&orders.conditions.types), ["sale", "Registration", "deposit"]);
    assert_eq!(names(&orders.limits.types), ["sale", "Registration", "deposit"]);
    assert_eq!(orders.limits.currencies.as_ref().unwrap().len(), 2);
    assert_eq!(orders.limits.value_max, Some("5000".parse().unwrap()));
    assert_eq!(orders.limits.commission_max, Some("100.123".parse().unwrap()));
    let paid = &orders.status["paid out"];
    assert_eq!(paid.result, Some(TransactionResult::Approved));
    assert_eq!(paid.conversion_type.as_ref().unwrap().name(), "deposit");
    assert_eq!(orders.status["hold"].conversion_type, None);
    for (definition, id) in [(global, "global"), (rules.built_in_postback(), "built-in")] {
        assert_eq!(definition.id.as_str(), id);
        assert!(definition.active && definition.status.is_empty());
        assert_eq!(definition.conditions, Default::default());
        assert_eq!(definition.limits, Default::default());
        assert_eq!(definition.dedup.key, KeyKind::External);
        assert_eq!(definition.dedup.on_repeat, OnRepeat::Refuse);
        assert_eq!((definition.answer, &definition.default_type), (AnswerStyle::Ok, &None));
    }
}

#[test]
fn the_global_postback_is_redefined_or_removed() {
    let head = "tenant = \"a\"\ncurrency = \"EUR\"\n";
    for (text, ids) in [
        ("", vec![("global", true)]),
        ("[[postback]]\nid = \"global\"\nactive = false", vec![("global", false)]),
        (
            "[[postback]]\nid = \"global\"\n[[postback]]\nid = \"b\"",
            vec![("global", true), ("b", true)],
        ),
        ("[[postback]]\nid = \"b\"", vec![("b", true), ("global", true)]),
    ] {
        let (rules, _) = check(&format!("{head}{text}")).unwrap();
        let found = rules.postbacks().iter().map(|one| (one.id.as_str(), one.active));
        assert_eq!(found.collect::<Vec<_>>(), ids, "{text}");
    }
}

#[test]
fn json_of_the_same_shape_makes_the_same_rules() {
    let (rules, warnings) = RulesetSpec::from_json(JSON)
        .and_then(Ruleset::check)
        .unwrap_or_else(|issues| panic!("{issues:#?}"));
    assert_eq!(rules, example());
    assert_eq!(warnings, []);
}

/// The examples of the reference are one file, without mistakes and warnings.
#[test]
fn the_reference_is_right() {
    let page = include_str!("../../../docs/rules.md");
    let blocks = page.split("```toml\n").skip(1);
    let text: String = blocks.filter_map(|block| block.split("```").next()).collect();
    let (rules, warnings) = check(&text).unwrap_or_else(|issues| panic!("{issues:#?}"));
    assert_eq!(warnings, []);
    assert_eq!(rules.commissions().len(), 3);
    for (list, key) in [("commission[0]", "commission"), ("postback[0]", "postback")] {
        // Every key that a reader knows is on the page: the hint of an unknown key lists them.
        let wrong = format!("[[{key}]]\nzzzzzzzzzzzz = 1\n");
        let issues = check(&wrong).unwrap_err();
        let path = format!("{list}.zzzzzzzzzzzz");
        let issue = issues.iter().find(|issue| issue.path == path).unwrap();
        let hint = issue.hint.as_deref().unwrap();
        let keys: Vec<&str> = hint.split('`').skip(1).step_by(2).collect();
        assert!(keys.len() > 10, "{hint}");
        for key in keys {
            let named = [format!("`{key}`"), format!("`{key}."), format!("{key} ")];
            assert!(named.iter().any(|name| page.contains(name)), "{key}");
        }
    }
}
