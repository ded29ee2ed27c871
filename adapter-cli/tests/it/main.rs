//! The command line from outside: real processes, real files, real sockets.

mod client;
mod command_line;
mod sandbox;
mod serve;
mod server;
mod workspace;
