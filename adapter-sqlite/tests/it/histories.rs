//! Random histories, messages included: the store tells and keeps the same as the world in memory.
//!
//! `COUNTERFOIL_CASES` sets how many histories are played.

use counterfoil_fixtures::{
    WorldEngine,
    random::{self, Watch},
};
use proptest::{collection::vec, prelude::*, sample::Index, test_runner::TestCaseError};

use crate::engine::SqliteEngine;

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
