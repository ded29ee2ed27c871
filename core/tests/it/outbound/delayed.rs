//! Delayed messages (R43): one for each transaction, held for its result, rendered when due.

use counterfoil_core::{Delayed, Due, Effect, Message, Request, Silence, Step, shown_parts};

use super::world::{PAYS, World, messages, told, url};

fn world(api: &str) -> World {
    World::new(&format!(
        "{PAYS}[[tracking_api]]\nid = 'x'\ndelay = '1h'\n{api}\n\
         request.url = 'https://a/?r={{result}}&p={{payout}}&n={{sequence}}&e={{event}}'\n"
    ))
}

fn sold(world: &mut World) -> Message {
    world.click();
    let made = world.send("pcid={pcid}&type=sale&value=100");
    let [message] = messages(&made)[..] else { panic!("one message: {made:?}") };
    message.clone()
}

fn sent(due: Due) -> String {
    match due {
        Due::Send { request, .. } => shown_parts(&request.url),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_waits_for_its_time_and_its_result() {
    let mut world = world("");
    let message = sold(&mut world);
    assert_eq!(message.due_at.since(world.now).to_string(), "1h");
    assert_eq!((&message.request, message.sequence), (&None, None));
    // What happens in the meantime is told by the same message.
    let update = world.send("pcid={pcid}&action=update&value=200");
    assert!(told(&update).is_empty());
    assert_eq!(world.due(&message), Due::Hold);
    let approved = world.send("pcid={pcid}&action=update&result=approved");
    assert_eq!(messages(&approved), Vec::<&Message>::new());
    assert!(approved.effects.contains(&Effect::WakeMessage(message.id)));
    let event = "transaction.created";
    assert_eq!(sent(world.due(&message)), format!("https://a/?r=approved&p=10.00&n=1&e={event}"));
}

#[test]
fn only_news_start_another_message() {
    let mut world = world("");
    let first = sold(&mut world);
    world.send("pcid={pcid}&action=update&result=approved");
    sent(world.due(&first));
    let no_news = world.send("pcid={pcid}&action=update&note=x");
    assert!(told(&no_news).is_empty());
    let because = no_news.trace.steps.iter().find_map(|step| match step {
        Step::Silent { because, .. } => Some(*because),
        _ => None,
    });
    assert_eq!(because, Some(Silence::NoNews));
    for (change, url) in
        [("result=rejected", "r=rejected&p=5.00&n=2"), ("value=300", "r=rejected&p=15.00&n=3")]
    {
        let update = world.send(&format!("pcid={{pcid}}&action=update&{change}"));
        let [next] = messages(&update)[..] else { panic!("{change}") };
        assert_eq!(next.due_at.since(world.now).to_string(), "1h");
        let next = next.clone();
        assert_eq!(sent(world.due(&next)), format!("https://a/?{url}&e=transaction.updated"));
    }
}

#[test]
fn a_created_and_updated_transaction_in_one_step_is_one_message() {
    let mut world = world("");
    world.ruleset = self::world("types = ['lead']").ruleset;
    world.click();
    world.send("pcid={pcid}&type=lead");
    world.ruleset = World::new(
        "[[commission]]\nid = 'l'\ntype = 'lead'\nrevenue.fixed = '1'\n\
         [[tracking_api]]\nid = 'x'\ndelay = '1h'\nrequest.url = 'https://a/'\n",
    )
    .ruleset;
    let update = world.send("pcid={pcid}&action=update&note=x");
    assert_eq!((update.events.len(), told(&update).len()), (3, 1));
}

#[test]
fn conditions_are_tested_again_when_it_is_due() {
    let mut world = world("results = ['approved', 'pending']");
    let message = sold(&mut world);
    world.send("pcid={pcid}&action=update&result=rejected");
    assert_eq!(world.due(&message), Due::Drop(Silence::Result));
    // What was dropped took no number.
    let again = world.send("pcid={pcid}&action=update&result=approved");
    let next = messages(&again)[0].clone();
    assert!(sent(world.due(&next)).contains("n=1"));
    let mut world = self::world("results = ['approved']");
    world.click();
    let made = world.send("pcid={pcid}&type=sale&value=100");
    assert!(told(&made).is_empty(), "and at the event");
}

#[test]
fn an_auto_set_wakes_what_is_held_and_nothing_else() {
    let mut world = world("");
    let message = sold(&mut world);
    let early = world.send("pcid={pcid}&action=update&note=x");
    assert!(!early.effects.iter().any(|effect| matches!(effect, Effect::WakeMessage(_))));
    world.due(&message);
    let id = world.newest().transactions[0].id;
    let held = world.newest().told.delayed.values().copied().collect::<Vec<_>>();
    assert_eq!(held, [Delayed::Held(message.id)]);
    let edit = counterfoil_core::Edit {
        transaction_id: id,
        result: Some(counterfoil_core::TransactionResult::Rejected),
        revenue: None,
        payout: None,
        reason: "test".into(),
    };
    let edited = world.decide(&Request::Edit(Box::new(edit)));
    assert!(edited.effects.contains(&Effect::WakeMessage(message.id)));
}

#[test]
fn a_message_without_delay_is_rendered_at_once_and_frozen() {
    let mut world = World::new(&format!(
        "{PAYS}[[tracking_api]]\nid = 'x'\nrequest.url = 'https://a/?p={{payout}}'\n"
    ));
    let message = sold(&mut world);
    world.send("pcid={pcid}&action=update&value=200");
    assert_eq!(url(&message), "https://a/?p=5.00");
    assert_eq!((message.due_at, message.sequence), (world.now, Some(1)));
}
