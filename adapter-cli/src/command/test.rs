//! `counterfoil test`: scenarios against rules, on a world in memory.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use counterfoil_core::Outcome;
use counterfoil_fixtures::{
    Answer, Loaded, Playable, Played, Step, Verdict, WorldEngine, bless, judge, lacking, load, play,
};

use crate::{
    arguments::HELP_TEMPLATE,
    exit_code::ExitCode,
    failure::Failure,
    named_files::{self, Kind},
    output::{self, GOOD, HINT, MISTAKE, QUIET, SUSPICIOUS},
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
    /// Rewrite the expectations that are not met, and write those of steps that have none; look at
    /// the difference before you keep it
    #[arg(long)]
    bless: bool,
}

/// How many scenarios ended how.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut tally = Tally::default();
    let found = named_files::gather(&arguments.paths, Kind::Scenarios).into_iter();
    for path in found.collect::<Result<Vec<_>, _>>()? {
        if arguments.bless {
            bless_all(&path)?;
        }
        for file in load(&path).map_err(Failure::could_not)? {
            play_file(&file, &mut tally)?;
        }
    }
    let Tally { passed, failed, skipped } = tally;
    if passed + failed + skipped == 0 {
        return Err(Failure::usage("there is no scenario to play")
            .hint("a scenario file is TOML with [[scenario]] sections"));
    }
    let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    if failed > 0 {
        output::tell(format_args!("{MISTAKE}{failed} failed{MISTAKE:#}, {passed} passed{skipped}"));
        return Ok(ExitCode::Negative);
    }
    output::tell(format_args!("{GOOD}{passed} passed{GOOD:#}{skipped}"));
    Ok(ExitCode::Done)
}

/// Takes what happens as what is expected. A scenario with a step that cannot be made stays as it
/// is, and fails when it is played.
fn bless_all(path: &Path) -> Result<(), Failure> {
    for file in load(path).map_err(Failure::could_not)? {
        let played: Vec<Option<Played>> = file
            .scenarios
            .iter()
            .map(|playable| match played(playable) {
                (_, Verdict::Skipped(_) | Verdict::Broken { .. }) => None,
                (played, _) => Some(played),
            })
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
        let (played, verdict) = played(playable);
        match verdict {
            Verdict::Passed => tally.passed += 1,
            Verdict::Skipped(_) => tally.skipped += 1,
            _ => tally.failed += 1,
        }
        output::say(told(playable, &played, &verdict))?;
    }
    Ok(())
}

/// What came of a scenario on a world in memory. One that needs more is not played.
fn played(playable: &Playable) -> (Played, Verdict) {
    let mut engine = WorldEngine::new();
    let lacking = lacking(playable, &engine);
    if !lacking.is_empty() {
        return (Played { steps: Vec::new(), broken: None }, Verdict::Skipped(lacking));
    }
    let played = play(playable, &mut engine);
    let verdict = judge(playable, &played);
    (played, verdict)
}

/// A line for the scenario, and what was not as expected.
fn told(playable: &Playable, played: &Played, verdict: &Verdict) -> String {
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
            for line in about_refusal(playable, played, *step) {
                text.push_str(&format!("\n          {line}"));
            }
            text
        }
        Verdict::Broken { step, error } => {
            format!("  {MISTAKE}FAIL{MISTAKE:#}  {title}, at step {step}\n          {error}")
        }
    }
}

/// Why a step, counted from 1, was refused, and which `{name}` of it no step before had bound: such
/// a text is sent as it is, for there are scenarios about macros that nobody filled.
fn about_refusal(playable: &Playable, played: &Played, step: usize) -> Vec<String> {
    let place = step.saturating_sub(1);
    let refused = |answer: &&Answer| answer.outcome == Outcome::Refused;
    let answers = played.steps.get(place).map_or(&[][..], |seen| &seen.answers);
    let (Some(answer), Some(made)) =
        (answers.iter().find(refused), playable.scenario.step.get(place))
    else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    if let Some(reason) = answer.reason {
        let at = answer.parameter.as_ref().map(|parameter| format!(" (parameter `{parameter}`)"));
        lines.push(format!("it was refused: {reason}{}", at.unwrap_or_default()));
    }
    let before = place.checked_sub(1).and_then(|place| played.steps.get(place));
    let is_bound = |name: &str| before.is_some_and(|seen| seen.names.contains_key(name));
    for name in names_in(made).into_iter().filter(|name| !is_bound(name)) {
        lines.push(format!(
            "{HINT}try{HINT:#}: no step before it says `as = \"{name}\"`, so `{{{name}}}` was sent \
             as it is"
        ));
    }
    lines
}

/// The names in braces that a step's texts have.
fn names_in(step: &Step) -> BTreeSet<String> {
    let root = step.root.as_ref().map(ToString::to_string);
    let texts = [&step.click, &step.send, &step.form, &step.json, &root];
    let is_name = |text: &&str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let parts = texts.into_iter().flatten().flat_map(|text| text.split('{').skip(1));
    let names = parts.filter_map(|part| part.split_once('}')).map(|(name, _)| name);
    names.filter(is_name).map(str::to_owned).collect()
}

fn quoted(text: &str) -> &str {
    if text.is_empty() { "(nothing)" } else { text }
}
