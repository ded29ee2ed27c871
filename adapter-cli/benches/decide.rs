//! What a decision costs as rules and histories grow, as ratios measured in one run.
//!
//! `cargo bench -p counterfoil --bench decide` shows two growths. Reading and deciding in the core
//! alone, with 10, 100 and 1,000 commissions: it grows with the commissions that are looked at, and
//! only with these. And a decision with its facts from a database, with 1, 1,000 and 10,000
//! conversions under the click: it must not grow.
#![forbid(unsafe_code)]
#![expect(clippy::float_arithmetic, reason = "ratios of measurements; no money is computed here")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use comfy_table::{CellAlignment, Table, presets};
use counterfoil_core::{
    AdvertiserId, AffiliateId, Arrival, ConversionId, ConversionType, Decision, Facts, Incoming,
    Method, OfferId, Origin, Outcome, Params, Receipt, Request, Root, RootRequest, Ruleset,
    RulesetSpec, Source, Timestamp,
};
use counterfoil_sqlite::{Rules, RulesFormat, Store, Submission, Synchronous};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const COMMISSIONS: [usize; 3] = [10, 100, 1_000];
const HISTORIES: [usize; 3] = [1, 1_000, 10_000];
/// The most that a decision may cost under [`HISTORIES`] of the last length, in units of the first:
/// a deeper tree of pages, no more.
const HISTORY_RATIO_MAX: f64 = 1.5;

const SAMPLES: usize = 9;
const SAMPLE_TIME: Duration = Duration::from_millis(30);

fn main() -> ExitCode {
    // Given by `cargo bench`; without it (`cargo test --all-targets`) nothing is measured.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let measured = measure_commissions().and_then(|()| measure_histories());
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("decide: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Something to be timed, with its name.
type Timed<'a> = (&'static str, Box<dyn Fn() + 'a>);

/// Prints what reading and deciding costs with more and more commissions.
fn measure_commissions() -> Result<()> {
    let engines =
        COMMISSIONS.iter().map(|count| Engine::new(*count)).collect::<Result<Vec<_>>>()?;
    let queries = Queries::of(ROOT.parse()?);
    let timed = engines.iter().map(|engine| engine.timed(&queries)).collect::<Result<Vec<_>>>()?;
    print("in the core, with so many commissions", &COMMISSIONS, &medians(&timed));
    Ok(())
}

const ROOT: &str = "01930000-0000-7abc-8def-012345671000";
const RECEIPT: &str = "01930000-0001-7abc-8def-012345670000";

/// The core with its rules and the facts of a click without conversions.
struct Engine {
    ruleset: Ruleset,
    facts: Facts,
    receipt: Receipt,
}

impl Engine {
    fn new(commissions: usize) -> Result<Self> {
        let checked = RulesetSpec::from_toml(&rules_text(commissions)).and_then(Ruleset::check);
        let (ruleset, _) = checked.map_err(|issues| format!("{issues:?}"))?;
        let receipt = Receipt { id: RECEIPT.parse()?, at: "2026-01-31T12:00:00Z".parse()? };
        let root = Root {
            id: ROOT.parse()?,
            conversion_type: ConversionType::Click,
            origin: Origin {
                source: Source::Link,
                offer: OfferId::new("shoply-cz")?,
                advertiser: AdvertiserId::new("shoply")?,
                affiliate: AffiliateId::new("bo")?,
                channel: None,
                integration: None,
                affs: Vec::new(),
                affiliate_click_id: None,
            },
            created_at: receipt.at,
        };
        let facts = Facts { root: Some(root.into()), ..Facts::default() };
        Ok(Self { ruleset, facts, receipt })
    }

    fn timed<'a>(&'a self, queries: &'a Queries) -> Result<Vec<Timed<'a>>> {
        for query in [&queries.lead, &queries.sale] {
            let decision = self.decide(query);
            if decision.outcome != Outcome::Created {
                return Err(format!("`{query}` was not taken: {:?}", decision.refusal).into());
            }
        }
        Ok(vec![
            ("read", Box::new(|| drop(black_box(read(&self.ruleset, &queries.sale))))),
            (
                "read and decide, the first commission is taken",
                Box::new(|| drop(black_box(self.decide(&queries.lead)))),
            ),
            (
                "read and decide, the last commission is taken",
                Box::new(|| drop(black_box(self.decide(&queries.sale)))),
            ),
        ])
    }

    fn decide(&self, query: &str) -> Decision {
        let (request, _) = read(&self.ruleset, query);
        black_box(request.query(&self.ruleset));
        request.decide(&self.ruleset, &self.facts, self.receipt)
    }
}

/// The query strings that are sent; all pair with one root.
struct Queries {
    /// Paid by the first commission of the rules.
    lead: String,
    /// Paid by the last commission of the rules.
    sale: String,
    repeat: String,
    update: String,
    update_of_type: String,
}

impl Queries {
    fn of(root: ConversionId) -> Self {
        Self {
            lead: create(root, "lead", "order-new"),
            sale: create(root, "sale", "order-new"),
            repeat: create(root, "sale", "order-0"),
            update: format!("pcid={root}&external_id=order-0&action=update&result=approved"),
            update_of_type: format!("pcid={root}&action=update&type=lead&value=7.50"),
        }
    }
}

fn create(root: ConversionId, conversion_type: &str, external_id: &str) -> String {
    format!(
        "pcid={root}&advertiser_id=shoply&external_id={external_id}&type={conversion_type}\
         &value=129.90&currency=EUR"
    )
}

fn read(ruleset: &Ruleset, query: &str) -> (Request, String) {
    let incoming = Incoming { method: Method::S2s, dialect: None, query, body: None };
    counterfoil_core::read(ruleset, &incoming)
}

/// Rules whose first commission pays leads and whose last one pays sales; all between are for
/// sales of other affiliates, and lose on that.
fn rules_text(commissions: usize) -> String {
    let mut text = String::from(
        "tenant = 'bench'\ncurrency = 'EUR'\n\
         [[advertiser]]\nid = 'shoply'\nname = 'Shoply'\n\
         [[affiliate]]\nid = 'bo'\nname = 'Bo'\n\
         [[affiliate]]\nid = 'eve'\nname = 'Eve'\n\
         [[offer]]\nid = 'shoply-cz'\nname = 'Shoply'\nadvertiser = 'shoply'\n\
         url = 'https://shoply.example/?pcid={pcid}'\n",
    );
    for number in 1..=commissions {
        let condition = match number {
            1 => "type = 'lead'",
            last if last == commissions => "type = 'sale'\naffiliates = ['bo']",
            _ => "type = 'sale'\naffiliates = ['eve']",
        };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "[[commission]]\nid = 'c{number}'\n{condition}\n\
             revenue = {{ percent = '10' }}\npayout = {{ percent_of_revenue = '50' }}\n"
        );
    }
    text
}

/// Prints what deciding costs with more and more conversions under one click.
fn measure_histories() -> Result<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let histories = HISTORIES
        .iter()
        .map(|length| History::new(&folder.path().join(format!("{length}.db")), *length))
        .collect::<Result<Vec<_>>>()?;
    let timed = histories.iter().map(History::timed).collect::<Result<Vec<_>>>()?;
    let medians = medians(&timed);
    print("with a database, and so many conversions under the click", &HISTORIES, &medians);
    let worst = medians
        .iter()
        .filter_map(|(_, times)| Some(times.last()? / times.first()?))
        .fold(0.0, f64::max);
    let kept = worst <= HISTORY_RATIO_MAX;
    let verdict = if kept { "kept" } else { "MISSED" };
    println!("the steepest grows by {worst:.2}; target <= {HISTORY_RATIO_MAX}: {verdict}");
    Ok(())
}

/// A database with one click and conversions under it.
struct History {
    store: Store,
    rules: Rules,
    queries: Queries,
}

impl History {
    fn new(path: &Path, conversions: usize) -> Result<Self> {
        let options =
            counterfoil_sqlite::Options { synchronous: Synchronous::Normal, ..Default::default() };
        let store = Store::open(path, options)?;
        let text = rules_text(10);
        let rules = store.install_rules(None, &text, RulesFormat::Toml, now()?)?.rules;
        let root = submit(&store, &rules, arrival(click()?, Method::Link, String::new()))?;
        // The one lead is older than all sales.
        submit(&store, &rules, read_arrival(&rules, &create(root, "lead", "lead-0")))?;
        for number in 0..conversions {
            let query = create(root, "sale", &format!("order-{number}"));
            submit(&store, &rules, read_arrival(&rules, &query))?;
        }
        Ok(Self { store, rules, queries: Queries::of(root) })
    }

    fn timed(&self) -> Result<Vec<Timed<'_>>> {
        let Queries { sale, repeat, update, update_of_type, .. } = &self.queries;
        let named = [
            ("create", sale),
            ("duplicate", repeat),
            ("update by external id", update),
            ("update by click and type", update_of_type),
        ];
        let mut timed: Vec<Timed<'_>> = Vec::new();
        for (name, query) in named {
            let (request, _) = read(self.rules.ruleset(), query);
            let at = now()?;
            let decision = self.explain(&request, at)?;
            if decision.outcome == Outcome::Refused {
                return Err(format!("`{query}` was refused: {:?}", decision.refusal).into());
            }
            let explain = move || drop(black_box(self.explain(&request, at)));
            timed.push((name, Box::new(explain)));
        }
        Ok(timed)
    }

    fn explain(&self, request: &Request, at: Timestamp) -> Result<Decision> {
        let ruleset = self.rules.ruleset();
        let reader = self.store.reader();
        Ok(reader.explain(ruleset, request, at)?)
    }
}

fn submit(store: &Store, rules: &Rules, arrival: Arrival) -> Result<ConversionId> {
    let submission = Submission { ruleset: rules.ruleset().clone(), arrival, received_at: now()? };
    let decision = store.submit_wait(submission)?.decision;
    let made = decision.conversion.filter(|_| decision.outcome == Outcome::Created);
    let conversion = made.ok_or_else(|| format!("not taken: {:?}", decision.refusal))?;
    Ok(conversion.id)
}

fn read_arrival(rules: &Rules, query: &str) -> Arrival {
    let (request, text) = read(rules.ruleset(), query);
    arrival(request, Method::S2s, text)
}

fn arrival(request: Request, method: Method, query: String) -> Arrival {
    Arrival { request, method, dialect: None, query, remote_addr: None }
}

fn click() -> Result<Request> {
    Ok(Request::Root(Box::new(RootRequest {
        method: Method::Link,
        conversion_type: ConversionType::Click,
        source: Source::Link,
        offer: OfferId::new("shoply-cz")?,
        affiliate: AffiliateId::new("bo")?,
        channel: None,
        integration: None,
        affs: Vec::new(),
        affiliate_click_id: None,
        external_id: None,
        value: None,
        params: Params::new(),
        masked: Vec::new(),
    })))
}

fn now() -> Result<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Timestamp::from_ms(since.as_millis() as i64))
}

/// The median time of each thing at each size, in nanoseconds: things by name, times by size. The
/// samples of all sizes are taken in turns.
fn medians(by_size: &[Vec<Timed<'_>>]) -> Vec<(&'static str, Vec<f64>)> {
    let mut medians: Vec<(&'static str, Vec<f64>)> = by_size
        .first()
        .map(|timed| timed.iter().map(|(name, _)| (*name, Vec::new())).collect())
        .unwrap_or_default();
    for (index, (_, times)) in medians.iter_mut().enumerate() {
        let runs: Vec<_> = by_size.iter().filter_map(|timed| timed.get(index)).collect();
        let mut samples = vec![Vec::new(); runs.len()];
        for _ in 0..SAMPLES {
            for (taken, (_, run)) in samples.iter_mut().zip(&runs) {
                taken.push(sample(run));
            }
        }
        for mut taken in samples {
            taken.sort_by(f64::total_cmp);
            times.extend(taken.get(SAMPLES / 2));
        }
    }
    medians
}

/// Nanoseconds a run, over as many runs as fit into [`SAMPLE_TIME`].
fn sample(run: &dyn Fn()) -> f64 {
    let begin = Instant::now();
    let mut runs = 0_u32;
    while begin.elapsed() < SAMPLE_TIME {
        for _ in 0..16 {
            run();
        }
        runs += 16;
    }
    begin.elapsed().as_nanos() as f64 / f64::from(runs)
}

/// Prints the times in units of the time at the first size.
fn print(title: &str, sizes: &[usize], medians: &[(&'static str, Vec<f64>)]) {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let mut header = vec![title.to_owned()];
    for size in sizes {
        header.push(size.to_string());
    }
    header.push("us at the first".to_owned());
    table.set_header(header);
    for (name, times) in medians {
        let first = times.first().copied().unwrap_or(f64::NAN);
        let mut row = vec![(*name).to_owned()];
        for time in times {
            row.push(format!("{:.2}", time / first));
        }
        row.push(format!("{:.2}", first / 1e3));
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}\n");
}
