//! The commands: one file each.

mod audit;
mod backup;
mod catch_up;
mod check;
mod click;
mod completions;
mod conversions;
mod deliveries;
mod demo;
mod dialects;
mod doctor;
mod explain;
mod help;
mod import;
mod list;
mod listen;
mod man;
mod postback_url;
mod privacy;
mod prune;
mod replay;
mod requests;
mod send;
mod serve;
mod test;
mod transactions;
mod write;

use clap::Subcommand;

use crate::{exit_code::ExitCode, failure::Failure};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Arguments),
    Serve(serve::Arguments),
    Check(check::Arguments),
    Doctor(doctor::Arguments),
    Explain(explain::Arguments),
    Test(test::Arguments),
    Click(click::Arguments),
    Send(send::Arguments),
    Import(import::Arguments),
    Conversions(conversions::Arguments),
    Transactions(transactions::Arguments),
    Requests(requests::Arguments),
    Deliveries(deliveries::Arguments),
    CatchUp(catch_up::Arguments),
    Listen(listen::Arguments),
    Dialects(dialects::Arguments),
    PostbackUrl(postback_url::Arguments),
    Replay(replay::Arguments),
    Audit(audit::Arguments),
    Privacy(privacy::Arguments),
    Prune(prune::Arguments),
    Backup(backup::Arguments),
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
            Self::Demo(arguments) => demo::run(&arguments),
            Self::Serve(arguments) => serve::run(&arguments),
            Self::Check(arguments) => check::run(&arguments),
            Self::Doctor(arguments) => doctor::run(&arguments),
            Self::Explain(arguments) => explain::run(&arguments),
            Self::Test(arguments) => test::run(&arguments),
            Self::Click(arguments) => click::run(&arguments),
            Self::Send(arguments) => send::run(&arguments),
            Self::Import(arguments) => import::run(&arguments),
            Self::Conversions(arguments) => conversions::run(&arguments),
            Self::Transactions(arguments) => transactions::run(&arguments),
            Self::Requests(arguments) => requests::run(&arguments),
            Self::Deliveries(arguments) => deliveries::run(&arguments),
            Self::CatchUp(arguments) => catch_up::run(&arguments),
            Self::Listen(arguments) => listen::run(&arguments),
            Self::Dialects(arguments) => dialects::run(&arguments),
            Self::PostbackUrl(arguments) => postback_url::run(&arguments),
            Self::Replay(arguments) => replay::run(&arguments),
            Self::Audit(arguments) => audit::run(&arguments),
            Self::Privacy(arguments) => privacy::run(&arguments),
            Self::Prune(arguments) => prune::run(&arguments),
            Self::Backup(arguments) => backup::run(&arguments),
            Self::Completions(arguments) => completions::run(&arguments),
            Self::Man(arguments) => man::run(&arguments),
            Self::Help(arguments) => help::run(&arguments),
        }
    }
}
