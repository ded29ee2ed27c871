//! The one scenario suite, played on SQLite.

use std::path::Path;

use counterfoil_fixtures::{Need, Verdict, WorldEngine, load, run};

use crate::engine::SqliteEngine;

#[test]
fn every_scenario_comes_out_as_in_the_world_closed_and_opened_between_steps() {
    play_all(true);
}

/// What is kept in memory from step to step changes nothing.
#[test]
fn every_scenario_comes_out_as_in_the_world_in_one_go() {
    play_all(false);
}

fn play_all(reopens: bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/scenarios");
    let (mut played, mut passed) = (0, 0);
    for file in load(&folder).unwrap() {
        for playable in &file.scenarios {
            let mut engine = SqliteEngine::new(reopens);
            let verdict = run(playable, &mut engine);
            let title = &playable.scenario.title;
            // What the rules make of it is the business of the core; the store adds nothing.
            let expected = run(playable, &mut WorldEngine::new());
            assert_eq!(verdict, expected, "{}: {title}", file.path.display());
            if let Verdict::Skipped(needs) = verdict {
                assert_eq!(needs, [Need::Proxies], "{title}");
                continue;
            }
            passed += usize::from(verdict == Verdict::Passed);
            let report = engine.store().unwrap().reader().replay().unwrap();
            assert_eq!(report.differences, [], "replay of {}: {title}", file.path.display());
            played += 1;
        }
    }
    assert!(passed > 100, "{passed} of {played}");
}
