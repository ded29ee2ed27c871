//! The store against real files: every promise that it makes has a module here.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

mod audit;
mod backup;
mod batches;
mod common;
mod costs;
mod crash;
mod engine;
mod facts;
mod forms;
mod full;
mod histories;
mod imports;
mod lists;
mod opening;
mod outbound;
mod privacy;
mod pruning;
mod repeats;
mod replay;
mod rules;
mod scenarios;
mod search;
