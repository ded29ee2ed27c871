//! `counterfoil backup`: a consistent copy, also while a server writes.

use std::path::PathBuf;

use clap::Args;
use counterfoil_sqlite::BackupError;

use crate::{
    arguments::HELP_TEMPLATE,
    database,
    exit_code::ExitCode,
    failure::Failure,
    output::{self, GOOD, counted},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil backup --db acme.db --to acme-2026-01-31.db
  counterfoil replay --db acme-2026-01-31.db             and prove that it is whole";

/// Copy a database, also while a server writes to it, and verify the copy
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The database
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_DB")]
    db: PathBuf,
    /// The copy; must not exist yet
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let reader = database::look(&arguments.db)?;
    database::check_place(&arguments.to).map_err(|failure| {
        let to = arguments.to.display();
        Failure::could_not(format_args!("the copy `{to}` cannot be written: {failure}"))
            .hint("name a new file in a folder that exists with --to")
    })?;
    let report = reader.backup(&arguments.to).map_err(failure)?;
    output::tell(format_args!(
        "{GOOD}copied and verified{GOOD:#}: `{}` has {}, {} and {} in {} bytes",
        arguments.to.display(),
        counted(report.conversions, "conversion"),
        counted(report.transactions, "transaction"),
        counted(report.requests, "request"),
        report.bytes
    ));
    Ok(ExitCode::Done)
}

fn failure(error: BackupError) -> Failure {
    let hint = match &error {
        BackupError::Exists(_) => "a backup never replaces a file",
        BackupError::Damaged(_) => "look at the disk, then copy again",
        _ => "look at the space and the permissions of the folder of the copy",
    };
    Failure::could_not(error).hint(hint)
}
