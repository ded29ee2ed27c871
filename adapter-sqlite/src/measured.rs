//! What the writer measures: counts in fixed buckets, read by anyone at any time.

use std::sync::atomic::{AtomicU64, Ordering};

/// Values by size, since the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Upper bounds, rising, and how many values were above the bound before and up to this one.
    /// The last bound is `u64::MAX`.
    pub buckets: Vec<(u64, u64)>,
    /// The sum of all values.
    pub sum: u64,
}

/// A distribution while it grows.
#[derive(Debug)]
pub(crate) struct Measured {
    buckets: Vec<(u64, AtomicU64)>,
    sum: AtomicU64,
}

impl Measured {
    /// Nothing yet, with some upper bounds; what is above them counts too.
    pub(crate) fn new(bounds: &[u64]) -> Self {
        let bounds = bounds.iter().copied().chain([u64::MAX]);
        let buckets = bounds.map(|bound| (bound, AtomicU64::new(0))).collect();
        Self { buckets, sum: AtomicU64::new(0) }
    }

    pub(crate) fn add(&self, value: u64) {
        if let Some((_, count)) = self.buckets.iter().find(|(bound, _)| value <= *bound) {
            count.fetch_add(1, Ordering::Relaxed);
            self.sum.fetch_add(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Distribution {
        let count = |(bound, count): &(u64, AtomicU64)| (*bound, count.load(Ordering::Relaxed));
        Distribution {
            buckets: self.buckets.iter().map(count).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_up_to_its_bound() {
        let measured = Measured::new(&[1, 10]);
        for value in [0, 1, 2, 10, 11, 500] {
            measured.add(value);
        }
        let expected = Distribution { buckets: vec![(1, 2), (10, 2), (u64::MAX, 2)], sum: 524 };
        assert_eq!(measured.read(), expected);
    }
}
