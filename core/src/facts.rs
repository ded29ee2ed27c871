//! What a decision needs to know of what is stored: asked for as data ([`FactQuery`]), answered as
//! data ([`Facts`]). A store fetches exactly what the query names, inside the transaction that
//! applies the decision.

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};

use crate::{
    conversion::{Conversion, ConversionType, ExternalId, Root},
    dedup::DedupKey,
    ids::{ConversionId, MessageId, TransactionId},
    ruleset::KeyKind,
    token::{AdvertiserId, CommissionId, TrackingApiId},
    transaction::Transaction,
};

/// Which rows matter to one decision. Everything asked for is bounded: no answer grows with the
/// number of conversions under a root.
///
/// How a store answers, in this order:
///
/// 1. *The root.* With `pcid`: that conversion's root ([`Facts::named`], [`Facts::root`]). Without
///    it and with `pair`: the oldest root under which a conversion carries the pair
///    ([`Facts::pair_root`], and [`Facts::root`] is that root). Nothing found: leave both empty and
///    stop.
/// 2. *The pair*, under the advertiser given, or else the root's: [`Facts::pair_root`], and for
///    updates [`Facts::newest_of_pair`].
/// 3. *The key*, computed by [`KeyQuery::key`] from the root: [`Facts::first`].
/// 4. *The target* of an update: [`Facts::newest_under_root`], [`Facts::root_row`].
/// 5. *Counters* under the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FactQuery {
    /// The conversion to pair with (R15).
    pub pcid: Option<ConversionId>,
    /// The advertiser's id to pair with, or to compare with (R16 to R18).
    pub pair: Option<PairQuery>,
    /// The repeat key to look up (R20, R47): of a create, to find the first; of an update that
    /// brings an external id, to see whether it is free (R22).
    pub key: Option<KeyQuery>,
    /// A repeat key that is known without a stored root: that of a root to be made (R51). Answered
    /// by [`Facts::first`], whether or not there is a root.
    pub holder: Option<DedupKey>,
    /// For an update: the conversions that it may be about (R21).
    pub target: Option<TargetQuery>,
    /// Commissions whose transactions must be counted (R27): under the root, and under the root of
    /// each conversion that is found.
    pub counters: Vec<CommissionId>,
    /// The transaction that an auto-set or an edit is about; answered by [`Facts::transaction`] and
    /// [`Facts::of_transaction`].
    pub transaction: Option<TransactionId>,
}

/// A pair of advertiser and external id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PairQuery {
    /// The advertiser given; absent: the root's.
    pub advertiser: Option<AdvertiserId>,
    /// The advertiser's id.
    pub external_id: ExternalId,
    /// Look for [`Facts::newest_of_pair`] under the root only: under keys other than `external` an
    /// external id beside a pcid never pairs (R18).
    pub under_root: bool,
}

/// A repeat key whose root is known only to the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyQuery {
    /// Which kind of key.
    pub kind: KeyKind,
    /// The external id of the request.
    pub external_id: Option<ExternalId>,
    /// The type of the request, where it names one.
    pub conversion_type: Option<ConversionType>,
}

impl KeyQuery {
    /// The key under a root, where the kind has one for this request.
    pub fn key(&self, root: &Root) -> Option<DedupKey> {
        DedupKey::of(self.kind, root, self.external_id.as_ref(), self.conversion_type.as_ref())
    }
}

/// The rows among which an update finds its target (R21).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetQuery {
    /// Only conversions of this type; absent: of any.
    pub conversion_type: Option<ConversionType>,
}

/// A conversion with its root and all its transactions, oldest first. Decisions that change neither
/// root nor conversion share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The conversion's root. Mostly, but not always, the root that the request pairs with.
    pub root: Arc<Root>,
    /// The conversion.
    pub conversion: Arc<Conversion>,
    /// Its transactions, by id.
    pub transactions: Vec<Transaction>,
    /// Transactions that each asked commission has made under its root.
    pub counters: BTreeMap<CommissionId, u32>,
    /// What was told of it before.
    pub told: Told,
}

/// What was told of a conversion before: what the next messages depend on (R43, R44).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The last number that each tracking API gave, where it gave one.
    pub sequences: BTreeMap<TrackingApiId, u32>,
    /// The newest message of each delayed tracking API about each transaction. What its own state
    /// and its request tell: due and not rendered, held, or anything else.
    pub delayed: BTreeMap<(TrackingApiId, TransactionId), Delayed>,
}

/// Where the newest delayed message about a transaction stands (R43).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delayed {
    /// Its time has not come.
    Scheduled(MessageId),
    /// Its time has come, and the result was still pending.
    Held(MessageId),
    /// It was rendered, or its conditions held no more when it was due.
    Ended,
}

impl Told {
    /// The last number of a tracking API; 0 where it gave none.
    pub fn sequence(&self, id: &TrackingApiId) -> u32 {
        self.sequences.get(id).copied().unwrap_or(0)
    }

    /// The newest delayed message of a tracking API about a transaction.
    pub fn delayed(&self, id: &TrackingApiId, transaction: TransactionId) -> Option<Delayed> {
        self.delayed.get(&(id.clone(), transaction)).copied()
    }

    /// All of them.
    pub(crate) fn all_delayed(
        &self,
    ) -> impl Iterator<Item = (&(TrackingApiId, TransactionId), &Delayed)> {
        self.delayed.iter()
    }
}

/// The answer to a [`FactQuery`]. What was not asked for, or does not exist, is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The root that the request pairs with.
    pub root: Option<Arc<Root>>,
    /// The oldest root under which a conversion carries the pair (R16).
    pub pair_root: Option<ConversionId>,
    /// The conversion that the pcid names, where a `target` was asked for and it is no root.
    pub named: Option<Box<Found>>,
    /// The conversion that holds the repeat key.
    pub first: Option<Box<Found>>,
    /// The newest conversion that carries the pair (of the type, where one was asked for).
    pub newest_of_pair: Option<Box<Found>>,
    /// The newest conversion under the root (of the type, where one was asked for), the root
    /// itself excluded.
    pub newest_under_root: Option<Box<Found>>,
    /// The root as a conversion, where a `target` was asked for.
    pub root_row: Option<Box<Found>>,
    /// Transactions that each asked commission has made under [`Facts::root`].
    pub counters: BTreeMap<CommissionId, u32>,
    /// The transaction that was asked for, where it exists.
    pub transaction: Option<TransactionId>,
    /// The conversion of that transaction.
    pub of_transaction: Option<Box<Found>>,
}
