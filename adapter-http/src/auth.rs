//! Bearer tokens: of administrators, of those who hand in roots, of affiliates who read what is
//! their own. Failures are counted by address; beyond a limit an address is not even compared any
//! more. What senders of postbacks must prove is a matter of their definition (`proof`); their
//! failures are counted here too.
//!
//! Each listener knows its own tokens. The public one: the administrators' and, for roots, the
//! tenant's. The admin one: the administrators' and those of affiliates (R39), under a tenant of
//! its own alone.
//! A token that is not known is 401, always the same; one that is known and may not do this is 403.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use counterfoil_core::{AffiliateId, Ruleset, SecretName};
use hyper::{HeaderMap, header::AUTHORIZATION};
use subtle::Choice;
use tokio::task::spawn_blocking;

use crate::{
    config::{Config, Secret, SecretLookup},
    listener::holder,
    problem::Problem,
};

/// Addresses whose failures are remembered within one second; beyond it all others share a count.
const ADDRESSES_MAX: usize = 16 * 1024;

/// Who asks the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// An administrator.
    Admin,
    /// An affiliate of the path's tenant.
    Affiliate(AffiliateId),
}

/// Knows who may ask.
pub(crate) struct Guard {
    admin_token: Secret,
    secrets: SecretLookup,
    failures: Failures,
}

impl Guard {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            admin_token: config.admin_token.clone(),
            secrets: config.secrets.clone(),
            failures: Failures::new(config.limits.failures_per_second_max),
        }
    }

    /// Who asks the admin listener: an administrator, or an affiliate of one of these rulesets.
    /// Their secrets are looked up on a thread of its own: they may be many.
    ///
    /// # Errors
    /// 401, and 429 after too many failures.
    pub(crate) async fn asker(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        rulesets: Vec<Arc<Ruleset>>,
    ) -> Result<Asker, Problem> {
        let given = self.given(peer, headers)?;
        if self.admin_token.matches(given).into() {
            return Ok(Asker::Admin);
        }
        let (given, secrets) = (given.to_owned(), self.secrets.clone());
        let find = move || rulesets.iter().find_map(|rules| affiliate(rules, &secrets, &given));
        let found = spawn_blocking(find).await;
        found.ok().flatten().map(Asker::Affiliate).ok_or_else(|| self.failed(peer))
    }

    /// Lets those pass who may hand in roots of a tenant, and administrators. Every token is
    /// compared, whichever matches.
    ///
    /// # Errors
    /// 401, and 429 after too many failures.
    pub(crate) fn tenant(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        ruleset: &Ruleset,
    ) -> Result<(), Problem> {
        let given = self.given(peer, headers)?;
        let tokens = ruleset.api_tokens().iter().filter_map(|name| (self.secrets)(name));
        let of_admin = self.admin_token.matches(given);
        let passes = tokens.fold(of_admin, |any, token| any | token.matches(given));
        bool::from(passes).then_some(()).ok_or_else(|| self.failed(peer))
    }

    /// The value of a secret, for the moment of comparing.
    pub(crate) fn secret(&self, name: &SecretName) -> Option<String> {
        let value = (self.secrets)(name);
        if value.is_none() {
            tracing::warn!(secret = %name, "a secret cannot be had: it lets nobody pass");
        }
        value.map(|value| value.value().to_owned())
    }

    /// # Errors
    /// 429 after too many failures of an address.
    pub(crate) fn refuse_too_many(&self, peer: IpAddr) -> Result<(), Problem> {
        match self.failures.are_too_many(peer) {
            true => Err(Problem::too_many_failures()),
            false => Ok(()),
        }
    }

    /// Counts a failure.
    pub(crate) fn count_failure(&self, peer: IpAddr) {
        self.failures.count(peer);
    }

    /// The token that was given, unless too many of this address were wrong.
    fn given<'h>(&self, peer: IpAddr, headers: &'h HeaderMap) -> Result<&'h str, Problem> {
        self.refuse_too_many(peer)?;
        bearer(headers).ok_or_else(|| self.failed(peer))
    }

    fn failed(&self, peer: IpAddr) -> Problem {
        self.failures.count(peer);
        Problem::unauthorized()
    }
}

/// The affiliate that has this token. Every token is compared, whichever matches; one that several
/// affiliates have is nobody's.
fn affiliate(ruleset: &Ruleset, secrets: &SecretLookup, given: &str) -> Option<AffiliateId> {
    let has_it = |names: &[SecretName]| {
        let tokens = names.iter().filter_map(|name| secrets(name));
        tokens.fold(Choice::from(0), |any, token| any | token.matches(given))
    };
    let all = ruleset.affiliates();
    let those: Vec<_> = all.filter(|affiliate| has_it(&affiliate.api_tokens).into()).collect();
    match those.as_slice() {
        [only] => Some(only.id.clone()),
        [] => None,
        _ => {
            tracing::warn!(tenant = %ruleset.tenant(), "several affiliates have the same token");
            None
        }
    }
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Failures by address within the current second.
struct Failures {
    per_second_max: u32,
    start: Instant,
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    second: u64,
    by_address: HashMap<IpAddr, u32>,
    others: u32,
}

impl Failures {
    fn new(per_second_max: u32) -> Self {
        Self { per_second_max, start: Instant::now(), window: Mutex::default() }
    }

    fn are_too_many(&self, peer: IpAddr) -> bool {
        self.within(self.second(), |window| *window.of(peer) >= self.per_second_max)
    }

    fn count(&self, peer: IpAddr) {
        self.within(self.second(), |window| {
            let count = window.of(peer);
            *count = count.saturating_add(1);
        });
    }

    fn second(&self) -> u64 {
        self.start.elapsed().as_secs()
    }

    fn within<T>(&self, second: u64, look: impl FnOnce(&mut Window) -> T) -> T {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.second != second {
            *window = Window { second, ..Window::default() };
        }
        look(&mut window)
    }
}

impl Window {
    fn of(&mut self, peer: IpAddr) -> &mut u32 {
        let holder = holder(peer);
        let full = self.by_address.len() >= ADDRESSES_MAX;
        if full && !self.by_address.contains_key(&holder) {
            return &mut self.others;
        }
        self.by_address.entry(holder).or_insert(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_address_and_forgotten_with_the_second() {
        let failures = Failures::new(2);
        let one: IpAddr = [192, 0, 2, 1].into();
        let other: IpAddr = [192, 0, 2, 2].into();
        let count = |second, peer| failures.within(second, |window| *window.of(peer) += 1);
        let too_many = |second, peer| failures.within(second, |window| *window.of(peer) >= 2);
        count(7, one);
        assert!(!too_many(7, one));
        count(7, one);
        assert!(too_many(7, one));
        assert!(!too_many(7, other));
        assert!(!too_many(8, one));
    }

    #[test]
    fn remembered_addresses_are_bounded() {
        let mut window = Window::default();
        for n in 0..(ADDRESSES_MAX as u32 + 100) {
            *window.of(IpAddr::V4(n.into())) += 1;
        }
        assert_eq!(window.by_address.len(), ADDRESSES_MAX);
        assert_eq!(window.others, 100);
    }

    #[test]
    fn a_bearer_token_is_read_from_its_header_alone() {
        let given = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(given("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(given("bearer  abc ").as_deref(), Some("abc"));
        assert_eq!(given("Basic abc"), None);
        assert_eq!(given("abc"), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn an_empty_secret_lets_nobody_pass() {
        assert!(!bool::from(Secret::new("").matches("")));
        assert!(bool::from(Secret::new("a").matches("a")));
        assert!(!bool::from(Secret::new("a").matches("b")));
    }
}
