//! The one scenario suite, played through loopback HTTP and through the binary.

mod binary;
mod loopback;
pub(crate) mod receiver;

use std::{fs, path::Path};

use counterfoil_fixtures::{Engine, Need, Verdict, lacking, load, run};

use self::{binary::BinaryEngine, loopback::LoopbackEngine};
use crate::sandbox::{RULES, Sandbox};

/// The scenarios about who may send, and no others are.
const SENDERS: &str = "senders.toml";

/// Plays all scenarios, of which exactly those are skipped that are named, and all of
/// [`SENDERS`] where the engine does not ask who sends; says how many were played.
fn play_all(
    folder: &Path,
    mut engine: impl FnMut() -> Box<dyn Engine>,
    skipped: &[(&str, &str)],
) -> usize {
    let mut played = 0;
    let (mut failed, mut not_played) = (Vec::new(), Vec::new());
    for file in load(folder).expect("the scenarios") {
        for playable in &file.scenarios {
            let title = playable.scenario.title.clone();
            let mut engine = engine();
            let asks_nobody = engine.lacks().contains(&Need::Senders);
            let is_left_out = lacking(playable, engine.as_ref()).contains(&Need::Senders);
            assert_eq!(is_left_out, asks_nobody && file.path.ends_with(SENDERS), "{title}");
            if is_left_out {
                continue;
            }
            match run(playable, engine.as_mut()) {
                Verdict::Passed => played += 1,
                Verdict::Skipped(_) => not_played.push(title),
                other => failed.push(format!("{}: {title}: {other:?}", file.path.display())),
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let skipped: Vec<&str> = skipped.iter().map(|(title, _)| *title).collect();
    assert_eq!(not_played, skipped);
    played
}

fn suite() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/scenarios")
}

/// Scenarios that cannot come in over HTTP, and why.
const NOT_OVER_HTTP: [(&str, &str); 3] = [
    ("The result at birth", "a row is imported"),
    ("Methods from inside are decided by a definition of their own", FROM_INSIDE),
    (
        "A click lasts as long as its offer says; other roots, and updates, last for ever",
        "a row is imported",
    ),
];

/// Scenarios that cannot come in by the binary, and why.
const NOT_BY_BINARY: [(&str, &str); 1] =
    [("Methods from inside are decided by a definition of their own", FROM_INSIDE)];

const FROM_INSIDE: &str = "by the methods step and tracking_api only answers to messages come in";

/// A story that touches every call of an engine; it is played also where the suite is empty.
const STORY: &str = r#"
# Each step is about what came before.
rules = "rules.toml"

[[scenario]]
title = "a click, its sale, a repeat, an update and a refusal"

[[scenario.step]]
click = "shoply-cz/bo?affs1=mail"
as = "click"
expect = { type = "click", affs = { affs1 = "mail" }, counts = { conversions = 1 } }

[[scenario.step]]
send = "pcid={click}&type=sale&value=100&external_id=A-1"
as = "sale"
expect = { outcome = "created", root = "click", counts = { transactions = 1 } }

[[scenario.step]]
send = "pcid={click}&type=sale&value=100&external_id=A-1"
expect = { outcome = "duplicate", conversion = "sale" }

[[scenario.step]]
send = "advertiser_id=shoply&external_id=A-1&result=approved"
method = "pixel"
expect.outcome = "updated"
expect.transactions = [{ result = "approved", revenue = "10.00", payout = "5.00" }]

[[scenario.step]]
send = "type=sale&external_id=A-2"
expect = { reason = "advertiser_id_required", counts = { conversions = 2 } }

[[scenario]]
title = "a root, an edit, time and other rules"

[[scenario.step]]
root = { type = "lead", source = "api", offer_id = "shoply-cz", affiliate_id = "bo" }
as = "lead"
expect = { type = "lead", source = "api" }

[[scenario.step]]
send = "pcid={lead}&type=sale&value=200"
as = "sale"

[[scenario.step]]
edit = { conversion = "sale", commission_id = "tenth", payout = "1" }
expect.transactions = [{ revenue = "20.00", payout = "1.00" }]

[[scenario.step]]
advance = "31d"

[[scenario.step]]
replace_rules = { rules = "none.toml" }

[[scenario.step]]
send = "pcid={lead}&type=sale&value=200"
expect = { notes = ["no_matching_commission"], counts = { conversions = 3, transactions = 1 } }
"#;

fn story() -> Sandbox {
    let none = RULES.replace("type    = \"sale\"", "type    = \"lead\"");
    let sandbox = Sandbox::with_rules().file("none.toml", &none);
    fs::create_dir(sandbox.path("story")).expect("a folder");
    let text = STORY.replace("\"rules.toml\"", "\"../rules.toml\"");
    let text = text.replace("\"none.toml\"", "\"../none.toml\"");
    sandbox.file("story/story.toml", &text)
}

#[test]
fn the_story_holds_on_all_engines() {
    let sandbox = story();
    let folder = sandbox.path("story");
    assert_eq!(play_all(&folder, || Box::new(LoopbackEngine::default()), &[]), 2);
    assert_eq!(play_all(&folder, || Box::new(BinaryEngine::default()), &[]), 2);
    sandbox.run("test story").code(0).stdout_has("pass  a click, its sale").stderr_has("2 passed");
}

#[test]
fn a_scenario_that_fails_shows_the_difference() {
    let sandbox = story();
    let text = fs::read_to_string(sandbox.path("story/story.toml")).expect("the story");
    let sandbox = sandbox.file("story/story.toml", &text.replace("\"5.00\"", "\"6.00\""));
    sandbox
        .run("test story/story.toml")
        .code(3)
        .stdout_has("FAIL  a click, its sale")
        .stdout_has("at step 4")
        .stdout_has("transactions[0].payout")
        .stdout_has("expected  6.00")
        .stdout_has("got       5.00")
        .stderr_has("1 failed, 1 passed");
    sandbox.run("test nowhere.toml").code(1).stderr_has("nowhere.toml");
}

#[test]
fn blessing_takes_what_happens_and_keeps_the_rest_of_the_file() {
    let sandbox = story();
    let told = fs::read_to_string(sandbox.path("story/story.toml")).expect("the story");
    let wrong = told
        .replace("\"5.00\"", "\"6.00\"")
        .replace("conversions = 3, transactions = 1", "conversions = 9, transactions = 1")
        .replace("[\"no_matching_commission\"]", "[]")
        .replace("outcome = \"duplicate\"", "outcome = \"created\"");
    assert_ne!(wrong, told);
    let sandbox = sandbox.file("story/story.toml", &wrong);
    sandbox.run("test story").code(3);
    sandbox
        .run("test story --bless")
        .code(0)
        .stderr_has("rewrote story/story.toml")
        .stderr_has("2 passed");
    let read = || fs::read_to_string(sandbox.path("story/story.toml")).expect("the story");
    let blessed = read();
    for part in ["# Each step", "payout = \"5.00\"", "\"no_matching_commission\""] {
        assert!(blessed.contains(part), "`{part}` is not in {blessed}");
    }
    for part in ["6.00", "conversions = 9"] {
        assert!(!blessed.contains(part), "`{part}` is in {blessed}");
    }
    sandbox.run("test story --bless").code(0);
    assert_eq!(read(), blessed);
}

#[test]
fn every_scenario_holds_through_loopback_http() {
    let played = play_all(&suite(), || Box::new(LoopbackEngine::default()), &NOT_OVER_HTTP);
    assert!(played > 200, "{played}");
}

/// Only a server asks senders who they are: no command does, and its engine says so.
#[test]
fn who_may_send_is_played_over_http_and_not_by_the_binary() {
    let files = load(&suite().join(SENDERS)).expect("the scenarios");
    let scenarios = &files[0].scenarios;
    assert!(scenarios.len() >= 13, "{}", scenarios.len());
    for playable in scenarios {
        assert_eq!(lacking(playable, &LoopbackEngine::default()), []);
        assert!(lacking(playable, &BinaryEngine::default()).contains(&Need::Senders));
    }
}

#[test]
fn every_scenario_holds_through_the_binary() {
    let played = play_all(&suite(), || Box::new(BinaryEngine::default()), &NOT_BY_BINARY);
    assert!(played > 200, "{played}");
}
