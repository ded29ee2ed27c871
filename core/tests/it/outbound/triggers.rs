//! Which events fire which triggers (R36, R37), and the numbers of messages (R44).

use counterfoil_core::{Decision, Event, Method, Outcome, Request, TransactionId, Trigger};

use super::world::{PAYS, World, messages, told};

/// One tracking API for each trigger, called by its number.
fn six() -> String {
    let one = |(number, trigger): (usize, &Trigger)| {
        let name = trigger.name();
        format!(
            "[[tracking_api]]\nid = '{}'\ntrigger = '{name}'\nrequest.url = 'https://a/'\n",
            number + 1
        )
    };
    Trigger::ALL.iter().enumerate().map(one).collect()
}

fn world(rules: &str) -> World {
    World::new(&format!("{rules}{}", six()))
}

/// The numbers of the triggers that fired, each once.
fn fires(decision: &Decision) -> String {
    let mut numbers = told(decision);
    numbers.sort_unstable();
    numbers.dedup();
    numbers.join(" ")
}

#[test]
fn the_table_of_triggers_exhausted() {
    let id: TransactionId = "01930000-0000-7000-8000-000000002000".parse().unwrap();
    let events = [
        (Event::ConversionCreated, [false, false, false, true, true, false]),
        (Event::ConversionUpdated, [false, false, false, true, false, true]),
        (Event::TransactionCreated(id), [true, true, false, false, false, false]),
        (Event::TransactionUpdated(id), [true, false, true, false, false, false]),
    ];
    for (event, want) in events {
        assert_eq!(Trigger::ALL.map(|trigger| trigger.fires_on(event)), want, "{event:?}");
    }
    assert_eq!(Trigger::default(), Trigger::Transaction);
}

const LEAD: &str = "source=iframe&type=lead&offer_id=cz&affiliate_id=bo";
const LEADS: &str = "[[commission]]\nid = 'lead'\ntype = 'lead'\nrevenue.fixed = '5'\n";

#[test]
fn vectors_a_and_b() {
    let mut world = world("");
    assert_eq!(fires(&world.click()), "4 5");
    assert_eq!(fires(&world.send("pcid={pcid}&type=sale&value=100")), "4 5");
}

#[test]
fn vector_c_a_lead_without_money() {
    let mut world = world(PAYS);
    assert_eq!(fires(&world.root(LEAD)), "4 5");
    let update = world.send_by(Method::Pixel, "pcid={pcid}&action=update&note=x");
    assert_eq!(fires(&update), "4 6");
}

#[test]
fn vector_d_the_update_makes_the_transaction() {
    for (auto_approve, want) in [(false, "1 2 3 4 6"), (true, "1 2 4 6")] {
        let rules =
            |active: bool| format!("{LEADS}auto_approve = {auto_approve}\nactive = {active}\n");
        let mut world = world(&rules(false));
        assert_eq!(fires(&world.root(LEAD)), "4 5");
        world.ruleset = self::world(&rules(true)).ruleset;
        let update = world.send("pcid={pcid}&action=update&note=x");
        assert_eq!(fires(&update), want);
        assert_eq!(update.outcome, Outcome::Updated);
    }
}

#[test]
fn vector_d2_a_lead_with_money() {
    let mut world = world(LEADS);
    assert_eq!(fires(&world.root(LEAD)), "1 2 4 5");
    let update = world.send_by(Method::Pixel, "pcid={pcid}&action=update&note=x");
    assert_eq!(fires(&update), "1 3 4 6");
}

#[test]
fn vectors_e_to_i() {
    let mut world = world(&format!("{PAYS}auto_set = {{ result = 'approved', after = '30d' }}\n"));
    world.click();
    assert_eq!(fires(&world.send("pcid={pcid}&type=sale&value=100")), "1 2 4 5");
    assert_eq!(fires(&world.send("pcid={pcid}&action=update&value=200")), "1 3 4 6");
    assert_eq!(fires(&world.send("pcid={pcid}&action=update&result=rejected")), "1 3 4 6");
    let again = world.send("pcid={pcid}&action=update&result=rejected");
    assert_eq!((fires(&again), again.outcome), (String::new(), Outcome::Unchanged));
    world.send("pcid={pcid}&action=update&result=pending");
    world.now = world.now.plus("30d".parse().unwrap());
    let set = Request::AutoSet(world.newest().transactions[0].id);
    assert_eq!(fires(&world.decide(&set)), "1 3");
    assert_eq!(fires(&world.decide(&set)), "", "it is not pending any more");
}

#[test]
fn a_refusal_and_a_duplicate_fire_nothing() {
    let mut world = world(PAYS);
    world.click();
    world.send("pcid={pcid}&type=sale&external_id=a");
    let repeat = world.send("pcid={pcid}&type=sale&external_id=a");
    assert_eq!((fires(&repeat), repeat.outcome), (String::new(), Outcome::Duplicate));
    let refused = world.send("pcid={pcid}&type=click");
    assert_eq!((fires(&refused), refused.outcome), (String::new(), Outcome::Refused));
    // R20: a repeat that adds a transaction.
    world.ruleset = self::world(&format!(
        "{PAYS}[[commission]]\nid = 'more'\ntype = 'sale'\nrevenue.fixed = '1'\n"
    ))
    .ruleset;
    let added = world.send("pcid={pcid}&type=sale&external_id=a&commission_id=more");
    assert_eq!((fires(&added), added.outcome), ("1 2".into(), Outcome::Updated));
}

#[test]
fn messages_are_numbered_without_gaps_and_by_conversion() {
    let mut world = world(PAYS);
    world.click();
    world.send("pcid={pcid}&type=sale&value=1");
    let pcid = world.newest().conversion.id;
    world.send(&format!("pcid={pcid}&action=update&value=2"));
    world.send(&format!("pcid={pcid}&action=update&value=3"));
    world.send(&format!("pcid={pcid}&type=sale&value=3"));
    let numbers = |api: &str, id| {
        let of = world.messages.iter().filter(|message| {
            message.conversion_id == id && format!("{:?}", message.of).contains(api)
        });
        of.map(|message| message.sequence.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(numbers("\"1\"", pcid), [1, 2, 3]);
    assert_eq!(numbers("\"3\"", pcid), [1, 2]);
    assert_eq!(numbers("\"4\"", pcid), [1, 2, 3]);
    assert_eq!(numbers("\"4\"", world.newest().conversion.id), [1]);
}

#[test]
fn what_is_held_back_takes_no_number() {
    let mut world = World::new(&format!(
        "{PAYS}[[tracking_api]]\nid = 'x'\nresults = ['approved']\nrequest.url = 'https://a/'\n"
    ));
    world.click();
    let made = world.send("pcid={pcid}&type=sale&value=1");
    assert!(messages(&made).is_empty());
    let update = world.send("pcid={pcid}&action=update&result=approved");
    assert_eq!(messages(&update)[0].sequence, Some(1));
}

#[test]
fn one_decision_makes_a_bounded_number_of_messages() {
    let api = |n| {
        format!(
            "[[tracking_api]]\nid = '{n}'\ntrigger = 'conversion'\nrequest.url = 'https://a/'\n"
        )
    };
    let mut world = World::new(&(0..4100).map(api).collect::<String>());
    assert_eq!(messages(&world.click()).len(), 4000);
}

#[test]
fn what_waits_for_other_events_is_named_when_someone_reads_the_trace() {
    let idle = "[[tracking_api]]\nid = 'idle'\nactive = false\nrequest.url = 'https://a/'\n\
                [[tracking_api]]\nid = 'bos'\nowner.affiliate = 'bo'\nrequest.url = 'https://a/'\n";
    let mut world = world(&format!("{PAYS}{idle}"));
    let waiting = |world: &World, decision: &Decision| {
        let lines = decision.trace.lines(&world.ruleset, decision.outcome);
        lines.into_iter().filter(|line| line.contains("it waits for")).collect::<Vec<_>>()
    };
    let click = world.click();
    let want = [
        "`1` tells nothing: it waits for `transaction.created` or `transaction.updated`",
        "`2` tells nothing: it waits for `transaction.created`",
        "`3` tells nothing: it waits for `transaction.updated`",
        "`6` tells nothing: it waits for `conversion.updated`",
    ];
    assert_eq!(waiting(&world, &click), want);
    let sale = world.send("pcid={pcid}&type=sale&value=100");
    assert_eq!(waiting(&world, &sale), [want[2], want[3]]);
    let refused = world.send("pcid={pcid}&type=sale&value=nonsense");
    assert_eq!((refused.outcome, waiting(&world, &refused).len()), (Outcome::Refused, 0));
}
