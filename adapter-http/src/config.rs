//! What a server is told at its start: addresses, limits, and where secrets come from.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use counterfoil_core::SecretName;
use ipnet::IpNet;
use subtle::{Choice, ConstantTimeEq};

use crate::{
    clock::{self, Clock},
    dispatch::DispatchMetrics,
    tls::Tls,
};

/// The value of a secret. It is never shown: not by `Debug`, not in an answer, not in a log.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes a value. An empty one matches nothing.
    pub fn new(value: &str) -> Self {
        Self(value.into())
    }

    /// The value, for the moment of sending it.
    pub(crate) fn value(&self) -> &str {
        &self.0
    }

    /// Whether `given` is the value, in a time that does not depend on where they differ.
    pub(crate) fn matches(&self, given: &str) -> Choice {
        let filled = Choice::from(u8::from(!self.0.is_empty()));
        self.0.as_bytes().ct_eq(given.as_bytes()) & filled
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Looks up the value of a secret at the moment of use; none: there is no such secret. Called on
/// the thread that serves: it must be quick.
pub type SecretLookup = Arc<dyn Fn(&SecretName) -> Option<Secret> + Send + Sync>;

/// What a server is told at its start.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Where senders and visitors come in. Port 0: one that is free.
    pub listen: SocketAddr,
    /// Where administrators come in. Port 0: one that is free.
    pub admin_listen: SocketAddr,
    /// The certificate of the public listener; none: it speaks clear text.
    pub tls: Option<Tls>,
    /// The proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The token of the admin listener.
    pub admin_token: Secret,
    /// Where the values of the secrets come from that the rules name.
    pub secrets: SecretLookup,
    /// Where the moment of each arrival comes from.
    pub clock: Clock,
    /// What a dispatcher counts, shown among the metrics; none: nothing is sent from here.
    pub dispatch: Option<DispatchMetrics>,
    /// Threads that serve. One is the fastest on few cores: a second one costs a tenth of the
    /// CPU and gains nothing while the writer has a thread of its own.
    pub workers: usize,
    /// The limits.
    pub limits: Limits,
}

impl Config {
    /// The defaults: `127.0.0.1:8080`, `127.0.0.1:8081`, one worker, no secrets of the rules.
    pub fn new(admin_token: Secret) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            tls: None,
            trusted_proxies: Vec::new(),
            admin_token,
            secrets: Arc::new(|_| None),
            clock: clock::system(),
            dispatch: None,
            workers: 1,
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("admin_listen", &self.admin_listen)
            .field("tls", &self.tls)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("workers", &self.workers)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// How much a client may hold, and for how long. Limits on parameters are the core's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// From the connection to its first byte; beyond it the connection is closed.
    pub first_byte: Duration,
    /// From the first byte to the end of the head, and from an answer to the end of the next
    /// head; beyond it the connection is closed.
    pub head: Duration,
    /// From the head to the end of the body; beyond it 408.
    pub body: Duration,
    /// From the head to the answer; beyond it 503.
    pub request: Duration,
    /// For which a client may leave an answer unread; beyond it the connection is closed.
    pub write_stall: Duration,
    /// For which a stop waits for what runs; beyond it connections are cut.
    pub stop: Duration,
    /// Bytes of a request target; beyond it 414.
    pub target_len_max: usize,
    /// Bytes of a head; beyond it 431. At least 8 KiB.
    pub head_len_max: usize,
    /// Headers; beyond it 431.
    pub headers_max: usize,
    /// Bytes of a body; beyond it 413.
    pub body_len_max: usize,
    /// Bytes of a body that holds rules, on the admin listener; beyond it 413.
    pub rules_len_max: usize,
    /// Connections of one listener; beyond it new ones are closed.
    pub connections_max: usize,
    /// Connections of one listener from one address (of IPv6: from one /64); beyond it new ones
    /// are closed.
    pub connections_per_address_max: usize,
    /// Failed authentications of one address in a second; beyond it 429.
    pub failures_per_second_max: u32,
    /// Requests in a second of those who share a credential: the senders of one definition that
    /// asks for a proof, an affiliate, a tenant's token; beyond it 429. Absent: unlimited.
    pub requests_per_credential_max: Option<u32>,
    /// Refusals of who proved nothing that the log keeps; beyond it they are answered and counted.
    pub refusal_rows: RefusalRows,
}

/// How many rows the log keeps of requests that are refused before anything stored is looked at:
/// unproved, malformed, of an unknown definition, with a macro that nobody filled in, and the like.
/// Those of senders who have proved who they are all have their rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusalRows {
    /// Of one address (of IPv6: of one /64) at once.
    pub per_address_at_once: u32,
    /// Of one address in every second.
    pub per_address_per_second: u32,
    /// Of all addresses at once.
    pub at_once: u32,
    /// Of all addresses in every second.
    pub per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(5),
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            request: Duration::from_secs(15),
            write_stall: Duration::from_secs(10),
            stop: Duration::from_secs(20),
            target_len_max: 8 * 1024,
            head_len_max: 16 * 1024,
            headers_max: 64,
            body_len_max: 64 * 1024,
            rules_len_max: 4 * 1024 * 1024,
            connections_max: 4096,
            connections_per_address_max: 512,
            failures_per_second_max: 20,
            requests_per_credential_max: None,
            refusal_rows: RefusalRows {
                per_address_at_once: 300,
                per_address_per_second: 5,
                at_once: 3_000,
                per_second: 20,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_that_are_promised() {
        let limits = Limits::default();
        let seconds = |time: Duration| time.as_secs();
        let times = [limits.first_byte, limits.head, limits.body, limits.request];
        assert_eq!(times.map(seconds), [5, 10, 10, 15]);
        assert_eq!((limits.target_len_max, limits.head_len_max), (8_192, 16_384));
        assert_eq!((limits.headers_max, limits.body_len_max), (64, 65_536));
        assert_eq!(limits.connections_max, 4096);
        assert_eq!(limits.connections_per_address_max, 512);
        assert_eq!(limits.failures_per_second_max, 20);
        assert_eq!(limits.requests_per_credential_max, None);
        let rows = limits.refusal_rows;
        assert_eq!((rows.per_address_at_once, rows.per_address_per_second), (300, 5));
        assert_eq!((rows.at_once, rows.per_second), (3_000, 20));
    }

    #[test]
    fn a_secret_shows_itself_nowhere() {
        let mut config = Config::new(Secret::new("canary"));
        config.secrets = Arc::new(|_| Some(Secret::new("canary")));
        assert!(!format!("{config:?} {:?}", config.admin_token).contains("canary"));
    }
}
