//! Where an affiliate link leads: the offer's url, filled from the click that was just made.

use alloc::{borrow::Cow, format, string::String, string::ToString};

use crate::{conversion::Conversion, ruleset::Offer};

/// The macro that names the click; a url without it gets the parameter of the same name.
const PCID: &str = "pcid";

/// The macros that an offer's url may hold.
pub(crate) const LINK_MACROS: [&str; 17] = [
    PCID,
    "affs1",
    "affs2",
    "affs3",
    "affs4",
    "affs5",
    "affs6",
    "affs7",
    "affs8",
    "affs9",
    "affs10",
    "affiliate_click_id",
    "affiliate_id",
    "offer_id",
    "advertiser_id",
    "channel",
    "integration",
];

impl Offer {
    /// Where the visitor of a click is sent: the url with its macros filled from the click (a
    /// root), and with `pcid=` appended where the url does not name `{pcid}`.
    pub fn link_url(&self, root: &Conversion) -> String {
        let url = self.url.render_url(|name| link_value(root, name));
        if self.url.macros().any(|name| name == PCID) {
            return url;
        }
        with_pcid(&url, root)
    }

    /// Where the visitor of a click is sent who asked for another page of this offer: `deeplink`
    /// as it is, with `pcid=` appended. Whether its host is the offer's is for the caller to see.
    pub fn link_url_to(&self, deeplink: &str, root: &Conversion) -> String {
        with_pcid(deeplink, root)
    }
}

fn link_value<'c>(root: &'c Conversion, name: &str) -> Option<Cow<'c, str>> {
    if name == PCID {
        return Some(root.id.to_string().into());
    }
    let origin = root.origin.as_ref()?;
    let text = match name {
        "affiliate_click_id" => origin.affiliate_click_id.as_deref()?,
        "affiliate_id" => origin.affiliate.as_str(),
        "offer_id" => origin.offer.as_str(),
        "advertiser_id" => origin.advertiser.as_str(),
        "channel" => origin.channel.as_ref()?.as_str(),
        "integration" => origin.integration.as_ref()?.as_str(),
        _ => {
            let number: u8 = name.strip_prefix("affs")?.parse().ok()?;
            let (_, text) = origin.affs.iter().find(|(aff, _)| *aff == number)?;
            text
        }
    };
    Some(text.into())
}

/// The url with the parameter at the end of its query, before any fragment.
fn with_pcid(url: &str, root: &Conversion) -> String {
    let (before, fragment) = match url.split_once('#') {
        Some((before, _)) => (before, url.get(before.len()..).unwrap_or_default()),
        None => (url, ""),
    };
    let joint = match before.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{before}{joint}{PCID}={}{fragment}", root.id)
}
