//! Whatever bytes come in: nothing panics, and what each reader promises holds.
//!
//! A target is a function from bytes that panics where a promise is broken. Each runs over its
//! corpus (`tests/corpus/TARGET`, one input a file), and over inputs that are made of it: cut,
//! joined, repeated, and with words put in that mean something. A run is short; `PROPTEST_CASES`
//! makes it as long as you like. What breaks a target is told as a file for the corpus: put it
//! there, and it is tried for ever.

mod query;
mod rules;
mod signature;
mod template;

use std::{fs, path::Path};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{TestCaseError, TestError, TestRunner},
};

/// The longest input that is made.
const LEN_MAX: usize = 16 * 1024;

/// A change of an input.
#[derive(Clone, Debug)]
enum Change {
    /// Bytes go.
    Cut(Index, usize),
    /// Bytes come.
    Put(Index, Vec<u8>),
    /// A byte becomes another.
    Set(Index, u8),
    /// Bytes come once more.
    Repeat(Index, usize, usize),
    /// The rest is that of another input of the corpus.
    Join(Index, Index),
}

fn changes(words: &'static [&'static str]) -> impl Strategy<Value = Change> {
    let place = any::<Index>;
    let word = select(words).prop_map(|word| word.as_bytes().to_vec());
    prop_oneof![
        2 => (place(), 1..40_usize).prop_map(|(at, len)| Change::Cut(at, len)),
        4 => (place(), word).prop_map(|(at, word)| Change::Put(at, word)),
        1 => (place(), vec(any::<u8>(), 1..4)).prop_map(|(at, bytes)| Change::Put(at, bytes)),
        1 => (place(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => (place(), 1..20_usize, 1..300_usize).prop_map(|(at, n, by)| Change::Repeat(at, n, by)),
        1 => (place(), place()).prop_map(|(at, other)| Change::Join(at, other)),
    ]
}

impl Change {
    fn make(&self, input: &mut Vec<u8>, corpus: &[(String, Vec<u8>)]) {
        let place = |at: &Index| at.index(input.len() + 1);
        match self {
            Self::Cut(at, len) => {
                let start = place(at);
                let end = (start + len).min(input.len());
                input.drain(start..end);
            }
            Self::Put(at, bytes) => {
                let at = place(at);
                input.splice(at..at, bytes.iter().copied());
            }
            Self::Set(at, byte) => {
                if !input.is_empty() {
                    let at = at.index(input.len());
                    input[at] = *byte;
                }
            }
            Self::Repeat(at, len, times) => {
                let start = place(at);
                let end = (start + len).min(input.len());
                let again = input[start..end].repeat(*times);
                input.splice(end..end, again);
            }
            Self::Join(at, other) => {
                let other = &corpus[other.index(corpus.len())].1;
                let at = place(at);
                input.truncate(at);
                input.extend_from_slice(&other[at.min(other.len())..]);
            }
        }
        input.truncate(LEN_MAX);
    }
}

/// The corpus of a target, by file name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut corpus: Vec<_> = files
        .map(|file| {
            let path = file.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into(), fs::read(&path).unwrap())
        })
        .collect();
    corpus.sort();
    assert!(corpus.len() >= 5, "{target} has {} inputs", corpus.len());
    corpus
}

/// Runs a target over its corpus and over what is made of it. `words` mean something to it.
fn explore(target: &str, words: &'static [&'static str], check: fn(&[u8])) {
    let corpus = corpus(target);
    for (name, input) in &corpus {
        eprintln!("{target}/{name}");
        check(input);
    }
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let inputs = (any::<Index>(), vec(changes(words), 1..8)).prop_map(|(first, changes)| {
        let mut input = corpus[first.index(corpus.len())].1.clone();
        changes.iter().for_each(|change| change.make(&mut input, &corpus));
        input
    });
    let explored = TestRunner::new(config).run(&inputs, |input| {
        std::panic::catch_unwind(|| check(&input))
            .map_err(|_| TestCaseError::fail("a promise is broken"))
    });
    if let Err(TestError::Fail(_, input)) = explored {
        panic!("put this into tests/corpus/{target}: \"{}\"", input.escape_ascii());
    }
}
