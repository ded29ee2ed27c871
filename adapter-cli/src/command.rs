//! The commands: one file each.

mod check;
mod completions;
mod help;
mod man;

use clap::Subcommand;

use crate::{exit_code::ExitCode, failure::Failure};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Check(check::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
    Help(help::Arguments),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// What could not be done, and what to try.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Check(arguments) => check::run(&arguments),
            Self::Completions(arguments) => completions::run(&arguments),
            Self::Man(arguments) => man::run(&arguments),
            Self::Help(arguments) => help::run(&arguments),
        }
    }
}
