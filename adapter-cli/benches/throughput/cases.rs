//! Which servers are driven with which load, and the turns in which that happens: each round runs
//! every case once, so that a noisy minute touches all of them.

use std::time::Duration;

use crate::Result;
use crate::load::{self, Edge, Load, Pace};
use crate::process::Process;
use crate::seed::{Seed, Seeds};
use crate::workload::{Kind, REPEATED, Workload};
use crate::{bare, slow_disk, wrk};

/// Nothing is counted before a server has run this long.
const WARM_UP: Duration = Duration::from_millis(500);
/// The part of its own peak at which a server is driven by an open loop, in per cent.
const FIXED_RATE_PERCENT: f64 = 30.0;
/// An open loop must not wait for a free connection.
const FIXED_RATE_CONNECTIONS: usize = 256;

/// A server and the database below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Bare,
    Real(Seed),
    /// The real server with five milliseconds more on every fsync.
    SlowDisk(Seed),
}

/// One server under one load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) server: Server,
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
}

/// How cases are run.
pub(crate) struct Turns {
    /// Turns of each case.
    pub(crate) rounds: usize,
    /// The length of each.
    pub(crate) window: Duration,
    /// Whether wrk drives, and not our own generator.
    pub(crate) by_wrk: bool,
}

/// What one turn of a case showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) requests_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) cpu_us_per_request: f64,
    /// Under load, at the end of the turn.
    pub(crate) memory_mib: f64,
}

/// The samples of each case, in the order of the plan.
pub(crate) struct Results(Vec<(Case, Vec<Sample>)>);

impl Results {
    /// None yet, of these cases.
    pub(crate) fn none(plan: &[Case]) -> Self {
        Self(plan.iter().map(|case| (*case, Vec::new())).collect())
    }

    /// Runs every case once a round.
    pub(crate) fn of(plan: &[Case], turns: &Turns, seeds: &Seeds) -> Result<Self> {
        let mut results = Self::none(plan);
        for round in 1..=turns.rounds {
            results.add_round(round, turns, seeds)?;
        }
        Ok(results)
    }

    /// Runs every case once.
    pub(crate) fn add_round(&mut self, round: usize, turns: &Turns, seeds: &Seeds) -> Result<()> {
        for (case, samples) in &mut self.0 {
            let sample = turn(case, turns, seeds)?;
            let (rounds, name, cpu) = (turns.rounds, name(case), sample.cpu_us_per_request);
            eprintln!("round {round} of {rounds}: {name}: {cpu:.1} us of processor a request");
            samples.push(sample);
        }
        Ok(())
    }

    pub(crate) fn cases(&self) -> impl Iterator<Item = &Case> {
        self.0.iter().map(|(case, _)| case)
    }

    /// The median of one figure of a case; none where the case was not run.
    pub(crate) fn median(&self, case: &Case, figure: fn(&Sample) -> f64) -> Option<f64> {
        let (_, samples) = self.0.iter().find(|(known, _)| known == case)?;
        let mut figures: Vec<f64> = samples.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied()
    }
}

/// A case of a closed loop.
pub(crate) const fn closed(server: Server, kind: Kind, connections: usize) -> Case {
    Case { server, kind, connections, pace: Pace::Closed }
}

/// The plan of `--bare-only`.
pub(crate) fn bare_only() -> Vec<Case> {
    vec![
        closed(Server::Bare, Kind::Creates, 32),
        closed(Server::Bare, Kind::Creates, 64),
        closed(Server::Bare, Kind::Links, 64),
    ]
}

/// The plan without a flag.
pub(crate) fn quick() -> Vec<Case> {
    let fresh = Server::Real(Seed::FRESH);
    let million = Server::Real(Seed::MILLION_CLICKS);
    let mut plan = bare_only();
    plan.extend([
        closed(fresh, Kind::Creates, 32),
        closed(fresh, Kind::Creates, 64),
        closed(million, Kind::Creates, 32),
        closed(million, Kind::Creates, 64),
        closed(million, Kind::RandomIds, 64),
        closed(million, Kind::OneClick, 64),
        closed(million, Kind::Repeats, 64),
        closed(million, Kind::Links, 64),
    ]);
    plan
}

/// The plan of `--long`.
pub(crate) fn long() -> Vec<Case> {
    let ten_million = Server::Real(Seed::TEN_MILLION_CLICKS);
    let conversions = Server::Real(Seed::FIVE_MILLION_CONVERSIONS);
    let mut plan = quick();
    plan.extend([
        closed(ten_million, Kind::Creates, 64),
        closed(ten_million, Kind::Links, 64),
        closed(conversions, Kind::RandomIds, 64),
    ]);
    if slow_disk::is_possible() {
        let slow = Server::SlowDisk(Seed::MILLION_CLICKS);
        plan.extend([closed(slow, Kind::Creates, 64), closed(slow, Kind::Creates, 256)]);
    } else {
        println!("no C compiler `cc`: the slow disk is left out\n");
    }
    plan
}

/// Creates at a fixed rate, which follows from the peak that a server has already shown: on that
/// server, and on the bare one beside it.
pub(crate) fn add_fixed_rate(
    results: &mut Results,
    server: Server,
    turns: &Turns,
    seeds: &Seeds,
) -> Result<()> {
    let peak = results
        .median(&closed(server, Kind::Creates, 64), |sample| sample.requests_per_second)
        .ok_or("the peak was not measured")?;
    let rate = (peak * FIXED_RATE_PERCENT / 100.0) as u64;
    results.0.extend(Results::of(&fixed_rate(server, rate.max(1)), turns, seeds)?.0);
    Ok(())
}

/// Creates at a rate per second: on the bare server, and on another one beside it.
pub(crate) fn fixed_rate(server: Server, rate: u64) -> Vec<Case> {
    let at_fixed_rate = |server| Case {
        server,
        kind: Kind::Creates,
        connections: FIXED_RATE_CONNECTIONS,
        pace: Pace::Open(rate),
    };
    let mut plan = vec![at_fixed_rate(Server::Bare)];
    if server != Server::Bare {
        plan.push(at_fixed_rate(server));
    }
    plan
}

/// What a case is called in the table.
pub(crate) fn name(case: &Case) -> String {
    let server = match case.server {
        Server::Bare => "bare".to_owned(),
        Server::Real(seed) => seed.to_string(),
        Server::SlowDisk(seed) => format!("{seed}, fsync +5 ms"),
    };
    let pace = match case.pace {
        Pace::Closed => String::new(),
        Pace::Open(rate) => format!(", fixed {rate}/s"),
    };
    let kind = case.kind.name();
    format!("{server}: {kind}, {} connections{pace}", case.connections)
}

/// One server, started for this turn alone, under one load.
fn turn(case: &Case, turns: &Turns, seeds: &Seeds) -> Result<Sample> {
    let (process, workload, _database) = match case.server {
        Server::Bare => {
            let process = Process::start(bare::command()?)?;
            (process, Workload::without_database(case.kind), None)
        }
        Server::Real(seed) | Server::SlowDisk(seed) => {
            let database = seeds.copy(seed)?;
            let mut command = database.serve();
            if matches!(case.server, Server::SlowDisk(_)) {
                slow_disk::slow_down(&mut command)?;
            }
            let workload = Workload { kind: case.kind, clicks: database.clicks(), series: 1 };
            (Process::start(command)?, workload, Some(database))
        }
    };
    if case.kind == Kind::Repeats {
        prime(&process, &workload)?;
    }
    match turns.by_wrk {
        true => measure_by_wrk(case, turns.window, &process, &workload),
        false => measure(case, turns.window, &process, workload),
    }
}

/// Sends what the repeats will repeat.
fn prime(process: &Process, workload: &Workload) -> Result<()> {
    let load = Load {
        address: process.address,
        connections: 64,
        pace: Pace::Closed,
        warm_up: Duration::ZERO,
        window: Duration::from_secs(60),
        requests_max: REPEATED,
        workload: Workload { kind: Kind::Creates, ..workload.clone() },
    };
    load::drive(load, |_| Ok(()))?.all_as_expected()
}

fn measure_by_wrk(
    case: &Case,
    window: Duration,
    process: &Process,
    workload: &Workload,
) -> Result<Sample> {
    let cpu_before = process.cpu()?;
    let seen = wrk::drive(process.address, case.connections, window, workload)?;
    let cpu_used = process.cpu()? - cpu_before;
    Ok(Sample {
        requests_per_second: seen.requests / seen.seconds,
        p50_ms: seen.p50_ms,
        p99_ms: seen.p99_ms,
        p999_ms: seen.p999_ms,
        cpu_us_per_request: cpu_used.as_secs_f64() * 1e6 / seen.requests,
        memory_mib: process.memory_kib()? as f64 / 1024.0,
    })
}

fn measure(case: &Case, window: Duration, process: &Process, work: Workload) -> Result<Sample> {
    let load = Load {
        address: process.address,
        connections: case.connections,
        pace: case.pace,
        warm_up: WARM_UP,
        window,
        requests_max: u64::MAX,
        workload: work,
    };
    let mut cpu_before = Duration::ZERO;
    let mut cpu_used = Duration::ZERO;
    let mut memory_kib = 0;
    let tally = load::drive(load, |edge| {
        match edge {
            Edge::Start => cpu_before = process.cpu()?,
            Edge::End => {
                cpu_used = process.cpu()? - cpu_before;
                memory_kib = process.memory_kib()?;
            }
        }
        Ok(())
    })?;
    tally.all_as_expected()?;
    let count = tally.latencies.count() as f64;
    if count == 0.0 {
        return Err(format!("no answer in {window:?}: {}", name(case)).into());
    }
    let milliseconds = |per_mille| tally.latencies.percentile(per_mille) as f64 / 1e6;
    Ok(Sample {
        requests_per_second: count / tally.window.as_secs_f64(),
        p50_ms: milliseconds(500),
        p99_ms: milliseconds(990),
        p999_ms: milliseconds(999),
        cpu_us_per_request: cpu_used.as_secs_f64() * 1e6 / count,
        memory_mib: memory_kib as f64 / 1024.0,
    })
}
