//! What people paste: the URL of a postback, or only its query, with a body where it has one; the
//! URL of roots, with their JSON; and the `offer/affiliate` of a click.

use counterfoil_core::{
    Arrival, Body, Dialect, Incoming, Method, PostbackDefinition, Refusal, Request, Ruleset,
    decode, select,
};
use url::{Url, form_urlencoded};

use crate::failure::Failure;

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// `application/x-www-form-urlencoded`
    Form(Vec<u8>),
    /// `application/json`
    Json(Vec<u8>),
}

/// A postback or a root as it was pasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The tenant, where the path names it.
    pub(crate) tenant: Option<String>,
    /// How it would come in; by the method `api` it is a root.
    method: Method,
    /// The dialect of the path, where it names one.
    dialect: Option<Box<str>>,
    /// The query, without the question mark.
    pub(crate) query: String,
    /// The body.
    content: Option<Content>,
}

impl Address {
    /// Reads a URL or a query, and takes the body that comes with it. Of a URL with a path that is
    /// none of ours the query counts.
    ///
    /// # Errors
    /// Where it is no URL, or the body is not what the path takes.
    pub(crate) fn read(text: &str, content: Option<Content>) -> Result<Self, Failure> {
        let address = Self { content, ..Self::without_content(text)? };
        match (address.method, &address.content) {
            (Method::Api, Some(Content::Json(_))) => Ok(address),
            (Method::Api, _) => Err(Failure::usage("a root is handed in as JSON")
                .hint("name its file, as in `counterfoil send --json @root.json URL`")),
            (Method::Pixel, Some(_)) => {
                Err(Failure::usage("a pixel has no body").hint("put everything into its query"))
            }
            _ => Ok(address),
        }
    }

    fn without_content(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        if !names_scheme(text) {
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
            ["api", tenant, "conversions"] => Self {
                tenant: Some((*tenant).to_owned()),
                method: Method::Api,
                ..Self::of_query(query)
            },
            _ => Self::of_query(query),
        })
    }

    fn of_query(query: String) -> Self {
        Self { tenant: None, method: Method::S2s, dialect: None, query, content: None }
    }

    /// The request as one that arrives.
    pub(crate) fn arrival(&self, ruleset: &Ruleset) -> Arrival {
        match (self.method, &self.content) {
            (Method::Api, Some(Content::Json(json))) => Arrival::root(ruleset, json),
            _ => Arrival::read(ruleset, &self.incoming()),
        }
    }

    /// What comes in of it.
    pub(crate) fn incoming(&self) -> Incoming<'_> {
        Incoming {
            method: self.method,
            dialect: self.dialect.as_deref(),
            query: &self.query,
            body: self.content.as_ref().map(|content| match content {
                Content::Form(bytes) => Body::Form(bytes),
                Content::Json(bytes) => Body::Json(bytes),
            }),
        }
    }

    /// The definition that decides; none where it cannot be read.
    pub(crate) fn definition<'r>(&self, ruleset: &'r Ruleset) -> Option<&'r PostbackDefinition> {
        let incoming = self.incoming();
        decode(&incoming).and_then(|mut pairs| select(ruleset, &incoming, &mut pairs)).ok()
    }

    /// The dialect that it is read in; the native one where it cannot be read.
    fn dialect<'r>(&self, ruleset: &'r Ruleset) -> &'r Dialect {
        self.definition(ruleset).map_or(Dialect::native(), |definition| &definition.dialect)
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

/// Whether a text begins with a scheme. What stands in a value is none: a query, or a path, may
/// well hold a URL.
pub(crate) fn names_scheme(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        let is_of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        !scheme.is_empty() && scheme.bytes().all(is_of_scheme)
    })
}

/// Reads the click on an affiliate link: `offer/affiliate`, with a query where there is more to
/// say, or the whole URL of the link. One that the rules do not know is a request that is refused.
///
/// # Errors
/// Where it is no link. A query that cannot be decoded is none either: a server passes over what
/// it cannot read rather than turn a visitor away, and here is somebody who can write it anew.
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
    let pairs =
        decode(&incoming).map_err(|refusal| hinted(Failure::usage(&refusal.message), &refusal))?;
    Ok(Arrival::click(ruleset, offer, affiliate, pairs))
}

/// Reads a click that is assumed, as [`click`] does.
///
/// # Errors
/// As [`click`], and where the rules have no such offer or affiliate: nothing can be assumed then.
pub(crate) fn assumed_click(ruleset: &Ruleset, link: &str) -> Result<Request, Failure> {
    match click(ruleset, link)?.request {
        Request::Unreadable(refusal) => Err(hinted(Failure::could_not(&refusal.message), &refusal)),
        click => Ok(click),
    }
}

fn hinted(failure: Failure, refusal: &Refusal) -> Failure {
    match &refusal.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_tenant_method_and_dialect_and_a_query_gives_itself() {
        let table = [
            ("?type=sale", None, Method::S2s, None, "type=sale"),
            ("a=1&b=2", None, Method::S2s, None, "a=1&b=2"),
            ("a=1&b=https://x", None, Method::S2s, None, "a=1&b=https://x"),
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
                content: None,
            };
            assert_eq!(Address::read(text, None), Ok(expected), "{text}");
        }
        assert!(Address::read("http://[", None).is_err());
    }

    #[test]
    fn a_body_is_taken_where_the_path_has_one() {
        let root = "http://127.0.0.1:8080/api/acme/conversions";
        let pixel = "http://127.0.0.1:8080/api/acme/pixel.gif?a=1";
        let (form, json) = (Content::Form(b"a=1".to_vec()), Content::Json(b"{}".to_vec()));
        let table = [
            ("type=sale", Some(&form), true),
            ("type=sale", Some(&json), true),
            (root, Some(&json), true),
            (root, Some(&form), false),
            (root, None, false),
            (pixel, None, true),
            (pixel, Some(&json), false),
        ];
        for (text, content, is_taken) in table {
            let read = Address::read(text, content.cloned());
            assert_eq!(read.is_ok(), is_taken, "{text} {content:?}");
        }
    }

    #[test]
    fn a_parameter_is_set_under_its_first_name_and_the_rest_stays_as_it_is() {
        let mut address = Address::read("pcid=&eid=a%20b&x=%zz&type=sale", None).unwrap();
        address.set(&["pcid", "eid"], "1&2");
        assert_eq!(address.query, "x=%zz&type=sale&pcid=1%262");
    }
}
