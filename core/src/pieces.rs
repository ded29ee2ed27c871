//! Request templates cut into pieces (R40): text, macros with the place they stand in, and names
//! of secrets. Filling is one pass; a secret stays a name until the moment of sending.

use alloc::{
    borrow::Cow,
    boxed::Box,
    format,
    string::{String, ToString},
    vec::Vec,
};

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::token::SecretName;

/// Where a value stands, and so how it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// A segment of the path.
    Path,
    /// A value of the query.
    Query,
    /// A header.
    Header,
    /// Within a string of JSON.
    Json,
    /// A field of a form.
    Form,
    /// A body of another kind: as it is.
    Raw,
    /// Text or an attribute in XML.
    Xml,
}

/// Only what RFC 3986 calls unreserved stays: good in every part of a URL and in a form.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Place {
    /// A value, encoded for this place.
    pub fn encode(self, value: &str) -> Cow<'_, str> {
        match self {
            Self::Path => path_segment(value),
            Self::Query | Self::Form => utf8_percent_encode(value, UNRESERVED).into(),
            // A header is visible ASCII; everything else is escaped, line ends above all.
            Self::Header => utf8_percent_encode(value, CONTROLS).into(),
            Self::Json => json_text(value).into(),
            Self::Raw => value.into(),
            Self::Xml => xml_text(value).into(),
        }
    }
}

/// A value in the path of a URL. Dots alone would climb the path, and `%2E` is a dot to whoever
/// tidies paths up: they are escaped twice, so that they lead nowhere else.
fn path_segment(value: &str) -> Cow<'_, str> {
    match value.bytes().all(|byte| byte == b'.') {
        true => value.replace('.', "%252E").into(),
        false => utf8_percent_encode(value, UNRESERVED).into(),
    }
}

/// The inside of a JSON string.
pub(crate) fn json_text(value: &str) -> String {
    let quoted = serde_json::to_string(value).unwrap_or_default();
    quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"')).unwrap_or_default().to_string()
}

/// The five characters that mean something in XML.
fn xml_text(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for char in value.chars() {
        match char {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&apos;"),
            plain => text.push(plain),
        }
    }
    text
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text as it stands.
    Text(Box<str>),
    /// A macro, by name, and where it stands.
    Macro(Box<str>, Place),
    /// A secret, by name, and where it stands.
    Secret(SecretName, Place),
}

/// A template in pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces(pub(crate) Vec<Piece>);

/// A part of a request that is filled but for its secrets: what is frozen and stored (R40).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Text, final.
    Text(Box<str>),
    /// A secret that is put in, encoded for its place, at the moment of sending.
    Secret(SecretName, Place),
}

impl Pieces {
    /// Fills the macros: each value encoded for its place, a macro without a value empty.
    pub fn fill<'v>(&self, value: impl Fn(&str) -> Option<Cow<'v, str>>) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Macro(name, place) => {
                    text.push_str(&place.encode(&value(name).unwrap_or_default()));
                }
                Piece::Secret(name, place) => {
                    if !text.is_empty() {
                        parts.push(Part::Text(core::mem::take(&mut text).into()));
                    }
                    parts.push(Part::Secret(name.clone(), *place));
                }
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.into()));
        }
        parts
    }

    /// The macros in it, in the order they stand.
    pub fn macros(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Macro(name, _) => Some(&**name),
            _ => None,
        })
    }

    /// The secrets in it, in the order they stand.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretName> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Secret(name, _) => Some(name),
            _ => None,
        })
    }
}

/// Puts the secrets into parts, at the moment of sending.
///
/// # Errors
/// The name of the first secret that `secret` does not have: nothing is ever sent in its place.
pub fn complete<'s>(
    parts: &[Part],
    secret: impl Fn(&SecretName) -> Option<Cow<'s, str>>,
) -> Result<String, SecretName> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(literal) => text.push_str(literal),
            Part::Secret(name, place) => {
                let value = secret(name).ok_or_else(|| name.clone())?;
                text.push_str(&place.encode(&value));
            }
        }
    }
    Ok(text)
}

/// Parts as people may see them: secrets by name only.
pub fn shown_parts(parts: &[Part]) -> String {
    let shown = |part: &Part| match part {
        Part::Text(text) => text.to_string(),
        Part::Secret(name, _) => format!("{{secret:{name}}}"),
    };
    parts.iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_encoding() {
        let nasty = "a b&c=\"ž\"\r\nX: y/%{x}";
        let table = [
            (Place::Path, "a%20b%26c%3D%22%C5%BE%22%0D%0AX%3A%20y%2F%25%7Bx%7D"),
            (Place::Query, "a%20b%26c%3D%22%C5%BE%22%0D%0AX%3A%20y%2F%25%7Bx%7D"),
            (Place::Form, "a%20b%26c%3D%22%C5%BE%22%0D%0AX%3A%20y%2F%25%7Bx%7D"),
            (Place::Header, "a b&c=\"%C5%BE\"%0D%0AX: y/%{x}"),
            (Place::Json, "a b&c=\\\"ž\\\"\\r\\nX: y/%{x}"),
            (Place::Raw, nasty),
        ];
        for (place, want) in table {
            assert_eq!(place.encode(nasty), want, "{place:?}");
        }
        for (value, want) in [("..", "%252E%252E"), (".", "%252E"), ("a.b", "a.b"), ("", "")] {
            assert_eq!(Place::Path.encode(value), want);
        }
        assert_eq!(Place::Query.encode(".."), "..");
    }

    #[test]
    fn a_secret_is_a_name_until_it_is_sent_and_never_empty() {
        let key = SecretName::new("key").unwrap();
        let pieces = Pieces(alloc::vec![
            Piece::Text("https://x/?a=".into()),
            Piece::Macro("value".into(), Place::Query),
            Piece::Text("&k=".into()),
            Piece::Secret(key.clone(), Place::Query),
        ]);
        let parts = pieces.fill(|_| Some("{secret:key}".into()));
        assert_eq!(shown_parts(&parts), "https://x/?a=%7Bsecret%3Akey%7D&k={secret:key}");
        let sent = complete(&parts, |_| Some("s&t".into())).unwrap();
        assert_eq!(sent, "https://x/?a=%7Bsecret%3Akey%7D&k=s%26t");
        assert_eq!(complete(&parts, |_| None), Err(key));
    }
}
