//! Templates: text with macros, as in `https://shop.example/?click={pcid}` (R40).
//!
//! A template is split once, when the rules are read, and filled in one pass: what a value brings
//! is never looked at again, so a value cannot smuggle a macro in. Which macros exist is known to
//! who uses the template.

use alloc::{borrow::Cow, boxed::Box, string::String, vec::Vec};
use core::fmt;

use crate::{pieces::Place, reason::shown, token::TOKEN_LEN_MAX};

/// A text with macros, split.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: Box<str>,
    parts: Vec<Part>,
}

/// A part of a template.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text as it stands.
    Text(Box<str>),
    /// The name of a macro.
    Macro(Box<str>),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// A brace opens a macro that does not end.
    #[error("`{{` opens a macro that no `}}` ends")]
    Unclosed,
    /// A brace ends a macro that did not begin.
    #[error("`}}` ends a macro that no `{{` opens")]
    Unopened,
    /// What stands between braces is no name.
    #[error("`{{{0}}}` is no macro")]
    Name(Box<str>),
}

impl Template {
    /// Splits a text.
    ///
    /// # Errors
    /// Where braces do not match, or something between them is no name.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let (template, errors) = Self::parse_in_spite(text);
        errors.into_iter().next().map_or(Ok(template), Err)
    }

    /// Splits a text in spite of what is wrong with it; that comes beside it, each thing once.
    pub(crate) fn parse_in_spite(text: &str) -> (Self, Vec<TemplateError>) {
        let mut parts = Vec::new();
        let mut errors = Vec::new();
        let mut note = |error| {
            if errors.len() < ERRORS_MAX && !errors.contains(&error) {
                errors.push(error);
            }
        };
        let mut rest = text;
        while let Some((literal, brace, after)) = split_at_brace(rest) {
            if !literal.is_empty() {
                parts.push(Part::Text(literal.into()));
            }
            if brace == '}' {
                note(TemplateError::Unopened);
                rest = after;
                continue;
            }
            let Some((name, after)) = after.split_once('}') else {
                note(TemplateError::Unclosed);
                rest = "";
                break;
            };
            rest = after;
            if is_macro_name(name) {
                parts.push(Part::Macro(name.into()));
            } else {
                note(TemplateError::Name(shown(name).into()));
                rest = behind_closing(name, after);
            }
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        (Self { text: text.into(), parts }, errors)
    }

    /// Splits a text in which braces stand for themselves too, as in JSON: a macro is only what has
    /// the form of one.
    pub(crate) fn parse_loosely(text: &str) -> Self {
        let mut parts = Vec::new();
        let (mut begun, mut at) = (0, 0);
        while let Some(open) = text.get(at..).and_then(|rest| rest.find('{')) {
            let open = at + open;
            let behind = text.get(open + 1..).unwrap_or_default();
            at = open + 1;
            let ahead = behind.bytes().take(MACRO_LEN_MAX + 1);
            let close = ahead.into_iter().position(|byte| byte == b'}');
            if let Some(name) = close.and_then(|close| behind.get(..close))
                && is_macro_name(name)
            {
                let literal = text.get(begun..open).unwrap_or_default();
                if !literal.is_empty() {
                    parts.push(Part::Text(literal.into()));
                }
                parts.push(Part::Macro(name.into()));
                at += name.len() + 1;
                begun = at;
            }
        }
        let rest = text.get(begun..).unwrap_or_default();
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        let text = text.into();
        Self { text, parts }
    }

    /// The parts, in the order they stand.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The text, as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of the macros, in the order they stand.
    pub fn macros(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Macro(name) => Some(&**name),
            Part::Text(_) => None,
        })
    }

    /// Fills the macros of a URL: each value percent-encoded for where it stands, a macro without
    /// a value empty, the text between as it is.
    pub fn render_url<'v>(&self, value: impl Fn(&str) -> Option<Cow<'v, str>>) -> String {
        let mut url = String::with_capacity(self.text.len());
        let mut place = Place::Path;
        for part in &self.parts {
            match part {
                Part::Text(text) => {
                    if text.contains(['?', '#']) {
                        place = Place::Query;
                    }
                    url.push_str(text);
                }
                Part::Macro(name) => {
                    let value = value(name).unwrap_or_default();
                    url.push_str(&place.encode(&value));
                }
            }
        }
        url
    }
}

fn split_at_brace(text: &str) -> Option<(&str, char, &str)> {
    let (at, brace) = text.char_indices().find(|(_, char)| matches!(char, '{' | '}'))?;
    Some((text.get(..at)?, brace, text.get(at + 1..)?))
}

/// What follows the braces that belong to those at the beginning of what is no name: of `{{a}}` the
/// last one is no mistake of its own.
fn behind_closing<'t>(name: &str, after: &'t str) -> &'t str {
    let opened = name.bytes().take_while(|byte| *byte == b'{');
    opened.fold(after, |after, _| after.strip_prefix('}').unwrap_or(after))
}

/// The most things that are told to be wrong with one text.
const ERRORS_MAX: usize = 16;

/// The most bytes of a macro's name: as long as a parameter's name behind a prefix.
const MACRO_LEN_MAX: usize = 2 * TOKEN_LEN_MAX;

fn is_macro_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
    (1..=MACRO_LEN_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendering_encodes_values_and_nothing_else() {
        let value = |name: &str| match name {
            "a" => Some(Cow::from("x y/ž?&#={b}")),
            "b" => Some(Cow::from("-._~")),
            "dots" => Some(Cow::from("..")),
            _ => None,
        };
        for (text, url) in [
            ("", ""),
            ("https://s/?q=%20&x", "https://s/?q=%20&x"),
            ("{a}", "x%20y%2F%C5%BE%3F%26%23%3D%7Bb%7D"),
            ("/{b}/{none}/{b}", "/-._~//-._~"),
            ("/{dots}/x?y={dots}", "/%252E%252E/x?y=.."),
        ] {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.render_url(value), url);
            assert_eq!(template.as_str(), text);
        }
    }

    #[test]
    fn loosely_a_macro_is_what_looks_like_one() {
        let value = |name: &str| (name == "a").then(|| Cow::from("1"));
        for (text, filled) in [
            ("{\"x\": \"{a}\", \"y\": {}}", "{\"x\": \"1\", \"y\": {}}"),
            ("{{a}}", "{1}"),
            ("{a", "{a"),
            ("{ a }ž{a}{a}", "{ a }ž11"),
            ("}{", "}{"),
        ] {
            assert_eq!(Template::parse_loosely(text).render_url(value), filled, "{text}");
        }
    }

    #[test]
    fn braces_must_match_and_name_something() {
        for (text, error) in [
            ("a{b", TemplateError::Unclosed),
            ("a}b", TemplateError::Unopened),
            ("{a}}", TemplateError::Unopened),
            ("{}", TemplateError::Name("".into())),
            ("{{a}}", TemplateError::Name("{a".into())),
            ("{a b}", TemplateError::Name("a b".into())),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text}");
        }
        let (template, errors) = Template::parse_in_spite("{{a}}{b}}x{{c}{d} {}{}{e");
        assert_eq!(template.macros().collect::<Vec<_>>(), ["b", "d"]);
        let name = |name: &str| TemplateError::Name(name.into());
        let expected =
            [name("{a"), TemplateError::Unopened, name("{c"), name(""), TemplateError::Unclosed];
        assert_eq!(errors, expected);
        let template = Template::parse("{a}x{b}{a}").unwrap();
        assert_eq!(template.macros().collect::<Vec<_>>(), ["a", "b", "a"]);
    }
}
