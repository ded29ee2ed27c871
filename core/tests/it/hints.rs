//! Each reason code says what to try: an example of each, with what it answers.

use counterfoil_core::{
    AuthFailure, Edit, Incoming, Method, Outcome, Reason, Refusal, Ruleset, RulesetSpec,
    SignatureError, Timestamp, decode,
};
use counterfoil_fixtures::World;

const RULES: &str = r#"
tenant = "acme"
currency = "EUR"
[[advertiser]]
id = "shoply"
name = "Shoply"
[[affiliate]]
id = "bo"
name = "Bo"
[[offer]]
id = "shoply-cz"
name = "Shoply"
advertiser = "shoply"
click_window = "90d"
url = "https://shoply.example/?pcid={pcid}"
[[commission]]
id = "tenth"
type = "sale"
revenue = { percent = "999" }
[[commission]]
id = "other"
type = "lead"
revenue = { fixed = "1" }
[[postback]]
id = "narrow"
offers = ["shoply-cz"]
types = ["lead"]
limits = { types = ["lead"] }
[[postback]]
id = "pairs"
dedup = { key = "click+external" }
"#;

const START: Timestamp = Timestamp::from_ms(1_800_000_000_000);

fn after(days: i64) -> Timestamp {
    Timestamp::from_ms(START.as_ms() + days * 86_400_000)
}

/// A world with two clicks, a sale `A` under the first and a sale `B` under the second.
struct Story {
    world: World,
    first: String,
}

impl Story {
    fn new() -> Self {
        let (rules, _) = Ruleset::check(RulesetSpec::from_toml(RULES).unwrap()).unwrap();
        let mut world = World::new(rules);
        let mut click = || {
            let click = world.click("shoply-cz/bo", START).unwrap();
            click.conversion.unwrap().id.to_string()
        };
        let (first, second) = (click(), click());
        for (pcid, order) in [(&first, "A"), (&second, "B")] {
            let query = format!("pcid={pcid}&type=sale&value=10&external_id={order}");
            let made = world.send(&query, after(1)).unwrap();
            assert_eq!(made.outcome, Outcome::Created);
        }
        Self { world, first }
    }

    /// The refusal of a query in which `ID` is the first click.
    fn of(&mut self, query: &str, at: Timestamp) -> Refusal {
        let decision = self.world.send(&query.replace("ID", &self.first), at).unwrap();
        decision.refusal.unwrap_or_else(|| panic!("{query}: {:?}", decision.outcome))
    }

    fn of_root(&mut self, json: &str) -> Refusal {
        let decision = self.world.root(json, after(1)).unwrap();
        decision.refusal.unwrap_or_else(|| panic!("{json}: {:?}", decision.outcome))
    }
}

/// An example of a reason. A new reason has no example here until it is given one.
fn example(reason: Reason) -> Refusal {
    let mut story = Story::new();
    let query = match reason {
        Reason::Unauthorized => return AuthFailure::NoToken.refusal(),
        Reason::UnknownOffer | Reason::UnknownAffiliate | Reason::TypeNotRoot => {
            return root_example(&mut story, reason);
        }
        Reason::ClickExpired => return story.of("pcid=ID&type=sale", after(91)),
        Reason::Malformed => "pcid=ID&type=sale&value=5%",
        Reason::ConflictingParameters => "pcid=ID&type=sale&type=lead",
        Reason::UnknownPostback => "id=narow&pcid=ID&type=sale",
        Reason::UnresolvedMacro => "pcid={clickid}&type=sale",
        Reason::InvalidIdentifier => "pcid=7&type=sale",
        Reason::InvalidAmount => "pcid=ID&type=sale&value=1,5",
        Reason::InvalidResult => "pcid=ID&type=sale&result=maybe",
        Reason::InvalidAction => "pcid=ID&type=sale&action=upsert",
        Reason::InvalidParameter => {
            let path = "clickid=ID&event1=many";
            return path_refusal("peerclick", &path.replace("clickid", "cid"));
        }
        Reason::MissingIdentifier => "type=sale",
        Reason::AdvertiserIdRequired => "external_id=A&type=sale",
        Reason::TypeRequired => "pcid=ID&action=create",
        Reason::UnknownType => "pcid=ID&type=purchase",
        Reason::TypeNotTrackable => "pcid=ID&type=click",
        Reason::NotAllowed => "id=narrow&pcid=ID&type=sale",
        Reason::PairingFailed => "pcid=01930000-0000-7000-8000-000000000000&type=sale",
        Reason::AdvertiserMismatch => "pcid=ID&advertiser_id=rival&type=sale",
        Reason::ConditionsNotMet => "id=narrow&pcid=ID&action=update&value=3",
        Reason::Duplicate => "pcid=ID&type=sale&external_id=A",
        Reason::PairingConflict => "pcid=ID&type=lead&external_id=B",
        Reason::UnknownCommission => "pcid=ID&type=sale&external_id=C&commission_id=nobody",
        Reason::CommissionMismatch => "pcid=ID&type=sale&external_id=C&commission_id=other",
        Reason::ConversionNotFound => "pcid=ID&type=lead&action=update",
        Reason::ExternalIdTaken => return taken(&mut story),
        Reason::CurrencyUnknown => "pcid=ID&type=sale&external_id=C&value=1&currency=XXY",
        Reason::NoExchangeRate => "pcid=ID&type=sale&external_id=C&value=1&currency=USD",
        Reason::AmountOutOfRange => "pcid=ID&type=sale&external_id=C&value=999999999999",
    };
    story.of(query, after(2))
}

fn root_example(story: &mut Story, reason: Reason) -> Refusal {
    let (root_type, offer, affiliate) = match reason {
        Reason::UnknownOffer => ("lead", "nothing", "bo"),
        Reason::UnknownAffiliate => ("lead", "shoply-cz", "nobody"),
        _ => ("sale", "shoply-cz", "bo"),
    };
    let place = format!(r#""offer_id":"{offer}","affiliate_id":"{affiliate}""#);
    story.of_root(&format!(r#"{{"type":"{root_type}","source":"api",{place}}}"#))
}

/// An external id that a conversion would get, and another one under the click has.
fn taken(story: &mut Story) -> Refusal {
    for made in ["type=lead&external_id=L", "type=sale&value=1"] {
        let query = format!("id=pairs&pcid={}&{made}", story.first);
        story.world.send(&query, after(1)).unwrap();
    }
    story.of("id=pairs&pcid=ID&type=sale&action=update&external_id=L", after(2))
}

fn path_refusal(dialect: &str, query: &str) -> Refusal {
    let (rules, _) = Ruleset::check(RulesetSpec::from_toml(RULES).unwrap()).unwrap();
    let query = query.replace("ID", "01930000-0000-7000-8000-000000000000");
    let incoming =
        Incoming { method: Method::S2s, dialect: Some(dialect), query: &query, body: None };
    match counterfoil_core::read(&rules, &incoming).0 {
        counterfoil_core::Request::Unreadable(refusal) => *refusal,
        request => panic!("{request:?}"),
    }
}

#[test]
fn every_reason_says_what_to_try() {
    for reason in Reason::ALL {
        let refusal = example(reason);
        assert_eq!(refusal.reason, reason, "{refusal:?}");
        is_useful(&refusal);
    }
}

#[test]
fn every_failure_of_authentication_says_what_to_try() {
    let failures = [
        AuthFailure::NotEncrypted,
        AuthFailure::Address,
        AuthFailure::NoToken,
        AuthFailure::Token,
        AuthFailure::NoSignature,
        AuthFailure::SignatureForm,
        AuthFailure::SignedQueryWithBody,
        AuthFailure::SignedAt,
        AuthFailure::TooFar,
        AuthFailure::Signature,
        AuthFailure::NoWebhook,
        AuthFailure::UnsignedQuery,
        AuthFailure::Webhook(SignatureError::Id),
        AuthFailure::NoSecret("auth.tokens"),
    ];
    for failure in failures {
        is_useful(&failure.refusal());
    }
}

#[test]
fn whatever_cannot_be_decoded_says_what_to_try() {
    let long = format!("a={}", "x".repeat(3000));
    let long_name = format!("{}=1", "x".repeat(100));
    let many: Vec<String> = (0..150).map(|at| format!("p{at}=1")).collect();
    let same = vec!["pcid=1"; 300].join("&");
    let queries = [
        "a=%zz",
        "%zz=1",
        "a=%00",
        "%00=1",
        "a=%ff",
        "%ff=1",
        "=1",
        &long,
        &long_name,
        &many.join("&"),
        &same,
    ];
    for query in queries {
        let incoming = Incoming { method: Method::S2s, dialect: None, query, body: None };
        is_useful(&decode(&incoming).unwrap_err());
    }
    for json in ["", "[]", r#"{"a":{}}"#, r#"{"a":"\u0000"}"#, r#"{"a":true}"#] {
        let body = Some(counterfoil_core::Body::Json(json.as_bytes()));
        let incoming = Incoming { method: Method::S2s, dialect: None, query: "", body };
        is_useful(&decode(&incoming).unwrap_err());
    }
    let body = Some(counterfoil_core::Body::Form(b"a=\xff"));
    let incoming = Incoming { method: Method::S2s, dialect: None, query: "", body };
    is_useful(&decode(&incoming).unwrap_err());
}

#[test]
fn edits_and_roots_say_what_to_try() {
    let mut story = Story::new();
    let roots = [
        "{}",
        r#"{"type":"lead"}"#,
        r#"{"type":"lead","source":"link"}"#,
        r#"{"type":"nothing","source":"api","offer_id":"shoply-cz","affiliate_id":"bo"}"#,
        r#"{"type":"lead","source":"api","offer_id":"a b","affiliate_id":"bo"}"#,
        r#"{"type":"lead","source":"api","offer_id":"shoply-cz","affiliate_id":"bo","value":"x"}"#,
        r#"{"type":"lead","source":"api","offer_id":"shoply-cz","affiliate_id":"bo","zzz":"x"}"#,
    ];
    for root in roots {
        is_useful(&story.of_root(root));
    }
    let id = "01930000-0000-7000-8000-000000000000";
    let edits = [
        String::new(),
        "transaction_id=7".to_owned(),
        format!("transaction_id={id}"),
        format!("transaction_id={id}&reason=x"),
        format!("transaction_id={id}&reason=x&result=maybe"),
        format!("transaction_id={id}&reason=x&payout=-1"),
        format!("transaction_id={id}&reason=x&other=1"),
    ];
    for query in &edits {
        let incoming = Incoming { method: Method::Admin, dialect: None, query, body: None };
        is_useful(&Edit::read(&decode(&incoming).unwrap()).unwrap_err());
    }
    let edit = Edit::read(
        &[
            ("transaction_id".into(), id.into()),
            ("result".into(), "approved".into()),
            ("reason".into(), "x".into()),
        ]
        .to_vec(),
    );
    let decision = story.world.edit(edit.unwrap(), after(2)).unwrap();
    is_useful(&decision.refusal.unwrap());
}

/// A sentence without a full stop, and what to try.
fn is_useful(refusal: &Refusal) {
    let hint = refusal.hint.as_deref().unwrap_or_default();
    assert!(!hint.is_empty(), "no hint: {refusal:?}");
    assert!(!hint.ends_with('.') && !refusal.message.ends_with('.'), "{refusal:?}");
    assert!(hint != &*refusal.message, "{refusal:?}");
}
