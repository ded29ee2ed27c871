//! Where an affiliate link leads: the offer's url, filled from the click that was just made.

use alloc::{borrow::Cow, format, string::String, string::ToString};

use crate::{conversion::Conversion, ruleset::Offer};

/// The parameter that a url gets which names the click by no macro.
const PCID: &str = "pcid";

/// The macros that name the click: our own, and what other systems call it in the urls of offers.
pub(crate) const CLICK_MACROS: [&str; 6] =
    [PCID, "clickid", "click_id", "cid", "transaction_id", "subid"];

/// The macros that an offer's url may hold.
pub(crate) const LINK_MACROS: [&str; 22] = [
    PCID,
    "clickid",
    "click_id",
    "cid",
    "transaction_id",
    "subid",
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
    /// root), and with `pcid=` appended where the url does not name the click.
    pub fn link_url(&self, root: &Conversion) -> String {
        let url = self.url.render_url(|name| link_value(root, name));
        if self.names_click() {
            return url;
        }
        with_pcid(&url, root)
    }

    /// Whether one of the url's macros is the click.
    pub(crate) fn names_click(&self) -> bool {
        self.url.macros().any(|name| CLICK_MACROS.contains(&name))
    }

    /// Where the visitor of a click is sent who asked for another page of this offer: `deeplink`
    /// as it is, with `pcid=` appended. Whether its host is the offer's is for the caller to see.
    pub fn link_url_to(&self, deeplink: &str, root: &Conversion) -> String {
        with_pcid(deeplink, root)
    }
}

fn link_value<'c>(root: &'c Conversion, name: &str) -> Option<Cow<'c, str>> {
    if CLICK_MACROS.contains(&name) {
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

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, vec, vec::Vec};

    use super::*;
    use crate::{
        conversion::{ConversionType, Method, Origin, Source},
        ids::ConversionId,
        template::Template,
        time::Timestamp,
        token::{AdvertiserId, AffiliateId, Channel, OfferId},
    };

    const ID: &str = "01234567-89ab-7def-8123-456789abcdef";

    fn offer(url: &str) -> Offer {
        Offer {
            id: OfferId::new("shoply-cz").unwrap(),
            name: "Shoply".into(),
            advertiser: AdvertiserId::new("shoply").unwrap(),
            country: None,
            url: Template::parse(url).unwrap(),
            click_window: None,
        }
    }

    fn click() -> Conversion {
        let id: ConversionId = ID.parse().unwrap();
        let origin = Origin {
            source: Source::Link,
            offer: OfferId::new("shoply-cz").unwrap(),
            advertiser: AdvertiserId::new("shoply").unwrap(),
            affiliate: AffiliateId::new("bo").unwrap(),
            channel: Some(Channel::new("mail").unwrap()),
            integration: None,
            affs: vec![(1, "a b&c".into()), (10, "{pcid}".into())],
            affiliate_click_id: Some("x/y#z".into()),
        };
        Conversion {
            id,
            root_id: id,
            conversion_type: ConversionType::Click,
            method: Method::Link,
            origin: Some(origin),
            external_id: None,
            value: None,
            price: None,
            untaken_commission: None,
            currency: "EUR".parse().unwrap(),
            rates: Vec::new(),
            params: BTreeMap::new(),
            exhausted: Vec::new(),
            created_at: Timestamp::from_ms(0),
            updated_at: Timestamp::from_ms(0),
            revision: 1,
        }
    }

    #[test]
    fn macros_are_filled_once_and_encoded() {
        for (url, filled) in [
            ("https://s/?c={pcid}&k=v", "https://s/?c=ID&k=v"),
            ("https://s/{pcid}#top", "https://s/ID#top"),
            ("https://s/?s2={clickid}", "https://s/?s2=ID"),
            ("https://s/?a={click_id}&b={cid}", "https://s/?a=ID&b=ID"),
            ("https://s/{transaction_id}/{subid}", "https://s/ID/ID"),
            ("https://s/?c={pcid}&a={affs1}&b={affs2}", "https://s/?c=ID&a=a%20b%26c&b="),
            // What a value brings is no macro.
            ("https://s/{pcid}?a={affs10}", "https://s/ID?a=%7Bpcid%7D"),
            ("https://s/{affiliate_click_id}/{pcid}", "https://s/x%2Fy%23z/ID"),
            (
                "https://s/{offer_id}/{advertiser_id}/{affiliate_id}?{channel}{integration}",
                "https://s/shoply-cz/shoply/bo?mail&pcid=ID",
            ),
        ] {
            assert_eq!(offer(url).link_url(&click()), filled.replace("ID", ID), "{url}");
        }
        for name in LINK_MACROS {
            let known = offer(&format!("https://s/{{{name}}}"));
            assert_eq!(known.url.macros().collect::<Vec<_>>(), [name]);
        }
    }

    #[test]
    fn pcid_is_appended_to_the_query() {
        for (url, appended) in [
            ("https://s", "https://s?pcid=ID"),
            ("https://s/", "https://s/?pcid=ID"),
            ("https://s/?", "https://s/?pcid=ID"),
            ("https://s/?a=b", "https://s/?a=b&pcid=ID"),
            ("https://s/?a=b&", "https://s/?a=b&pcid=ID"),
            ("https://s/#top?x", "https://s/?pcid=ID#top?x"),
            ("https://s/?a=b#top", "https://s/?a=b&pcid=ID#top"),
        ] {
            let offer = offer(url);
            assert_eq!(offer.link_url(&click()), appended.replace("ID", ID), "{url}");
            let deep = offer.link_url_to(url, &click());
            assert_eq!(deep, appended.replace("ID", ID), "{url}");
        }
    }
}
