//! From bytes to parameters (R3, R4, R8). Back to one text: logged_text.rs.

use alloc::{
    borrow::Cow,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use percent_encoding::percent_decode_str;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{
    conversion::Method,
    logged_text::MASK,
    parameter::Parameter,
    reason::{Reason, Refusal, shown},
    token::is_token,
};

/// The most unknown parameters that a request may carry (semantics 2).
pub const PARAMS_MAX: usize = 100;
/// The most bytes of a parameter's name.
pub const NAME_LEN_MAX: usize = 64;
/// The most bytes of a parameter's value.
pub const VALUE_LEN_MAX: usize = 2048;
/// The most parameters in all, known ones counted as often as they come.
pub(crate) const PAIRS_MAX: usize = 2 * PARAMS_MAX;
/// As many parameters as most requests have.
const PAIRS_USUAL: usize = 12;

/// What came in, undecoded.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// How it came in.
    pub method: Method,
    /// The dialect of the path, where the path names one.
    pub dialect: Option<&'a str>,
    /// The query, without the question mark.
    pub query: &'a str,
    /// The body, where there is one.
    pub body: Option<Body<'a>>,
}

/// A name in a path as it is kept and shown. What cannot be one (R1) may be parameters that follow
/// no question mark, a secret among them (P10).
pub(crate) fn path_name(text: &str) -> &str {
    if is_token(text) { text } else { MASK }
}

/// A body that may carry parameters (R8).
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// `application/x-www-form-urlencoded`
    Form(&'a [u8]),
    /// `application/json`: a flat object of strings and numbers.
    Json(&'a [u8]),
}

/// The parameters of a request, decoded and trimmed, in the order they came; empty values are
/// left out (R3, R4).
pub type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Decodes query and body into one list of parameters (rung 1; R3, R4, R8).
///
/// # Errors
/// `malformed`: a bad escape, invalid UTF-8, NUL, a body that is no flat JSON object, or more or
/// longer parameters than allowed.
///
/// ```
/// use counterfoil_core::{Incoming, Method, decode};
/// let incoming = Incoming { method: Method::S2s, dialect: None, query: "a=1+2&b=", body: None };
/// assert_eq!(decode(&incoming).unwrap(), [("a".into(), "1 2".into())]);
/// ```
pub fn decode<'a>(incoming: &Incoming<'a>) -> Result<Pairs<'a>, Refusal> {
    let mut pairs = Pairs::with_capacity(PAIRS_USUAL);
    decode_form(incoming.query, NAME_LEN_MAX, &mut pairs)?;
    match incoming.body {
        None => {}
        Some(Body::Form(bytes)) => {
            let text = core::str::from_utf8(bytes).map_err(|_| {
                malformed("the body is not valid UTF-8").hint(Undecodable::Utf8.hint())
            })?;
            decode_form(text, NAME_LEN_MAX, &mut pairs)?;
        }
        Some(Body::Json(bytes)) => decode_json(bytes, &mut pairs)?,
    }
    // Most requests have too few of any kind: their names need not be looked up for this.
    if pairs.len() > PARAMS_MAX {
        few_are_unknown(&pairs)?;
    }
    Ok(pairs)
}

fn few_are_unknown(pairs: &Pairs<'_>) -> Result<(), Refusal> {
    let unknown = pairs.iter().filter(|(name, _)| Parameter::named(name).is_none()).count();
    if unknown <= PARAMS_MAX {
        return Ok(());
    }
    Err(malformed(format!("{unknown} parameters beside the known ones"))
        .hint(format!("send at most {PARAMS_MAX}")))
}

/// Decodes the text that a log row kept of a root, whose names may bear a prefix.
pub(crate) fn decode_root_text(text: &str) -> Result<Pairs<'_>, Refusal> {
    let mut pairs = Pairs::new();
    decode_form(text, NAME_LEN_MAX + PARAM_PREFIX.len(), &mut pairs)?;
    Ok(pairs)
}

/// What stands before the name of a param in the parameters of a root.
pub(crate) const PARAM_PREFIX: &str = "param.";

/// `malformed`. Its message never repeats a value: it may be a secret.
fn malformed(message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(Reason::Malformed, message)
}

fn decode_form<'a>(
    text: &'a str,
    name_len_max: usize,
    pairs: &mut Pairs<'a>,
) -> Result<(), Refusal> {
    let mut rest = text;
    while !rest.is_empty() {
        let (name, separator, behind) = next_piece(rest, |byte| matches!(byte, b'=' | b'&'));
        let (value, _, behind) = match separator {
            Some(b'=') => next_piece(behind, |byte| byte == b'&'),
            _ => (Piece { text: "", is_plain: true }, None, behind),
        };
        rest = behind;
        let name = name.decode().map_err(|fault| {
            malformed(format!("the name of a parameter {}", fault.words())).hint(fault.hint())
        })?;
        let value = value.decode().map_err(|fault| {
            let message = format!("the value of `{}` {}", shown(&name), fault.words());
            malformed(message).about(&name).hint(fault.hint())
        })?;
        push(pairs, name, value, name_len_max)?;
    }
    Ok(())
}

/// A name or a value, encoded.
struct Piece<'a> {
    text: &'a str,
    /// Whether it stands for itself.
    is_plain: bool,
}

/// What stands before a separator, the separator, and what stands behind it: every byte of every
/// request is looked at here, and once.
fn next_piece(text: &str, separates: impl Fn(u8) -> bool) -> (Piece<'_>, Option<u8>, &str) {
    let mut is_plain = true;
    let end = text.bytes().position(|byte| {
        is_plain &= !is_encoding(byte);
        separates(byte)
    });
    let piece = |text| Piece { text, is_plain };
    let cut = end.and_then(|end| Some((text.split_at_checked(end)?, text.as_bytes().get(end))));
    match cut {
        Some(((before, from), separator)) => {
            (piece(before), separator.copied(), from.get(1..).unwrap_or_default())
        }
        None => (piece(text), None, ""),
    }
}

/// Why a piece of a query cannot be decoded.
#[derive(Clone, Copy)]
pub(crate) enum Undecodable {
    Escape,
    Nul,
    Utf8,
}

impl Undecodable {
    const fn words(self) -> &'static str {
        match self {
            Self::Escape => "has a percent sign without two hexadecimal digits",
            Self::Nul => "has a NUL character",
            Self::Utf8 => "does not decode to valid UTF-8",
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::Escape => "write a percent sign as %25; or is it a macro that was not filled in?",
            Self::Nul => "send text",
            Self::Utf8 => "encode text as UTF-8 before percent-encoding it",
        }
    }
}

/// Percent-decodes once; `+` is a space (R3).
pub(crate) fn decode_piece(text: &str) -> Result<Cow<'_, str>, Undecodable> {
    Piece { text, is_plain: !text.bytes().any(is_encoding) }.decode()
}

impl<'a> Piece<'a> {
    fn decode(&self) -> Result<Cow<'a, str>, Undecodable> {
        if self.is_plain {
            return Ok(Cow::Borrowed(self.text));
        }
        if has_bad_escape(self.text) {
            return Err(Undecodable::Escape);
        }
        let spaced = self.text.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8();
        match decoded {
            Ok(text) if !text.contains('\0') => Ok(Cow::Owned(text.into_owned())),
            Ok(_) => Err(Undecodable::Nul),
            Err(_) => Err(Undecodable::Utf8),
        }
    }
}

/// Whether a byte does not stand for itself, or cannot.
fn is_encoding(byte: u8) -> bool {
    matches!(byte, b'%' | b'+' | 0)
}

/// Whether two hexadecimal digits do not follow some percent sign.
fn has_bad_escape(piece: &str) -> bool {
    piece.match_indices('%').any(|(at, _)| {
        let bytes = piece.as_bytes();
        let is_hex = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_hexdigit);
        !is_hex(at + 1) || !is_hex(at + 2)
    })
}

fn push<'a>(
    pairs: &mut Pairs<'a>,
    name: Cow<'a, str>,
    value: Cow<'a, str>,
    name_len_max: usize,
) -> Result<(), Refusal> {
    let value = trim(value);
    if value.is_empty() {
        return Ok(());
    }
    if name.is_empty() {
        return Err(
            malformed("a value has no name").hint("write name=value; a `&` in a value is %26")
        );
    }
    if name.as_bytes().contains(&0) {
        return Err(malformed("the name of a parameter has a NUL character").hint("send text"));
    }
    if name.len() > name_len_max {
        return Err(malformed(format!("the name `{}` is too long", shown(&name)))
            .hint(format!("a name has at most {NAME_LEN_MAX} bytes")));
    }
    if value.len() > VALUE_LEN_MAX {
        return Err(malformed(format!("the value of `{name}` has {} bytes", value.len()))
            .about(&name)
            .hint(format!("a value has at most {VALUE_LEN_MAX} bytes")));
    }
    if pairs.len() == PAIRS_MAX {
        return Err(malformed(format!("there are more than {PAIRS_MAX} parameters"))
            .hint("send each parameter once"));
    }
    pairs.push((name, value));
    Ok(())
}

/// Trims ASCII white space (R4).
fn trim(value: Cow<'_, str>) -> Cow<'_, str> {
    match value {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_ascii()),
        Cow::Owned(text) => Cow::Owned(text.trim_ascii().to_string()),
    }
}

/// Reads a flat JSON object of strings and numbers; numbers keep their literal text (R8).
fn decode_json(bytes: &[u8], pairs: &mut Pairs<'_>) -> Result<(), Refusal> {
    for (name, raw) in json_members(bytes)? {
        let Some(text) = json_scalar(&name, raw)? else {
            continue;
        };
        push(pairs, Cow::Owned(name), Cow::Owned(text), NAME_LEN_MAX)?;
    }
    Ok(())
}

/// What to send as JSON (R8).
const FLAT_JSON: &str = "send a flat JSON object of strings and numbers";

/// The members of a JSON object, repeated names included, values as their literal text.
pub(crate) fn json_members(bytes: &[u8]) -> Result<Vec<(String, &RawValue)>, Refusal> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let members = Members.deserialize(&mut reader);
    members.and_then(|members| reader.end().map(|()| members)).map_err(|error| {
        malformed(format!("the body is no flat JSON object: {error}")).hint(FLAT_JSON)
    })
}

/// The text of a JSON string or number; `None` for null. The message of a refusal never repeats
/// the value: it may be a secret.
pub(crate) fn json_scalar(name: &str, raw: &RawValue) -> Result<Option<String>, Refusal> {
    let literal = raw.get();
    let refuse = |message: String| Err(malformed(message).about(name).hint(FLAT_JSON));
    let name = shown(name);
    match literal.as_bytes().first() {
        Some(b'"') => match serde_json::from_str::<String>(literal) {
            Ok(text) if !text.contains('\0') => Ok(Some(text)),
            Ok(_) => refuse(format!("the value of `{name}` has a NUL character")),
            Err(_) => refuse(format!("the text of `{name}` cannot be read")),
        },
        Some(b'-' | b'0'..=b'9') => Ok(Some(literal.to_string())),
        Some(b'n') => Ok(None),
        _ => refuse(format!("`{name}` is neither text nor number")),
    }
}

struct Members;

impl<'de> DeserializeSeed<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(query: &str) -> Incoming<'_> {
        Incoming { method: Method::S2s, dialect: None, query, body: None }
    }

    fn json(body: &str) -> Incoming<'_> {
        let body = Some(Body::Json(body.as_bytes()));
        Incoming { method: Method::S2s, dialect: None, query: "", body }
    }

    fn decoded(incoming: &Incoming<'_>) -> Vec<(String, String)> {
        let pairs = decode(incoming).unwrap();
        pairs.into_iter().map(|(n, v)| (n.into_owned(), v.into_owned())).collect()
    }

    #[test]
    fn bad_bytes_are_malformed_and_never_replaced() {
        for bad in ["a=%", "a=%2", "a=%zz", "a=%FF", "a=%00", "%00=a", "a=b\0", "=x", "a=%c3%28"] {
            assert_eq!(decode(&query(bad)).unwrap_err().reason, Reason::Malformed, "{bad}");
        }
    }

    #[test]
    fn good_text_decodes_once() {
        let got = decoded(&query("a=%2525&b=x+y&c=%2B&d&e=&&f=%20%20&g=%E2%82%AC&h=1;i=2"));
        let want = [("a", "%25"), ("b", "x y"), ("c", "+"), ("g", "€"), ("h", "1;i=2")];
        assert_eq!(got, want.map(|(n, v)| (n.to_string(), v.to_string())));
    }

    #[test]
    fn json_numbers_keep_their_text() {
        let got = decoded(&json(r#"{"value": 1.10, "n": null, "big": 1e400, "s": "a\u0062"}"#));
        let want = [("value", "1.10"), ("big", "1e400"), ("s", "ab")];
        assert_eq!(got, want.map(|(n, v)| (n.to_string(), v.to_string())));
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        let deep = format!("{{\"a\":{deep}}}");
        for bad in [
            "",
            "[]",
            "1",
            r#"{"a":true}"#,
            r#"{"a":{}}"#,
            r#"{"a":[1]}"#,
            "{",
            &deep,
            r#"{"a":"\u0000"}"#,
            r#"{"a":1} x"#,
        ] {
            assert_eq!(decode(&json(bad)).unwrap_err().reason, Reason::Malformed, "{bad:.40}");
        }
    }

    #[test]
    fn what_can_be_no_name_is_not_kept_and_reads_again_as_it_is() {
        for name in ["keitaro", "handle", "A.b_c-1"] {
            assert_eq!(path_name(name), name);
        }
        for text in ["", "handle&token=a", "token=a", "a%26b", "a@b.example", MASK] {
            assert_eq!(path_name(text), MASK, "{text}");
        }
    }

    #[test]
    fn limits_hold_at_their_edge() {
        let many = |n: usize| (0..n).map(|i| format!("p{i}=1&")).collect::<String>();
        assert!(decode(&query(&many(PARAMS_MAX))).is_ok());
        assert!(decode(&query(&many(PARAMS_MAX + 1))).is_err());
        let long =
            |name: usize, value: usize| format!("{}={}", "n".repeat(name), "v".repeat(value));
        assert!(decode(&query(&long(NAME_LEN_MAX, VALUE_LEN_MAX))).is_ok());
        assert!(decode(&query(&long(NAME_LEN_MAX + 1, 1))).is_err());
        assert!(decode(&query(&long(1, VALUE_LEN_MAX + 1))).is_err());
    }

    #[test]
    fn malformed_requests_name_the_parameter_and_never_its_value() {
        for text in ["token=SECRET%FF", "token=SECRET%zz", "token=%00SECRET"] {
            let refusal = decode(&query(text)).unwrap_err();
            assert_eq!(refusal.parameter.as_deref(), Some("token"), "{text}");
            assert!(!format!("{refusal:?}").contains("SECRET"), "{refusal:?}");
        }
        for body in [r#"{"token":["SECRET"]}"#, r#"{"token":"SECRET\u0000"}"#] {
            let refusal = decode(&json(body)).unwrap_err();
            assert_eq!(refusal.parameter.as_deref(), Some("token"), "{body}");
            assert!(!format!("{refusal:?}").contains("SECRET"), "{refusal:?}");
        }
        assert!(decode(&json(r#"{"a\u0000b":"x"}"#)).is_err());
    }

    #[test]
    fn known_names_are_bounded_too() {
        let many = |n: usize| (0..n).map(|i| format!("ts={i}&")).collect::<String>();
        assert!(decode(&query(&many(PAIRS_MAX))).is_ok());
        assert!(decode(&query(&many(PAIRS_MAX + 1))).is_err());
    }
}
