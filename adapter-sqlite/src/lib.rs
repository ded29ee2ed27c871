//! The embedded store of Counterfoil: facts in, effects out, one SQLite transaction around both.
//!
//! One process owns a database as a [`Store`]: its one writer thread takes what is waiting, of much
//! the half, asks the core for each request which facts it needs, fetches exactly those, lets the
//! core decide, applies the effects, writes the log row, commits once for the whole batch, and only
//! then answers. Any process may look on as a [`Reader`].
//!
//! What is stored for ever are inputs: requests, clicks and rules. Everything else follows from
//! them, and [`Reader::replay`] proves it.
#![forbid(unsafe_code)]

mod again;
mod audit;
mod backup;
mod blobs;
mod claim;
mod click;
mod codes;
mod compact;
mod condition;
mod decide;
mod deliveries;
mod effects;
mod erase;
mod facts;
mod fault;
mod gaps;
mod ids;
mod imports;
mod lists;
mod log;
mod measured;
mod messages;
mod numbers;
mod open;
mod outbox;
mod prune;
mod reader;
mod recent;
mod replay;
mod report;
mod retry;
mod rounds;
mod rows;
mod rules;
#[cfg(test)]
mod sample;
mod schema;
mod search;
mod store;
mod subject;
mod timeline;
mod together;
mod under_root;
mod unwritten;
mod writer;

pub use audit::{AuditHead, AuditReport, AuditRow};
pub use backup::{BackupError, BackupReport};
pub use compact::compact;
pub use condition::{Condition, owner};
pub use deliveries::Outbox;
pub use erase::EraseError;
pub use ids::request_of;
pub use imports::{FilePlace, Import, ImportProgress, ImportRow, RefusedRow};
pub use measured::Distribution;
pub use open::{OpenError, Options, Synchronous};
pub use outbox::{ClaimReply, ReportReply, Reported, Retried};
pub use prune::Pruned;
pub use reader::{Due, ReadError, Reader};
pub use replay::{Difference, ReplayReport};
pub use rounds::RoundFile;
pub use rules::{InstallError, Installed, Rules, RulesFormat, RulesVersion};
pub use schema::VERSION as SCHEMA_VERSION;
pub use search::{Arrivals, Arrived};
pub use store::{Decided, Health, Reply, Store, Submission, SubmitError, Waiting};
pub use subject::Known;

/// The examples of the front page compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
