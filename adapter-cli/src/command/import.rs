//! `counterfoil import`: rows of CSV files as requests, straight into a database.
//!
//! A row is a request like any other, by the method `import`. How far a file came is stored in the
//! same transactions as its rows, under the hash of its content: the same command again goes on
//! where the last one ended, however that was, also under `--again`. A dry run is the same on a
//! copy.

mod feed;
mod files;
mod header;
mod progress;
mod records;
mod rejects;
mod row;
mod summary;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use clap::Args;
use counterfoil_sqlite::{
    FilePlace, Import, ImportProgress, ImportRow, Reader, Rules, Store, SubmitError,
};
use tempfile::TempDir;

use self::{
    feed::{Feed, Stored},
    files::Input,
    header::Header,
    progress::Progress,
    records::Records,
    summary::Item,
};
use crate::{
    arguments::{DatabaseArguments, HELP_TEMPLATE},
    clock, database,
    exit_code::ExitCode,
    failure::Failure,
    output::{self, GOOD, ListFormat, SUSPICIOUS},
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
/// params. A row's result applies as it is. Cut short, the same command goes on behind the last
/// stored row.
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
    /// Import from the first row, though the file or one of its name was imported before; a file
    /// whose import was cut short goes on where it ended
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
    let run = Run {
        target: &target,
        stop: until_stopped(),
        again: arguments.again,
        dry: arguments.dry_run,
    };
    let from = if arguments.again { run.first_anew(&mut ready)? } else { ready.len() };
    let files = ready.len();
    let mut items: Vec<Item> = Vec::new();
    let mut result = Ok(());
    for (place, (input, header)) in ready.iter_mut().enumerate() {
        if run.is_stopped() {
            run.tell_not_begun(input);
            break;
        }
        match run.import(input, header, place >= from) {
            Ok(item) => items.push(item),
            Err(failure) => {
                result = Err(failure);
                break;
            }
        }
    }
    summary::say(&items, arguments.format)?;
    result?;
    // A signal that came too late to leave anything out has interrupted nothing.
    let is_cut = items.len() < files || items.iter().any(|item| !item.is_whole);
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

struct Run<'a> {
    target: &'a Target,
    stop: Arc<AtomicBool>,
    again: bool,
    dry: bool,
}

/// Where an import begins, or goes on.
struct Begin {
    import: Arc<Import>,
    rows: u64,
    next: FilePlace,
}

/// What one run did about a file.
struct Done {
    stored: Stored,
    /// Rows per second.
    rate: u64,
    /// How far all runs together came.
    reached: Option<ImportProgress>,
}

impl Run<'_> {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn reader(&self) -> &Reader {
        self.target.store.reader()
    }

    /// The first file that `--again` may import anew. Files go in order: those in front of one that
    /// was cut short are done, and anew their rows would be there twice.
    fn first_anew(&self, files: &mut [(Input, Header)]) -> Result<usize, Failure> {
        let mut first = 0;
        for (place, (input, header)) in files.iter_mut().enumerate() {
            let reached = self.reached(input)?;
            if reached.is_some_and(|reached| !is_whole(input, header, &reached)) {
                first = place;
            }
        }
        Ok(first)
    }

    fn import(&self, input: &mut Input, header: &Header, anew: bool) -> Result<Item, Failure> {
        let begin = self.begin(input, header, anew)?;
        let progress = Progress::new(input.len, begin.next.offset);
        let fed = self.feed(input, header, &begin, &progress);
        let (stored, fed) = match fed {
            Ok(stored) => (stored, Ok(())),
            Err((stored, failure)) => (stored, Err(failure)),
        };
        let rate = progress.end(stored.rows);
        let reached = self.reached(input)?;
        if let Err(failure) = fed {
            return Err(match reached {
                Some(reached) if !self.dry => failure.hint(format_args!(
                    "{} rows of `{}` are stored; when the cause is gone, the same command goes on \
                     at line {}",
                    reached.rows, input.label, reached.next.line
                )),
                _ => failure,
            });
        }
        let is_whole = reached.as_ref().is_none_or(|reached| is_whole(input, header, reached));
        let has_rejects = match &reached {
            Some(reached) if is_whole && self.may_write_rejects(input, &stored) => {
                rejects::write(self.reader(), reached.import.id, input, header)?
            }
            _ => false,
        };
        let rejects = has_rejects.then(|| input.rejects.display().to_string());
        let item = Item::of(&input.label, reached.as_ref(), rejects, self.dry, is_whole);
        let done = Done { stored, rate, reached };
        self.tell(input, &begin, &done, &item);
        self.tell_refused(&done, &item)?;
        Ok(item)
    }

    /// A run that found nothing to do writes them if the one before was cut short before it could:
    /// a file that is there may have been corrected meanwhile. A dry run writes where it is told.
    fn may_write_rejects(&self, input: &Input, stored: &Stored) -> bool {
        if self.dry {
            return input.is_rejects_named;
        }
        stored.rows > 0 || !input.rejects.exists()
    }

    fn reached(&self, input: &Input) -> Result<Option<ImportProgress>, Failure> {
        let tenant = self.target.rules.ruleset().tenant();
        self.reader().import_of(tenant, &input.hash).map_err(database::read_failure)
    }

    /// Where to begin: where an import of the same content ended, or at the first row. Anew only
    /// where nothing was left to import.
    fn begin(&self, input: &mut Input, header: &Header, anew: bool) -> Result<Begin, Failure> {
        let mut before = self.reached(input)?;
        before.take_if(|reached| anew && is_whole(input, header, reached));
        if let Some(ImportProgress { import, rows, next, .. }) = before {
            let (label, line) = (&input.label, next.line);
            output::tell(format_args!("resuming `{label}` at line {line}: {rows} rows are stored"));
            return Ok(Begin { import: Arc::new(import), rows, next });
        }
        if let (Some(name), false) = (&input.name, self.again) {
            self.refuse_changed(input, name)?;
        }
        let id = self.reader().next_import_id().map_err(database::read_failure)?;
        let name = input.name.clone().unwrap_or_else(|| input.label.clone());
        let import = Import { id, name, hash: input.hash, started_at: clock::now() };
        Ok(Begin { import: Arc::new(import), rows: 0, next: header.next })
    }

    /// Of a file that changed since, nobody can tell which rows are new.
    fn refuse_changed(&self, input: &Input, name: &str) -> Result<(), Failure> {
        let tenant = self.target.rules.ruleset().tenant();
        let before = self.reader().import_named(tenant, name).map_err(database::read_failure)?;
        let Some(before) = before else {
            return Ok(());
        };
        Err(Failure::could_not(format_args!(
            "`{}` has changed since {} rows of it were imported on {}",
            input.label, before.rows, before.import.started_at
        ))
        .hint(
            "import the new rows from a file of their own; or with --again all of it, which \
             repeats rows that have no external_id",
        ))
    }

    fn feed(
        &self,
        input: &mut Input,
        header: &Header,
        begin: &Begin,
        progress: &Progress,
    ) -> Result<Stored, (Stored, Failure)> {
        let mut feed = Feed::new(&self.target.store, &self.target.rules, header);
        let label = input.label.clone();
        let fed = self.feed_rows(&mut feed, input, header, begin, progress);
        let fed = fed.and_then(|()| feed.finish().map_err(|error| not_stored(&label, error)));
        fed.map(|()| feed.stored).map_err(|failure| (feed.stored, failure))
    }

    fn feed_rows(
        &self,
        feed: &mut Feed<'_>,
        input: &mut Input,
        header: &Header,
        begin: &Begin,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let label = input.label.clone();
        let unreadable = |error| Failure::could_not(format_args!("cannot read `{label}`: {error}"));
        let content = input.content();
        let mut records =
            Records::new(content, header.delimiter, begin.next).map_err(unreadable)?;
        let mut rows_before = begin.rows;
        while let Some(record) = records.read(Some(header.columns.len())).map_err(unreadable)? {
            let import = Arc::clone(&begin.import);
            let (from, next) = (record.from, records.next_place());
            let row = ImportRow { import, rows_before, from, next };
            rows_before += 1;
            if feed.take(&record, row).map_err(|error| not_stored(&label, error))? {
                progress.at(feed.stored.rows, next.offset);
                if self.is_stopped() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Where a run ends between two files: with `--again`, naming those in front once more would
    /// import them once more.
    fn tell_not_begun(&self, input: &Input) {
        let label = &input.label;
        let next = match (self.dry, self.again) {
            (true, _) => "",
            (false, true) => ": name it and the files behind it alone",
            (false, false) => ": the same command goes on with it",
        };
        output::tell(format_args!("{SUSPICIOUS}interrupted{SUSPICIOUS:#} before `{label}`{next}"));
    }

    fn tell(&self, input: &Input, begin: &Begin, done: &Done, item: &Item) {
        let (label, rows) = (&input.label, done.stored.rows);
        if self.dry && !item.is_whole {
            output::tell(format_args!("{SUSPICIOUS}interrupted{SUSPICIOUS:#} in `{label}`"));
        } else if let (false, Some(reached)) = (item.is_whole, &done.reached) {
            let line = reached.next.line;
            output::tell(format_args!(
                "{SUSPICIOUS}interrupted{SUSPICIOUS:#}: the same command goes on with `{label}` at \
                 line {line}"
            ));
        } else if rows == 0 && begin.rows > 0 && self.again {
            output::tell(format_args!(
                "nothing to do: all of `{label}` is imported; a file behind it was cut short"
            ));
        } else if rows == 0 && begin.rows > 0 {
            output::tell(format_args!(
                "nothing to do: all of `{label}` was imported already; --again imports it once more"
            ));
        } else {
            let did = if self.dry { "would import" } else { "imported" };
            let rate = done.rate;
            output::tell(format_args!("{GOOD}{did}{GOOD:#} {rows} rows of `{label}`, {rate}/s"));
        }
        let messages = done.stored.messages;
        if messages > 0 && !self.dry {
            output::tell(format_args!(
                "messages that were made: {messages}; `counterfoil serve` sends them"
            ));
        }
    }

    /// Where the refused rows are; of a dry run that writes none, the first of them.
    fn tell_refused(&self, done: &Done, item: &Item) -> Result<(), Failure> {
        let refused = item.refused;
        if let Some(rejects) = &item.rejects {
            output::tell(format_args!(
                "refused: {refused} rows, which are in `{rejects}` with their reasons; corrected, \
                 import that file"
            ));
            return Ok(());
        }
        let Some(reached) = done.reached.as_ref().filter(|_| self.dry && refused > 0) else {
            return Ok(());
        };
        output::tell(format_args!("refused: {refused} rows, --rejects FILE writes them all:"));
        let first = self.reader().refused_rows(reached.import.id, None, REFUSED_SHOWN);
        for row in first.map_err(database::read_failure)? {
            let (line, code) = (row.from.line, row.refusal.reason.code());
            let message = output::visible(&row.refusal.message);
            output::tell(format_args!("  line {line}: {code}: {message}"));
        }
        Ok(())
    }
}

/// Whether nothing of a file is left to import.
fn is_whole(input: &mut Input, header: &Header, reached: &ImportProgress) -> bool {
    let records = Records::new(input.content(), header.delimiter, reached.next);
    let left = records.and_then(|mut records| records.read(Some(header.columns.len())));
    matches!(left, Ok(None))
}

fn not_stored(label: &str, error: SubmitError) -> Failure {
    Failure::could_not(format_args!("a row of `{label}` was not stored: {error}"))
}
