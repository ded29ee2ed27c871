//! Sequence steps (R46).

use counterfoil_core::{
    Decision, Due, MessageOf, MessageState, Method, Note, Outcome, read_answer, shown_parts,
};

use super::world::{PAYS, World, messages, url};

const STEPS: &str = r#"
[[postback]]
id = "two"
types = ["sale"]
[[postback.step]]
request.url = "https://a/{external_id}?v={value}"
set = { value = { path = "/v" } }
[[postback.step]]
request.url = "https://b/?v={value}&p={payout}"
"#;

fn world() -> World {
    World::new(&format!("{PAYS}{STEPS}"))
}

fn steps(decision: &Decision) -> usize {
    let is_step = |of: &MessageOf| matches!(of, MessageOf::Step { .. });
    messages(decision).iter().filter(|message| is_step(&message.of)).count()
}

#[test]
fn they_run_after_everything_but_a_refusal() {
    let mut world = world();
    world.click();
    let table = [
        ("type=sale&value=1&external_id=a", Outcome::Created, 2),
        ("type=sale&value=1&external_id=a", Outcome::Duplicate, 2),
        ("action=update&value=2", Outcome::Updated, 2),
        ("action=update", Outcome::Unchanged, 2),
        ("type=lead", Outcome::Refused, 0),
        ("type=sale&value=x", Outcome::Refused, 0),
    ];
    for (query, outcome, count) in table {
        let decision = world.send(&format!("pcid={{pcid}}&id=two&{query}"));
        assert_eq!((decision.outcome, steps(&decision)), (outcome, count), "{query}");
        assert!(!decision.notes.contains(&Note::StepsSkippedNoId), "{query}");
    }
}

#[test]
fn the_first_is_rendered_at_once_and_the_others_in_their_turn() {
    let mut world = world();
    world.click();
    let decision = world.send("pcid={pcid}&id=two&type=sale&value=1&external_id=a%2Fb");
    let [first, second] = messages(&decision)[..] else { panic!("two steps") };
    assert_eq!(url(first), "https://a/a%2Fb?v=1.00");
    assert_eq!((first.state, first.sequence, first.event), (MessageState::Due, None, None));
    assert_eq!((second.state, &second.request), (MessageState::Held, &None));
    // The answer of the first is applied before the second is rendered.
    let call = &world.ruleset.postbacks()[0].steps[0];
    let answer = read_answer(call, br#"{"v": 200}"#);
    let row = world.newest();
    let text = first.update_text(&answer, &row.conversion, &row.transactions);
    let (first, second) = (first.clone(), second.clone());
    let update = world.send_by(Method::Step, &text);
    assert_eq!((update.outcome, steps(&update)), (Outcome::Updated, 0), "an answer runs no steps");
    assert_eq!(update.conversion.as_ref().unwrap().id, first.conversion_id);
    match world.due(&second) {
        Due::Send { request, sequence: None } => {
            assert_eq!(shown_parts(&request.url), "https://b/?v=200.00&p=10.00");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_an_id_they_are_skipped_and_that_is_noted() {
    let rules = STEPS.replace("\"two\"", "\"global\"").replace("types = [\"sale\"]\n", "");
    let mut world = World::new(&format!("{PAYS}{rules}"));
    world.click();
    let decision = world.send("pcid={pcid}&type=sale&value=1");
    assert_eq!((decision.outcome, steps(&decision)), (Outcome::Created, 0));
    assert_eq!(decision.notes, [Note::StepsSkippedNoId]);
    let decision = world.send("pcid={pcid}&id=global&action=update&value=2");
    assert_eq!((steps(&decision), decision.notes), (2, vec![]));
    let refused = world.send("type=sale");
    assert_eq!(refused.notes, []);
}

#[test]
fn a_definition_without_steps_notes_nothing() {
    let mut world = world();
    world.click();
    let decision = world.send("pcid={pcid}&type=sale&value=1");
    assert_eq!(decision.notes, []);
}
