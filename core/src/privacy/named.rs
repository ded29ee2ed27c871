//! Values under names, in texts of any shape: JSON, a query or a form, a header, a dump, XML; each
//! also encoded, or within another. Nothing is parsed: answers are cut off, wrong, and of no known
//! kind. A name is what stands before `=`, `:` or `>`; where its value ends is told by how it
//! begins. In doubt more is taken than less.

use core::ops::Range;

use super::units::Unit;

/// The most marks between a name and its separator, and backslashes that begin a value.
const MARKS_MAX: usize = 16;
/// The most units that are looked back for the beginning of an element.
const ELEMENT_MAX: usize = 200;

/// A name, found before a separator.
pub(super) struct Key {
    /// The unit after its last one.
    end: usize,
    is_quoted: bool,
    is_element: bool,
}

/// Where a value stands.
pub(super) struct Value {
    pub(super) span: Range<usize>,
    /// Whether backslashes in it escape.
    pub(super) is_quoted: bool,
}

/// Whether a unit may stand between a name and its value.
pub(super) fn is_separator(unit: &Unit) -> bool {
    matches!(unit.char, '=' | ':' | '>')
}

/// The names that may stand before a separator, the outermost first: without the quotes, brackets
/// and blanks around them.
pub(super) fn keys(units: &[Unit], separator: usize) -> impl Iterator<Item = Key> {
    let is_element = units.get(separator).is_some_and(|unit| unit.char == '>');
    let (end, marks) = match is_element {
        true => (element_end(units, separator), 0),
        false => (Some(separator), MARKS_MAX),
    };
    let first = end.map(|end| Key { end, is_quoted: false, is_element });
    core::iter::successors(first, move |key| {
        let end = key.end.checked_sub(1)?;
        let mark = units.get(end)?.char;
        let is_quote = matches!(mark, '"' | '\'');
        let end = match mark {
            ' ' | '\t' | '+' => blanks_start(units, end),
            ']' => index_start(units, end),
            '"' | '\'' | '\\' | ')' => end,
            _ => return None,
        };
        Some(Key { end, is_quoted: key.is_quoted || is_quote, is_element })
    })
    .take(marks + 1)
}

/// Where the blanks begin that end with this one.
fn blanks_start(units: &[Unit], last: usize) -> usize {
    let before = units.get(..last).unwrap_or_default();
    let is_blank = |unit: &&Unit| matches!(unit.char, ' ' | '\t' | '+');
    last - before.iter().rev().take_while(is_blank).count()
}

/// Where `[]` or `[12]` begins, of what is one of several; else the bracket, which closes a name.
fn index_start(units: &[Unit], close: usize) -> usize {
    const DIGITS_MAX: usize = 9;
    let before = units.get(..close).unwrap_or_default();
    let is_digit = |unit: &&Unit| unit.char.is_ascii_digit();
    let digits = before.iter().rev().take(DIGITS_MAX).take_while(is_digit).count();
    let open = close.checked_sub(digits + 1);
    open.filter(|open| units.get(*open).is_some_and(|unit| unit.char == '[')).unwrap_or(close)
}

/// The end of the name of an element that begins, and ends at `>`.
fn element_end(units: &[Unit], close: usize) -> Option<usize> {
    let from = close.saturating_sub(ELEMENT_MAX);
    let open = from + units.get(from..close)?.iter().rposition(|unit| unit.char == '<')?;
    let inside = units.get(open + 1..close)?;
    let len = inside.iter().position(|unit| unit.char.is_whitespace()).unwrap_or(inside.len());
    let is_name = inside.first().is_some_and(|unit| !matches!(unit.char, '/' | '!' | '?'));
    let is_empty = inside.last().is_some_and(|unit| unit.char == '/');
    (is_name && !is_empty).then_some(open + 1 + len)
}

impl Value {
    /// As much of it as is surely its own, of a value that is kept: what is masked may follow
    /// where it is not plain where it ends, or stand within it under other names.
    pub(super) fn kept(self, units: &[Unit]) -> Option<Self> {
        let ends = |unit: &Unit| match unit.char {
            '{' | '[' => true,
            ',' | ';' | '}' | ']' | '&' | '<' => !self.is_quoted,
            char => !self.is_quoted && char.is_whitespace(),
        };
        let len = units.get(self.span.clone())?.iter().position(ends).unwrap_or(self.span.len());
        let span = self.span.start..self.span.start + len;
        (len > 0).then_some(Self { span, ..self })
    }
}

impl Key {
    /// Whether this is a name, in any case, and however its words are joined: `first_name`,
    /// `First-Name`, `firstName`.
    pub(super) fn is(&self, units: &[Unit], name: &str) -> bool {
        let mut place = self.end;
        let mut is_any = false;
        for wanted in name.chars().rev().filter(|char| !is_joint(char)) {
            let before = |place: usize| units.get(place.checked_sub(1)?).map(|unit| unit.char);
            while before(place).is_some_and(|char| is_joint(&char)) {
                place -= 1;
            }
            let Some(found) = before(place).filter(|found| is_same(*found, wanted)) else {
                return false;
            };
            place -= 1;
            is_any |= !found.is_whitespace();
        }
        let before = place.checked_sub(1).and_then(|before| units.get(before));
        is_any && !before.is_some_and(|unit| unit.char.is_alphanumeric() || unit.char == '_')
    }

    /// The word that the name ends with.
    pub(super) fn word<'u>(&self, units: &'u [Unit]) -> &'u [Unit] {
        const LEN_MAX: usize = 64;
        let until = units.get(..self.end).unwrap_or_default();
        let is_word = |unit: &&Unit| unit.char.is_alphanumeric() || matches!(unit.char, '_' | '-');
        let len = until.iter().rev().take(LEN_MAX).take_while(is_word).count();
        until.get(until.len() - len..).unwrap_or_default()
    }

    /// The value behind the separator; none, where it is empty.
    pub(super) fn value(&self, units: &[Unit], separator: usize) -> Option<Value> {
        let value = match self.is_element {
            true => self.content(units, separator + 1),
            false => self.assigned(units, separator),
        };
        let is_null = |span: &Range<usize>| {
            units
                .get(span.clone())
                .is_some_and(|all| all.iter().map(|unit| unit.char).eq("null".chars()))
        };
        Some(value)
            .filter(|value| !value.span.is_empty())
            .filter(|value| value.is_quoted || !is_null(&value.span))
    }

    /// What stands in an element, up to its end: `</first_name>`, or `</ns:first_name>`.
    fn content(&self, units: &[Unit], start: usize) -> Value {
        const PREFIX_MAX: usize = 64;
        let word = self.word(units);
        let is_word = |name: &[Unit]| {
            name.len() >= word.len() && name.iter().zip(word).all(|(a, b)| is_same(a.char, b.char))
        };
        let ends = |rest: &[Unit]| match rest.split_first_chunk() {
            Some(([open, slash], name)) if (open.char, slash.char) == ('<', '/') => {
                let colon = name.iter().take(PREFIX_MAX).position(|unit| unit.char == ':');
                let local = colon.and_then(|colon| name.get(colon + 1..));
                is_word(name) || local.is_some_and(is_word)
            }
            _ => false,
        };
        let end = (start..units.len()).find(|at| ends(units.get(*at..).unwrap_or_default()));
        Value { span: start..end.unwrap_or(units.len()), is_quoted: false }
    }

    fn assigned(&self, units: &[Unit], separator: usize) -> Value {
        let char = |at: usize| units.get(at).map(|unit| unit.char);
        let is_blank = |unit: &&Unit| match unit.char {
            ' ' | '\t' | '=' | ':' | '>' => true,
            '\n' | '\r' => self.is_quoted,
            _ => false,
        };
        let behind = units.get(separator + 1..).unwrap_or_default();
        let start = separator + 1 + behind.iter().take_while(is_blank).count();
        let start = start + type_len(units.get(start..).unwrap_or_default());
        let is_slash = |at: &usize| char(*at) == Some('\\');
        let slashes = (start..start + MARKS_MAX).take_while(is_slash).count();
        match (char(start + slashes), slashes) {
            (Some('"' | '\''), _) => {
                let start = start + slashes + 1;
                Value { span: start..quote_end(units, start, slashes), is_quoted: true }
            }
            (Some('{' | '['), 0) => {
                Value { span: start..container_end(units, start), is_quoted: true }
            }
            _ => self.bare(units, separator, start),
        }
    }

    /// A value without quotes. What is encoded deeper than its separator does not end it.
    fn bare(&self, units: &[Unit], separator: usize, start: usize) -> Value {
        let depth = units.get(separator).map_or(0, |unit| unit.depth);
        let ends = |unit: &Unit| {
            unit.depth <= depth
                && match unit.char {
                    '&' | '\n' | '\r' | '"' | '<' => true,
                    ',' | '}' | ']' => self.is_quoted,
                    _ => false,
                }
        };
        let rest = units.get(start..).unwrap_or_default();
        let len = rest.iter().position(ends).unwrap_or(rest.len());
        let is_kept = |unit: &Unit| !unit.char.is_whitespace() && unit.char != '\\';
        let value = rest.get(..len).unwrap_or_default();
        let len = value.iter().rposition(is_kept).map_or(0, |last| last + 1);
        Value { span: start..start + len, is_quoted: false }
    }
}

/// What `var_dump` of PHP has before a text: `string(6) `.
fn type_len(units: &[Unit]) -> usize {
    const DIGITS_MAX: usize = 9;
    let begins = |units: &[Unit], text: &str| {
        units.len() >= text.len() && units.iter().zip(text.chars()).all(|(a, b)| a.char == b)
    };
    const TYPE: &str = "string(";
    let size = units.get(TYPE.len()..).unwrap_or_default();
    let digits = size.iter().take(DIGITS_MAX).take_while(|unit| unit.char.is_ascii_digit()).count();
    let is_type = begins(units, TYPE) && begins(size.get(digits..).unwrap_or_default(), ") \"");
    if is_type { TYPE.len() + digits + 2 } else { 0 }
}

/// Where a text ends whose opening quote stands before `start`, behind so many backslashes: at the
/// next such quote, and no later than one that is escaped less. Within a text that is escaped once,
/// `\"` ends and `\\\"` does not.
fn quote_end(units: &[Unit], start: usize, slashes: usize) -> usize {
    let Some(open) = start.checked_sub(1).and_then(|open| units.get(open)) else {
        return start;
    };
    let mut before = 0;
    for (at, unit) in units.iter().enumerate().skip(start) {
        let is_quote = unit.char == open.char && unit.depth <= open.depth;
        if is_quote && (before < slashes || before % (2 * (slashes + 1)) == slashes) {
            return at - before.min(slashes);
        }
        before = if unit.char == '\\' { before + 1 } else { 0 };
    }
    units.len()
}

/// Where the object or list ends that begins at `start`.
fn container_end(units: &[Unit], start: usize) -> usize {
    let mut open: usize = 0;
    let mut slashes = 0;
    let mut at = start;
    while let Some(unit) = units.get(at) {
        match unit.char {
            '"' | '\'' => at = skip_text(units, at + 1, slashes),
            '{' | '[' => open += 1,
            '}' | ']' => open = open.saturating_sub(1),
            _ => {}
        }
        if open == 0 {
            return at + 1;
        }
        slashes = if unit.char == '\\' { slashes + 1 } else { 0 };
        at += 1;
    }
    units.len()
}

/// The closing quote of the text that begins at `start`.
fn skip_text(units: &[Unit], start: usize, slashes: usize) -> usize {
    let end = quote_end(units, start, slashes);
    let rest = units.get(end..).unwrap_or_default();
    end + rest.iter().take(slashes).take_while(|unit| unit.char == '\\').count()
}

/// Whether two names are the same, in any case, and however their words are joined: what
/// [`Key::is`] finds in a text, of names that are whole.
pub(crate) fn is_same_name(one: &str, other: &str) -> bool {
    let letters = |name| str::chars(name).filter(|char| !is_joint(char));
    let mut others = letters(other);
    let are_all = letters(one).all(|char| others.next().is_some_and(|next| is_same(char, next)));
    let has_letters = letters(one).next().is_some();
    (has_letters && are_all && others.next().is_none()) || one == other
}

/// Whether a character joins the words of a name.
fn is_joint(char: &char) -> bool {
    matches!(char, '_' | '-')
}

/// Whether two characters are the same but for their case. A plus sign is a blank in queries.
pub(super) fn is_same(one: char, other: char) -> bool {
    one == other
        || one.eq_ignore_ascii_case(&other)
        || (one == '+' && other == ' ')
        || (!one.is_ascii() && !other.is_ascii() && one.to_lowercase().eq(other.to_lowercase()))
}
