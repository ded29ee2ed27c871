//! Sending messages over real sockets, from an outbox in memory.

mod addresses;
mod answers;
mod breakers;
mod connections;
mod mail;
mod receiver;
mod requests;
mod secrets;
mod sending;
mod slots;
mod stopping;
mod tls;
mod urls;
