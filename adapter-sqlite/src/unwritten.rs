//! What decisions of a batch added whose rows are not written yet.
//!
//! Rows are cheaper when those of many requests are written together, but a request must see what
//! those before it did. So this knows what the unwritten rows are found by, and of a query whether
//! they could matter to it: rather once too often than once too little.

use std::hash::{BuildHasher, RandomState};

use counterfoil_core::{
    Conversion, ConversionId, Decision, Effect, ExternalId, FactQuery, KeyKind,
};

/// What unwritten rows are found by.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    /// The conversions, each with a hash of its external id.
    conversions: Vec<(ConversionId, Option<u64>)>,
    /// Whether transactions were counted (R27).
    has_counts: bool,
    hashes: RandomState,
}

impl Unwritten {
    /// Takes a decision whose rows can wait: a new conversion and what belongs to it, or nothing.
    /// Whatever changes rows that stand there cannot.
    pub(crate) fn takes(&mut self, decision: &Decision) -> bool {
        let mut conversion = None;
        let mut counts = false;
        for effect in &decision.effects {
            match effect {
                Effect::InsertConversion(stored) => conversion = Some(&*stored.conversion),
                Effect::InsertTransaction(_) | Effect::InsertMessage(_) => {}
                Effect::Count(_) => counts = true,
                Effect::UpdateConversion(_)
                | Effect::UpdateTransaction(_)
                | Effect::WakeMessage(_) => return false,
            }
        }
        let Some(conversion) = conversion else {
            return decision.effects.is_empty();
        };
        self.has_counts |= counts;
        self.add(conversion);
        true
    }

    fn add(&mut self, conversion: &Conversion) {
        let external_id = conversion.external_id.as_ref().map(|id| self.hash(id));
        self.conversions.push((conversion.id, external_id));
    }

    /// Whether the facts of a query could tell of it. They do not where the query asks for what has
    /// another id and another external id, and nothing but these finds it.
    pub(crate) fn matters_to(&self, query: &FactQuery) -> bool {
        if self.conversions.is_empty() {
            return false;
        }
        let FactQuery { pcid, pair, key, holder, target, counters, transaction } = query;
        let is_found_otherwise = holder.is_some()
            || target.is_some()
            || transaction.is_some()
            || key.as_ref().is_some_and(|key| key.kind != KeyKind::External);
        if is_found_otherwise || (self.has_counts && !counters.is_empty()) {
            return true;
        }
        let of_pair = pair.as_ref().map(|pair| self.hash(&pair.external_id));
        let of_key = key.as_ref().and_then(|key| key.external_id.as_ref());
        let of_key = of_key.map(|external_id| self.hash(external_id));
        self.conversions.iter().any(|(id, external_id)| {
            Some(*id) == *pcid
                || external_id.is_some() && (*external_id == of_pair || *external_id == of_key)
        })
    }

    /// All is written.
    pub(crate) fn clear(&mut self) {
        self.conversions.clear();
        self.has_counts = false;
    }

    fn hash(&self, external_id: &ExternalId) -> u64 {
        self.hashes.hash_one(external_id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use counterfoil_core::{KeyQuery, PairQuery, RequestId, TargetQuery, TransactionId};

    use super::*;
    use crate::sample;

    const MADE_BY: RequestId = RequestId::from_bytes([1; 16]);

    fn of_order(order: &str) -> FactQuery {
        let external_id = ExternalId::new(order).unwrap();
        let pair = PairQuery { advertiser: None, external_id, under_root: false };
        let pcid = Some(RequestId::from_bytes([2; 16]).conversion_id());
        FactQuery { pcid, pair: Some(pair), ..of_key(KeyKind::External, Some(order)) }
    }

    fn of_key(kind: KeyKind, order: Option<&str>) -> FactQuery {
        let external_id = order.map(|order| ExternalId::new(order).unwrap());
        let key = Some(KeyQuery { kind, external_id, conversion_type: None });
        FactQuery { key, ..FactQuery::default() }
    }

    #[test]
    fn what_could_find_a_row_is_told() {
        let (ruleset, request, decision) = sample::click(MADE_BY, "A");
        let holder = request.query(&ruleset).holder;
        let mut unwritten = Unwritten::default();
        assert!(!unwritten.matters_to(&of_order("A")));
        assert!(unwritten.takes(&decision));

        let default = FactQuery::default;
        let made = Some(MADE_BY.conversion_id());
        let target = Some(TargetQuery { conversion_type: None });
        let transaction = Some(TransactionId::from_bytes([3; 16]));
        assert!(holder.is_some());
        for (query, matters) in [
            (of_order("A"), true),
            (of_order("B"), false),
            (of_key(KeyKind::External, Some("A")), true),
            (of_key(KeyKind::External, None), false),
            (of_key(KeyKind::Click, None), true),
            (of_key(KeyKind::ClickExternal, Some("B")), true),
            (FactQuery { pcid: made, ..default() }, true),
            (FactQuery { target, ..of_order("B") }, true),
            (FactQuery { transaction, ..default() }, true),
            (FactQuery { holder, ..default() }, true),
        ] {
            assert_eq!(unwritten.matters_to(&query), matters, "{query:?}");
        }
        unwritten.clear();
        assert!(!unwritten.matters_to(&of_order("A")));
    }
}
