//! How fast waiting messages leave, what they cost while they wait, and what sending costs those
//! who come in. All ratios are of one run.
//!
//! `cargo bench -p counterfoil --bench deliveries` fills databases with messages through the store,
//! starts the real server on each, and counts what a receiver on loopback gets ([`receiver`]):
//! a backlog for one destination, and for a thousand; memory while messages wait that cannot be
//! delivered; inbound creates alone and beside the sender at full speed; and idling.
//!
//! Linux only: processes are measured through `/proc`.
#![forbid(unsafe_code)]
#![expect(clippy::float_arithmetic, reason = "ratios of measurements; no money is computed here")]

mod backlog;
mod receiver;

#[path = "../throughput/histogram.rs"]
mod histogram;
#[expect(dead_code, reason = "the throughput bench uses the rest")]
#[path = "../throughput/load.rs"]
mod load;
#[path = "../throughput/open_loop.rs"]
mod open_loop;
#[path = "../throughput/process.rs"]
mod process;
#[expect(dead_code, reason = "the throughput bench uses the rest")]
#[path = "../throughput/workload.rs"]
mod workload;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser as _;

use backlog::Backlog;
use load::{Edge, Load, Pace, Tally};
use process::Process;
use receiver::Receiver;
use workload::{Kind, Workload};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Messages that leave at full speed.
const WAITING: u64 = 50_000;
/// Messages that cannot be delivered.
const STUCK: u64 = 100_000;
/// Messages that leave while inbound requests are measured: more than can in that time.
const BESIDE: u64 = 200_000;
/// How long an inbound load is measured.
const WINDOW: Duration = Duration::from_secs(4);
/// How long memory and idling are watched.
const WATCHED: Duration = Duration::from_secs(5);
/// No backlog here takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures deliveries.
#[derive(clap::Parser, Debug)]
#[command(name = "deliveries")]
struct Options {
    /// Turns of the inbound loads; medians are compared.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Given by `cargo bench`; without it (`cargo test --all-targets`) nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if !options.bench {
        return ExitCode::SUCCESS;
    }
    match run(options.rounds.max(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("deliveries: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(rounds: usize) -> Result<()> {
    for destinations in [1, 1000] {
        drain(destinations)?;
    }
    waiting()?;
    idle()?;
    beside(rounds)
}

/// How fast a backlog leaves.
fn drain(destinations: usize) -> Result<()> {
    let receiver = Receiver::start(destinations)?;
    let backlog = Backlog::new(&receiver, WAITING)?;
    let began = Instant::now();
    let server = Process::start(backlog.serve())?;
    let took = receiver.wait_for(WAITING, PATIENCE)?;
    let cpu = server.cpu()?;
    let per_second = WAITING as f64 / took.as_secs_f64();
    println!(
        "{WAITING} messages, {destinations} destinations: {per_second:.0} deliveries/s (at least \
         5000), {:.1} us CPU of the server each, {} sent twice, first after {:.0} ms",
        cpu.as_secs_f64() * 1e6 / WAITING as f64,
        receiver.repeated(),
        (began.elapsed().saturating_sub(took)).as_secs_f64() * 1e3,
    );
    Ok(())
}

/// What messages cost that wait: memory, and processor time.
fn waiting() -> Result<()> {
    let mut memory = Vec::new();
    for messages in [0, STUCK] {
        let receiver = Receiver::start(1)?;
        let backlog = Backlog::new(&receiver, messages)?;
        drop(receiver);
        let server = Process::start(backlog.serve())?;
        std::thread::sleep(WATCHED);
        let before = server.cpu()?;
        std::thread::sleep(WATCHED);
        let used = (server.cpu()? - before).as_secs_f64() / WATCHED.as_secs_f64();
        let mib = server.memory_kib()? as f64 / 1024.0;
        println!(
            "{messages} messages that wait for a receiver that is gone: {mib:.0} MiB, {:.2} % of \
             a processor",
            used * 100.0
        );
        memory.push(mib);
    }
    if let [none, stuck] = *memory {
        println!("memory, {STUCK} waiting against none: {:.2}", stuck / none);
    }
    Ok(())
}

/// What a server costs that has nothing to do.
fn idle() -> Result<()> {
    let receiver = Receiver::start(1)?;
    let backlog = Backlog::new(&receiver, 100)?;
    let server = Process::start(backlog.serve())?;
    receiver.wait_for(100, PATIENCE)?;
    std::thread::sleep(Duration::from_secs(1));
    let before = server.cpu()?;
    std::thread::sleep(WATCHED);
    let used = (server.cpu()? - before).as_secs_f64() / WATCHED.as_secs_f64();
    println!("idle: {:.2} % of a processor", used * 100.0);
    Ok(())
}

/// Inbound creates alone, and while messages leave at full speed.
fn beside(rounds: usize) -> Result<()> {
    let mut alone = Vec::new();
    let mut together = Vec::new();
    for round in 1..=rounds {
        for (messages, seen) in [(0, &mut alone), (BESIDE, &mut together)] {
            eprintln!("round {round} of {rounds}: inbound beside {messages} messages");
            let receiver = Receiver::start(1)?;
            let backlog = Backlog::new(&receiver, messages)?;
            let server = Process::start(backlog.serve())?;
            let mut sent = 0;
            let tally = inbound(&server, &backlog, |edge| match edge {
                Edge::Start => sent = receiver.received(),
                Edge::End => sent = receiver.received() - sent,
            })?;
            if messages > 0 && receiver.received() >= messages {
                return Err("the backlog was too small: the sender was idle at the end".into());
            }
            let p99 = tally.latencies.percentile(990) as f64 / 1e6;
            let seconds = tally.window.as_secs_f64();
            seen.push((tally.latencies.count() as f64 / seconds, p99, sent as f64 / seconds));
        }
    }
    let (alone, together) = (medians(alone), medians(together));
    println!(
        "inbound creates beside the sender: {:.2} of the rate alone, p99 {:.2} times as long (at \
         most 2: {:.2} ms against {:.2} ms); {:.0} deliveries/s beside them",
        together.0 / alone.0,
        together.1 / alone.1,
        together.1,
        alone.1,
        together.2
    );
    Ok(())
}

fn inbound(server: &Process, backlog: &Backlog, mut at: impl FnMut(Edge)) -> Result<Tally> {
    let load = Load {
        address: server.address,
        connections: 64,
        pace: Pace::Closed,
        warm_up: Duration::from_millis(500),
        window: WINDOW,
        requests_max: u64::MAX,
        workload: Workload { kind: Kind::Creates, clicks: backlog.untold_clicks(), series: 9 },
    };
    let tally = load::drive(load, |edge| {
        at(edge);
        Ok(())
    })?;
    tally.all_as_expected()?;
    Ok(tally)
}

fn medians(samples: Vec<(f64, f64, f64)>) -> (f64, f64, f64) {
    let median = |figure: fn(&(f64, f64, f64)) -> f64| {
        let mut figures: Vec<f64> = samples.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or_default()
    };
    (median(|s| s.0), median(|s| s.1), median(|s| s.2))
}
