//! The HTTP adapter over real sockets, in front of a store in memory.

mod access;
mod admin;
mod harness;
mod hostile;
mod limits;
mod link;
mod memory;
mod postbacks;
mod process;
mod roots;
mod stopping;
