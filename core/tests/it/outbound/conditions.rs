//! What holds a message back (R38, R39), and chains of causes (R45).

use counterfoil_core::{
    CAUSES_MAX, Decision, Message, MessageOf, Method, Note, Outcome, Reason, Silence, Step,
    read_answer,
};

use super::world::{PAYS, World, messages, told};

fn world(api: &str) -> World {
    World::new(&format!("{PAYS}[[tracking_api]]\nid = 'x'\nrequest.url = 'https://a/'\n{api}\n"))
}

fn silences(decision: &Decision) -> Vec<Silence> {
    let steps = decision.trace.steps.iter();
    steps
        .filter_map(|step| match step {
            Step::Silent { because, .. } => Some(*because),
            _ => None,
        })
        .collect()
}

/// The transaction of a sale under a click of `bo` on `cz`.
fn sale(world: &mut World) -> Decision {
    world.click();
    world.send("pcid={pcid}&type=sale&value=100")
}

#[test]
fn each_condition_holds_back_and_lets_through() {
    let two = "[[commission]]\nid = 'two'\ntype = 'lead'\nrevenue.fixed = '1'\n";
    let table = [
        ("", "active = false", Silence::Inactive),
        ("sources = ['link']", "sources = ['api', 'iframe']", Silence::Source),
        ("types = ['sale']", "types = ['lead', 'custom']", Silence::Type),
        ("commissions = ['sale']", "commissions = ['two']", Silence::Commission),
        ("affiliates = ['cy', 'bo']", "affiliates = ['cy']", Silence::Affiliate),
        ("advertisers = ['shoply']", "advertisers = ['other']", Silence::Advertiser),
        ("integrations = ['shop']", "integrations = ['x']", Silence::Integration),
        ("channels = ['mail']", "channels = ['x']", Silence::Channel),
        ("offers = ['cz']", "offers = ['de']", Silence::Offer),
        ("offers_excluded = ['de']", "offers_excluded = ['cz']", Silence::ExcludedOffer),
        ("results = ['pending']", "results = ['approved']", Silence::Result),
    ];
    for (holds, fails, because) in table {
        let decision = sale(&mut world(&format!("{holds}\n{two}")));
        assert_eq!((told(&decision), silences(&decision)), (vec!["x"], vec![]), "{holds}");
        let decision = sale(&mut world(&format!("{fails}\n{two}")));
        assert_eq!((told(&decision), silences(&decision)), (vec![], vec![because]), "{fails}");
    }
    let both = "offers = ['cz', 'de']\noffers_excluded = ['cz']";
    assert_eq!(silences(&sale(&mut world(both))), [Silence::ExcludedOffer]);
}

#[test]
fn what_a_root_does_not_have_meets_no_condition() {
    for condition in ["integrations = ['shop']", "channels = ['mail']"] {
        let mut world = world(&format!("{condition}\ntrigger = 'conversion'"));
        let made = world.root("source=api&type=lead&offer_id=cz&affiliate_id=bo");
        assert!(told(&made).is_empty(), "{condition}");
    }
}

#[test]
fn results_of_conversion_events() {
    let table = [
        ("", true, true),
        ("results = 'all'", false, true),
        ("results = ['pending', 'rejected']", false, true),
        ("results = ['approved']", false, false),
    ];
    for (results, click, sale) in table {
        let mut world = world(&format!("{results}\ntrigger = 'conversion'"));
        assert_eq!(!told(&world.click()).is_empty(), click, "{results}");
        let made = world.send("pcid={pcid}&type=sale&value=100");
        assert_eq!(!told(&made).is_empty(), sale, "{results}");
    }
}

#[test]
fn conditions_use_the_state_at_the_end_of_the_step() {
    let mut world = world("results = ['approved']");
    sale(&mut world);
    let update = world.send("pcid={pcid}&action=update&result=approved");
    assert_eq!(told(&update), ["x"]);
    let update = world.send("pcid={pcid}&action=update&result=rejected");
    assert_eq!(silences(&update), [Silence::Result]);
}

#[test]
fn an_affiliate_is_told_of_its_own_only() {
    let mut world = world("owner.affiliate = 'bo'\ntrigger = 'conversion'");
    let table = [("bo", true), ("cy", false)];
    for (affiliate, is_told) in table {
        let made =
            world.root(&format!("source=api&type=lead&offer_id=cz&affiliate_id={affiliate}"));
        assert_eq!(!told(&made).is_empty(), is_told, "{affiliate}");
        assert_eq!(silences(&made), [], "of another's not even the trace tells");
    }
}

#[test]
fn a_trace_names_a_bounded_number_of_silences() {
    let api = |n| {
        format!(
            "[[tracking_api]]\nid = 'n{n}'\ntrigger = 'conversion'\nactive = false\n\
             request.url = 'https://a/'\n"
        )
    };
    let mut world = world(&(0..150).map(api).collect::<String>());
    assert_eq!(silences(&world.click()).len(), 100);
}

const ASKS: &str = "set = { value = { path = '/v' }, external_id = { path = '/e' } }\n";

/// Applies an answer to a message, as the one who sends does.
fn answer(world: &mut World, message: &Message, body: &str) -> Decision {
    let MessageOf::TrackingApi(id) = &message.of else { panic!("{message:?}") };
    let call = &world.ruleset.tracking_api(id.as_str()).unwrap().call;
    let read = read_answer(call, body.as_bytes());
    let row = world.newest();
    let text = message.update_text(&read, &row.conversion, &row.transactions);
    world.send_by(Method::TrackingApi, &text)
}

#[test]
fn an_answer_never_fires_what_asked() {
    let mut world =
        world(&format!("{ASKS}[[tracking_api]]\nid = 'y'\nrequest.url = 'https://a/'\n"));
    let made = sale(&mut world);
    let asked = messages(&made)[0].clone();
    let update = answer(&mut world, &asked, r#"{"v": "7"}"#);
    assert_eq!((update.outcome, told(&update)), (Outcome::Updated, vec!["y"]));
    assert_eq!(silences(&update), [Silence::OwnCause]);
    assert_eq!(messages(&update)[0].depth, 1);
    assert_eq!(update.conversion.unwrap().value.unwrap().amount.to_string(), "7");
}

#[test]
fn a_chain_of_causes_has_an_end() {
    let mut world = world(&format!(
        "{ASKS}[[tracking_api]]\nid = 'y'\nrequest.url = 'https://a/'\n{ASKS}\
         [[tracking_api]]\nid = 'z'\nrequest.url = 'https://a/'\n\
         [[tracking_api]]\nid = 'never'\nsources = ['api']\nrequest.url = 'https://a/'\n{ASKS}"
    ));
    let mut decision = sale(&mut world);
    for depth in 1..=CAUSES_MAX {
        // `x` and `y` answer each other.
        let asked = messages(&decision)[0].clone();
        assert_eq!(asked.depth, depth - 1);
        decision = answer(&mut world, &asked, &format!("{{\"v\": \"{depth}\"}}"));
        let is_last = depth == CAUSES_MAX;
        assert_eq!(decision.notes.contains(&Note::LoopStopped), is_last, "{depth}");
        let other = if depth % 2 == 1 { "y" } else { "x" };
        let want = if is_last { vec!["z"] } else { vec![other, "z"] };
        let mut got = told(&decision);
        got.sort_unstable();
        assert_eq!(got, want, "{depth}");
    }
    assert!(silences(&decision).contains(&Silence::Source), "conditions come first");
}

#[test]
fn the_target_of_an_answer_is_the_conversion_of_its_message() {
    let mut world = world(ASKS);
    world.click();
    let click = world.newest().conversion.id;
    world.send("pcid={pcid}&type=sale&value=1");
    let older = world.messages[0].clone();
    world.send(&format!("pcid={click}&type=sale&value=2&external_id=taken"));
    let update = answer(&mut world, &older, r#"{"v": 5}"#);
    assert_eq!(update.conversion.as_ref().unwrap().id, older.conversion_id);
    let unmapped = answer(&mut world, &older, r#"{"v": {}}"#);
    assert_eq!(unmapped.outcome, Outcome::Unchanged);
    // An external id that another conversion under the same root carries.
    let refused = answer(&mut world, &older, r#"{"e": "taken"}"#);
    assert_eq!(refused.refusal.unwrap().reason, Reason::ExternalIdTaken);
    let free = answer(&mut world, &older, r#"{"e": "free"}"#);
    assert_eq!(free.conversion.unwrap().external_id.as_ref().unwrap().as_str(), "free");
}

#[test]
fn no_request_from_outside_can_name_a_cause() {
    let mut world = world(ASKS);
    sale(&mut world);
    let update = world.send("pcid={pcid}&action=update&cause=x&depth=5&value=3");
    assert_eq!(told(&update), ["x"]);
    assert_eq!(messages(&update)[0].depth, 0);
    let params = &update.conversion.unwrap().params;
    assert_eq!(params["cause"].as_ref(), "x");
}
