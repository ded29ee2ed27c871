//! A foreign text character by character, however often each is encoded: `@`, `%40`, `%2540`,
//! `\u0040` and `&#64;` are the same here. The text itself stays as it is; a unit says where in it
//! the character stands.

use alloc::{string::String, vec::Vec};

/// One character of a text.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub(super) char: char,
    /// How often it is encoded.
    pub(super) depth: u8,
    /// Where it begins.
    pub(super) at: usize,
}

/// The most times that a character is decoded.
const DEPTH_MAX: u8 = 8;

/// The characters of a text.
pub(super) fn units(text: &str) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..)
        && let Some(plain) = rest.chars().next()
    {
        let decoded = match plain {
            '%' => percent_char(rest),
            '\\' => escape(rest),
            '&' => entity(rest),
            _ => None,
        };
        let (char, depth, len) = decoded.unwrap_or((plain, 0, plain.len_utf8()));
        units.push(Unit { char, depth, at });
        at += len;
    }
    units
}

/// The characters of units.
pub(super) fn text_of(units: &[Unit]) -> String {
    units.iter().map(|unit| unit.char).collect()
}

/// A character, how often it is encoded, and how many bytes of the text it takes.
type Decoded = (char, u8, usize);

fn percent_char(rest: &str) -> Option<Decoded> {
    let (first, depth, mut len) = percent_byte(rest)?;
    let count = match first {
        0..0x80 => 1,
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return None,
    };
    let mut bytes = [first, 0, 0, 0];
    for byte in bytes.iter_mut().take(count).skip(1) {
        let (next, _, more) = percent_byte(rest.get(len..)?)?;
        *byte = next;
        len += more;
    }
    let char = core::str::from_utf8(bytes.get(..count)?).ok()?.chars().next()?;
    Some((char, depth, len))
}

fn percent_byte(rest: &str) -> Option<(u8, u8, usize)> {
    rest.strip_prefix('%')?;
    let hex = |at: usize| {
        let digits = rest.get(at..at + 2).filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
        digits.and_then(|two| u8::from_str_radix(two, 16).ok())
    };
    let (mut at, mut depth) = (1, 1);
    while hex(at)? == b'%' && depth < DEPTH_MAX && hex(at + 2).is_some() {
        at += 2;
        depth += 1;
    }
    Some((hex(at)?, depth, at + 2))
}

/// The escapes of JSON, but for the escaped quote and backslash: those stay two characters, by
/// which the end of a text is found.
fn escape(rest: &str) -> Option<Decoded> {
    const SLASHES_MAX: usize = 15;
    let slashes = rest.bytes().take(SLASHES_MAX).take_while(|b| *b == b'\\').count();
    let after = rest.get(slashes..)?;
    match after.bytes().next()? {
        b'n' | b'r' if slashes == 1 => Some(('\n', 0, 2)),
        b't' if slashes == 1 => Some(('\t', 0, 2)),
        b'u' => {
            let depth = u8::try_from(slashes).ok()?;
            let len = slashes + UTF16_LEN;
            let first = utf16_unit(after)?;
            if let Some(char) = char::from_u32(first.into()) {
                return Some((char, depth, len));
            }
            // One of two that are a character together.
            let second = utf16_unit(rest.get(len + slashes..)?)?;
            let are_alike = rest.get(len..len + slashes) == rest.get(..slashes);
            let char = char::decode_utf16([first, second]).next()?.ok()?;
            are_alike.then_some((char, depth, 2 * len))
        }
        _ => None,
    }
}

/// The length of `u0040`.
const UTF16_LEN: usize = 5;

fn utf16_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix('u')?.get(..UTF16_LEN - 1)?;
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| u16::from_str_radix(digits, 16).ok())?
}

/// The entities of XML and HTML that stand for punctuation, and those of numbers.
fn entity(rest: &str) -> Option<Decoded> {
    const LEN_MAX: usize = 10;
    let end = rest.bytes().take(LEN_MAX).position(|b| b == b';')?;
    let name = rest.get(1..end)?;
    let char = match name {
        "quot" => '"',
        "apos" => '\'',
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "commat" => '@',
        "equals" => '=',
        "colon" => ':',
        "plus" => '+',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    };
    Some((char, 1, end + 1))
}
