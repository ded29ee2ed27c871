//! Personal values and secrets that must be neither kept nor shown, whatever way they came in.

use crate::sandbox::Ran;

/// They stand nowhere else.
pub(crate) const CANARIES: [&str; 4] = ["canary", "CANARY", "777000111", "777 000 111"];

#[track_caller]
pub(crate) fn has_no_canary(what: &str, text: &str) {
    for canary in CANARIES {
        let around = text.find(canary).map(|at| {
            let before: Vec<char> = text[..at].chars().rev().take(60).collect();
            let behind = text[at..].chars().take(canary.len() + 20);
            before.into_iter().rev().chain(behind).collect::<String>()
        });
        assert_eq!(around, None, "{what}");
    }
}

/// Looks through what a command wrote.
#[track_caller]
pub(crate) fn is_clean(ran: &Ran) {
    has_no_canary("stdout", &ran.stdout);
    has_no_canary("stderr", &ran.stderr);
}

#[test]
#[should_panic(expected = "a č canary")]
fn a_canary_at_the_end_of_a_text_is_seen() {
    has_no_canary("text", "a č canary");
}
