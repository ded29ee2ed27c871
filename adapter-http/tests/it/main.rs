//! The HTTP adapter over real sockets, in front of a store in memory.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what helps tests fails as tests do"
)]

mod access;
mod admin;
mod affiliates;
mod deliveries;
mod dispatch;
mod encrypted;
mod engine;
mod harness;
mod hostile;
mod limits;
mod link;
mod logged;
mod memory;
mod postbacks;
mod process;
mod roots;
mod secrecy;
mod senders;
mod stopping;
