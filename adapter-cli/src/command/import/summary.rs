//! What became of the rows of each file.

use std::collections::BTreeMap;

use counterfoil_core::{Outcome, Reason};
use counterfoil_sqlite::ImportProgress;
use serde::Serialize;

use crate::{
    failure::Failure,
    output::{self, Column, ListFormat, column},
};

const COLUMNS: [Column; 4] = [column("file"), column("outcome"), column("reason"), column("rows")];

/// What JSON shows of all files.
#[derive(Serialize)]
struct Page<'a> {
    items: &'a [Item],
}

/// What became of the rows of a file, over all runs of its import.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Item {
    file: String,
    pub(super) rows: u64,
    /// Those of them that earlier runs stored.
    pub(super) rows_before: u64,
    created: u64,
    updated: u64,
    unchanged: u64,
    duplicate: u64,
    pub(super) refused: u64,
    /// The refused ones by their reason.
    reasons: BTreeMap<&'static str, u64>,
    /// Where the refused rows are.
    pub(super) rejects: Option<String>,
    /// The file before it in this run that has the same content, and is told with the rows.
    same_as: Option<String>,
    is_dry_run: bool,
    /// Whether nothing is left to import.
    #[serde(skip)]
    pub(super) is_whole: bool,
}

/// A line of the table.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    outcome: &'static str,
    reason: Option<&'static str>,
    rows: u64,
}

impl Item {
    pub(super) fn of(
        file: &str,
        progress: Option<&ImportProgress>,
        rows_before: u64,
        rejects: Option<String>,
        is_dry_run: bool,
        is_whole: bool,
    ) -> Self {
        let counts = progress.map(|progress| &*progress.counts).unwrap_or_default();
        let sum = |outcome: Outcome| {
            counts.iter().filter(|(of, ..)| *of == outcome).map(|(.., rows)| rows).sum()
        };
        let refused = counts.iter().filter(|(outcome, ..)| *outcome == Outcome::Refused);
        let code = |reason: Option<Reason>| reason.map_or("", Reason::code);
        Self {
            file: file.to_owned(),
            rows: progress.map_or(0, |progress| progress.rows),
            rows_before,
            created: sum(Outcome::Created),
            updated: sum(Outcome::Updated),
            unchanged: sum(Outcome::Unchanged),
            duplicate: sum(Outcome::Duplicate),
            refused: sum(Outcome::Refused),
            reasons: refused.map(|(_, reason, rows)| (code(*reason), *rows)).collect(),
            rejects,
            same_as: None,
            is_dry_run,
            is_whole,
        }
    }

    /// A file whose content is that of another one.
    pub(super) fn same_as(file: &str, other: &str, is_dry_run: bool) -> Self {
        let item = Self::of(file, None, 0, None, is_dry_run, true);
        Self { same_as: Some(other.to_owned()), ..item }
    }

    fn lines(&self) -> Vec<Line<'_>> {
        let line = |outcome: Outcome, reason, rows| {
            let (file, outcome) = (self.file.as_str(), outcome.name());
            Line { file, outcome, reason, rows }
        };
        let mut lines = vec![
            line(Outcome::Created, None, self.created),
            line(Outcome::Updated, None, self.updated),
            line(Outcome::Unchanged, None, self.unchanged),
            line(Outcome::Duplicate, None, self.duplicate),
        ];
        lines.extend(
            self.reasons.iter().map(|(reason, rows)| line(Outcome::Refused, Some(*reason), *rows)),
        );
        lines.retain(|line| line.rows > 0);
        lines
    }
}

/// Prints what became of the rows.
///
/// # Errors
/// Where stdout cannot be written to.
pub(super) fn say(items: &[Item], format: ListFormat) -> Result<(), Failure> {
    let lines: Vec<Line<'_>> = items.iter().flat_map(Item::lines).collect();
    output::say_list(format, &COLUMNS, &Page { items }, &lines)
}
