//! `counterfoil test`: scenarios against rules, on a world in memory.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use counterfoil_fixtures::{
    Loaded, Playable, Played, Verdict, WorldEngine, bless, load, play, run as run_scenario,
};

use crate::{
    arguments::HELP_TEMPLATE,
    exit_code::ExitCode,
    failure::Failure,
    named_files::{self, Kind},
    output::{self, GOOD, MISTAKE, QUIET, SUSPICIOUS},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil test scenarios/
  counterfoil test scenarios/sales.toml scenarios/refunds.toml
  counterfoil test scenarios/ --bless               take what happens as what is expected";

/// Play scenario files and compare what happens with what they expect
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Scenario files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Rewrite the expectations that are not met; look at the difference before you keep it
    #[arg(long)]
    bless: bool,
}

/// How many scenarios ended how.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut tally = Tally::default();
    for path in &named_files::gather(&arguments.paths, Kind::Scenarios)? {
        if arguments.bless {
            bless_all(path)?;
        }
        for file in load(path).map_err(Failure::could_not)? {
            play_file(&file, &mut tally)?;
        }
    }
    let Tally { passed, failed } = tally;
    if passed + failed == 0 {
        return Err(Failure::usage("there is no scenario to play")
            .hint("a scenario file is TOML with [[scenario]] sections"));
    }
    if failed > 0 {
        output::tell(format_args!("{MISTAKE}{failed} failed{MISTAKE:#}, {passed} passed"));
        return Ok(ExitCode::Negative);
    }
    output::tell(format_args!("{GOOD}{passed} passed{GOOD:#}"));
    Ok(ExitCode::Done)
}

/// Takes what happens as what is expected. A scenario with a step that cannot be made stays as it
/// is, and fails when it is played.
fn bless_all(path: &Path) -> Result<(), Failure> {
    for file in load(path).map_err(Failure::could_not)? {
        let played: Vec<Option<Played>> = file
            .scenarios
            .iter()
            .map(|playable| Some(play(playable, &mut WorldEngine::new())))
            .map(|played| played.filter(|played| played.broken.is_none()))
            .collect();
        let path = file.path.as_path();
        let blessed = bless(&file, &played).map_err(|error| {
            Failure::could_not(format_args!("cannot rewrite `{}`: {error}", path.display()))
        })?;
        if blessed != file.text {
            fs::write(path, blessed).map_err(|error| Failure::file("write", path, &error))?;
            output::tell(format_args!("rewrote {}", path.display()));
        }
    }
    Ok(())
}

fn play_file(file: &Loaded, tally: &mut Tally) -> Result<(), Failure> {
    output::say(format_args!("{QUIET}{}{QUIET:#}", file.path.display()))?;
    for playable in &file.scenarios {
        let mut world = WorldEngine::new();
        let verdict = run_scenario(playable, &mut world);
        match verdict {
            Verdict::Passed => tally.passed += 1,
            _ => tally.failed += 1,
        }
        output::say(told(playable, &verdict))?;
    }
    Ok(())
}

/// A line for the scenario, and what was not as expected.
fn told(playable: &Playable, verdict: &Verdict) -> String {
    let title = &playable.scenario.title;
    match verdict {
        Verdict::Passed => format!("  {GOOD}pass{GOOD:#}  {title}"),
        Verdict::Skipped(needs) => {
            format!("  {SUSPICIOUS}skip{SUSPICIOUS:#}  {title}: needs {needs:?}")
        }
        Verdict::Failed { step, differences } => {
            let mut text = format!("  {MISTAKE}FAIL{MISTAKE:#}  {title}, at step {step}");
            for difference in differences {
                text.push_str(&format!(
                    "\n          {}\n            expected  {}\n            got       {}",
                    difference.path,
                    quoted(&difference.expected),
                    quoted(&difference.seen)
                ));
            }
            text
        }
        Verdict::Broken { step, error } => {
            format!("  {MISTAKE}FAIL{MISTAKE:#}  {title}, at step {step}\n          {error}")
        }
    }
}

fn quoted(text: &str) -> &str {
    if text.is_empty() { "(nothing)" } else { text }
}
