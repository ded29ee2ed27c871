//! The two tables: what was seen, with its ratio to the bare server, and the targets.

use comfy_table::{CellAlignment, Table, presets};

use crate::cases::{self, Case, Results, Sample, Server, closed};
use crate::load::Pace;
use crate::seed::Seed;
use crate::workload::Kind;

/// The most that a create may cost, in bare requests.
pub(crate) const CPU_RATIO_MAX: f64 = 6.0;

const FRESH: Server = Server::Real(Seed::FRESH);
const MILLION: Server = Server::Real(Seed::MILLION_CLICKS);
const TEN_MILLION: Server = Server::Real(Seed::TEN_MILLION_CLICKS);
const CONVERSIONS: Server = Server::Real(Seed::FIVE_MILLION_CONVERSIONS);
const SLOW: Server = Server::SlowDisk(Seed::MILLION_CLICKS);

/// A figure and what it should be.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) seen: f64,
    pub(crate) bound: Bound,
    /// What we would like to see.
    pub(crate) aim: Option<f64>,
}

/// What a figure must keep.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    pub(crate) fn at_least(name: &'static str, seen: f64, floor: f64, aim: Option<f64>) -> Self {
        let bound = Bound::AtLeast(floor);
        Self { name, seen, bound, aim }
    }

    pub(crate) fn at_most(name: &'static str, seen: f64, ceiling: f64, aim: Option<f64>) -> Self {
        let bound = Bound::AtMost(ceiling);
        Self { name, seen, bound, aim }
    }

    fn is_kept(&self) -> bool {
        match self.bound {
            Bound::AtLeast(floor) => self.seen >= floor,
            Bound::AtMost(ceiling) => self.seen <= ceiling,
        }
    }
}

/// Prints each case with the medians of its turns, and its ratios to the bare server under the
/// same number of connections.
pub(crate) fn print_cases(results: &Results) {
    let mut table = new_table(&[
        "server: load (medians)",
        "requests/s",
        "of bare",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "p99/p50",
        "CPU us/request",
        "x bare",
        "PSS MiB",
    ]);
    for case in results.cases() {
        let figure = |figure| results.median(case, figure).unwrap_or_default();
        let bare = bare_beside(case);
        let of_bare = |figure| text(ratio(results, (case, &bare), figure), 2);
        table.add_row([
            cases::name(case),
            format!("{:.0}", figure(rate)),
            of_bare(rate),
            format!("{:.2}", figure(p50)),
            format!("{:.2}", figure(p99)),
            format!("{:.2}", figure(|sample| sample.p999_ms)),
            format!("{:.1}", figure(p99) / figure(p50)),
            format!("{:.1}", figure(cpu)),
            of_bare(cpu),
            format!("{:.0}", figure(memory)),
        ]);
    }
    println!("{table}\n");
}

/// Prints the targets.
pub(crate) fn print_targets(targets: &[Target]) {
    let mut table = new_table(&["ratio", "seen", "target", "aim", ""]);
    for target in targets {
        table.add_row([
            target.name.to_owned(),
            format!("{:.2}", target.seen),
            match target.bound {
                Bound::AtLeast(floor) => format!(">= {floor}"),
                Bound::AtMost(ceiling) => format!("<= {ceiling}"),
            },
            target.aim.map_or(String::new(), |aim| aim.to_string()),
            if target.is_kept() { "kept" } else { "MISSED" }.to_owned(),
        ]);
    }
    println!("{table}");
}

/// The targets that these results can speak of.
pub(crate) fn targets(results: &Results) -> Vec<Target> {
    let creates = |server| closed(server, Kind::Creates, 64);
    let random = |server| closed(server, Kind::RandomIds, 64);
    let links = |server| closed(server, Kind::Links, 64);
    let of = |above: Case, below: Case, figure| ratio(results, (&above, &below), figure);
    let bare = creates(Server::Bare);
    let million = creates(MILLION);
    let repeats = closed(MILLION, Kind::Repeats, 64);
    let one_click = closed(MILLION, Kind::OneClick, 64);
    let slow = |connections| closed(SLOW, Kind::Creates, connections);
    let fixed = results.cases().find(|case| case.server == MILLION && case.pace != Pace::Closed);
    let spread = |case: &Case| Some(results.median(case, p99)? / results.median(case, p50)?);
    let at_least = |name, seen: Option<f64>, floor, aim| {
        seen.map(|seen| Target::at_least(name, seen, floor, aim))
    };
    let at_most = |name, seen: Option<f64>, ceiling, aim| {
        seen.map(|seen| Target::at_most(name, seen, ceiling, aim))
    };
    let repeated = of(repeats, bare, rate);
    let followed = of(links(MILLION), links(Server::Bare), rate);
    [
        at_least("creates/s, of bare", of(million, bare, rate), 0.25, Some(0.35)),
        at_most(CPU_OF_CREATE, cpu_of_create(results), CPU_RATIO_MAX, Some(4.0)),
        at_least("duplicates/s, of bare", repeated, 0.5, None),
        at_least("link clicks/s, of bare", followed, 0.4, None),
        at_least(
            "creates/s, 1,000,000 clicks against a fresh database",
            of(million, creates(FRESH), rate),
            0.75,
            None,
        ),
        at_most(
            "CPU of a create, all under one click against spread over clicks",
            of(one_click, million, cpu),
            1.2,
            Some(1.0),
        ),
        at_least(
            "creates/s, 10,000,000 against 1,000,000 clicks",
            of(creates(TEN_MILLION), million, rate),
            0.75,
            None,
        ),
        at_least(
            "creates/s with random ids, 5,000,000 conversions against none",
            of(random(CONVERSIONS), random(MILLION), rate),
            0.5,
            Some(0.75),
        ),
        at_most("p99/p50 at saturation", spread(&million), 6.0, None),
        at_most("p99/p50 at 30 % of the peak", fixed.and_then(spread), 8.0, None),
        at_least(
            "fsync +5 ms: creates/s, 256 against 64 connections",
            of(slow(256), slow(64), rate),
            2.5,
            None,
        ),
        at_most(
            "MiB under load with 10,000,000 clicks",
            results.median(&creates(TEN_MILLION), memory),
            120.0,
            None,
        ),
        at_most("MiB for each further 1,000,000 clicks", growth(results), 1.0, Some(0.0)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const CPU_OF_CREATE: &str = "CPU of a create, in bare requests";

/// What a create costs, in bare requests.
pub(crate) fn cpu_of_create(results: &Results) -> Option<f64> {
    let creates = |server| closed(server, Kind::Creates, 64);
    ratio(results, (&creates(MILLION), &creates(Server::Bare)), cpu)
}

/// Memory in MiB that a million more clicks cost.
fn growth(results: &Results) -> Option<f64> {
    let at = |server| results.median(&closed(server, Kind::Creates, 64), memory);
    Some((at(TEN_MILLION)? - at(MILLION)?) / 9.0)
}

/// The bare server under the same load as far as it knows it.
fn bare_beside(case: &Case) -> Case {
    let kind = match case.kind {
        Kind::Links => Kind::Links,
        _ => Kind::Creates,
    };
    Case { server: Server::Bare, kind, ..*case }
}

fn ratio(results: &Results, of: (&Case, &Case), figure: fn(&Sample) -> f64) -> Option<f64> {
    Some(results.median(of.0, figure)? / results.median(of.1, figure)?)
}

fn text(figure: Option<f64>, digits: usize) -> String {
    figure.map_or(String::new(), |figure| format!("{figure:.digits$}"))
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn rate(sample: &Sample) -> f64 {
    sample.requests_per_second
}

fn cpu(sample: &Sample) -> f64 {
    sample.cpu_us_per_request
}

fn memory(sample: &Sample) -> f64 {
    sample.memory_mib
}

fn p50(sample: &Sample) -> f64 {
    sample.p50_ms
}

fn p99(sample: &Sample) -> f64 {
    sample.p99_ms
}
