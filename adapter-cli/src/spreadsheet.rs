//! CSV that spreadsheets open: what is text to us must not be a formula to them.
//!
//! A cell that begins like a formula and is no number gets an apostrophe in front. Whoever sent a
//! postback chose its values, and whoever opens the list runs what a formula says.

use std::borrow::Cow;

const MARK: u8 = b'\'';

/// A cell as spreadsheets show it and do not run it.
pub(crate) fn harmless(cell: &[u8]) -> Cow<'_, [u8]> {
    if !is_formula(unmarked(cell)) {
        return Cow::Borrowed(cell);
    }
    Cow::Owned([&[MARK], cell].concat())
}

/// What [`harmless`] was given.
pub(crate) fn original(cell: &[u8]) -> &[u8] {
    match cell {
        [MARK, rest @ ..] if is_formula(unmarked(rest)) => rest,
        _ => cell,
    }
}

/// A cell without the apostrophes in front, which are marks themselves where a formula follows.
fn unmarked(cell: &[u8]) -> &[u8] {
    let marks = cell.iter().take_while(|byte| **byte == MARK).count();
    cell.get(marks..).unwrap_or_default()
}

fn is_formula(cell: &[u8]) -> bool {
    matches!(cell, [b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\n', ..]) && !is_number(cell)
}

/// A sign, digits, and one dot or comma at most.
fn is_number(cell: &[u8]) -> bool {
    let [b'+' | b'-', number @ ..] = cell else {
        return false;
    };
    let others: Vec<&u8> = number.iter().filter(|byte| !byte.is_ascii_digit()).collect();
    number.len() > others.len() && matches!(others[..], [] | [b'.' | b','])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_marked_and_come_back() {
        let table: [(&[u8], &[u8]); 18] = [
            (b"", b""),
            (b"a=1", b"a=1"),
            (b"=1+1", b"'=1+1"),
            (b"+x", b"'+x"),
            (b"-x", b"'-x"),
            (b"-", b"'-"),
            (b"@x", b"'@x"),
            (b"\tx", b"'\tx"),
            (b"\r=x", b"'\r=x"),
            (b"\n=x", b"'\n=x"),
            (b"-5.00", b"-5.00"),
            (b"+420777123456", b"+420777123456"),
            (b"-5,5", b"-5,5"),
            (b"-1.2.3", b"'-1.2.3"),
            (b"-1+cmd", b"'-1+cmd"),
            (b"'=x", b"''=x"),
            (b"''=x", b"'''=x"),
            (b"'x", b"'x"),
        ];
        for (cell, want) in table {
            assert_eq!(&*harmless(cell), want);
            assert_eq!(original(want), cell);
        }
    }
}
