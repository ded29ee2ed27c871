//! Prepared databases: filled once through the store itself, in the shape that it writes, and kept
//! between runs; each turn of a case works on a copy of its own.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::{SystemTime, UNIX_EPOCH};

use counterfoil_core::{
    AffiliateId, Arrival, ConversionType, Incoming, Method, OfferId, Outcome, Params, Request,
    RootRequest, Source, Timestamp,
};
use counterfoil_sqlite::{
    Decided, Rules, RulesFormat, Store, Submission, SubmitError, Synchronous, Waiting,
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::Result;
use crate::workload::{Kind, Workload};

const RULES: &str = include_str!("rules.toml");
/// Clicks that loads pair with, spread evenly over all that are stored.
const KNOWN_CLICKS_MAX: u64 = 200_000;
/// Requests on their way to the writer while a database is filled.
const IN_FLIGHT: usize = 8192;

/// What a database holds before the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed {
    clicks: u64,
    /// With random external ids, spread over the clicks.
    conversions: u64,
}

impl Seed {
    /// Nothing but the few clicks that postbacks need to pair with.
    pub(crate) const FRESH: Self = Self::of(10_000, 0);
    pub(crate) const MILLION_CLICKS: Self = Self::of(1_000_000, 0);
    pub(crate) const TEN_MILLION_CLICKS: Self = Self::of(10_000_000, 0);
    pub(crate) const FIVE_MILLION_CONVERSIONS: Self = Self::of(1_000_000, 5_000_000);

    const fn of(clicks: u64, conversions: u64) -> Self {
        Self { clicks, conversions }
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FRESH => f.write_str("fresh"),
            Self { clicks, conversions: 0 } => write!(f, "{}M clicks", clicks / 1_000_000),
            Self { conversions, .. } => write!(f, "{}M conversions", conversions / 1_000_000),
        }
    }
}

/// The prepared databases of this machine.
pub(crate) struct Seeds {
    folder: PathBuf,
}

/// A copy of a prepared database, for one turn; deleted when dropped.
pub(crate) struct Database {
    folder: TempDir,
    clicks: Arc<[Uuid]>,
}

/// Where everything that this bench keeps lies.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("throughput");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

impl Seeds {
    /// The databases that earlier runs have prepared; with `reseed` none of them.
    pub(crate) fn open(reseed: bool) -> Result<Self> {
        let folder = folder()?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_left_over =
                [UNFINISHED, COPY].iter().any(|prefix| name.to_string_lossy().starts_with(prefix));
            if entry.file_type()?.is_dir() && (reseed || is_left_over) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(Self { folder })
    }

    /// A fresh copy, on the disk and in the page cache. Without the sync the write-back of the
    /// copy would be measured too.
    pub(crate) fn copy(&self, seed: Seed) -> Result<Database> {
        let of_schema = counterfoil_sqlite::SCHEMA_VERSION;
        let name = format!("v{of_schema}-{}-{}", seed.clicks, seed.conversions);
        let prepared = self.folder.join(name);
        if !prepared.is_dir() {
            eprintln!("preparing the database: {seed}");
            let unfinished = TempDir::with_prefix_in(UNFINISHED, &self.folder)?;
            prepare(seed, unfinished.path())?;
            fs::rename(unfinished.keep(), &prepared)?;
        }
        let copy = TempDir::with_prefix_in(COPY, &self.folder)?;
        let database = copy.path().join(DATABASE);
        fs::copy(prepared.join(DATABASE), &database)?;
        File::open(&database)?.sync_all()?;
        fs::write(copy.path().join(RULES_FILE), RULES)?;
        let ids = fs::read(prepared.join(CLICKS))?;
        let (ids, _) = ids.as_chunks::<16>();
        Ok(Database { folder: copy, clicks: ids.iter().copied().map(Uuid::from_bytes).collect() })
    }
}

/// Folders that a run removes; one that was interrupted leaves them to the next.
const UNFINISHED: &str = "unfinished-";
const COPY: &str = "copy-";

const DATABASE: &str = "counterfoil.db";
const RULES_FILE: &str = "rules.toml";
/// The ids of the known clicks, 16 bytes each.
const CLICKS: &str = "clicks.ids";

impl Database {
    /// Clicks to pair with.
    pub(crate) fn clicks(&self) -> Arc<[Uuid]> {
        self.clicks.clone()
    }

    /// The real server on this database.
    pub(crate) fn serve(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
        command
            .arg("serve")
            .arg("--rules")
            .arg(self.folder.path().join(RULES_FILE))
            .arg("--db")
            .arg(self.folder.path().join(DATABASE))
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--log", "error"]);
        command
    }
}

/// Fills a new database through its writer.
fn prepare(seed: Seed, folder: &Path) -> Result<()> {
    let options = counterfoil_sqlite::Options {
        synchronous: Synchronous::Normal,
        cache_kib: 512 * 1024,
        queue_len: IN_FLIGHT,
        batch_max: IN_FLIGHT,
        ..Default::default()
    };
    let store = Store::open(&folder.join(DATABASE), options)?;
    let rules = store.install_rules(None, RULES, RulesFormat::Toml, now()?)?.rules;
    let filling = Filling { store, rules };

    let link = link_request()?;
    let click = |_| Ok((link.clone(), Method::Link, String::new()));
    let stride = seed.clicks.div_ceil(KNOWN_CLICKS_MAX);
    let clicks = filling.fill(seed.clicks, stride, click)?;
    fs::write(folder.join(CLICKS), clicks.concat())?;

    let workload = Workload {
        kind: Kind::RandomIds,
        clicks: clicks.into_iter().map(Uuid::from_bytes).collect(),
        series: 0,
    };
    let postback = |number| filling.postback(&workload, number);
    filling.fill(seed.conversions, u64::MAX, postback)?;
    Ok(())
}

/// A click like those that loads make.
fn link_request() -> Result<Request> {
    Ok(Request::Root(Box::new(RootRequest {
        method: Method::Link,
        conversion_type: ConversionType::Click,
        source: Source::Link,
        offer: OfferId::new("shoply-cz")?,
        affiliate: AffiliateId::new("bo")?,
        channel: None,
        integration: None,
        affs: vec![(1, "summer".into())],
        affiliate_click_id: Some("9e3779b97f4a7c15".into()),
        external_id: None,
        value: None,
        params: Params::new(),
        masked: Vec::new(),
    })))
}

/// A store that is being filled.
struct Filling {
    store: Store,
    rules: Rules,
}

type Answer = std::result::Result<Decided, SubmitError>;

impl Filling {
    /// Hands in `count` requests, and returns every `stride`-th conversion that they made.
    fn fill(
        &self,
        count: u64,
        stride: u64,
        request: impl Fn(u64) -> Result<(Request, Method, String)>,
    ) -> Result<Vec<[u8; 16]>> {
        let mut made = Vec::new();
        let (sender, answers) = mpsc::channel::<Answer>();
        let mut answered = 0;
        for number in 0..count {
            let (request, method, query) = request(number)?;
            let arrival = Arrival {
                request,
                method,
                dialect: None,
                query,
                remote_addr: Some("203.0.113.7".into()),
            };
            let submission =
                Submission { ruleset: self.rules.ruleset().clone(), arrival, received_at: now()? };
            let sender = sender.clone();
            // Nobody waits for the last answers if the filling has failed.
            let reply = move |answer| drop(sender.send(answer));
            self.store.submit(vec![Waiting { submission, row: None, reply: Box::new(reply) }]);
            if number + 1 - answered >= IN_FLIGHT as u64 {
                take(&answers, answered, stride, &mut made)?;
                answered += 1;
            }
        }
        for number in answered..count {
            take(&answers, number, stride, &mut made)?;
        }
        Ok(made)
    }

    fn postback(&self, workload: &Workload, number: u64) -> Result<(Request, Method, String)> {
        let mut query = Vec::new();
        workload.write_query(number, &mut query)?;
        let incoming = Incoming {
            method: Method::S2s,
            dialect: None,
            query: str::from_utf8(&query)?,
            body: None,
        };
        let (request, text) = counterfoil_core::read(self.rules.ruleset(), &incoming);
        Ok((request, Method::S2s, text))
    }
}

/// Takes one answer, which must tell of a new conversion.
fn take(
    answers: &mpsc::Receiver<Answer>,
    number: u64,
    stride: u64,
    made: &mut Vec<[u8; 16]>,
) -> Result<()> {
    let decision = answers.recv()??.decision;
    let conversion = decision.conversion.filter(|_| decision.outcome == Outcome::Created);
    let Some(conversion) = conversion else {
        return Err(format!("a request was not taken: {:?}", decision.refusal).into());
    };
    if number.is_multiple_of(stride) {
        made.push(*conversion.id.as_bytes());
    }
    Ok(())
}

fn now() -> Result<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Timestamp::from_ms(since.as_millis() as i64))
}
