//! Where messages go: whether each destination resolves, may be reached, and lets somebody in. No
//! request is sent.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use counterfoil_core::Ruleset;
use counterfoil_http::{IpNet, forbidden};
use url::Url;

use super::{Finding, Settings};
use crate::destinations::{Outbound, outbound};

const DESTINATIONS: &str = "destinations";

/// How long a name may take to become addresses.
const RESOLVED_WITHIN: Duration = Duration::from_secs(5);
/// How long one address may take to let somebody in.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// The most addresses of one destination that are tried.
const ADDRESSES_MAX: usize = 3;
/// Destinations that are looked at at once.
const AT_ONCE: usize = 16;

/// Looks at every destination of the rules, once each.
pub(super) fn look(settings: &Settings, rulesets: &[Arc<Ruleset>]) -> Vec<Finding> {
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for rules in rulesets {
        for Outbound { path, call, .. } in outbound(rules).filter(|call| call.is_active) {
            let by = wanted.entry(call.request.destination.to_string()).or_default();
            by.push(format!("{} {path}", rules.tenant()));
        }
    }
    let wanted: Vec<(String, Vec<String>)> = wanted.into_iter().collect();
    let mut findings = Vec::new();
    for some in wanted.chunks(AT_ONCE) {
        thread::scope(|scope| {
            let looks: Vec<_> = some
                .iter()
                .map(|(destination, by)| {
                    scope.spawn(|| look_at(destination, by, &settings.allowed))
                })
                .collect();
            findings.extend(looks.into_iter().filter_map(|look| look.join().ok()));
        });
    }
    findings
}

fn look_at(destination: &str, by: &[String], allowed: &[IpNet]) -> Finding {
    let about = format!("{destination} ({})", by.join(", "));
    let address = Url::parse(destination).ok().and_then(|url| {
        let port = url.port_or_known_default()?;
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some((host, port))
    });
    let Some((host, port)) = address else {
        return Finding::fault(DESTINATIONS, about, "it is no URL")
            .hint("correct the url in the rules");
    };
    let addresses = match resolved(host, port) {
        Ok(addresses) if addresses.is_empty() => Err("its name leads to no address".to_owned()),
        Ok(addresses) => Ok(addresses),
        Err(error) => Err(format!("its name cannot be looked up: {error}")),
    };
    let addresses = match addresses {
        Ok(addresses) => addresses,
        Err(message) => {
            return Finding::fault(DESTINATIONS, about, message)
                .hint("is the host in the rules right? can this machine look names up?");
        }
    };
    // A server leaves out what it may not reach, and gives up where nothing is left.
    let what = |address: &SocketAddr| forbidden(address.ip(), allowed);
    let refused = addresses.iter().find_map(|address| Some((address.ip(), what(address)?)));
    let vetted: Vec<SocketAddr> =
        addresses.iter().copied().filter(|address| what(address).is_none()).collect();
    match refused {
        Some((ip, what)) if vetted.is_empty() => not_allowed(about, ip, what),
        _ => reached(about, &vetted),
    }
}

fn not_allowed(about: String, ip: IpAddr, what: &str) -> Finding {
    let message = format!("`{ip}` is {what}: a server refuses to send there");
    Finding::fault(DESTINATIONS, about, message).hint(format_args!(
        "where this is meant, serve with `--allow-destination {}`",
        IpNet::from(ip)
    ))
}

fn reached(about: String, addresses: &[SocketAddr]) -> Finding {
    let mut last = None;
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match TcpStream::connect_timeout(address, CONNECTED_WITHIN) {
            Ok(_) => {
                let message = format!("it is reached at {}", address.ip());
                return Finding::fine(DESTINATIONS, about, message);
            }
            Err(error) => last = Some((address, error)),
        }
    }
    let message = match last {
        Some((address, error)) => format!("nobody lets us in at {address}: {error}"),
        None => "it has no address".to_owned(),
    };
    Finding::fault(DESTINATIONS, about, message).hint(
        "is the other side up, and does a firewall let this machine out? messages are tried again \
         by themselves",
    )
}

/// Looks a name up; the system may take longer than anybody wants to wait.
fn resolved(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let (answer, answered) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        let addresses = (&*host, port).to_socket_addrs().map(Iterator::collect);
        // Nobody may be waiting any more.
        let _ = answer.send(addresses);
    })?;
    let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
    answered.recv_timeout(RESOLVED_WITHIN).unwrap_or_else(late)
}
