//! Counters that every request asks for: found by a number, and not by hashing their labels.

use std::{hash::Hash, sync::OnceLock};

use prometheus_client::metrics::{counter::Counter, family::Family};

/// A family of counters whose labels have numbers of their own.
pub(super) struct Placed<L> {
    family: Family<L, Counter>,
    /// Those that were counted already, by the number of their labels.
    counters: Box<[OnceLock<Counter>]>,
}

impl<L: Clone + Eq + Hash> Placed<L> {
    /// Numbers are below `places`; labels of others are found as well, if slower.
    pub(super) fn new(places: usize) -> Self {
        let counters = (0..places).map(|_| OnceLock::new()).collect();
        Self { family: Family::default(), counters }
    }

    /// What a registry tells of them.
    pub(super) fn family(&self) -> Family<L, Counter> {
        self.family.clone()
    }

    /// One more of these labels, which stand at this place and no others do.
    pub(super) fn count(&self, place: usize, labels: &L) {
        let find = || self.family.get_or_create_owned(labels);
        match self.counters.get(place) {
            Some(counter) => counter.get_or_init(find).inc(),
            None => find().inc(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_counts_for_its_labels_and_none_is_lost_beyond_the_last() {
        let placed = Placed::new(2);
        for (place, label, times) in [(0, "a", 2), (1, "b", 1), (2, "c", 3)] {
            (0..times).for_each(|_| placed.count(place, &[("label", label)]));
        }
        let counted = |label| placed.family().get_or_create(&[("label", label)]).get();
        assert_eq!(["a", "b", "c"].map(counted), [2, 1, 3]);
    }
}
