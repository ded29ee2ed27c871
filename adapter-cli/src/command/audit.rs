//! `counterfoil audit`: what administrators changed, and whether the list of it was touched.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use counterfoil_core::Timestamp;
use counterfoil_sqlite::{AuditHead, AuditRow};
use serde::Serialize;

use super::list::ListedDatabase;
use crate::{
    arguments::HELP_TEMPLATE,
    database,
    exit_code::ExitCode,
    failure::Failure,
    output::{self, AnswerFormat, Column, GOOD, ListFormat, MISTAKE, column, counted, detail},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil audit --db acme.db
  counterfoil audit --db acme.db --limit 1000 --format csv
  counterfoil audit verify --db acme.db
  counterfoil audit verify --db acme.db --noted 42:9f2c…";

const VERIFY_EXAMPLES: &str = "\
Examples:
  counterfoil audit verify --db acme.db
  counterfoil audit verify --db acme.db --noted 42:9f2c…   an earlier head, kept elsewhere";

const COLUMNS: [Column; 7] = [
    column("number"),
    column("at"),
    column("tenant"),
    column("action"),
    column("subject"),
    column("detail"),
    detail("hash"),
];

/// List what administrators changed, newest first, or verify that list
#[derive(Debug, Args)]
#[command(
    help_template = HELP_TEMPLATE,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verify: Option<Verify>,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    database: ListedDatabase,
    /// The most rows
    #[arg(long, default_value_t = 50, value_name = "ROWS")]
    limit: u32,
    /// How to print them
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

#[derive(Debug, Subcommand)]
enum Verify {
    /// Compute the chain of hashes anew
    ///
    /// A row that was changed, taken out, put in or moved is found, and so are rules that were
    /// changed where they are stored: exit 3, with the first row that is wrong. What the chain
    /// alone cannot tell: rows cut off at its end, unless they told of rules that the file holds,
    /// and a chain made anew from its beginning by someone who can write the file. So keep the head
    /// that this prints somewhere else, and give it back with --noted.
    #[command(help_template = HELP_TEMPLATE, after_help = VERIFY_EXAMPLES)]
    Verify {
        /// The database; a server may be running on it
        #[arg(long, value_name = "FILE", env = "COUNTERFOIL_DB")]
        db: PathBuf,
        /// A row that must still be there: NUMBER:HASH, as this has printed it
        #[arg(long, value_name = "HEAD", value_parser = head)]
        noted: Option<AuditHead>,
        /// How to tell what was found
        #[arg(long, value_enum, default_value_t)]
        format: AnswerFormat,
    },
}

/// What JSON shows of a row.
#[derive(Serialize)]
struct Row {
    number: u64,
    at: Timestamp,
    tenant: String,
    action: String,
    subject: String,
    detail: String,
    hash: String,
}

/// What JSON shows of a list.
#[derive(Serialize)]
struct Rows<'a> {
    items: &'a [Row],
}

/// What JSON shows of a verification.
#[derive(Serialize)]
struct Verified {
    rows: u64,
    head: Option<String>,
    broken: Option<Broken>,
    rules_untold: u64,
}

#[derive(Serialize)]
struct Broken {
    number: u64,
    message: &'static str,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if let Some(Verify::Verify { db, noted, format }) = &arguments.verify {
        return verify(db, *noted, *format);
    }
    let list = &arguments.list;
    let db = &list.database.path();
    let rows = database::look(db)?.audit(list.limit).map_err(database::read_failure)?;
    let rows: Vec<Row> = rows.into_iter().map(Row::of).collect();
    output::say_list(list.format, &COLUMNS, &Rows { items: &rows }, &rows)?;
    Ok(ExitCode::Done)
}

impl Row {
    fn of(row: AuditRow) -> Self {
        let AuditRow { number, at, tenant, action, subject, detail, hash } = row;
        Self { number, at, tenant, action, subject, detail, hash: hex(&hash) }
    }
}

fn verify(
    db: &std::path::Path,
    noted: Option<AuditHead>,
    format: AnswerFormat,
) -> Result<ExitCode, Failure> {
    let report = database::look(db)?.verify_audit(noted).map_err(database::read_failure)?;
    let head = report.head.map(|head| format!("{}:{}", head.number, hex(&head.hash)));
    let untold = report.rules_untold;
    let is_whole = report.broken.is_none() && untold == 0;
    let exit = if is_whole { ExitCode::Done } else { ExitCode::Negative };
    match (format, report.broken) {
        (AnswerFormat::Json, broken) => {
            let broken = broken.map(|(number, message)| Broken { number, message });
            let rows = report.rows;
            output::say_json(&Verified { rows, head, broken, rules_untold: untold })?;
        }
        (AnswerFormat::Text, None) if untold > 0 => output::tell(format_args!(
            "{MISTAKE}rows are missing{MISTAKE:#}: {} here, and none tells of the installation of \
             {} of rules that the file holds; only a file from before there was an audit log may \
             be so",
            counted(report.rows, "row"),
            counted(untold, "version")
        )),
        (AnswerFormat::Text, None) => {
            let rows = counted(report.rows, "row");
            output::tell(format_args!("{GOOD}nothing was touched{GOOD:#}: {rows}"));
            if let Some(head) = head {
                output::say(head)?;
            }
        }
        (AnswerFormat::Text, Some((number, message))) => {
            output::tell(format_args!("{MISTAKE}row {number} is wrong{MISTAKE:#}: {message}"));
        }
    }
    Ok(exit)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a head.
fn head(text: &str) -> Result<AuditHead, String> {
    let read = || {
        let (number, digits) = text.split_once(':')?;
        let byte = |at: usize| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok();
        let bytes: Vec<u8> = (0..32).map(byte).collect::<Option<_>>()?;
        let hash = bytes.try_into().ok().filter(|_| digits.len() == 64)?;
        Some(AuditHead { number: number.parse().ok()?, hash })
    };
    read().ok_or_else(|| "write it as `audit verify` has printed it: NUMBER:HASH".to_owned())
}
