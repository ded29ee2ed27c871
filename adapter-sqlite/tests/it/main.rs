//! The store against real files: every promise that it makes has a module here.

mod backup;
mod common;
mod crash;
mod engine;
mod facts;
mod forms;
mod full;
mod lists;
mod opening;
mod repeats;
mod replay;
mod rules;
mod scenarios;
