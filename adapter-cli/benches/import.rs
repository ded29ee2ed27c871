//! How fast files are imported, and with how much memory.
//!
//! `cargo bench -p counterfoil --bench import` imports 100,000 rows and a million, each with an
//! external id and an amount, through the real command into a new database, and beside it inserts
//! the cells of the same rows into one table of SQLite, in one transaction without indexes. It
//! prints rows per second, the ratio of the two in this run, and the most memory that the command
//! held.
//!
//! Linux only: memory is read from `/proc`.
#![forbid(unsafe_code)]
#![expect(clippy::float_arithmetic, reason = "ratios of measurements; no money is computed here")]

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::Path,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::Parser as _;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const RULES: &str = include_str!("throughput/rules.toml");
const HEADER: &str = "pcid,type,external_id,value,result,date";
/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Measures imports.
#[derive(clap::Parser, Debug)]
#[command(name = "import")]
struct Options {
    /// How many rows each file has.
    #[arg(long, default_values_t = [100_000, 1_000_000])]
    rows: Vec<u64>,
    /// Given by `cargo bench`; without it (`cargo test --all-targets`) nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if !options.bench {
        return ExitCode::SUCCESS;
    }
    match options.rows.into_iter().try_for_each(measure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("import: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(rows: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    fs::write(path("rules.toml"), RULES)?;
    let click = counterfoil(folder.path())
        .args(["click", "--rules", "rules.toml", "--db", "acme.db", "shoply-cz/bo"])
        .output()?;
    let pcid = String::from_utf8(click.stdout)?;
    let pcid = pcid.trim();
    if pcid.is_empty() {
        return Err(String::from_utf8_lossy(&click.stderr).into());
    }
    let mut file = BufWriter::new(File::create(path("rows.csv"))?);
    writeln!(file, "{HEADER}")?;
    for row in 0..rows {
        let (whole, day) = (row % 1000, row % 28 + 1);
        writeln!(file, "{pcid},sale,ORDER-{row:09},{whole}.50,approved,2026-01-{day:02}")?;
    }
    file.into_inner().map_err(|error| error.into_error())?.sync_all()?;

    let (imported, memory_kib) = import(folder.path())?;
    let inserted = insert(&path("rows.csv"), &path("plain.db"))?;
    let per_second = |took: Duration| rows as f64 / took.as_secs_f64();
    println!(
        "{rows} rows: {:.0} rows/s, {:.3} of {:.0} rows/s in one plain transaction, at most {:.1} \
         MiB of memory",
        per_second(imported),
        per_second(imported) / per_second(inserted),
        per_second(inserted),
        memory_kib as f64 / 1024.0,
    );
    Ok(())
}

/// Imports the file; how long it took, and the most memory that it held, in KiB.
fn import(folder: &Path) -> Result<(Duration, u64)> {
    let began = Instant::now();
    let mut child = counterfoil(folder)
        .args(["import", "rows.csv", "--db", "acme.db"])
        .stdout(Stdio::null())
        .spawn()?;
    let mut memory_kib = 0;
    loop {
        if let Some(ended) = child.try_wait()? {
            let took = began.elapsed();
            return if ended.success() { Ok((took, memory_kib)) } else { Err("it failed".into()) };
        }
        memory_kib = memory_kib.max(peak_kib(child.id()).unwrap_or_default());
        thread::sleep(LOOK_EVERY);
    }
}

/// The most memory that a process has held.
fn peak_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The cells of the rows, in one table and one transaction.
fn insert(csv: &Path, db: &Path) -> Result<Duration> {
    let began = Instant::now();
    let mut db = rusqlite::Connection::open(db)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.execute_batch(
        "CREATE TABLE plain (id INTEGER PRIMARY KEY, pcid TEXT, type TEXT, external_id TEXT, \
         value TEXT, result TEXT, date TEXT)",
    )?;
    let transaction = db.transaction()?;
    {
        let mut insert = transaction.prepare(
            "INSERT INTO plain (pcid, type, external_id, value, result, date) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for row in csv::Reader::from_path(csv)?.records() {
            insert.execute(rusqlite::params_from_iter(row?.iter()))?;
        }
    }
    transaction.commit()?;
    Ok(began.elapsed())
}

fn counterfoil(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
    command.current_dir(folder);
    command
}
