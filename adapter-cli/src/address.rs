//! What people paste: the URL of a postback, or only its query; and the `offer/affiliate` of a
//! click.

use counterfoil_core::{
    Arrival, Dialect, Incoming, Method, Request, RootRequest, Ruleset, decode, masked_text, select,
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
        Self { tenant: None, method: Method::S2s, dialect: None, query }
    }

    /// The postback as one that arrives.
    pub(crate) fn arrival(&self, ruleset: &Ruleset) -> Arrival {
        let (request, query) = counterfoil_core::read(ruleset, &self.incoming());
        Arrival {
            request,
            method: self.method,
            dialect: self.dialect.clone(),
            query,
            remote_addr: None,
        }
    }

    fn incoming(&self) -> Incoming<'_> {
        Incoming {
            method: self.method,
            dialect: self.dialect.as_deref(),
            query: &self.query,
            body: None,
        }
    }

    /// The dialect that it is read in; the native one where it cannot be read.
    fn dialect<'r>(&self, ruleset: &'r Ruleset) -> &'r Dialect {
        let incoming = self.incoming();
        let definition =
            decode(&incoming).and_then(|mut pairs| select(ruleset, &incoming, &mut pairs));
        definition.map_or(Dialect::native(), |definition| &definition.dialect)
    }

    /// Lets it pair with this click, whatever it says itself.
    pub(crate) fn set_click(&mut self, ruleset: &Ruleset, click: &str) {
        let names: Vec<&str> = self.dialect(ruleset).click_id_names().collect();
        self.set(&names, click);
    }

    /// Gives the parameter that has these names this value.
    fn set(&mut self, names: &[&str], value: &str) {
        let is_other = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            !pair.is_empty() && !names.contains(&name)
        };
        let mut pairs: Vec<&str> = self.query.split('&').filter(is_other).collect();
        let set = names.first().map(|name| {
            form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
        });
        pairs.extend(set.as_deref());
        self.query = pairs.join("&");
    }
}

/// Reads the click on an affiliate link: `offer/affiliate`, with a query where there is more to
/// say, or the whole URL of the link.
///
/// # Errors
/// Where the rules have no such offer or affiliate.
pub(crate) fn click(ruleset: &Ruleset, link: &str) -> Result<Arrival, Failure> {
    let path = match link.split_once("/c/") {
        Some((_, path)) => path.split_once('/').map_or(path, |(_, path)| path),
        None => link,
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let Some((offer, affiliate)) = path.split_once('/') else {
        return Err(Failure::usage(format_args!("`{link}` is no offer/affiliate"))
            .hint("write both ids with a slash between them, as in shoply-cz/bo"));
    };
    let incoming = Incoming { method: Method::Link, dialect: None, query, body: None };
    let (root, query) = decode(&incoming)
        .and_then(|mut pairs| {
            ruleset.privacy().mask_root(&mut pairs);
            let root = RootRequest::click(ruleset, offer, affiliate, &pairs)?;
            Ok((root, masked_text(&pairs)))
        })
        .map_err(|refusal| {
            let failure = Failure::could_not(&refusal.message);
            match &refusal.hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })?;
    Ok(Arrival {
        request: Request::Root(Box::new(root)),
        method: Method::Link,
        dialect: None,
        query,
        remote_addr: None,
    })
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
            ("https://x.example/other?a=1", None, Method::S2s, None, "a=1"),
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
    fn a_parameter_is_set_under_its_first_name_and_the_rest_stays_as_it_is() {
        let mut address = Address::read("pcid=&eid=a%20b&x=%zz&type=sale").unwrap();
        address.set(&["pcid", "eid"], "1&2");
        assert_eq!(address.query, "x=%zz&type=sale&pcid=1%262");
    }
}
