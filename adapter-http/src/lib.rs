//! The HTTP face of Counterfoil: a public listener for senders and visitors, an admin listener
//! for those who run it, and a dispatcher that sends messages to other systems.
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
//! accept -> count -> TLS -> head -> route -> who asks -> body -> who sends -> read
//!                                                 answer <- commit <- Store::submit <-'
//! ```
//!
//! * It decides nothing: the core reads a request, the [`Store`] has it decided and stored, and a
//!   2xx is told only after [`Store::submit`] has said that it is on stable storage (P1).
//! * Everything that a client may hold is limited ([`Limits`]), and each listener counts for
//!   itself, so that a flood of the public one leaves the admin one alone (P9).
//! * Affiliates with a token of their own read on the admin listener what is their own, of the
//!   money the payout alone (R39); anything else is 403, code `not_for_affiliates`.
//! * It knows routes from one table; the OpenAPI document at `/openapi.json` is made of the same.
//! * Whose postbacks are accepted is a matter of their definition: the core compares what a request
//!   shows with the definition's secrets and networks, before it looks at any other value. What
//!   fails is one uniform 401 or 403 and a log row; too many of one address are 429 and no rows.
//! * It speaks HTTP/1.1, with [`Config::tls`] over TLS on the public listener, else in clear text.
//!   What proxies say of a sender is believed of [`Config::trusted_proxies`] alone.
//! * What is no HTTP at all, a head that is too large, and a target that holds `"`, `<` or `>` are
//!   answered by the protocol itself, without a body and without a log row. A fragment (`#…`) is no
//!   part of a request: senders must escape the character.
//! * Log lines (`tracing`) name tenant, ids, outcome and reason at level `debug`, and what failed
//!   at `warn` and `error`; never a parameter or a secret (P10).
//!
//! # Sending
//!
//! A [`Dispatcher`] is made of a [`DispatchConfig`] and an [`Outbox`], and runs on a thread of its
//! own until it is stopped:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let outbox: std::sync::Arc<dyn counterfoil_http::Outbox> = todo!();
//! use counterfoil_http::{DispatchConfig, Dispatcher};
//!
//! let config = DispatchConfig::new(std::sync::Arc::new(|_name| None));
//! let dispatching = Dispatcher::new(config, outbox)?.start()?;
//! dispatching.join(); // stops it first
//! # Ok(())
//! # }
//! ```
//!
//! * It decides nothing either: what is due, what follows an attempt and what an answer means is
//!   the core's and the outbox's.
//! * It reaches public addresses only, and those that are allowed; it follows no redirect, keeps no
//!   cookie, unpacks nothing, and knows no proxy (P6). Names are looked up as the system does it,
//!   and what they lead to is vetted before each connection, which is made to that very address.
//! * One deadline holds over looking up, connecting, TLS, and the whole answer (R41). Of an answer
//!   64 KiB are read and 4 KiB kept, without the secrets that were sent.
//! * A connection that its receiver has closed is not used; one that is closed in the very moment
//!   of sending is an attempt without an answer, because the message may have arrived.
//!
//! # Metrics
//!
//! | name | what |
//! | --- | --- |
//! | `counterfoil_requests_total` | decided requests by `method`, `outcome`, `reason` |
//! | `counterfoil_requests_unlogged_total` | those of them that left no log row, by `reason` |
//! | `counterfoil_sender_skew_seconds` | histogram: how far the `clock` of a signer is off |
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
//! | `counterfoil_deliveries_dead` | messages that ended undelivered, erased or pruned ones too |
//!
//! Of a dispatcher ([`DispatchMetrics`]), where [`Config::dispatch`] has them:
//!
//! | name | what |
//! | --- | --- |
//! | `counterfoil_attempts_total` | by `outcome`: `2xx` to `5xx`, `other`, or why none came |
//! | `counterfoil_messages_in_flight` | messages that are under way |
//! | `counterfoil_breakers` | destinations by `state` of their breaker: open, half_open |
#![forbid(unsafe_code)]

mod answer;
mod app;
mod auth;
mod body;
mod clock;
mod config;
mod counts;
mod dispatch;
mod handover;
mod listener;
mod metrics;
mod openapi;
mod outbox;
mod problem;
mod proof;
mod proxies;
mod routes;
mod server;
mod stall;
mod store;
mod table;
mod tls;
mod unlogged;

pub use clock::Clock;
pub use config::{Config, Limits, RefusalRows, Secret, SecretLookup};
pub use dispatch::{
    DispatchConfig, DispatchError, DispatchMetrics, Dispatcher, Dispatching, Draws, Resolver,
    Resolving, forbidden,
};
pub use ipnet::IpNet;
pub use outbox::{ClaimReply, Outbox, ReportReply};
pub use server::{BindError, Server, ServerHandle, Stopped};
pub use store::{
    Backlog, Decided, Distribution, EraseError, Health, PutRulesError, ReadError, Reply, Retried,
    RulesAccepted, RulesFormat, RulesText, RunningRules, Store, Submission, SubmitError,
};
pub use tls::{Tls, TlsError};
