//! Tests of the public surface.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic, also outside of test functions"
)]

mod authentication;
mod diagnosis;
mod dialects;
mod foreign;
mod fuzz;
mod hints;
mod outbound;
mod privacy;
mod reading;
mod rules;
mod traces;
