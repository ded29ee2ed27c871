//! Random histories, messages included: the store tells and keeps the same as the world in memory.
//!
//! `COUNTERFOIL_CASES` sets how many histories are played.

use counterfoil_core::{
    Timestamp,
    view::{Filter, Subject},
};
use counterfoil_fixtures::{
    WorldEngine,
    random::{self, Watch},
};
use proptest::{collection::vec, prelude::*, sample::Index, test_runner::TestCaseError};

use crate::{common::acme, engine::SqliteEngine};

fn config(cases: u32) -> ProptestConfig {
    let given = std::env::var("COUNTERFOIL_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: given.unwrap_or(cases),
        max_shrink_iters: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn agree(rules: u64, seeds: &[u64], reopens: bool) -> Result<(), TestCaseError> {
    let rules = random::rules(rules);
    let fail = |error| TestCaseError::fail(format!("{error}\n{rules}"));
    let mut world = WorldEngine::new();
    let expected = random::on_engine(&mut world, &rules, seeds, &mut Watch::new()).map_err(fail)?;
    let mut engine = SqliteEngine::new(reopens);
    let seen = random::on_engine(&mut engine, &rules, seeds, &mut Watch::new()).map_err(fail)?;
    let story = || random::history(seeds);
    for (number, (expected, seen)) in expected.lines.iter().zip(&seen.lines).enumerate() {
        prop_assert_eq!(expected, seen, "step {} of {:#?}\n{}", number, story(), rules);
    }
    prop_assert_eq!(&expected.rows, &seen.rows, "{:#?}\n{}", story(), rules);
    let both = [expected.deliveries, seen.deliveries].map(Option::unwrap_or_default);
    for (expected, seen) in both[0].iter().zip(&both[1]) {
        prop_assert_eq!(expected, seen, "{:#?}\n{}", story(), rules);
    }
    prop_assert_eq!(both[0].len(), both[1].len());
    let store = engine.store().map_err(fail)?;
    let replayed = store.reader().replay().unwrap();
    prop_assert_eq!(replayed.differences, [], "{:#?}\n{}", story(), rules);
    Ok(())
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn store_and_world_tell_the_same(rules in any::<u64>(), seeds in vec(any::<u64>(), 1..80)) {
        agree(rules, &seeds, false)?;
    }
}

proptest! {
    #![proptest_config(config(6))]

    #[test]
    fn so_does_a_store_that_is_opened_again_at_every_step(
        rules in any::<u64>(),
        seeds in vec(any::<u64>(), 1..50),
    ) {
        agree(rules, &seeds, true)?;
    }
}

proptest! {
    #![proptest_config(config(60))]

    /// A few steps again and again, in any order: repeats after whatever changes what they repeat.
    #[test]
    fn so_does_a_store_that_hears_the_same_again_and_again(
        rules in any::<u64>(),
        steps in vec(any::<u64>(), 2..10),
        order in vec(any::<Index>(), 1..120),
    ) {
        let seeds: Vec<u64> = order.iter().map(|index| *index.get(&steps)).collect();
        agree(rules, &seeds, false)?;
    }
}

/// What is left of a history after a part of it was pruned and a visitor was erased replays without
/// a difference; tells how many requests were checked and how many were not.
fn cut(rules: u64, seeds: &[u64], at: usize, erased: usize) -> Result<(u64, u64), TestCaseError> {
    let rules = random::rules(rules);
    let fail = |error| TestCaseError::fail(format!("{error}\n{rules}"));
    let mut engine = SqliteEngine::new(false);
    random::on_engine(&mut engine, &rules, seeds, &mut Watch::new()).map_err(fail)?;
    let store = engine.store().map_err(fail)?;
    let filter = Filter { limit: Some(Filter::LIMIT_MAX), ..Filter::default() };
    let log = store.reader().requests(&acme(), &filter).unwrap().items;
    let conversions = store.reader().conversions(&acme(), &filter).unwrap().items;
    let far = Timestamp::from_ms(i64::from(u32::MAX) * 1000);
    if let Some(one) = conversions.get(erased % (conversions.len() + 1)) {
        store.erase(&acme(), &Subject::Pcid(one.id), far).unwrap();
    }
    if let Some(row) = log.get(at % (log.len() + 1)) {
        store.prune(row.received_at, far).unwrap();
    }
    let replayed = store.reader().replay().unwrap();
    let story = || random::history(seeds);
    prop_assert_eq!(replayed.differences, [], "{:#?}\n{}", story(), rules);
    prop_assert_eq!(store.reader().verify_audit(None).unwrap().broken, None);
    Ok((replayed.requests, replayed.not_checked))
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn what_is_left_of_a_cut_history_replays(
        rules in any::<u64>(),
        seeds in vec(any::<u64>(), 20..120),
        at in any::<usize>(),
        erased in any::<usize>(),
    ) {
        cut(rules, &seeds, at, erased)?;
    }
}

/// Leaving everything out would show nothing.
#[test]
fn of_cut_histories_much_is_checked() {
    let (mut checked, mut left_out) = (0, 0);
    for number in 0..20_u64 {
        let seeds: Vec<u64> = (0..100).map(|step| number * 1_000 + step).collect();
        let (requests, not_checked) = cut(number, &seeds, 40, 3).unwrap();
        checked += requests;
        left_out += not_checked;
    }
    assert!(checked > 100 && left_out > 100, "{checked} {left_out}");
}
