//! One run: each file from where it begins or goes on, until its last row is stored.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use counterfoil_sqlite::{FilePlace, Import, ImportProgress, ImportRow, Reader, SubmitError};

use super::{
    Target,
    feed::{Feed, Stored},
    files::Input,
    header::Header,
    progress::Progress,
    records::Records,
    rejects,
    round::Round,
    summary::Item,
};
use crate::{
    clock, database,
    failure::Failure,
    output::{self, counted},
};

/// One run of the command.
pub(super) struct Run<'a> {
    pub(super) target: &'a Target,
    pub(super) stop: Arc<AtomicBool>,
    /// Of a run `--again`.
    pub(super) round: Option<Round<'a>>,
    pub(super) dry: bool,
}

/// Where an import begins, or goes on.
pub(super) struct Begin {
    import: Arc<Import>,
    /// Rows that were stored before.
    pub(super) rows: u64,
    next: FilePlace,
}

/// What one run did about a file.
pub(super) struct Done {
    pub(super) stored: Stored,
    /// Rows per second.
    pub(super) rate: u64,
    /// How far all runs together came.
    pub(super) reached: Option<ImportProgress>,
}

impl Run<'_> {
    /// Imports files until one fails, or the process is asked to stop.
    ///
    /// # Errors
    /// Where a file cannot be read or a row not be stored.
    pub(super) fn import_all(
        &mut self,
        files: &mut [(Input, Header)],
        items: &mut Vec<Item>,
    ) -> Result<(), Failure> {
        let mut had: BTreeMap<[u8; 32], String> = BTreeMap::new();
        for (input, header) in files {
            if self.is_stopped() {
                self.tell_not_begun(&input.label);
                break;
            }
            // Its rows are told once, with the first file that has them.
            if let Some(first) = had.get(&input.hash) {
                let label = &input.label;
                output::tell(format_args!(
                    "nothing to do: `{label}` has the same content as `{first}`"
                ));
                items.push(Item::same_as(label, first, self.dry));
                continue;
            }
            items.push(self.import(input, header)?);
            had.insert(input.hash, input.label.clone());
        }
        Ok(())
    }

    /// Ends what is kept until all is done and told.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub(super) fn end(&self, items: &[Item]) -> Result<(), Failure> {
        let rows = items.iter().map(|item| item.rows - item.rows_before).sum();
        self.round.as_ref().filter(|_| !self.dry).map_or(Ok(()), |round| round.end(rows))
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn reader(&self) -> &Reader {
        self.target.store.reader()
    }

    fn import(&mut self, input: &mut Input, header: &Header) -> Result<Item, Failure> {
        let begin = self.begin(input, header)?;
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
                    "stored of `{}`: {}; when the cause is gone, the same command goes on at line \
                     {}",
                    input.label,
                    counted(reached.rows, "row"),
                    reached.next.line
                )),
                _ => failure,
            });
        }
        let is_whole = reached.as_ref().is_none_or(|reached| is_whole(input, header, reached));
        if let Some(round) = self.round.as_mut().filter(|_| is_whole) {
            round.keep_done(&input.hash)?;
        }
        let has_rejects = match &reached {
            Some(reached) if is_whole && self.may_write_rejects(input, &stored) => {
                rejects::write(self.reader(), reached.import.id, input, header)?
            }
            _ => false,
        };
        let rejects = has_rejects.then(|| input.rejects.display().to_string());
        let item =
            Item::of(&input.label, reached.as_ref(), begin.rows, rejects, self.dry, is_whole);
        let done = Done { stored, rate, reached };
        self.tell(&input.label, &begin, &done, &item);
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

    /// How far the import of a file came: of a round only what is newer than the round.
    fn reached(&self, input: &Input) -> Result<Option<ImportProgress>, Failure> {
        let newer_than = self.round.as_ref().map_or(0, |round| round.newer_than(&input.hash));
        let newest = self.target.newest(&input.hash)?;
        Ok(newest.filter(|reached| reached.import.id > newer_than))
    }

    /// Where to begin: where an import of the same content ended, or at the first row.
    fn begin(&self, input: &mut Input, header: &Header) -> Result<Begin, Failure> {
        if let Some(reached) = self.reached(input)? {
            if !is_whole(input, header, &reached) {
                let (label, line) = (&input.label, reached.next.line);
                output::tell(format_args!(
                    "resuming `{label}` at line {line}: {} stored before",
                    counted(reached.rows, "row")
                ));
            }
            let ImportProgress { import, rows, next, .. } = reached;
            return Ok(Begin { import: Arc::new(import), rows, next });
        }
        if let (Some(name), None) = (&input.name, &self.round) {
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
            "`{}` has changed since its import on {}, of {}",
            input.label,
            before.import.started_at,
            counted(before.rows, "row")
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
        match fed {
            Ok(()) => Ok(feed.stored),
            Err(failure) => Err((feed.stored, failure)),
        }
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
}

/// Whether nothing of a file is left to import.
pub(super) fn is_whole(input: &mut Input, header: &Header, reached: &ImportProgress) -> bool {
    let records = Records::new(input.content(), header.delimiter, reached.next);
    let left = records.and_then(|mut records| records.read(Some(header.columns.len())));
    matches!(left, Ok(None))
}

fn not_stored(label: &str, error: SubmitError) -> Failure {
    Failure::could_not(format_args!("a row of `{label}` was not stored: {error}"))
}
