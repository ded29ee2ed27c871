//! Where messages may go: networks as they are written on the command line, and destinations of
//! rules that a server would refuse (P6).

use std::net::IpAddr;

use counterfoil_core::{Call, Issue, Ruleset, Severity};
use counterfoil_http::{IpNet, forbidden};
use url::{Host, Url};

/// Reads a network: an address with the length of its prefix, or an address alone.
///
/// # Errors
/// What to write instead.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().map(|network: IpNet| network.trunc());
    let address = || text.parse().map(|address: IpAddr| IpNet::from(address));
    network.or_else(|_| address()).map_err(|_| {
        "write an address and the length of its prefix, as in 10.0.0.0/8, or an address".to_owned()
    })
}

/// A warning for each outbound request whose host is an address that a server refuses. What a name
/// leads to is known only when a message is sent.
pub(crate) fn warnings(ruleset: &Ruleset, allowed: &[IpNet]) -> Vec<Issue> {
    let warning = |Outbound { path, call, .. }: Outbound<'_>| {
        let address = literal(&call.request.destination)?;
        let what = forbidden(address, allowed)?;
        Some(Issue {
            severity: Severity::Warning,
            position: None,
            path: format!("{path}.request.url"),
            message: format!("`{address}` is {what}: a server refuses to send there"),
            hint: Some(format!(
                "where this is meant, serve with `--allow-destination {}`",
                IpNet::from(address)
            )),
        })
    };
    outbound(ruleset).filter_map(warning).collect()
}

/// A request that rules send.
pub(crate) struct Outbound<'r> {
    /// Where the rules have it.
    pub(crate) path: String,
    /// What is called.
    pub(crate) call: &'r Call,
    /// Whether it is sent at all.
    pub(crate) is_active: bool,
}

/// Every request that rules send: tracking APIs, then steps.
pub(crate) fn outbound(ruleset: &Ruleset) -> impl Iterator<Item = Outbound<'_>> {
    let apis = ruleset.tracking_apis().iter().enumerate().map(|(place, api)| Outbound {
        path: format!("tracking_api[{place}]"),
        call: &api.call,
        is_active: api.active,
    });
    let steps = ruleset.postbacks().iter().flat_map(|postback| {
        let steps = postback.steps.iter().enumerate();
        steps.map(|(place, call)| Outbound {
            path: format!("postback `{}`, step[{place}]", postback.id),
            call,
            is_active: postback.active,
        })
    });
    apis.chain(steps)
}

/// The address that a destination names, where it names one.
fn literal(destination: &str) -> Option<IpAddr> {
    match Url::parse(destination).ok()?.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        // Nobody else answers to this name.
        Host::Domain("localhost") => Some(std::net::Ipv4Addr::LOCALHOST.into()),
        Host::Domain(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use counterfoil_core::RulesetSpec;

    use super::*;

    #[test]
    fn networks_are_read_with_and_without_a_prefix() {
        let table = [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("127.0.0.1", Some("127.0.0.1/32")),
            ("::1", Some("::1/128")),
            ("fd00::/8", Some("fd00::/8")),
            ("10.0.0.0/33", None),
            ("localhost", None),
            ("", None),
        ];
        for (text, expected) in table {
            let read = network(text).ok().map(|network| network.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn addresses_that_a_server_refuses_are_warned_of() {
        let warned = |host: &str, allowed: &[&str]| {
            let rules = format!(
                "tenant = \"acme\"\ncurrency = \"EUR\"\n[[tracking_api]]\nid = \"x\"\n\
                 request.url = \"http://{host}/\"\n[[postback]]\nid = \"p\"\n\
                 [[postback.step]]\nrequest.url = \"http://{host}/\"\n"
            );
            let spec = RulesetSpec::from_toml(&rules).unwrap();
            let (ruleset, _) = Ruleset::check(spec).unwrap();
            let allowed: Vec<IpNet> = allowed.iter().map(|text| network(text).unwrap()).collect();
            warnings(&ruleset, &allowed).iter().map(|issue| issue.path.clone()).collect::<Vec<_>>()
        };
        for host in ["127.0.0.1:9000", "10.1.2.3", "169.254.169.254", "[::1]:1", "localhost"] {
            let paths = ["tracking_api[0].request.url", "postback `p`, step[0].request.url"];
            assert_eq!(warned(host, &[]), paths, "{host}");
        }
        assert!(warned("93.184.216.34", &[]).is_empty());
        assert!(warned("told.example", &[]).is_empty());
        assert!(warned("10.1.2.3", &["10.0.0.0/8"]).is_empty());
        assert_eq!(warned("10.1.2.3", &["127.0.0.1"]).len(), 2);
    }
}
