//! The command line of Counterfoil, and the only place that joins the server to the store.
//!
//! [`run`] reads the arguments, hands them to one file of `command` and ends with the
//! [`ExitCode`] that it returns. What commands share lies beside: `named_files` finds
//! the files that were named, `rules_files` reads rules,
//! `secrets` finds the secrets that they name, `database` opens a store, `store` puts the store
//! behind the server's port, `output` prints. Data goes to stdout, everything else to stderr.
#![forbid(unsafe_code)]

mod address;
mod arguments;
mod auto_sets;
mod client;
mod clock;
mod command;
mod database;
mod destinations;
mod exit_code;
mod explained;
mod failure;
mod messages;
mod named_files;
mod output;
mod receiver;
mod retention;
mod rules_files;
mod secrets;
mod sending;
mod signals;
mod spreadsheet;
mod store;
mod timeline;

pub use exit_code::ExitCode;
pub use store::EmbeddedStore;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    match arguments::read() {
        Ok(command) => command.run().unwrap_or_else(|failure| failure.report()),
        Err(ended) => ended,
    }
}
