//! What people paste: the URL of a postback, or only its query; and the `offer/affiliate` of a
//! click.

use counterfoil_core::{
    AffiliateId, Arrival, Channel, ConversionType, Incoming, Integration, Method, OfferId, Params,
    Request, RootRequest, Ruleset, Source,
};
use url::{Url, form_urlencoded};

use crate::failure::Failure;

/// A postback as it was pasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The tenant, where the path names it.
    pub(crate) tenant: Option<String>,
    /// How it would come in.
    method: Method,
    /// The dialect of the path, where it names one.
    dialect: Option<Box<str>>,
    /// The query, without the question mark.
    pub(crate) query: String,
}

impl Address {
    /// Reads a URL or a query. Of a URL with a path that is none of ours the query counts.
    ///
    /// # Errors
    /// Where there is no query in it.
    pub(crate) fn read(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        if !text.contains("://") {
            let query = text.trim_start_matches('?').to_owned();
            return Ok(Self::of_query(query));
        }
        let url = Url::parse(text).map_err(|error| {
            Failure::usage(format_args!("`{text}` is no URL: {error}"))
                .hint("quote it, so that the shell leaves `&` and `?` alone")
        })?;
        let query = url.query().unwrap_or_default().to_owned();
        let segments: Vec<&str> = url.path_segments().into_iter().flatten().collect();
        Ok(match segments.as_slice() {
            ["api", tenant, "postbacks", dialect] => Self {
                tenant: Some((*tenant).to_owned()),
                dialect: (*dialect != "handle").then(|| (*dialect).into()),
                ..Self::of_query(query)
            },
            ["api", tenant, "pixel.gif"] => Self {
                tenant: Some((*tenant).to_owned()),
                method: Method::Pixel,
                ..Self::of_query(query)
            },
            _ => Self::of_query(query),
        })
    }

    fn of_query(query: String) -> Self {
        Self {
            tenant: None,
            method: Method::S2s,
            dialect: None,
            query,
        }
    }

    /// The postback as one that arrives.
    pub(crate) fn arrival(&self, ruleset: &Ruleset) -> Arrival {
        let incoming = Incoming {
            method: self.method,
            dialect: self.dialect.as_deref(),
            query: &self.query,
            body: None,
        };
        let (request, query) = counterfoil_core::read(ruleset, &incoming);
        Arrival {
            request,
            method: self.method,
            dialect: self.dialect.clone(),
            query,
            remote_addr: None,
        }
    }

    /// The value of the first of these parameters, decoded.
    pub(crate) fn parameter(&self, names: &[&str]) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(name, value)| names.contains(&name.as_ref()) && !value.is_empty())
            .map(|(_, value)| value.into_owned())
    }

    /// Adds a parameter.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        let added = form_urlencoded::Serializer::new(String::new())
            .append_pair(name, value)
            .finish();
        if !self.query.is_empty() {
            self.query.push('&');
        }
        self.query.push_str(&added);
    }
}

/// The click that an affiliate link would store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Click {
    /// The channel.
    pub(crate) channel: Option<String>,
    /// The integration.
    pub(crate) integration: Option<String>,
    /// The affiliate's sub ids, by number (1 to 10).
    pub(crate) affs: Vec<(u8, Box<str>)>,
    /// The affiliate's own id of the click.
    pub(crate) affiliate_click_id: Option<Box<str>>,
}

impl Click {
    /// The click on `link`, an `offer/affiliate` of the rules.
    ///
    /// # Errors
    /// Where the rules have no such offer or affiliate, or something is no token.
    pub(crate) fn arrival(&self, ruleset: &Ruleset, link: &str) -> Result<Arrival, Failure> {
        let (offer, affiliate) = offer_and_affiliate(ruleset, link)?;
        let channel = token(self.channel.as_deref(), Channel::new)?;
        let integration = token(self.integration.as_deref(), Integration::new)?;
        let root = RootRequest {
            method: Method::Link,
            conversion_type: ConversionType::Click,
            source: Source::Link,
            offer,
            affiliate,
            channel,
            integration,
            affs: self.affs.clone(),
            affiliate_click_id: self.affiliate_click_id.clone(),
            external_id: None,
            value: None,
            params: Params::new(),
        };
        Ok(Arrival {
            request: Request::Root(Box::new(root)),
            method: Method::Link,
            dialect: None,
            query: String::new(),
            remote_addr: None,
        })
    }
}

fn offer_and_affiliate(ruleset: &Ruleset, link: &str) -> Result<(OfferId, AffiliateId), Failure> {
    let Some((offer, affiliate)) = link.split_once('/') else {
        return Err(
            Failure::usage(format_args!("`{link}` is no offer/affiliate"))
                .hint("write both ids with a slash between them, as in shoply-cz/bo"),
        );
    };
    let offer = ruleset.offer(offer).ok_or_else(|| {
        let known = ruleset.offers().map(|offer| offer.id.as_str());
        unknown("offer", offer, &known.collect::<Vec<_>>())
    })?;
    let affiliate = ruleset.affiliate(affiliate).ok_or_else(|| {
        let known = ruleset.affiliates().map(|affiliate| affiliate.id.as_str());
        unknown("affiliate", affiliate, &known.collect::<Vec<_>>())
    })?;
    Ok((offer.id.clone(), affiliate.id.clone()))
}

fn unknown(what: &str, id: &str, known: &[&str]) -> Failure {
    Failure::could_not(format_args!("the rules have no {what} `{id}`"))
        .hint(format_args!("one of {}", known.join(", ")))
}

fn token<T, E: std::fmt::Display>(
    text: Option<&str>,
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Failure> {
    text.map(read).transpose().map_err(Failure::usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_tenant_method_and_dialect_and_a_query_gives_itself() {
        let table = [
            ("?type=sale", None, Method::S2s, None, "type=sale"),
            ("a=1&b=2", None, Method::S2s, None, "a=1&b=2"),
            (
                "https://x.example/api/acme/postbacks/handle?a=%20",
                Some("acme"),
                Method::S2s,
                None,
                "a=%20",
            ),
            (
                "http://127.0.0.1:8080/api/acme/postbacks/native?a=1",
                Some("acme"),
                Method::S2s,
                Some("native"),
                "a=1",
            ),
            (
                "http://127.0.0.1:8080/api/acme/pixel.gif?a=1",
                Some("acme"),
                Method::Pixel,
                None,
                "a=1",
            ),
            (
                "https://x.example/other?a=1",
                None,
                Method::S2s,
                None,
                "a=1",
            ),
        ];
        for (text, tenant, method, dialect, query) in table {
            let expected = Address {
                tenant: tenant.map(str::to_owned),
                method,
                dialect: dialect.map(Into::into),
                query: query.to_owned(),
            };
            assert_eq!(Address::read(text), Ok(expected), "{text}");
        }
        assert!(Address::read("http://[").is_err());
    }

    #[test]
    fn parameters_are_found_decoded_and_added_encoded() {
        let mut address = Address::read("pcid=&eid=a%20b").unwrap();
        assert_eq!(address.parameter(&["pcid", "eid"]).as_deref(), Some("a b"));
        assert_eq!(address.parameter(&["type"]), None);
        address.add("x", "1&2");
        assert_eq!(address.query, "pcid=&eid=a%20b&x=1%262");
    }
}
