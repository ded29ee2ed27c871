//! Who really sent a request that came through a proxy.
//!
//! Only proxies that are named are believed, and only one header of theirs each: `X-Forwarded-For`,
//! to which every proxy adds the address that it was asked from, and `X-Forwarded-Proto`.
//! `Forwarded` is not read: a proxy that writes one of both hands the other on as the client
//! made it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use hyper::HeaderMap;
use ipnet::IpNet;

/// The other end of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// The address as the log keeps it: written once for all requests of a connection.
    pub(crate) text: Arc<str>,
    /// Whether it came over TLS.
    pub(crate) is_encrypted: bool,
}

impl Peer {
    pub(crate) fn new(address: IpAddr, is_encrypted: bool) -> Self {
        Self { address, text: address.to_string().into(), is_encrypted }
    }
}

/// The sender as trusted proxies tell it: the rightmost address that is none of theirs. Where a
/// proxy tells no address, it counts as the sender itself.
pub(crate) fn sender(peer: &Peer, headers: &HeaderMap, trusted: &[IpNet]) -> Peer {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&peer.address) {
        return peer.clone();
    }
    let mut sender = peer.address;
    for text in entries(headers, "x-forwarded-for").rev() {
        let Some(address) = text.and_then(address) else {
            break;
        };
        sender = address;
        if !is_trusted(&sender) {
            break;
        }
    }
    let mut schemes = entries(headers, "x-forwarded-proto").peekable();
    let is_encrypted = match schemes.peek() {
        Some(_) => schemes.all(|scheme| scheme.is_some_and(|s| s.eq_ignore_ascii_case("https"))),
        None => peer.is_encrypted,
    };
    Peer::new(sender, is_encrypted)
}

/// The entries of a header that may come several times, in order; none for what is no text.
fn entries<'h>(
    headers: &'h HeaderMap,
    name: &'static str,
) -> impl DoubleEndedIterator<Item = Option<&'h str>> {
    let lines: Vec<_> = headers.get_all(name).iter().collect();
    let of_line = |line: &'h hyper::header::HeaderValue| -> Vec<Option<&'h str>> {
        match line.to_str() {
            Ok(text) => text.split(',').map(|entry| Some(entry.trim())).collect(),
            Err(_) => vec![None],
        }
    };
    lines.into_iter().flat_map(of_line).collect::<Vec<_>>().into_iter()
}

/// An address, which some proxies write with its port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse().map(|address: SocketAddr| address.ip()).ok();
    let address = bare.parse().ok().or_else(with_port);
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(peer: &str, headers: &[(&'static str, &str)]) -> (String, bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        let peer = Peer::new(peer.parse().unwrap(), false);
        let Peer { address, text, is_encrypted } = sender(&peer, &map, &trusted);
        assert_eq!(*text, address.to_string());
        (address.to_string(), is_encrypted)
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_sender() {
        let table: [(&str, &[&str], &str); 13] = [
            ("192.0.2.1", &["203.0.113.9"], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.7, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.7", "203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["203.0.113.9, 10.9.9.9,10.8.8.8"], "203.0.113.9"),
            ("10.0.0.1", &["10.9.9.9"], "10.9.9.9"),
            ("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9, , 10.2.2.2"], "10.2.2.2"),
            ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("fd00::1", &["2001:db8::1"], "2001:db8::1"),
        ];
        for (peer, lines, expected) in table {
            let headers: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            assert_eq!(told(peer, &headers).0, expected, "{peer} {lines:?}");
        }
        assert_eq!(told("10.0.0.1", &[("forwarded", "for=203.0.113.9")]).0, "10.0.0.1");
    }

    #[test]
    fn only_a_proxy_says_that_tls_ended_at_it() {
        let proto = |peer, value| told(peer, &[("x-forwarded-proto", value)]).1;
        assert!(proto("10.0.0.1", "https"));
        assert!(proto("10.0.0.1", "HTTPS, https"));
        assert!(!proto("10.0.0.1", "https, http"));
        assert!(!proto("10.0.0.1", "http"));
        assert!(!proto("10.0.0.1", ""));
        assert!(!proto("192.0.2.1", "https"));
        assert!(!told("10.0.0.1", &[]).1);
    }
}
