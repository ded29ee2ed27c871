//! A round: the files that one `--again` imports anew.
//!
//! It is kept in the database from before its first row until its last file is done and the summary
//! is told. Cut short meanwhile, wherever that was, the same command finds which files had their
//! turn: they are skipped, the others go on, and only behind the end of a round the next one
//! begins. The end comes behind the summary, for whoever was not told that all is done repeats the
//! command, and must not store the rows twice by it.
//!
//! Files are known by their content. Those that came into a folder meanwhile join the round, those
//! that are not named stay in it, and one that has changed leaves it.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_core::Timestamp;
use counterfoil_sqlite::RoundFile;

use super::{Target, files::Input, header::Header, run};
use crate::{
    clock, database,
    failure::Failure,
    output::{self, GOOD, SUSPICIOUS, counted},
};

type Hash = [u8; 32];

/// The round of a run.
pub(super) struct Round<'a> {
    target: &'a Target,
    named: BTreeSet<Hash>,
    /// The files that are named, and others of the same round.
    files: BTreeMap<Hash, RoundFile>,
    /// Whether one before was cut short.
    pub(super) is_resumed: bool,
}

impl<'a> Round<'a> {
    /// Begins a round, or goes on with the one that files of it were left in.
    ///
    /// # Errors
    /// Where the database cannot be read or written.
    pub(super) fn begin(
        target: &'a Target,
        inputs: &mut [(Input, Header)],
    ) -> Result<Self, Failure> {
        let mut named = Vec::new();
        for (input, header) in inputs {
            named.push(Named::of(target, input, header)?);
        }
        let Plan { replaced, files, resumed } = plan(unended(target)?, &named, clock::now());
        for file in &replaced {
            tell_replaced(target, file)?;
        }
        if let Some(began_at) = resumed {
            output::tell(format_args!(
                "going on with the import of {began_at} with --again, which was cut short"
            ));
        }
        let named = named.into_iter().map(|file| file.hash).collect();
        let round = Self { target, named, files, is_resumed: resumed.is_some() };
        let forget = replaced.into_iter().map(|file| file.hash).collect();
        round.change(forget, round.files.values().cloned().collect())?;
        Ok(round)
    }

    /// The id above which an import of this content is that of the round.
    pub(super) fn newer_than(&self, hash: &Hash) -> i64 {
        self.files.get(hash).map_or(0, |file| file.newer_than)
    }

    /// Keeps that all rows of a file are stored.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub(super) fn keep_done(&mut self, hash: &Hash) -> Result<(), Failure> {
        let Some(file) = self.files.get_mut(hash).filter(|file| !file.is_done) else {
            return Ok(());
        };
        file.is_done = true;
        let file = file.clone();
        self.change(Vec::new(), vec![file])
    }

    /// Ends the round, where all its files are done. `rows` were stored by this run: where there
    /// were none, at least the files that are named leave it, or they could never be imported anew.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub(super) fn end(&self, rows: u64) -> Result<(), Failure> {
        let left: Vec<&str> =
            self.files.values().filter(|file| !file.is_done).map(|file| &*file.name).collect();
        if left.is_empty() {
            self.change(self.files.keys().copied().collect(), Vec::new())?;
        } else if rows == 0 {
            self.change(self.named.iter().copied().collect(), Vec::new())?;
        }
        if !self.is_resumed {
            return Ok(());
        }
        let what = match (left.is_empty(), rows) {
            (true, 0) => {
                "finished the import that was cut short: nothing was left to do; run it again to \
                 import the files anew"
            }
            (true, _) => "finished the import that was cut short",
            (false, 0) => "nothing was left to do; run it again to import these files anew",
            (false, _) => "these files are done",
        };
        output::tell(format_args!("{GOOD}{what}{GOOD:#}"));
        if !left.is_empty() {
            output::tell(format_args!(
                "{SUSPICIOUS}not finished{SUSPICIOUS:#}: the import that was cut short has {} \
                 left; with --again, import `{}`",
                counted(left.len(), "file"),
                left.join("`, `")
            ));
        }
        Ok(())
    }

    fn change(&self, forget: Vec<Hash>, keep: Vec<RoundFile>) -> Result<(), Failure> {
        let Target { store, rules, .. } = self.target;
        store.change_rounds(rules, forget, keep).map_err(database::submit_failure)
    }
}

/// Tells of a round that has not ended, where an import without `--again` names files of it.
///
/// # Errors
/// Where the database cannot be read.
pub(super) fn tell_unended(target: &Target, inputs: &[(Input, Header)]) -> Result<(), Failure> {
    let named: BTreeSet<Hash> = inputs.iter().map(|(input, _)| input.hash).collect();
    let is_named = |file: &RoundFile| named.contains(&file.hash);
    if let Some(file) = unended(target)?.into_iter().find(is_named) {
        output::tell(format_args!(
            "the import of {} with --again was cut short: with --again, the same command goes on \
             with it",
            file.began_at
        ));
    }
    Ok(())
}

fn unended(target: &Target) -> Result<Vec<RoundFile>, Failure> {
    let tenant = target.rules.ruleset().tenant();
    target.store.reader().round_files(tenant).map_err(database::read_failure)
}

/// Nobody can tell which rows of it are new.
fn tell_replaced(target: &Target, file: &RoundFile) -> Result<(), Failure> {
    let newest = target.newest(&file.hash)?;
    if let Some(reached) = newest.filter(|reached| reached.import.id > file.newer_than) {
        output::tell(format_args!(
            "{SUSPICIOUS}repeated{SUSPICIOUS:#}: `{}` has changed since the import that was cut \
             short stored {} of it; all of it is imported now, and what has no external_id is \
             there twice",
            file.name,
            counted(reached.rows, "row")
        ));
    }
    Ok(())
}

/// A file that a command names.
struct Named {
    name: String,
    /// Whether another content under this name takes its place: not so of standard input.
    is_path: bool,
    hash: Hash,
    /// See [`RoundFile::newer_than`].
    newer_than: i64,
}

impl Named {
    /// An import that was cut short goes on, so it is not older than the round.
    fn of(target: &Target, input: &mut Input, header: &Header) -> Result<Self, Failure> {
        let newer_than = match target.newest(&input.hash)? {
            None => 0,
            Some(reached) if run::is_whole(input, header, &reached) => reached.import.id,
            Some(reached) => reached.import.id - 1,
        };
        let (name, is_path) = match &input.name {
            Some(path) => (path.clone(), true),
            None => (input.label.clone(), false),
        };
        Ok(Self { name, is_path, hash: input.hash, newer_than })
    }
}

/// What becomes of the rounds when a run begins.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// Files that another content has taken the place of.
    replaced: Vec<RoundFile>,
    /// The files of the run's round.
    files: BTreeMap<Hash, RoundFile>,
    /// When the round began, where it did before.
    resumed: Option<Timestamp>,
}

/// The rounds that have a file in common with what is named are one from now on, with all of it.
fn plan(unended: Vec<RoundFile>, named: &[Named], now: Timestamp) -> Plan {
    let hashes: BTreeSet<Hash> = named.iter().map(|file| file.hash).collect();
    let paths: BTreeSet<&str> =
        named.iter().filter(|file| file.is_path).map(|file| &*file.name).collect();
    let is_named = |file: &RoundFile| hashes.contains(&file.hash);
    let has_name = |file: &RoundFile| paths.contains(&*file.name);
    let (replaced, unended): (Vec<_>, Vec<_>) =
        unended.into_iter().partition(|file| has_name(file) && !is_named(file));
    let free = unended.iter().map(|file| file.round + 1).max().unwrap_or(1);
    let joined: BTreeSet<i64> =
        unended.iter().filter(|file| is_named(file)).map(|file| file.round).collect();
    let round = joined.last().copied().unwrap_or(free);
    let mut files: BTreeMap<Hash, RoundFile> =
        unended.into_iter().filter(|file| joined.contains(&file.round)).map(by_hash).collect();
    let resumed = files.values().map(|file| file.began_at).min();
    let began_at = resumed.unwrap_or(now);
    for Named { name, hash, newer_than, .. } in named {
        files.entry(*hash).or_insert_with(|| RoundFile {
            round,
            began_at,
            name: name.clone(),
            hash: *hash,
            newer_than: *newer_than,
            is_done: false,
        });
    }
    for file in files.values_mut() {
        (file.round, file.began_at) = (round, began_at);
    }
    Plan { replaced, files, resumed }
}

fn by_hash(file: RoundFile) -> (Hash, RoundFile) {
    (file.hash, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(round: i64, name: &str, hash: u8) -> RoundFile {
        RoundFile {
            round,
            began_at: Timestamp::from_ms(100 * round),
            name: name.into(),
            hash: [hash; 32],
            newer_than: 7,
            is_done: false,
        }
    }

    /// Plans a run of files, and shows of its round: number, name, content, and of what age.
    fn check(
        unended: &[RoundFile],
        named: &[(&str, u8)],
        replaced: &[&str],
        want: &[(i64, &str, u8, i64)],
        resumed: Option<i64>,
    ) {
        let named: Vec<Named> = named
            .iter()
            .map(|(name, hash)| Named {
                name: (*name).to_owned(),
                is_path: *name != "-",
                hash: [*hash; 32],
                newer_than: 9,
            })
            .collect();
        let plan = plan(unended.to_vec(), &named, Timestamp::from_ms(1000));
        let names: Vec<_> = plan.replaced.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, replaced);
        assert_eq!(plan.resumed, resumed.map(Timestamp::from_ms));
        let files: Vec<_> = plan
            .files
            .values()
            .map(|file| (file.round, file.name.as_str(), file.hash[0], file.newer_than))
            .collect();
        assert_eq!(files, want);
        let began_at = resumed.unwrap_or(1000);
        assert!(plan.files.values().all(|file| file.began_at.as_ms() == began_at));
    }

    #[test]
    fn a_run_goes_on_with_the_rounds_that_have_a_file_of_it() {
        let left = [kept(1, "a", 1), kept(1, "b", 2), kept(2, "c", 3)];
        let ab = [(1, "a", 1, 7), (1, "b", 2, 7)];
        check(&[], &[("a", 1), ("b", 1)], &[], &[(1, "a", 1, 9)], None);
        check(&left, &[("d", 4)], &[], &[(3, "d", 4, 9)], None);
        check(&left, &[("a", 1), ("b", 2)], &[], &ab, Some(100));
        check(&left, &[("b", 2)], &[], &ab, Some(100));
        check(&left, &[("renamed", 2)], &[], &ab, Some(100));
        check(&left, &[("b", 2), ("d", 4)], &[], &[ab[0], ab[1], (1, "d", 4, 9)], Some(100));
        let all = [(2, "a", 1, 7), (2, "b", 2, 7), (2, "c", 3, 7)];
        check(&left, &[("c", 3), ("a", 1)], &[], &all, Some(100));
    }

    #[test]
    fn a_file_that_has_changed_leaves_its_round() {
        let left = [kept(1, "a", 1), kept(1, "b", 2), kept(1, "-", 3)];
        let want = [(1, "a", 1, 7), (1, "-", 3, 7), (1, "b", 4, 9)];
        check(&left, &[("a", 1), ("b", 4)], &["b"], &want, Some(100));
        check(&left[1..2], &[("b", 4)], &["b"], &[(1, "b", 4, 9)], None);
        // Its content is there all the same, under another name.
        check(
            &left[1..2],
            &[("b", 4), ("c", 2)],
            &[],
            &[(1, "b", 2, 7), (1, "b", 4, 9)],
            Some(100),
        );
        // Streams have no names.
        check(&left[2..], &[("-", 4)], &[], &[(2, "-", 4, 9)], None);
    }
}
