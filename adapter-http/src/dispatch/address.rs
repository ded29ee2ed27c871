//! Which addresses may be reached (P6): public ones, and what an operator has allowed.
//!
//! An address is judged as the number that a connection would be made to, never as the text that
//! somebody wrote: every spelling of it has been resolved by then.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Networks of IPv4 that are not public, and what they are (IANA special-purpose registry).
const SPECIAL_V4: [(Ipv4Addr, u8, &str); 18] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared by the customers of a provider"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a metadata service"),
    (Ipv4Addr::new(169, 254, 169, 254), 32, "a metadata service"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved for protocols"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a relay of 6to4"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::BROADCAST, 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// The same of IPv6. What is in none of them is public within [`PUBLIC_V6`] only.
const SPECIAL_V6: [(Ipv6Addr, u8, &str); 11] = [
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::UNSPECIFIED, 96, "an IPv4 address in IPv6"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved for protocols, as Teredo"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "for documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "for documentation"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "private"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site-local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

/// Where all public addresses of IPv6 are.
const PUBLIC_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// The last 32 bits are an address of IPv4 behind a translator (NAT64).
const NAT64: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// What an address is that is not public; none: it is public.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) if within_v6(NAT64, address) => {
            let [.., a, b, c, d] = address.octets();
            special_v4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let within = |net: Ipv4Addr, len: u8| {
        Ipv4Net::new(net, len).is_ok_and(|network| network.contains(&address))
    };
    SPECIAL_V4.into_iter().find(|(net, len, _)| within(*net, *len)).map(|(.., what)| what)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let known = SPECIAL_V6.into_iter().find(|(net, len, _)| within_v6((*net, *len), address));
    let reserved = (!within_v6(PUBLIC_V6, address)).then_some("reserved");
    known.map(|(.., what)| what).or(reserved)
}

fn within_v6((net, len): (Ipv6Addr, u8), address: Ipv6Addr) -> bool {
    Ipv6Net::new(net, len).is_ok_and(|network| network.contains(&address))
}

/// What an address is for which messages must not reach it, where no network in `allowed` has it;
/// none: they may (P6).
pub fn forbidden(address: IpAddr, allowed: &[IpNet]) -> Option<&'static str> {
    let canonical = address.to_canonical();
    let is_allowed = allowed.iter().any(|network| network.contains(&canonical));
    special(canonical).filter(|_| !is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_public_is_forbidden() {
        let table = [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("10.0.0.1", "private"),
            ("10.255.255.255", "private"),
            ("100.64.0.1", "shared by the customers of a provider"),
            ("100.127.255.255", "shared by the customers of a provider"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("168.63.129.16", "a metadata service"),
            ("169.254.0.1", "link-local"),
            ("169.254.169.254", "a metadata service"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.8", "reserved for protocols"),
            ("192.0.2.1", "for documentation"),
            ("192.88.99.1", "a relay of 6to4"),
            ("192.168.1.1", "private"),
            ("198.18.0.1", "for benchmarks"),
            ("198.19.255.255", "for benchmarks"),
            ("198.51.100.1", "for documentation"),
            ("203.0.113.1", "for documentation"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::127.0.0.1", "an IPv4 address in IPv6"),
            ("::8.8.8.8", "an IPv4 address in IPv6"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:10.0.0.1", "private"),
            ("::ffff:0:127.0.0.1", "reserved"),
            ("64:ff9b::7f00:1", "loopback"),
            ("64:ff9b::a9fe:a9fe", "a metadata service"),
            ("64:ff9b:1::808:808", "reserved"),
            ("100::1", "reserved"),
            ("2001::1", "reserved for protocols, as Teredo"),
            ("2001:2::1", "reserved for protocols, as Teredo"),
            ("2001:db8::1", "for documentation"),
            ("2002:7f00:1::", "6to4"),
            ("3fff::1", "for documentation"),
            ("4000::1", "reserved"),
            ("5f00::1", "reserved"),
            ("fc00::1", "private"),
            ("fd00:ec2::254", "private"),
            ("fe80::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
        ];
        for (address, what) in table {
            assert_eq!(special(address.parse().unwrap()), Some(what), "{address}");
        }
    }

    #[test]
    fn the_neighbours_of_special_networks_are_public() {
        let table = [
            "1.0.0.0",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2000::1",
            "2001:200::1",
            "2001:4860::8888",
            "2001:db7::1",
            "2001:db9::1",
            "2003::1",
            "2600::1",
            "2a00:1450::1",
        ];
        for address in table {
            assert_eq!(special(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn what_is_allowed_is_what_a_network_contains() {
        let allowed: Vec<IpNet> =
            ["10.1.0.0/16", "::1/128"].map(|net| net.parse().unwrap()).to_vec();
        let table = [
            ("10.1.2.3", None),
            ("::ffff:10.1.2.3", None),
            ("10.2.0.1", Some("private")),
            ("::1", None),
            ("127.0.0.1", Some("loopback")),
            ("64:ff9b::a01:203", Some("private")),
            ("8.8.8.8", None),
        ];
        for (address, want) in table {
            assert_eq!(forbidden(address.parse().unwrap(), &allowed), want, "{address}");
        }
    }
}
