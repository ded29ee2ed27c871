//! Suggestions for words that were perhaps meant.

use alloc::vec::Vec;

/// The known word nearest to `word`, where one is near enough to be suggested: at most one edit
/// for every three letters, at least one. Case does not count.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = word.to_ascii_lowercase();
    let most = (word.len() / 3).clamp(1, 4);
    known
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= most)
        .map(|candidate| (edit_distance(&candidate.to_ascii_lowercase(), &folded), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, left out, replaced, or swapped with their neighbour.
pub(crate) fn edit_distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = Vec::with_capacity(last.len());
        row.push(i + 1);
        for (j, b) in other.iter().enumerate() {
            let at =
                |cells: &[usize], place: usize| cells.get(place).copied().unwrap_or(usize::MAX);
            let replaced = at(&last, j) + usize::from(a != b);
            let mut fewest = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped =
                i > 0 && j > 0 && one.get(i - 1) == Some(b) && other.get(j - 1) == Some(a);
            if swapped {
                fewest = fewest.min(at(&before, j - 1) + 1);
            }
            row.push(fewest);
        }
        before = core::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let table = [
            ("", "", 0),
            ("a", "", 1),
            ("type", "tpye", 1),
            ("extenal_id", "external_id", 1),
            ("abc", "cab", 2),
            ("ż", "z", 1),
            ("value", "values", 1),
        ];
        for (one, other, distance) in table {
            assert_eq!(edit_distance(one, other), distance, "{one} {other}");
            assert_eq!(edit_distance(other, one), distance, "{other} {one}");
        }
    }

    #[test]
    fn only_near_words_are_suggested() {
        let known = ["sale", "prospect", "lead"];
        assert_eq!(nearest("sael", known), Some("sale"));
        assert_eq!(nearest("PROSPCT", known), Some("prospect"));
        assert_eq!(nearest("registration", known), None);
        assert_eq!(nearest("x", ["y"]), Some("y"));
    }
}
