//! Outbound, from rules to messages: a world of a few rows stands in for a store.

mod conditions;
mod delayed;
mod rendering;
mod steps;
mod triggers;
mod world;
