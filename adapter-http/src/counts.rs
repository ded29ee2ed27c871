//! Counts within the current second, by whom they are about.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// Who are told apart within one second; beyond it all others share a count.
const HOLDERS_MAX: usize = 16 * 1024;

/// How often each has done something within the current second.
pub(crate) struct PerSecond<K> {
    max: u32,
    start: Instant,
    window: Mutex<Window<K>>,
}

struct Window<K> {
    second: u64,
    by_holder: HashMap<K, u32>,
    others: u32,
}

impl<K: Eq + Hash> PerSecond<K> {
    /// So many are allowed in a second.
    pub(crate) fn new(max: u32) -> Self {
        Self { max, start: Instant::now(), window: Mutex::new(Window::of_second(0)) }
    }

    /// Whether nothing is left of this second.
    pub(crate) fn is_used_up(&self, holder: K) -> bool {
        self.within(self.second(), |window| *window.of(holder) >= self.max)
    }

    /// Counts one.
    pub(crate) fn count(&self, holder: K) {
        self.within(self.second(), |window| window.add(holder));
    }

    /// Counts one where something is left of this second, and says whether there was.
    pub(crate) fn take(&self, holder: K) -> bool {
        self.within(self.second(), |window| window.add(holder) <= self.max)
    }

    fn second(&self) -> u64 {
        self.start.elapsed().as_secs()
    }

    fn within<T>(&self, second: u64, look: impl FnOnce(&mut Window<K>) -> T) -> T {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.second != second {
            *window = Window::of_second(second);
        }
        look(&mut window)
    }
}

impl<K: Eq + Hash> Window<K> {
    fn of_second(second: u64) -> Self {
        Self { second, by_holder: HashMap::new(), others: 0 }
    }

    fn of(&mut self, holder: K) -> &mut u32 {
        let is_full = self.by_holder.len() >= HOLDERS_MAX;
        if is_full && !self.by_holder.contains_key(&holder) {
            return &mut self.others;
        }
        self.by_holder.entry(holder).or_insert(0)
    }

    fn add(&mut self, holder: K) -> u32 {
        let count = self.of(holder);
        *count = count.saturating_add(1);
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_alone_and_forgotten_with_the_second() {
        let counts = PerSecond::new(2);
        let taken = |second, holder| counts.within(second, |window| window.add(holder) <= 2);
        assert!(taken(7, "one"));
        assert!(taken(7, "one"));
        assert!(!taken(7, "one"));
        assert!(taken(7, "other"));
        assert!(taken(8, "one"));
    }

    #[test]
    fn those_that_are_remembered_are_bounded() {
        let mut window = Window::of_second(0);
        for n in 0..(HOLDERS_MAX + 100) {
            window.add(n);
        }
        assert_eq!(window.by_holder.len(), HOLDERS_MAX);
        assert_eq!(window.others, 100);
    }
}
