//! Facts about repeats, kept in memory.
//!
//! A sender that hears nothing sends again, and a storm of repeats asks the same [`FactQuery`] over
//! and over. What was found for a repeat is kept, and good until something that it tells of
//! changes:
//!
//! ```text
//! decide -- facts(query): kept, and nothing in it changed since? --> no look-up
//!        -- keep(query, facts): found a first conversion -->  kept
//!        -- changed(decision): marks the root and the pairs that it touches
//! ```
//!
//! What changed is not searched for among what is kept: each root and pair has a mark in a table of
//! fixed size, when it was last touched; kept facts are good while all their marks
//! are older than they are. Marks that fall together only forget too early.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
};

use counterfoil_core::{Decision, Effect, FactQuery, Facts, Found, PairKey, Root, Stored};
use hashlink::LruCache;

/// Repeats whose facts are kept.
const KEPT: usize = 16 * 1024;
/// The longest parameters of a conversion that is kept, in bytes: an unusual one must not displace
/// the memory of thousands.
const PARAMS_LEN_MAX: usize = 1024;
/// The most transactions of a conversion that is kept.
const TRANSACTIONS_MAX: usize = 4;
/// A power of two.
const MARKS: usize = 64 * 1024;
/// Bytes of a [`PairKey`].
const PAIR_LEN: usize = 12;

/// Kept facts, and when what was last touched.
#[derive(Debug)]
pub(crate) struct Recent {
    kept: LruCache<FactQuery, Kept>,
    marks: Box<[u64]>,
    hashes: RandomState,
    /// Rises with each decision.
    now: u64,
}

#[derive(Debug)]
struct Kept {
    tenant: i64,
    facts: Arc<Facts>,
    /// Of the pair, the root, and the root of the first conversion.
    marks: [usize; 3],
    at: u64,
}

impl Recent {
    pub(crate) fn new() -> Self {
        Self {
            kept: LruCache::new(KEPT),
            marks: vec![0; MARKS].into_boxed_slice(),
            hashes: RandomState::new(),
            now: 1,
        }
    }

    /// Forgets everything: what was read was rolled back, or rows have changed otherwise than by
    /// decisions.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    /// The facts of a query that was answered before, where they still hold.
    pub(crate) fn facts(&mut self, tenant: i64, query: &FactQuery) -> Option<Arc<Facts>> {
        let kept = self.kept.get(query)?;
        let is_good =
            |mark: &usize| self.marks.get(*mark).is_some_and(|touched| *touched < kept.at);
        let holds = kept.tenant == tenant && kept.marks.iter().all(is_good);
        holds.then(|| Arc::clone(&kept.facts))
    }

    /// Keeps the facts of a repeat; of anything else it keeps nothing.
    pub(crate) fn keep(&mut self, tenant: i64, query: FactQuery, facts: &Arc<Facts>) {
        let asks_for_more =
            query.target.is_some() || query.transaction.is_some() || query.holder.is_some();
        let (Some(first), Some(root)) = (&facts.first, &facts.root) else {
            return;
        };
        if asks_for_more || !is_small(first) {
            return;
        }
        let marks = [
            self.mark(&pair_of(&query, root).map(|pair| *pair.as_bytes())),
            self.mark(&root.id),
            self.mark(&first.root.id),
        ];
        self.now += 1;
        let kept = Kept { tenant, facts: Arc::clone(facts), marks, at: self.now };
        self.kept.insert(query, kept);
    }

    /// Marks what a decision touches: all that it changes belongs to its conversion, whose root has
    /// one mark for everything under it.
    pub(crate) fn changed(&mut self, decision: &Decision) {
        if decision.effects.is_empty() {
            return;
        }
        let Some(conversion) = &decision.conversion else {
            return self.clear();
        };
        self.now += 1;
        self.touch(&conversion.root_id);
        for effect in &decision.effects {
            if let Effect::InsertConversion(stored) | Effect::UpdateConversion(stored) = effect {
                self.touch_pair(stored);
            }
        }
    }

    fn touch_pair(&mut self, stored: &Stored) {
        // Keys of other kinds begin with no pair, and touch nobody's mark.
        let of_key = stored.key.as_ref().and_then(|key| key.as_bytes().first_chunk());
        for pair in [of_key, stored.pair.as_ref().map(PairKey::as_bytes)].into_iter().flatten() {
            self.touch(&Some::<[u8; PAIR_LEN]>(*pair));
        }
    }

    fn touch(&mut self, what: &impl Hash) {
        let mark = self.mark(what);
        if let Some(touched) = self.marks.get_mut(mark) {
            *touched = self.now;
        }
    }

    fn mark(&self, what: &impl Hash) -> usize {
        let hash = self.hashes.hash_one(what);
        usize::try_from(hash & (MARKS as u64 - 1)).unwrap_or_default()
    }
}

/// The pair that a query asks about.
fn pair_of(query: &FactQuery, root: &Root) -> Option<PairKey> {
    let pair = query.pair.as_ref()?;
    let advertiser = pair.advertiser.as_ref().unwrap_or(&root.origin.advertiser);
    Some(PairKey::of(advertiser, &pair.external_id))
}

/// Whether what was found is worth its memory. What was told of it late changes without a decision.
fn is_small(found: &Found) -> bool {
    let params = &found.conversion.params;
    let len: usize = params.iter().map(|(name, value)| name.len() + value.len()).sum();
    len <= PARAMS_LEN_MAX
        && found.transactions.len() <= TRANSACTIONS_MAX
        && found.told.delayed.is_empty()
}
