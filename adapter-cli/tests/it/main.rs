//! The command line from outside: real processes, real files, real sockets.
