//! The command line from outside: real processes, real files, real sockets.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod canaries;
mod catch_up;
mod client;
mod command_line;
mod deliveries;
mod demo;
mod dialects;
mod doctor;
mod documented;
mod echoes;
mod engines;
mod faults;
mod imports;
mod killed;
mod listen;
mod privacy;
mod sandbox;
mod sending;
mod serve;
mod server;
mod storms;
mod timelines;
mod workspace;
mod writing;
