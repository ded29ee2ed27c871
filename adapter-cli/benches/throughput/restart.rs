//! How long a server takes from its start to its first answer: after a clean stop, and after it
//! was killed in the middle of a load, which must not have lost what it acknowledged.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::Result;
use crate::load::{self, Edge, Load, Pace, Tally};
use crate::process::Process;
use crate::report::Target;
use crate::seed::{Database, Seed, Seeds};
use crate::workload::{Kind, Workload};

const SEED: Seed = Seed::TEN_MILLION_CLICKS;
const ROUNDS: usize = 3;

/// The figures of starts and restarts, beside what they should be.
pub(crate) fn targets(seeds: &Seeds) -> Result<Vec<Target>> {
    let mut start_ms = Vec::new();
    let mut restart_ms = Vec::new();
    let mut lost = 0;
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}: start, kill, restart");
        let database = seeds.copy(SEED)?;
        let (process, milliseconds) = start(&database)?;
        start_ms.push(milliseconds);
        let killed = load_and_kill(process, &database)?;
        let (process, milliseconds) = start(&database)?;
        restart_ms.push(milliseconds);
        lost += count_lost(&process, &database, &killed)?;
    }
    Ok(vec![
        Target::at_most("ms to the first answer, 10,000,000 clicks", median(start_ms), 100.0, None),
        Target::at_most("ms to the first answer after kill -9", median(restart_ms), 200.0, None),
        Target::at_most("acknowledged creates lost by kill -9", lost as f64, 0.0, None),
    ])
}

/// Starts the server and waits for its first answer to a postback.
fn start(database: &Database) -> Result<(Process, f64)> {
    let command: Command = database.serve();
    let begin = Instant::now();
    let process = Process::start(command)?;
    let first = load(&process, database, 1, Kind::Links);
    load::drive(first, |_| Ok(()))?.all_as_expected()?;
    Ok((process, begin.elapsed().as_secs_f64() * 1e3))
}

/// Kills the server while it takes creates.
fn load_and_kill(mut process: Process, database: &Database) -> Result<Tally> {
    let creates = load(&process, database, u64::MAX, Kind::Creates);
    let tally = load::drive(creates, |edge| match edge {
        Edge::Start => Ok(()),
        Edge::End => process.kill(),
    })?;
    tally.all_as_expected()?;
    Ok(tally)
}

/// Sends everything again: all but what was never answered must be known. What was in flight may
/// be known or not, so this counts the losses that nothing else can explain.
fn count_lost(process: &Process, database: &Database, killed: &Tally) -> Result<u64> {
    let again = load(process, database, killed.sent, Kind::Again);
    let tally = load::drive(again, |_| Ok(()))?;
    let unanswered = killed.sent - killed.answered;
    Ok(tally.unexpected.saturating_sub(unanswered))
}

fn load(process: &Process, database: &Database, requests_max: u64, kind: Kind) -> Load {
    Load {
        address: process.address,
        connections: requests_max.min(64) as usize,
        pace: Pace::Closed,
        warm_up: Duration::ZERO,
        // A load with an end is not cut short.
        window: Duration::from_secs(if requests_max == u64::MAX { 2 } else { 60 }),
        requests_max,
        workload: Workload { kind, clicks: database.clicks(), series: 1 },
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
