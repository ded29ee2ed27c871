//! Bearer tokens: of administrators, of those who hand in roots, of affiliates who read what is
//! their own. Failures are counted by address; beyond a limit an address is not even compared any
//! more. What senders of postbacks must prove is a matter of their definition (`proof`); their
//! failures are counted here too.
//!
//! Each listener knows its own tokens. The public one: the administrators' and, for roots, the
//! tenant's. The admin one: the administrators' and those of affiliates (R39), under a tenant of
//! its own alone.
//! A token that is not known is 401, always the same; one that is known and may not do this is 403.

use std::{net::IpAddr, sync::Arc};

use counterfoil_core::{AffiliateId, PostbackId, Ruleset, SecretName, TenantName};
use hyper::{HeaderMap, header::AUTHORIZATION};
use subtle::Choice;
use tokio::task::spawn_blocking;

use crate::{
    config::{Config, Secret, SecretLookup},
    counts::PerSecond,
    listener::counted_address,
    problem::Problem,
};

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
    failures: PerSecond<IpAddr>,
    /// Absent: nobody's requests are counted.
    requests: Option<PerSecond<Holder>>,
}

/// Who holds a credential, as far as requests are counted. Two secrets of one definition, in
/// rotation, are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// The senders of a definition that asks for a proof.
    Senders(TenantName, PostbackId),
    /// Who makes roots for a tenant.
    Roots(TenantName),
    /// An affiliate that reads what is its own.
    Affiliate(TenantName, AffiliateId),
}

impl Guard {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            admin_token: config.admin_token.clone(),
            secrets: config.secrets.clone(),
            failures: PerSecond::new(config.limits.failures_per_second_max),
            requests: config.limits.requests_per_credential_max.map(PerSecond::new),
        }
    }

    /// Who asks the admin listener: an administrator, or an affiliate of one of these rulesets.
    /// Their secrets are looked up on a thread of its own: they may be many.
    ///
    /// # Errors
    /// 401, and 429 after too many failures or requests.
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
        let of_rules = move |rules: &Arc<Ruleset>| {
            Some((rules.tenant().clone(), affiliate(rules, &secrets, &given)?))
        };
        let find = move || rulesets.iter().find_map(of_rules);
        let found = spawn_blocking(find).await.ok().flatten();
        let (tenant, affiliate) = found.ok_or_else(|| self.failed(peer))?;
        self.count_request(|| Holder::Affiliate(tenant, affiliate.clone()))?;
        Ok(Asker::Affiliate(affiliate))
    }

    /// Lets those pass who may hand in roots of a tenant, and administrators. Every token is
    /// compared, whichever matches.
    ///
    /// # Errors
    /// 401, and 429 after too many failures or requests.
    pub(crate) fn tenant(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        ruleset: &Ruleset,
    ) -> Result<(), Problem> {
        let given = self.given(peer, headers)?;
        let tokens = ruleset.api_tokens().iter().filter_map(|name| (self.secrets)(name));
        let of_admin = self.admin_token.matches(given);
        let of_tenant = tokens.fold(Choice::from(0), |any, token| any | token.matches(given));
        match (bool::from(of_admin), bool::from(of_tenant)) {
            (true, _) => Ok(()),
            (false, true) => self.count_request(|| Holder::Roots(ruleset.tenant().clone())),
            (false, false) => Err(self.failed(peer)),
        }
    }

    /// Counts a request of whoever has proved who it is.
    ///
    /// # Errors
    /// 429 beyond what a holder may ask in a second.
    pub(crate) fn count_request(&self, holder: impl FnOnce() -> Holder) -> Result<(), Problem> {
        match &self.requests {
            Some(requests) if !requests.take(holder()) => Err(Problem::too_many_requests()),
            _ => Ok(()),
        }
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
        match self.failures.is_used_up(counted_address(peer)) {
            true => Err(Problem::too_many_failures()),
            false => Ok(()),
        }
    }

    /// Counts a failure.
    pub(crate) fn count_failure(&self, peer: IpAddr) {
        self.failures.count(counted_address(peer));
    }

    /// The token that was given, unless too many of this address were wrong.
    fn given<'h>(&self, peer: IpAddr, headers: &'h HeaderMap) -> Result<&'h str, Problem> {
        self.refuse_too_many(peer)?;
        bearer(headers).ok_or_else(|| self.failed(peer))
    }

    fn failed(&self, peer: IpAddr) -> Problem {
        self.count_failure(peer);
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

#[cfg(test)]
mod tests {
    use super::*;

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
