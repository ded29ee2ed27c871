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
//!
//! # What it does and does not
//!
//! ```text
//! accept -> count -> first byte -> head -> route -> who asks -> body -> read -> Store::submit
//!                                                                  answer <- commit <-'
//! ```
//!
//! * It decides nothing: the core reads a request, the [`Store`] has it decided and stored, and a
//!   2xx is told only after [`Store::submit`] has said that it is on stable storage (P1).
//! * Everything that a client may hold is limited ([`Limits`]), and each listener counts for
//!   itself, so that a flood of the public one leaves the admin one alone (P9).
//! * It knows routes from one table; the OpenAPI document at `/openapi.json` is made of the same.
//! * It speaks HTTP/1.1 in clear text; TLS is for the proxy before it. What is no HTTP at all, a
//!   head that is too large, and a target that holds `"`, `<` or `>` are answered by the protocol
//!   itself, without a body and without a log row. A fragment (`#…`) is no part of a request:
//!   senders must escape the character.
//! * Log lines (`tracing`) name tenant, ids, outcome and reason at level `debug`, and what failed
//!   at `warn` and `error`; never a parameter or a secret (P10).
//!
//! # Metrics
//!
//! | name | what |
//! | --- | --- |
//! | `counterfoil_requests_total` | decided requests by `method`, `outcome`, `reason` |
//! | `counterfoil_answers_total` | answers by `status` |
//! | `counterfoil_decision_seconds` | histogram: from arrival to the commit of its decision |
//! | `counterfoil_connections` | open connections by `listener` |
//! | `counterfoil_connections_refused_total` | connections closed for a limit, by `listener` |
//! | `counterfoil_ready` | 1 where requests can be acknowledged |
//! | `counterfoil_queue_depth` | requests that wait for the writer |
//! | `counterfoil_batches_total` | commits of the writer |
//! | `counterfoil_batched_requests_total` | requests in these commits |
//! | `counterfoil_batch_len_max` | requests in the largest commit so far |
//! | `counterfoil_deliveries_due` | messages that wait for their time or their turn |
//! | `counterfoil_deliveries_due_age_seconds` | how long the oldest of them has been due |
//! | `counterfoil_deliveries_held` | messages that wait for something to happen |
//! | `counterfoil_deliveries_dead` | messages that ended undelivered |
//! | `counterfoil_attempts_total` | attempts to deliver messages by `outcome` |
//! | `counterfoil_messages_in_flight` | messages that are under way |
//! | `counterfoil_breakers` | destinations whose breaker is not closed, by `state` |
#![forbid(unsafe_code)]

mod answer;
mod app;
mod auth;
mod body;
mod config;
mod dispatch;
mod handover;
mod listener;
mod metrics;
mod openapi;
mod outbox;
mod problem;
mod routes;
mod server;
mod stall;
mod store;
mod table;

pub use config::{Config, Limits, Secret, SecretLookup};
pub use dispatch::{
    Clock, DispatchConfig, DispatchError, DispatchMetrics, Dispatcher, Dispatching, Draws,
    Resolver, Resolving, forbidden,
};
pub use ipnet::IpNet;
pub use outbox::{ClaimReply, Outbox, ReportReply};
pub use server::{BindError, Server, ServerHandle, Stopped};
pub use store::{
    Backlog, Decided, Distribution, Health, PutRulesError, ReadError, Reply, Retried,
    RulesAccepted, RulesFormat, RulesText, RunningRules, Store, Submission, SubmitError,
};
