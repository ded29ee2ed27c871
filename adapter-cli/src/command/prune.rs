//! `counterfoil prune`: retention by age, on a database that no server holds.

use std::path::PathBuf;

use clap::Args;
use counterfoil_core::{Period, Timestamp};
use counterfoil_sqlite::Pruned;
use serde::Serialize;

use crate::{
    arguments::HELP_TEMPLATE,
    clock, database,
    exit_code::ExitCode,
    failure::Failure,
    output::{self, AnswerFormat, counted},
    retention,
};

const EXAMPLES: &str = "\
Examples:
  counterfoil prune --db acme.db --older-than 90d --dry-run
  counterfoil prune --db acme.db --older-than 90d
  counterfoil serve --rules rules.toml --db acme.db --prune-older-than 90d   while serving";

/// Delete requests, messages and clicks that are older than a period
///
/// Goes: log rows with their traces; messages about conversions of which all have ended, with their
/// attempts; clicks that led to nothing, once the click window of their offer has ended. Age counts
/// from the arrival.
///
/// Stays: conversions, transactions and repeat keys, so a resend is answered as before, and the
/// audit log. `replay` begins behind what went. Copies, such as backups, are not reached.
///
/// The database must not be held by a server: one prunes by itself with `--prune-older-than`.
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The database
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_DB")]
    db: PathBuf,
    /// How old: 90d, 36h
    #[arg(long, value_name = "PERIOD", value_parser = retention::period)]
    older_than: Period,
    /// Only tell what would go; a server may be running on the database
    #[arg(long)]
    dry_run: bool,
    /// How to tell it
    #[arg(long, value_enum, default_value_t)]
    format: AnswerFormat,
}

/// What JSON shows.
#[derive(Serialize)]
struct Report {
    before: Timestamp,
    dry_run: bool,
    requests: u64,
    messages: u64,
    clicks: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let now = clock::now();
    let before = retention::moment(now, arguments.older_than);
    let pruned = if arguments.dry_run {
        let reader = database::look(&arguments.db)?;
        reader.prunable(before, now).map_err(database::read_failure)?
    } else {
        let hint = |_: &str| {
            "the server prunes by itself where it is started with --prune-older-than".to_owned()
        };
        // A file that is missing is not made here.
        drop(database::look(&arguments.db)?);
        let store = database::own_or(&arguments.db, "counterfoil prune".to_owned(), hint)?;
        store.prune(before, now).map_err(database::submit_failure)?
    };
    let Pruned { requests, messages, clicks } = pruned;
    let dry_run = arguments.dry_run;
    match arguments.format {
        AnswerFormat::Json => {
            output::say_json(&Report { before, dry_run, requests, messages, clicks })?;
        }
        AnswerFormat::Text => {
            let would = if dry_run { "would go" } else { "went" };
            output::say(format_args!(
                "{}, {} and {} from before {before} {would}",
                counted(requests, "request"),
                counted(messages, "message"),
                counted(clicks, "click")
            ))?;
        }
    }
    Ok(ExitCode::Done)
}
