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

/// The most that kept facts may weigh together, in bytes.
const WEIGHT_MAX: usize = 32 * 1024 * 1024;
/// The most that those of one repeat may weigh: an unusual one must not displace many.
const WEIGHT_OF_ONE_MAX: usize = 16 * 1024;
/// What the facts of a repeat weigh by themselves at most, as measured with an allocator's
/// rounding: two roots, where they are not one, the conversion, one transaction, the query, the
/// entry.
const PLAIN: usize = 2_800;
/// What one more value of its own on the heap weighs beside its bytes.
const PIECE: usize = 96;
/// What one more transaction weighs.
const TRANSACTION: usize = 400;
/// A power of two.
const MARKS: usize = 64 * 1024;
/// Bytes of a [`PairKey`].
const PAIR_LEN: usize = 12;

/// Kept facts, and when what was last touched.
#[derive(Debug)]
pub(crate) struct Recent {
    kept: LruCache<FactQuery, Kept>,
    /// What they weigh together.
    weight: usize,
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
    weight: usize,
}

impl Recent {
    pub(crate) fn new() -> Self {
        Self {
            kept: LruCache::new_unbounded(),
            weight: 0,
            marks: vec![0; MARKS].into_boxed_slice(),
            hashes: RandomState::new(),
            now: 1,
        }
    }

    /// Forgets everything: what was read was rolled back, or rows have changed otherwise than by
    /// decisions.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
        self.weight = 0;
    }

    /// The facts of a query that was answered before, where they still hold.
    pub(crate) fn facts(&mut self, tenant: i64, query: &FactQuery) -> Option<Arc<Facts>> {
        let kept = self.kept.get(query)?;
        let is_good =
            |mark: &usize| self.marks.get(*mark).is_some_and(|touched| *touched < kept.at);
        let holds = kept.tenant == tenant && kept.marks.iter().all(is_good);
        holds.then(|| Arc::clone(&kept.facts))
    }

    /// Keeps the facts of a repeat; of anything else it keeps nothing. What was told of it late
    /// changes without a decision, so where there is such a thing nothing is kept either.
    pub(crate) fn keep(&mut self, tenant: i64, query: FactQuery, facts: &Arc<Facts>) {
        let asks_for_more =
            query.target.is_some() || query.transaction.is_some() || query.holder.is_some();
        let (Some(first), Some(root)) = (&facts.first, &facts.root) else {
            return;
        };
        let weight = weight(&query, first);
        if asks_for_more || !first.told.delayed.is_empty() || weight > WEIGHT_OF_ONE_MAX {
            return;
        }
        let marks = [
            self.mark(&pair_of(&query, root).map(|pair| *pair.as_bytes())),
            self.mark(&root.id),
            self.mark(&first.root.id),
        ];
        self.now += 1;
        let kept = Kept { tenant, facts: Arc::clone(facts), marks, at: self.now, weight };
        self.weight += weight;
        let replaced = self.kept.insert(query, kept);
        self.weight -= replaced.map_or(0, |replaced| replaced.weight);
        while self.weight > WEIGHT_MAX
            && let Some((_, oldest)) = self.kept.remove_lru()
        {
            self.weight -= oldest.weight;
        }
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

/// About how many bytes kept facts take.
fn weight(query: &FactQuery, found: &Found) -> usize {
    let conversion = &found.conversion;
    let params = conversion.params.iter().map(|(name, value)| name.len() + value.len() + PIECE);
    let origin = &found.root.origin;
    let affs = origin.affs.iter().map(|(_, aff)| aff.len() + PIECE);
    let click_id = origin.affiliate_click_id.iter().map(|id| id.len());
    // There may be two of them: what was paired with, and the root of what was found.
    let roots = 2 * (affs.sum::<usize>() + click_id.sum::<usize>());
    let counters = query.counters.len() + found.counters.len() + conversion.exhausted.len();
    PLAIN
        + params.sum::<usize>()
        + roots
        + found.transactions.len() * TRANSACTION
        + (counters + conversion.rates.len()) * PIECE
}

#[cfg(test)]
mod tests {
    use counterfoil_core::{ExternalId, KeyKind, KeyQuery, Params, RequestId, Told};

    use super::*;
    use crate::sample;

    /// The facts of a repeat of a click that was made with these affs.
    fn found(number: u8, params: usize) -> (FactQuery, Arc<Facts>) {
        let mut id = [0; 16];
        id[5] = number;
        let (_, _, decision) = sample::click(RequestId::from_bytes(id), "A");
        let mut conversion = Arc::unwrap_or_clone(decision.conversion.unwrap());
        let param = |n| (format!("p{n}").into_boxed_str(), "x".repeat(100).into_boxed_str());
        conversion.params = (0..params).map(param).collect::<Params>();
        let root = Arc::new(conversion.as_root().unwrap());
        let query = FactQuery { pcid: Some(conversion.id), ..FactQuery::default() };
        let first = Found {
            root: root.clone(),
            conversion: Arc::new(conversion),
            transactions: Vec::new(),
            counters: std::collections::BTreeMap::new(),
            told: Told::default(),
        };
        let facts = Facts { root: Some(root), first: Some(first.into()), ..Facts::default() };
        (query, Arc::new(facts))
    }

    #[test]
    fn what_is_kept_has_a_bound_in_bytes() {
        let mut recent = Recent::new();
        let (query, facts) = found(1, 50);
        let each = weight(&query, facts.first.as_ref().unwrap());
        assert!((12_000..WEIGHT_OF_ONE_MAX).contains(&each), "{each}");
        let room = WEIGHT_MAX / each;
        for n in 0..room + 10 {
            let external_id = ExternalId::new(&format!("order-{n}")).ok();
            let key = KeyQuery { kind: KeyKind::External, external_id, conversion_type: None };
            recent.keep(1, FactQuery { key: Some(key), ..query.clone() }, &facts);
        }
        assert!(recent.weight <= WEIGHT_MAX);
        assert!((room - 10..=room).contains(&recent.kept.len()), "{}", recent.kept.len());
        recent.clear();
        assert_eq!((recent.weight, recent.kept.len()), (0, 0));
    }

    #[test]
    fn what_is_heavy_is_not_kept_and_the_same_again_weighs_once() {
        let mut recent = Recent::new();
        let (query, facts) = found(1, 100);
        recent.keep(1, query, &facts);
        assert_eq!(recent.kept.len(), 0);
        let (query, facts) = found(2, 1);
        recent.keep(1, query.clone(), &facts);
        let once = recent.weight;
        recent.keep(1, query.clone(), &facts);
        assert_eq!((recent.weight, recent.kept.len()), (once, 1));
        assert!(recent.facts(1, &query).is_some());
        assert!(recent.facts(2, &query).is_none());
    }
}
