//! URLs with macros: what the urls of offers and those of outbound requests have in common.

use alloc::{format, string::ToString};
use core::net::Ipv6Addr;

use super::item::Item;
use crate::{reason::shown, template::Template};

/// The most bytes of a url.
const URL_LEN_MAX: usize = 2048;

/// A url that was read.
pub(super) struct Url<'t> {
    /// Whether scheme and host are literal, and braces those of macros. What is wrong is told, but
    /// for macros that do not exist: which do is for the caller.
    pub(super) is_right: bool,
    /// The whole of it.
    pub(super) template: Template,
    /// Whether it is https.
    pub(super) is_encrypted: bool,
    /// Host and port.
    pub(super) authority: &'t str,
}

/// Reads a url: http or https, printable ASCII, macros behind the host only. One that is wrong is
/// yielded as well, so that its macros are looked at too.
pub(super) fn url<'t>(item: &Item<'t>) -> Option<Url<'t>> {
    let text = item.text()?;
    if text.len() > URL_LEN_MAX {
        let message = format!("the url has more than {URL_LEN_MAX} bytes");
        item.error(message, "shorten it");
        return None;
    }
    let odd = odd_char(text);
    if let Some(odd) = odd {
        let shown =
            if odd.is_ascii_graphic() { odd.to_string() } else { odd.escape_default().to_string() };
        let message = format!("`{shown}` cannot stand in a url");
        item.error(message, "write it percent-encoded, hosts in punycode");
    }
    let start = literal_start(item, text);
    let host = start.and_then(|(_, authority)| check_authority(item, authority));
    let (template, errors) = Template::parse_in_spite(text);
    for error in &errors {
        item.error(error, "a brace that is no macro is written %7B or %7D");
    }
    let is_right = odd.is_none() && host.is_some() && errors.is_empty();
    let (is_encrypted, authority) = start.unwrap_or_default();
    Some(Url { is_right, template, is_encrypted, authority })
}

fn odd_char(text: &str) -> Option<char> {
    text.chars().find(|char| !may_stand(*char))
}

/// What RFC 3986 lets stand in a URL, and the braces of macros. Clients refuse some of the rest,
/// and read some in ways of their own: a backslash is a slash to browsers.
fn may_stand(char: char) -> bool {
    char.is_ascii_graphic() && !matches!(char, '"' | '<' | '>' | '\\' | '^' | '`' | '|')
}

/// Scheme and host must be literal, so that no value can choose where a request goes.
fn literal_start<'t>(item: &Item<'t>, url: &'t str) -> Option<(bool, &'t str)> {
    let schemes = [("http://", false), ("https://", true)];
    let rest = schemes.into_iter().find_map(|(scheme, is_encrypted)| {
        let (start, rest) = url.split_at_checked(scheme.len())?;
        let matches = start.eq_ignore_ascii_case(scheme);
        matches.then_some((is_encrypted, rest))
    });
    let Some((is_encrypted, rest)) = rest else {
        item.error("the url does not begin with http:// or https://", "begin it with https://");
        return None;
    };
    Some((is_encrypted, rest.split(['/', '?', '#']).next().unwrap_or_default()))
}

/// A host that can be looked up, and a port that can be reached.
fn check_authority(item: &Item<'_>, authority: &str) -> Option<()> {
    if authority.is_empty() {
        item.error("the url names no host", "for example https://shoply.example/");
        return None;
    }
    let (user, host) = authority.rsplit_once('@').unzip();
    if user.is_some() {
        let hint = "requests have headers: authorization = \"Basic {secret:NAME}\"";
        item.error("user and password may not stand in the url", hint);
    }
    // What cannot stand in a url is told already, and who mends it changes the host.
    if odd_char(authority).is_some() {
        return None;
    }
    if authority.contains(['{', '}']) {
        item.error("a macro may not stand in the host", "use macros behind the host only");
        return None;
    }
    check_host(item, host.unwrap_or(authority)).filter(|()| user.is_none())
}

fn check_host(item: &Item<'_>, authority: &str) -> Option<()> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            (1..=253).contains(&host.len()) && host.bytes().all(allowed)
        }
    };
    if !is_host {
        item.error(format!("`{}` is no host", shown(host)), "for example shoply.example");
    }
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let odd_port = port.filter(|port| !is_port(port));
    if let Some(port) = odd_port {
        let message = format!("`{}` is no port", shown(port));
        item.error(message, "a number from 1 to 65535, or nothing");
    }
    (is_host && odd_port.is_none()).then_some(())
}
