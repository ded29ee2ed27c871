//! The one scenario suite, played on SQLite.

use std::path::Path;

use counterfoil_fixtures::{Verdict, load, run};

use crate::engine::SqliteEngine;

#[test]
fn every_scenario_holds_on_sqlite_closed_and_opened_between_steps() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/scenarios");
    let mut played = 0;
    for file in load(&folder).unwrap() {
        for playable in &file.scenarios {
            let mut engine = SqliteEngine::new(true);
            let verdict = run(playable, &mut engine);
            let title = &playable.scenario.title;
            assert_eq!(verdict, Verdict::Passed, "{}: {title}", file.path.display());
            let report = engine.store().unwrap().reader().replay().unwrap();
            assert_eq!(
                report.differences,
                [],
                "replay of {}: {title}",
                file.path.display()
            );
            played += 1;
        }
    }
    assert!(played > 0);
}
