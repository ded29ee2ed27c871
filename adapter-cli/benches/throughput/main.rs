//! How much the durable server costs beside a bare one, as ratios measured in one run.
//!
//! `cargo bench -p counterfoil --bench throughput` starts a bare hyper server and the real server
//! on prepared databases, each in a process of its own, drives all of them with the same loopback
//! load in turns ([`load`]), and prints medians, their ratios and the targets ([`report`]).
//! `-- --long` adds large histories, fixed rates, a slow disk and restarts; `-- --check` is the
//! short run of CI, which fails where a create costs too much processor time ([`check`]);
//! `-- --only TEXT` leaves out what the text does not name; `-- --rate N` sends creates at a fixed
//! rate alone; `-- --wrk` drives with wrk ([`wrk`]).
//!
//! Rates swing by a fifth from run to run on a shared machine, and mean little on another one: only
//! ratios are claims. The processor time per request in units of the bare server's is the steadiest
//! of them. Linux only: processes are measured through `/proc`.
#![forbid(unsafe_code)]
#![expect(clippy::float_arithmetic, reason = "ratios of measurements; no money is computed here")]

mod bare;
mod cases;
mod check;
mod histogram;
mod load;
mod open_loop;
mod process;
mod report;
mod restart;
mod seed;
mod slow_disk;
mod workload;
mod wrk;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use cases::{Results, Server, Turns};
use seed::Seed;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Drives a bare server and the real one with the same load and prints the ratios.
#[derive(clap::Parser, Debug)]
#[command(name = "throughput")]
struct Options {
    /// Also 10,000,000 clicks, 5,000,000 conversions, fixed rates, a slow disk, restarts.
    #[arg(long)]
    long: bool,
    /// What CI watches: exit code 1 if a create costs clearly more than six bare requests.
    #[arg(long, conflicts_with_all = ["long", "only", "rounds", "seconds"])]
    check: bool,
    /// Of the cases, only the bare ones and those whose name in the table contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only the bare server: how steady is this machine?
    #[arg(long, conflicts_with_all = ["long", "check"])]
    bare_only: bool,
    /// Drive with wrk, as it was done when the targets were set, instead of our own generator.
    #[arg(long, conflicts_with_all = ["long", "check"])]
    wrk: bool,
    /// Only creates at this rate per second, by an open loop; 30 % of the peak is one of `--long`.
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u64).range(1..),
          conflicts_with_all = ["long", "check", "wrk", "bare_only", "only"])]
    rate: Option<u64>,
    /// Turns of each case.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each turn.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Prepare the databases again, even where an earlier run has left them.
    #[arg(long)]
    reseed: bool,
    /// Be the bare server.
    #[arg(long, hide = true)]
    serve_bare: bool,
    /// Given by `cargo bench`; without it (`cargo test --all-targets`) nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let ended = if options.serve_bare {
        bare::serve().map(|()| true)
    } else if options.bench && options.check {
        check::passes(&options)
    } else if options.bench {
        run(&options).map(|()| true)
    } else {
        Ok(true)
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("throughput: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let mut plan = if let Some(rate) = options.rate {
        cases::fixed_rate(Server::Real(Seed::MILLION_CLICKS), rate)
    } else if options.bare_only {
        cases::bare_only()
    } else if options.long {
        cases::long()
    } else {
        cases::quick()
    };
    if let Some(only) = &options.only {
        plan.retain(|case| case.server == Server::Bare || cases::name(case).contains(only));
    }
    let turns = Turns {
        rounds: options.rounds,
        window: Duration::from_secs(options.seconds),
        by_wrk: options.wrk,
    };
    let seeds = seed::Seeds::open(options.reseed)?;
    let mut results = Results::of(&plan, &turns, &seeds)?;
    let fixed_rate_of = match options {
        Options { rate: Some(_), .. } => None,
        Options { long: true, only: None, .. } => Some(Server::Real(Seed::MILLION_CLICKS)),
        Options { bare_only: true, wrk: false, .. } => Some(Server::Bare),
        _ => None,
    };
    if let Some(server) = fixed_rate_of {
        cases::add_fixed_rate(&mut results, server, &turns, &seeds)?;
    }
    report::print_cases(&results);
    if options.bare_only || options.rate.is_some() {
        return Ok(());
    }
    let mut targets = report::targets(&results);
    if options.long && options.only.is_none() {
        targets.extend(restart::targets(&seeds)?);
    }
    report::print_targets(&targets);
    Ok(())
}
