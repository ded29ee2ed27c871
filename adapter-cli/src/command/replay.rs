//! `counterfoil replay`: an audit. Everything that is stored is decided again and compared.

use std::path::PathBuf;

use clap::Args;
use counterfoil_core::Timestamp;
use counterfoil_sqlite::ReplayReport;
use serde::Serialize;

use crate::{
    arguments::HELP_TEMPLATE,
    database,
    exit_code::ExitCode,
    failure::Failure,
    output::{self, Column, GOOD, ListFormat, MISTAKE, STRONG, column, counted},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil replay --db acme.db
  counterfoil replay --db backup.db --format json";

const COLUMNS: [Column; 4] = [column("id"), column("what"), column("stored"), column("decided")];

/// Decide all stored requests again and compare
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The database; a server may be running on it
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_DB")]
    db: PathBuf,
    /// How to print what differs
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

/// What JSON shows of the result.
#[derive(Serialize)]
struct Report<'a> {
    requests: u64,
    clicks: u64,
    not_checked: u64,
    begins_at: Option<Timestamp>,
    differences_total: u64,
    differences: &'a [Row<'a>],
}

#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    what: &'a str,
    stored: &'a str,
    decided: &'a str,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let reader = database::look(&arguments.db)?;
    let report = reader.replay().map_err(database::read_failure)?;
    let rows = rows(&report);
    let whole = Report {
        requests: report.requests,
        clicks: report.clicks,
        not_checked: report.not_checked,
        begins_at: report.begins_at,
        differences_total: report.differences_total,
        differences: &rows,
    };
    match arguments.format {
        ListFormat::Table => rows.iter().try_for_each(|row| output::say(row.worded()))?,
        format => output::say_list(format, &COLUMNS, &whole, &rows)?,
    }
    let counts =
        format!("{} and {}", counted(report.requests, "request"), counted(report.clicks, "click"));
    if let Some(begins_at) = report.begins_at {
        output::tell(format_args!("the history from before {begins_at} was pruned"));
    }
    if report.not_checked > 0 {
        output::tell(format_args!(
            "requests and clicks that are not checked, for what they depend on was pruned or \
             erased: {}",
            report.not_checked
        ));
    }
    if report.differences_total == 0 {
        output::tell(format_args!("{GOOD}nothing differs{GOOD:#}: {counts} decided again"));
        return Ok(ExitCode::Done);
    }
    output::tell(format_args!(
        "{MISTAKE}{}{MISTAKE:#} in {counts}; listed: {}",
        counted(report.differences_total, "difference"),
        rows.len()
    ));
    Ok(ExitCode::Negative)
}

impl Row<'_> {
    /// Rows are too long to stand beside each other.
    fn worded(&self) -> String {
        let Self { id, what, stored, decided } = *self;
        let (stored, decided) = (output::visible(stored), output::visible(decided));
        format!("{STRONG}{what}{STRONG:#} {id}\n  stored:  {stored}\n  decided: {decided}")
    }
}

fn rows(report: &ReplayReport) -> Vec<Row<'_>> {
    report
        .differences
        .iter()
        .map(|difference| Row {
            id: &difference.id,
            what: difference.what,
            stored: &difference.stored,
            decided: &difference.decided,
        })
        .collect()
}
