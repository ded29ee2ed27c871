//! Personal values in what other systems write: their answers to messages, as people read them.
//! The policy of the parameters holds for them too, in three steps, each among what the ones
//! before have left:
//!
//! 1. values under names that the rules list, or that say "phone" ([`super::named`]);
//! 2. values that the message itself held under such names, wherever they come back ([`Sent`]);
//! 3. addresses and numbers, wherever they stand.
//!
//! It takes a time that the length of the text bounds, and no text makes it fail.

use alloc::{string::String, vec::Vec};
use core::{fmt, ops::Range};

use super::{
    PHONE_DIGITS, Privacy, Treatment, domain_len, is_local_number, joins_digits, masked,
    named::{Key, Value, is_same, is_separator, keys},
    names_phone,
    units::{Unit, text_of, units},
};
use crate::{logged_text::MASK, message::Rendered, pieces::shown_parts};

/// The fewest characters of a value that is looked for without its name.
const SENT_LEN_MIN: usize = 3;
/// The most values that are looked for so.
const SENT_MAX: usize = 100;
/// The most steps of that search; what is left of a text then is not shown.
const SENT_STEPS_MAX: usize = 4_000_000;
/// The most bytes of a part of a message that is searched for values.
const SENT_TEXT_MAX: usize = 64 * 1024;
/// The most characters before the at sign of an address.
const LOCAL_PART_MAX: usize = 64;
/// The most characters behind it.
const DOMAIN_MAX: usize = 255;

/// The personal values of a message, with what is shown in their place. A receiver may answer with
/// what it was sent.
#[derive(Clone, Default)]
pub struct Sent(Vec<(String, String)>);

/// Never the values.
impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sent({} values)", self.0.len())
    }
}

/// A part of a text, by units, and what is shown in its place; nothing, where it stays.
struct Span {
    range: Range<usize>,
    shown: Option<String>,
}

impl Privacy {
    /// The personal values that a message carries under names that are listed, or that say "phone".
    /// What it tells was masked before it was stored, but the rules may put an affiliate's sub id
    /// under such a name, and what is listed now may have been kept before.
    pub fn sent(&self, request: &Rendered) -> Sent {
        let mut sent = Sent::default();
        let mut add = |text: &str| {
            let end = text.floor_char_boundary(SENT_TEXT_MAX);
            let units = units(text.get(..end).unwrap_or_default());
            for (value, shown) in self.named(&units).1 {
                let is_known = sent.0.iter().any(|(known, _)| *known == value);
                let is_word = value.chars().count() >= SENT_LEN_MIN;
                if is_word && !is_known && sent.0.len() < SENT_MAX {
                    sent.0.push((value, shown));
                }
            }
        };
        add(&shown_parts(&request.url));
        for (name, value) in &request.headers {
            add(&alloc::format!("{name}: {}", shown_parts(value)));
        }
        if let Some((_, body)) = &request.body {
            add(&shown_parts(body));
        }
        sent
    }

    /// The beginning of a foreign text, at most `len_max` bytes of it and of what is shown, with
    /// what is personal dropped or hashed as the policy says. Hand in some more of the text than
    /// is shown, so that a value at its end is seen whole.
    pub fn mask_foreign(&self, text: &str, sent: &Sent, len_max: usize) -> String {
        let units = units(text);
        let mut spans = self.named(&units).0;
        let mut steps = SENT_STEPS_MAX;
        fill_gaps(&mut spans, &units, |gap| sent_in(&units, gap, sent, &mut steps));
        fill_gaps(&mut spans, &units, |gap| self.shapes_in(&units, gap));
        written(text, &units, &spans, len_max)
    }

    /// A word that another system uses for what has these names here or there, as
    /// [`Privacy::mask_foreign`] shows it.
    pub fn mask_word(&self, names: &[&str], word: &str, sent: &Sent, len_max: usize) -> String {
        let listed = names.iter().find_map(|name| self.listed(name));
        let is_phone = is_local_number(word) && names.iter().any(|name| names_phone(name));
        let treatment = listed.or_else(|| is_phone.then_some(self.phone));
        let shown = match treatment {
            None => self.mask_foreign(word, sent, len_max),
            Some(treatment) => self.in_place(word, treatment).unwrap_or_else(|| word.into()),
        };
        let end = shown.floor_char_boundary(len_max);
        shown.get(..end).unwrap_or_default().into()
    }

    /// The values under names that say something, and those of them that are masked.
    fn named(&self, units: &[Unit]) -> (Vec<Span>, Vec<(String, String)>) {
        let (mut spans, mut values) = (Vec::new(), Vec::new());
        let mut at = 0;
        while let Some(unit) = units.get(at) {
            let found = is_separator(unit).then(|| self.value_at(units, at)).flatten();
            at += 1;
            let Some((Value { span, is_quoted }, treatment)) = found else {
                continue;
            };
            let inside = units.get(span.clone()).unwrap_or_default();
            let value: String = match is_quoted {
                true => inside.iter().map(|unit| unit.char).filter(|char| *char != '\\').collect(),
                false => text_of(inside),
            };
            let shown = self.in_place(&value, treatment);
            if let Some(shown) = &shown {
                values.push((value, shown.clone()));
            }
            at = span.end.max(at);
            spans.push(Span { range: span, shown });
        }
        (spans, values)
    }

    /// The value behind a separator, where its name says what is done with it.
    fn value_at(&self, units: &[Unit], separator: usize) -> Option<(Value, Treatment)> {
        let mut last = None;
        for key in keys(units, separator) {
            let listed = self.listed.iter().find(|(name, _)| key.is(units, name));
            if let Some((_, treatment)) = listed {
                let value = key.value(units, separator)?;
                let value = if *treatment == Treatment::Keep { value.kept(units)? } else { value };
                return Some((value, *treatment));
            }
            last = Some(key);
        }
        let key: Key = last?;
        if !names_phone(&text_of(key.word(units))) {
            return None;
        }
        // The least that can be a number is looked at: no text makes each name look to its end.
        let near = units.get(..units.len().min(separator + 100)).unwrap_or_default();
        let mut value = key.value(near, separator)?;
        let inside = near.get(value.span.clone())?;
        if inside.first()?.char == '[' {
            let is_mark = |unit: &&Unit| matches!(unit.char, '[' | '"' | '\'' | '\\' | ' ' | '\n');
            let first = inside.iter().take_while(is_mark).count();
            local_number_len(inside.get(first..)?)?;
            value = key.value(units, separator)?;
        } else {
            value.span.end = value.span.start + local_number_len(inside)?;
        }
        Some((value, self.phone))
    }

    /// What stands in place of a value; nothing, where it stays.
    fn in_place(&self, value: &str, treatment: Treatment) -> Option<String> {
        match treatment {
            _ if masked(value).is_some() => None,
            Treatment::Keep => None,
            Treatment::Hash | Treatment::Drop => {
                Some(self.in_place_of(value.trim(), treatment, &mut Vec::new()))
            }
        }
    }

    /// Addresses and numbers.
    fn shapes_in(&self, units: &[Unit], gap: Range<usize>) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut at = gap.start;
        while at < gap.end {
            let from = spans.last().map_or(gap.start, |last| last.range.end);
            let within = from..gap.end;
            let (range, treatment) = match units.get(at).map(|unit| unit.char) {
                Some('@') => (address_at(units, within, at), self.email),
                Some('+') => (number_at(units, within, at), self.phone),
                _ => (None, Treatment::Keep),
            };
            at += 1;
            let Some(range) = range else {
                continue;
            };
            at = range.end.max(at);
            let value = text_of(units.get(range.clone()).unwrap_or_default());
            let shown = self.in_place(&value, treatment);
            spans.push(Span { range, shown });
        }
        spans
    }
}

/// Adds what is found between spans.
fn fill_gaps(spans: &mut Vec<Span>, units: &[Unit], find: impl FnMut(Range<usize>) -> Vec<Span>) {
    let ends = spans.iter().map(|span| span.range.end);
    let starts = spans.iter().map(|span| span.range.start).chain([units.len()]);
    let gaps = core::iter::once(0).chain(ends).zip(starts);
    let found: Vec<Span> = gaps.map(|(start, end)| start..end).flat_map(find).collect();
    spans.extend(found);
    spans.sort_by_key(|span| span.range.start);
}

/// Values that were sent, as whole words. Values that begin alike and a text that repeats how they
/// begin take a step for each character of all of them, at each of its own; so steps are counted.
fn sent_in(units: &[Unit], gap: Range<usize>, sent: &Sent, steps: &mut usize) -> Vec<Span> {
    let is_word = |at: Option<usize>| {
        at.filter(|at| gap.contains(at))
            .and_then(|at| units.get(at))
            .is_some_and(|unit| unit.char.is_alphanumeric())
    };
    let mut end_of = |at: usize| {
        let ends = sent.0.iter().filter_map(|(value, shown)| {
            let end = same_until(units, at..gap.end, value, steps)?;
            (!is_word(Some(end))).then_some((end, &**shown))
        });
        let longest = ends.max_by_key(|(end, _)| *end);
        if *steps > 0 { longest } else { Some((gap.end, MASK)) }
    };
    let mut spans = Vec::new();
    let mut at = gap.start;
    while at < gap.end && !sent.0.is_empty() {
        let found = if is_word(at.checked_sub(1)) { None } else { end_of(at) };
        let end = found.map_or(at, |(end, _)| end);
        if let Some((end, shown)) = found {
            spans.push(Span { range: at..end, shown: Some(shown.into()) });
        }
        at = end.max(at + 1);
    }
    spans
}

/// Where a value ends that begins here, in any case; backslashes may stand in it.
fn same_until(
    units: &[Unit],
    within: Range<usize>,
    value: &str,
    steps: &mut usize,
) -> Option<usize> {
    let counted = || {
        *steps = steps.checked_sub(1)?;
        Some(())
    };
    let ticks = core::iter::from_fn(counted);
    let mut rest = units.get(within.clone())?.iter().zip(within).zip(ticks).map(|(next, ())| next);
    let mut end = None;
    for (number, wanted) in value.chars().enumerate() {
        let mut next = rest.next()?;
        while number > 0 && next.0.char == '\\' && wanted != '\\' {
            next = rest.next()?;
        }
        let (unit, at) = next;
        if !is_same(unit.char, wanted) {
            return None;
        }
        end = Some(at + 1);
    }
    end
}

/// The address whose at sign stands here.
fn address_at(units: &[Unit], within: Range<usize>, at: usize) -> Option<Range<usize>> {
    let is_local =
        |unit: &&Unit| unit.char.is_alphanumeric() || "._+-'!#$*^~|%`".contains(unit.char);
    let before = units.get(within.start..at)?;
    let len = match before.split_last() {
        Some((quote, quoted)) if quote.char == '"' => {
            let is_quote = |unit: &Unit| unit.char == '"';
            let near = quoted.iter().rev().take(LOCAL_PART_MAX).position(is_quote);
            near.map_or(1, |len| len + 2)
        }
        _ => {
            let local = before.iter().rev().take(LOCAL_PART_MAX).take_while(is_local).count();
            let word = before.get(before.len() - local..)?;
            local - word.iter().take_while(|unit| matches!(unit.char, '\'' | '`')).count()
        }
    };
    let is_domain = |unit: &&Unit| unit.char.is_alphanumeric() || matches!(unit.char, '.' | '-');
    let behind = units.get(at + 1..within.end)?.iter();
    let domain: String =
        behind.take_while(is_domain).take(DOMAIN_MAX).map(|unit| unit.char).collect();
    let domain = domain.get(..domain_len(&domain)?)?.chars().count();
    (len > 0).then_some(at - len..at + 1 + domain)
}

/// The number in international form whose plus sign stands here. Unlike a value, a text goes on
/// behind it, perhaps with more digits: those that make it too long are left, by groups.
fn number_at(units: &[Unit], within: Range<usize>, at: usize) -> Option<Range<usize>> {
    let before = at.checked_sub(1).filter(|before| within.contains(before));
    if before.and_then(|before| units.get(before)).is_some_and(|unit| unit.char.is_alphanumeric()) {
        return None;
    }
    let behind = units.get(at + 1..within.end)?;
    let is_joint = |char: char| u8::try_from(char).is_ok_and(joins_digits);
    let (mut digits, mut group) = (0, 0);
    // How many digits there are up to the end of a group, and where that is.
    let mut whole = None;
    for (len, unit) in behind.iter().enumerate() {
        match unit.char {
            '0'..='9' if digits == 0 && unit.char == '0' => return None,
            '0'..='9' => {
                digits += 1;
                group = len + 1;
            }
            char if is_joint(char) => whole = Some((digits, group)),
            _ => break,
        }
        if digits > *PHONE_DIGITS.end() {
            let (digits, len) = whole?;
            return PHONE_DIGITS.contains(&digits).then_some(at..at + 1 + len);
        }
    }
    PHONE_DIGITS.contains(&digits).then_some(at..at + 1 + group)
}

/// The length of the number that a value begins with, as people of one country write it. What
/// follows it, in a text, is not always told from the value.
fn local_number_len(units: &[Unit]) -> Option<usize> {
    let is_part = |(at, unit): &(usize, &Unit)| match unit.char {
        '+' => *at == 0,
        char => char.is_ascii_digit() || u8::try_from(char).is_ok_and(joins_digits),
    };
    let run = units.get(..units.iter().enumerate().take_while(is_part).count())?;
    let last = run.iter().rposition(|unit| unit.char.is_ascii_digit())?;
    let len = if run.len() == units.len() { run.len() } else { last + 1 };
    let is_word = units.get(len).is_some_and(|next| next.char.is_alphanumeric());
    (!is_word && is_local_number(text_of(run).trim())).then_some(len)
}

/// The beginning of a text with its spans shown.
fn written(text: &str, units: &[Unit], spans: &[Span], len_max: usize) -> String {
    let place = |unit: usize| units.get(unit).map_or(text.len(), |unit| unit.at);
    let mut shown = String::new();
    let mut at = 0;
    let end_of_text = text.floor_char_boundary(len_max);
    for span in spans.iter().filter(|span| span.shown.is_some()) {
        let (start, end) = (place(span.range.start), place(span.range.end));
        let Some(between) = text.get(at..start.min(end_of_text)) else {
            break;
        };
        push(&mut shown, between, len_max);
        let instead = span.shown.as_deref().unwrap_or_default();
        if start >= end_of_text || shown.len() + instead.len() > len_max {
            return shown;
        }
        shown.push_str(instead);
        at = end;
    }
    push(&mut shown, text.get(at..end_of_text).unwrap_or_default(), len_max);
    shown
}

fn push(shown: &mut String, text: &str, len_max: usize) {
    let room = text.floor_char_boundary(len_max.saturating_sub(shown.len()));
    shown.push_str(text.get(..room).unwrap_or_default());
}
