//! The word that was probably meant: edit distance over short words, for hints.

use alloc::{vec, vec::Vec};

/// The longest word, in characters, that is compared; the work grows with the square of it.
const WORD_CHARS_MAX: usize = 64;

/// The known word nearest to `word`, where one is near enough to be meant: at most one edit in
/// three letters (one in short words), compared without case. Of equally near words the first.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let chars = word.chars().take(WORD_CHARS_MAX + 1).count();
    if chars > WORD_CHARS_MAX {
        return None;
    }
    let word = word.to_lowercase();
    let edits_max = (chars / 3).max(1);
    known
        .into_iter()
        .filter(|candidate| candidate.len() <= 4 * WORD_CHARS_MAX)
        .map(|candidate| (edit_distance(&word, &candidate.to_lowercase()), candidate))
        // A word that shares no letter with the other is no typo of it.
        .filter(|(edits, candidate)| {
            *edits <= edits_max && *edits < chars.max(candidate.chars().count())
        })
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// The fewest edits that make one word of the other, where an edit inserts, removes or replaces a
/// character, or swaps two neighbours (optimal string alignment: what was swapped is not edited
/// again).
pub(crate) fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // Three rows of the table: for the prefix of `a` so far, the one before, and the one before
    // that. Column n belongs to the first n characters of `b`.
    let mut two_back: Vec<usize> = vec![0; b.len() + 1];
    let mut back: Vec<usize> = vec![0; b.len() + 1];
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut previous_char = None;
    for (index, char) in a.chars().enumerate() {
        core::mem::swap(&mut two_back, &mut back);
        core::mem::swap(&mut back, &mut row);
        row.clear();
        row.push(index + 1);
        let mut left = index + 1;
        let mut left_char = None;
        let mut swapped = None;
        for ((b_char, diagonal), up) in b.iter().zip(&back).zip(back.iter().skip(1)) {
            let replaced = diagonal + usize::from(*b_char != char);
            let mut fewest = replaced.min(up + 1).min(left + 1);
            if let Some(before) = swapped
                && left_char == Some(char)
                && previous_char == Some(*b_char)
            {
                fewest = fewest.min(before + 1);
            }
            swapped = two_back.get(row.len() - 1).copied();
            row.push(fewest);
            left = fewest;
            left_char = Some(*b_char);
        }
        previous_char = Some(char);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("same", "same", 0),
            ("type", "tpye", 1),
            ("ab", "ba", 1),
            ("xab", "xba", 1),
            ("abcd", "badc", 2),
            // What was swapped is not edited again.
            ("ca", "abc", 3),
            ("extenal_id", "external_id", 1),
            ("kitten", "sitting", 3),
            ("žluť", "zlut", 2),
        ] {
            assert_eq!(edit_distance(a, b), edits, "{a} {b}");
            assert_eq!(edit_distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn the_nearest_word() {
        let known = ["type", "payout", "revenue", "id", "name"];
        for (word, found) in [
            ("tpye", Some("type")),
            ("Payout", Some("payout")),
            ("payuot", Some("payout")),
            ("revenues", Some("revenue")),
            ("ID", Some("id")),
            ("x", None),
            ("", None),
            ("something", None),
        ] {
            assert_eq!(nearest(word, known), found, "{word}");
        }
        let long = "a".repeat(100_000);
        assert_eq!(nearest(&long, [long.as_str()]), None);
    }
}
