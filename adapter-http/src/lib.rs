//! The HTTP face of Counterfoil: a public listener for senders and visitors, an admin listener
//! for those who run it.
//!
//! A [`Server`] is bound with a [`Config`] and a [`Store`], and runs until it is stopped:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store: std::sync::Arc<dyn counterfoil_http::Store> = todo!();
//! use counterfoil_http::{Config, Secret, Server};
//!
//! let server = Server::bind(Config::new(Secret::new("…")), store)?;
//! let handle = server.handle(); // stops it from any thread
//! server.run(std::future::pending())?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod answer;
mod app;
mod auth;
mod body;
mod config;
mod listener;
mod metrics;
mod openapi;
mod problem;
mod routes;
mod server;
mod stall;
mod store;
mod table;

pub use config::{Config, Limits, Secret, SecretLookup};
pub use server::{BindError, Server, ServerHandle, Stopped};
pub use store::{
    Decided, Health, PutRulesError, ReadError, Reply, RulesAccepted, RulesFormat, RulesText,
    RunningRules, Store, Submission, SubmitError,
};
