//! Which refusals of strangers the log keeps: a flood of junk must not fill the disk (R49).
//!
//! Whoever knows a tenant's name can send what is refused before anything stored is looked at, and
//! proves nothing by it. Each address may have a few such rows at once and then some in every
//! second, and so may all addresses together. What goes beyond is answered as ever and counted, and
//! leaves no row: a sender that means well has long found in the log what is wrong with its
//! requests. Those who have proved who they are spend nothing of it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use crate::{config::RefusalRows, listener::counted_address};

/// Addresses that are told apart; beyond it all others share a budget.
const ADDRESSES_MAX: usize = 16 * 1024;

/// What one row costs.
const ROW: u64 = 1000;
/// How often addresses are forgotten that have all of theirs again.
const SWEEP_MS: u64 = 1000;

/// Says which refusals may have a row.
pub(crate) struct RowBudget {
    address: Rate,
    all: Rate,
    start: Instant,
    left: Mutex<Left>,
}

/// Rows at once, and rows in every second.
#[derive(Clone, Copy)]
struct Rate {
    at_once: u32,
    per_second: u32,
}

struct Left {
    all: Bucket,
    by_address: HashMap<IpAddr, Bucket>,
    /// Those that found no place among the others.
    rest: Bucket,
    swept_at_ms: u64,
}

/// Thousandths of rows that were left at a moment.
#[derive(Clone, Copy)]
struct Bucket {
    left: u64,
    at_ms: u64,
}

impl RowBudget {
    pub(crate) fn new(rows: RefusalRows) -> Self {
        let RefusalRows { per_address_at_once, per_address_per_second, at_once, per_second } = rows;
        let address = Rate { at_once: per_address_at_once, per_second: per_address_per_second };
        let all = Rate { at_once, per_second };
        let left = Left {
            all: Bucket::full(all, 0),
            by_address: HashMap::new(),
            rest: Bucket::full(address, 0),
            swept_at_ms: 0,
        };
        Self { address, all, start: Instant::now(), left: Mutex::new(left) }
    }

    /// Takes a row for a refusal of this address, where there is one left.
    pub(crate) fn take(&self, peer: IpAddr) -> bool {
        let ms = self.start.elapsed().as_millis();
        self.take_at(peer, u64::try_from(ms).unwrap_or(u64::MAX))
    }

    fn take_at(&self, peer: IpAddr, now_ms: u64) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.of(counted_address(peer), self.address, now_ms).take(self.address, now_ms)
            && left.all.take(self.all, now_ms)
    }
}

impl Left {
    fn of(&mut self, holder: IpAddr, rate: Rate, now_ms: u64) -> &mut Bucket {
        let is_full = self.by_address.len() >= ADDRESSES_MAX;
        if is_full && now_ms >= self.swept_at_ms.saturating_add(SWEEP_MS) {
            self.swept_at_ms = now_ms;
            self.by_address.retain(|_, bucket| bucket.left_at(rate, now_ms) < rate.burst());
        }
        if self.by_address.len() >= ADDRESSES_MAX && !self.by_address.contains_key(&holder) {
            return &mut self.rest;
        }
        self.by_address.entry(holder).or_insert_with(|| Bucket::full(rate, now_ms))
    }
}

impl Rate {
    fn burst(self) -> u64 {
        u64::from(self.at_once).saturating_mul(ROW)
    }
}

impl Bucket {
    fn full(rate: Rate, at_ms: u64) -> Self {
        Self { left: rate.burst(), at_ms }
    }

    /// A row in a second is a thousandth of it in a millisecond.
    fn left_at(&self, rate: Rate, now_ms: u64) -> u64 {
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        let gained = passed_ms.saturating_mul(u64::from(rate.per_second));
        self.left.saturating_add(gained).min(rate.burst())
    }

    fn take(&mut self, rate: Rate, now_ms: u64) -> bool {
        let left = self.left_at(rate, now_ms);
        let after = left.checked_sub(ROW);
        *self = Self { left: after.unwrap_or(left), at_ms: now_ms };
        after.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: RefusalRows = RefusalRows {
        per_address_at_once: 3,
        per_address_per_second: 2,
        at_once: 10,
        per_second: 5,
    };

    fn kept(budget: &RowBudget, peers: impl Iterator<Item = u32>, now_ms: u64) -> usize {
        peers.filter(|n| budget.take_at(IpAddr::V4((*n).into()), now_ms)).count()
    }

    #[test]
    fn an_address_has_some_rows_at_once_and_some_in_every_second() {
        let budget = RowBudget::new(ROWS);
        let one = |now_ms| kept(&budget, std::iter::repeat_n(1, 100), now_ms);
        assert_eq!([one(0), one(499), one(500), one(1_000), one(60_000)], [3, 0, 1, 1, 3]);
    }

    #[test]
    fn all_addresses_together_have_no_more_than_their_share() {
        let budget = RowBudget::new(ROWS);
        let all = |now_ms| kept(&budget, 0..1000, now_ms);
        assert_eq!([all(0), all(0), all(1_000), all(3_000)], [10, 0, 5, 10]);
    }

    #[test]
    fn addresses_that_are_told_apart_are_bounded_and_forgotten() {
        let budget = RowBudget::new(RefusalRows { at_once: u32::MAX, ..ROWS });
        let flood = ADDRESSES_MAX as u32 + 100;
        // The rest shares the budget of one address.
        assert_eq!(kept(&budget, 0..flood, 0), ADDRESSES_MAX + 3);
        assert_eq!(budget.left.lock().unwrap().by_address.len(), ADDRESSES_MAX);
        assert_eq!(kept(&budget, flood..flood + 100, 5_000), 100);
        assert_eq!(budget.left.lock().unwrap().by_address.len(), 100);
    }
}
