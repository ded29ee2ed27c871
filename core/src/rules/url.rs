//! URLs with macros: what the urls of offers and those of outbound requests have in common.

use alloc::format;

use super::item::Item;
use crate::template::Template;

/// The most bytes of a url.
const URL_LEN_MAX: usize = 2048;

/// A url that was read: scheme and host are literal.
pub(super) struct Url<'t> {
    /// The whole of it.
    pub(super) template: Template,
    /// Whether it is https.
    pub(super) is_encrypted: bool,
    /// User, host and port.
    pub(super) authority: &'t str,
}

/// Reads a url: http or https, printable ASCII, macros behind the host only. Which macros exist is
/// for the caller.
pub(super) fn url<'t>(item: &Item<'t>) -> Option<Url<'t>> {
    let text = item.text()?;
    if text.len() > URL_LEN_MAX {
        let message = format!("the url has more than {URL_LEN_MAX} bytes");
        item.error(message, "shorten it");
        return None;
    }
    // Browsers read a backslash as a slash, others as a part of the host.
    let is_odd = |char: &char| !char.is_ascii_graphic() || *char == '\\';
    if let Some(odd) = text.chars().find(is_odd) {
        let message = format!("`{}` cannot stand in a url", odd.escape_default());
        item.error(message, "write it percent-encoded, hosts in punycode");
        return None;
    }
    let (is_encrypted, authority) = literal_start(item, text)?;
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => {
            item.error(error, "a brace that is no macro is written %7B or %7D");
            return None;
        }
    };
    Some(Url { template, is_encrypted, authority })
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
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        item.error("the url names no host", "for example https://shoply.example/");
        return None;
    }
    if authority.contains(['{', '}']) {
        item.error("a macro may not stand in the host", "use macros behind the host only");
        return None;
    }
    Some((is_encrypted, authority))
}
