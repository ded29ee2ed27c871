//! `counterfoil import`: rows of CSV files as requests, straight into a database.
//!
//! A row is a request like any other, by the method `import`. How far a file came is stored in the
//! same transactions as its rows, under the hash of its content: the same command again goes on
//! where the last one ended, however that was. What `--again` imports anew is kept as well, until
//! it is done (round.rs). A dry run is the same on a copy.

mod feed;
mod files;
mod header;
mod progress;
mod records;
mod rejects;
mod round;
mod row;
mod run;
mod summary;
mod told;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use clap::Args;
use counterfoil_sqlite::{ImportProgress, Rules, Store};
use tempfile::TempDir;

use self::{round::Round, run::Run};
use crate::{
    arguments::{DatabaseArguments, HELP_TEMPLATE},
    database,
    exit_code::ExitCode,
    failure::Failure,
    output::ListFormat,
    rules_files, signals,
};

const EXAMPLES: &str = "\
Examples:
  counterfoil import sales.csv --rules rules.toml --db acme.db --dry-run
  counterfoil import sales.csv --rules rules.toml --db acme.db
  counterfoil import exports/ --db acme.db --format json
  zcat sales.csv.gz | counterfoil import - --db acme.db --rejects refused.csv

A file like this one has what most need; `date` is when it happened, without it now:
  pcid,type,external_id,value,result,date
  01993b2e-7c1a-7f00-8000-0123456789ab,sale,A-1,100.00,approved,2026-01-31";

/// Import CSV files: each row is a request, its columns are the parameters
///
/// The names in the first row are those of a postback's parameters; unknown ones are kept as
/// params, but one that is nearly a parameter that no column is, like `typ`, is refused. A row's
/// result applies as it is. Cut short, the same command goes on behind the last stored row.
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// CSV files, folders of them, or - for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    database: DatabaseArguments,
    /// Rules to decide with; without them, those that the database keeps
    #[arg(long, value_name = "PATH", env = "COUNTERFOIL_RULES")]
    rules: Vec<PathBuf>,
    /// Tell what would happen: the rows go into a copy of the database in the temporary folder
    #[arg(long)]
    dry_run: bool,
    /// Where refused rows go, each with its line and reason [default: NAME.rejects.csv beside it;
    /// of a dry run nowhere]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// What stands between cells: one character, or tab [default: the header tells]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// Import from the first row, though the file or one of its name was imported before. Cut
    /// short, the same command goes on where it ended, and the next one begins anew
    #[arg(long)]
    again: bool,
    /// How to print what became of the rows
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if !matches!(byte, b'"' | b'\r' | b'\n') && byte.is_ascii() => Ok(*byte),
        _ => Err("a delimiter is one ASCII character, or the word tab".to_owned()),
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let inputs = files::open_all(&arguments.files, arguments.rejects.as_deref())?;
    let target = Target::open(arguments)?;
    let mut ready = Vec::new();
    for mut input in inputs {
        let header = header::read_header(&mut input, arguments.delimiter)?;
        header.check(&input.label, target.rules.ruleset())?;
        ready.push((input, header));
    }
    let round = if arguments.again {
        Some(Round::begin(&target, &mut ready)?)
    } else {
        round::tell_unended(&target, &ready)?;
        None
    };
    let mut run = Run { target: &target, stop: until_stopped(), round, dry: arguments.dry_run };
    let mut items = Vec::new();
    let result = run.import_all(&mut ready, &mut items);
    summary::say(&items, arguments.format)?;
    result?;
    // A signal that came too late to leave anything out has interrupted nothing.
    let is_cut = items.len() < ready.len() || items.iter().any(|item| !item.is_whole);
    if !is_cut {
        run.end(&items)?;
    }
    Ok(if is_cut {
        ExitCode::Interrupted
    } else if items.iter().any(|item| item.refused > 0) {
        ExitCode::Negative
    } else {
        ExitCode::Done
    })
}

/// The database that takes the rows.
struct Target {
    store: Store,
    rules: Rules,
    /// Of a dry run: where the copy lies until the end.
    _copy: Option<TempDir>,
}

impl Target {
    fn open(arguments: &Arguments) -> Result<Self, Failure> {
        let paths = &arguments.rules;
        let rules = if paths.is_empty() { Vec::new() } else { rules_files::load(paths)? };
        let db = &arguments.database.db;
        database::check_decides(db, !rules.is_empty())?;
        let (store, copy) = if arguments.dry_run {
            let (folder, copy) = copy_of(db)?;
            (database::own(&copy, ROLE.to_owned())?, Some(folder))
        } else {
            (database::own_or(db, ROLE.to_owned(), served)?, None)
        };
        let loaded = database::install_all(&store, &rules)?;
        let wanted = arguments.database.tenant.tenant.as_deref();
        let rules = database::choose(wanted, &loaded, |rules| rules.ruleset().tenant())?.clone();
        Ok(Self { store, rules, _copy: copy })
    }

    /// How far the newest import of a content came.
    fn newest(&self, hash: &[u8; 32]) -> Result<Option<ImportProgress>, Failure> {
        let (reader, tenant) = (self.store.reader(), self.rules.ruleset().tenant());
        reader.import_of(tenant, hash).map_err(database::read_failure)
    }
}

/// What others are told who find the database taken.
const ROLE: &str = "counterfoil import";

/// Refused rows that a dry run shows.
const REFUSED_SHOWN: usize = 10;

fn served(_admin: &str) -> String {
    "an import needs the database for itself: stop that server, import, and start it again; \
     --dry-run works beside it"
        .to_owned()
}

/// A copy of a database; where there is none yet, a place for one.
fn copy_of(db: &Path) -> Result<(TempDir, PathBuf), Failure> {
    let folder = tempfile::tempdir().map_err(|error| {
        Failure::could_not(format_args!("cannot make a temporary folder: {error}"))
    })?;
    let copy = folder.path().join("copy.db");
    database::check_place(db)?;
    if db.exists() {
        database::look(db)?.backup(&copy).map_err(|error| {
            Failure::could_not(error).hint("name a folder with more space in the variable TMPDIR")
        })?;
    }
    Ok((folder, copy))
}

/// Rises when the process is asked to stop: what is under way is then finished.
fn until_stopped() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let raise = Arc::clone(&stop);
    let wait = move || -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut signals = signals::Signals::listen()?;
            signals.next().await;
            raise.store(true, Ordering::Relaxed);
            signals::end_at_the_next(signals).await;
            Ok(())
        })
    };
    // Without it a signal ends the process at once, which an import survives.
    drop(thread::Builder::new().spawn(wait));
    stop
}
