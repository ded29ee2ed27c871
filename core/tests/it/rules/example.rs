//! The whole of what a rules file can say, once in TOML and once in JSON.

use counterfoil_core::{
    AffiliateId, AnswerStyle, AutoSet, ConversionType, HttpMethod, KeyKind, MACROS, OnRepeat,
    Owner, PayoutTerm, Period, Pieces, ResultCondition, RevenueTerm, Ruleset, RulesetSpec,
    Schedule, Source, TIMEOUT_DEFAULT, TransactionResult, Treatment, Trigger, shown_parts,
};

use super::check;

pub(super) const TOML: &str = include_str!("full.toml");

const JSON: &str = include_str!("full.json");

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
fn privacy_with_everything_and_with_defaults() {
    let rules = example();
    let privacy = rules.privacy();
    assert_eq!((privacy.email, privacy.phone), (Treatment::Drop, Treatment::Keep));
    let listed: Vec<_> = privacy.listed.iter().map(|(name, t)| (&**name, *t)).collect();
    let expected = [
        ("first_name", Treatment::Drop),
        ("customer", Treatment::Hash),
        ("shop_contact", Treatment::Keep),
    ];
    assert_eq!(listed, expected);
    let (rules, _) = check("tenant = \"acme\"\ncurrency = \"EUR\"").unwrap();
    let privacy = rules.privacy();
    assert_eq!((privacy.email, privacy.phone), (Treatment::Hash, Treatment::Hash));
    assert!(privacy.listed.is_empty());
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
fn tracking_apis_with_everything_and_with_defaults() {
    let rules = example();
    let [bo, ask, form] = rules.tracking_apis() else {
        panic!("three tracking APIs");
    };
    assert_eq!(bo.owner, Owner::Affiliate(AffiliateId::new("bo").unwrap()));
    assert_eq!(bo.trigger, Trigger::Transaction);
    assert_eq!(bo.delay.unwrap().to_string(), "1h");
    assert_eq!(bo.conditions, Default::default());
    assert!(bo.active && bo.ordered && bo.sign.is_empty() && bo.call.set.is_empty());
    assert_eq!(bo.call.timeout, TIMEOUT_DEFAULT);
    assert_eq!((&bo.call.retry, &bo.call.pending), (&Default::default(), &None));
    assert_eq!((&ask.owner, ask.trigger), (&Owner::Admin, Trigger::ConversionCreated));
    let conditions = &ask.conditions;
    assert_eq!(conditions.types.as_ref().unwrap().len(), 3);
    assert!(conditions.commissions.as_ref().unwrap().contains("fixed"));
    assert!(conditions.integrations.as_ref().unwrap().contains("shop"));
    assert!(conditions.offers_excluded.contains("shoply-de"));
    assert!(matches!(&conditions.results, ResultCondition::Only(set) if set.len() == 2));
    assert!(!ask.active && !ask.ordered);
    let signers: Vec<&str> = ask.sign.iter().map(|name| name.as_str()).collect();
    assert_eq!(signers, ["new", "old"]);
    assert_eq!(ask.call.retry.retries(), 29);
    assert_eq!(ask.call.timeout.to_string(), "20s");
    let [result, order] = &ask.call.set[..] else {
        panic!("two mappings");
    };
    assert_eq!(result.words.as_ref().unwrap()["paid"].as_ref(), "approved");
    assert_eq!((order.parameter.as_ref(), &order.words), ("param.order", &None));
    assert_eq!(form.conditions.results, ResultCondition::All);
    assert_eq!(form.call.request.method, HttpMethod::Post);
    let [asks, seen] = &rules.postbacks()[0].steps[..] else {
        panic!("two steps");
    };
    assert_eq!(asks.retry.delivery, Schedule::Waits(vec![period("5s"), period("5m")]));
    assert_eq!(seen.request.method, HttpMethod::Get);
}

fn period(text: &str) -> Period {
    text.parse().unwrap()
}

#[test]
fn templates_are_filled_where_they_stand() {
    let rules = example();
    let [_, ask, form] = rules.tracking_apis() else {
        panic!("three tracking APIs");
    };
    let shown =
        |pieces: &Pieces| shown_parts(&pieces.fill(|name| Some(format!("<{name} \"/>").into())));
    let request = &ask.call.request;
    assert_eq!(
        shown(&request.url),
        "https://api.shoply.example/%3Cexternal_id%20%22%2F%3E/x?k={secret:shoply}\
         &n=%3Cparam.note%20%22%2F%3E"
    );
    let headers: Vec<_> = request.headers.iter().map(|(n, p)| (&**n, shown(p))).collect();
    assert_eq!(headers[0], ("authorization", "Bearer {secret:shoply}".into()));
    assert_eq!(headers[1], ("x-click", "<affs10 \"/>".into()));
    let (kind, body) = request.body.as_ref().unwrap();
    assert_eq!(&**kind, "application/json");
    assert_eq!(
        shown(body),
        r#"{"click":"a <pcid \"/>","n":1.5,"list":[true,{"q":"\"<type \"/>\""}]}"#
    );
    let (kind, body) = form.call.request.body.as_ref().unwrap();
    assert_eq!(&**kind, "application/x-www-form-urlencoded");
    assert_eq!(shown(body), "a%20b=x%26%3Cvalue%20%22%2F%3E&k={secret:shoply}");
}

#[test]
fn every_secret_that_the_rules_name_is_listed() {
    let rules = example();
    let names: Vec<&str> = rules.secrets().map(|name| name.as_str()).collect();
    let want = ["acme_api", "bo_api", "new", "old", "new", "shoply", "shoply", "shoply"];
    assert_eq!(names, want);
}

#[test]
fn raw_bodies_hold_braces_and_encode_by_their_type() {
    let filled = |kind: &str, raw: &str| {
        let text = format!(
            "tenant = 'a'\ncurrency = 'EUR'\n[[tracking_api]]\nid = 'x'\n\
             request.url = 'https://a/'\n\
             request.body = {{ content_type = '{kind}', raw = '{raw}' }}"
        );
        let (rules, _) = check(&text).unwrap_or_else(|issues| panic!("{issues:#?}"));
        let (_, body) = rules.tracking_apis()[0].call.request.body.clone().unwrap();
        shown_parts(&body.fill(|_| Some("\"&".into())))
    };
    let json =
        filled("application/vnd.x+JSON; a=b", r#"{"a":{},"b":"{type}\"{type}","c":{value}}"#);
    assert_eq!(json, r#"{"a":{},"b":"\"&\"\"&","c":\"&}"#);
    assert_eq!(filled("application/x-www-form-urlencoded", "a={type}&b={{}"), "a=%22%26&b={{}");
    assert_eq!(filled("text/plain", "{type} {"), "\"& {");
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
    for known in MACROS {
        let owner = if known.for_affiliates { "" } else { "; not for affiliates" };
        let row = format!("| `{{{}}}` | {}{owner} |\n", known.name, known.meaning);
        assert!(page.contains(&row), "{row}");
    }
    let lists = [
        ("commission[0]", "commission"),
        ("dialect[0]", "dialect"),
        ("postback[0]", "postback"),
        ("tracking_api[0]", "tracking_api"),
    ];
    for (list, key) in lists {
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
