//! Repeat keys (R20, R47): what makes two creates the same.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    conversion::{ConversionType, ExternalId, Root},
    ruleset::KeyKind,
    token::AdvertiserId,
};

/// A repeat key: a hash of its kind and values, unique within the tenant.
///
/// The first twelve bytes say what is repeated (for kind `external` they are the [`PairKey`], so
/// that all types of a pair stand side by side), the last four say of which kind and type. It is
/// narrow because it is the one key of the store that comes in random order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DedupKey([u8; 16]);

/// A hash of advertiser and external id.
///
/// The first four bytes are a hash of the external id without its last two characters: numbers
/// that advertisers give one after the other then stand side by side, and a store that takes many
/// in a row writes few pages. Ids in no order lose nothing by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PairKey([u8; 12]);

/// How many of the last bytes of an external id do not count for what stands beside it.
const STEM_TAIL_LEN: usize = 2;

impl PairKey {
    /// The key of a pair.
    pub fn of(advertiser: &AdvertiserId, external_id: &ExternalId) -> Self {
        let advertiser = advertiser.as_str().as_bytes();
        let id = external_id.as_str().as_bytes();
        let stem = id.get(..id.len().saturating_sub(STEM_TAIL_LEN)).unwrap_or_default();
        let near: [u8; 4] = hash(&[b"near", advertiser, stem]);
        let exact: [u8; 8] = hash(&[b"pair", advertiser, id]);
        let mut key = [0; 12];
        for (to, from) in key.iter_mut().zip(near.into_iter().chain(exact)) {
            *to = from;
        }
        Self(key)
    }

    /// The bytes, as a store keeps them.
    pub const fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }

    /// The repeat key of kind `external` of this pair and a type.
    pub fn with_type(&self, conversion_type: &ConversionType) -> DedupKey {
        DedupKey::joined(self.0, KeyKind::External, Some(conversion_type))
    }
}

impl DedupKey {
    /// Whether a conversion has a key under a kind (R47): kind `external` needs an external id,
    /// kinds with a type need the type, kind `none` has no keys.
    pub(crate) fn exists(
        kind: KeyKind,
        external_id: Option<&ExternalId>,
        conversion_type: Option<&ConversionType>,
    ) -> bool {
        match kind {
            KeyKind::External => external_id.is_some() && conversion_type.is_some(),
            KeyKind::ClickType => conversion_type.is_some(),
            KeyKind::Click | KeyKind::ClickExternal => true,
            KeyKind::None => false,
        }
    }

    /// The key that a conversion has under a kind (R47): none where the external id or the type
    /// that the kind needs is not there, and none of kind `none`.
    pub fn of(
        kind: KeyKind,
        root: &Root,
        external_id: Option<&ExternalId>,
        conversion_type: Option<&ConversionType>,
    ) -> Option<Self> {
        let under_root = |external_id: Option<&ExternalId>| {
            // "No external id" differs from every external id, which is never empty.
            let text = external_id.map_or("", ExternalId::as_str);
            hash(&[b"root", root.id.as_bytes(), text.as_bytes()])
        };
        match kind {
            KeyKind::External => {
                let pair = PairKey::of(&root.origin.advertiser, external_id?);
                Some(pair.with_type(conversion_type?))
            }
            KeyKind::Click => Some(Self::joined(under_root(None), kind, None)),
            KeyKind::ClickType => {
                Some(Self::joined(under_root(None), kind, Some(conversion_type?)))
            }
            KeyKind::ClickExternal => Some(Self::joined(under_root(external_id), kind, None)),
            KeyKind::None => None,
        }
    }

    /// The bytes, as a store keeps them.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn joined(what: [u8; 12], kind: KeyKind, conversion_type: Option<&ConversionType>) -> Self {
        let type_name = conversion_type.map_or("", ConversionType::name);
        let tail: [u8; 4] = hash(&[kind.name().as_bytes(), type_name.as_bytes()]);
        let mut key = [0; 16];
        let (head, rest) = key.split_at_mut(what.len());
        head.copy_from_slice(&what);
        rest.copy_from_slice(&tail);
        Self(key)
    }
}

/// What a conversion is found by from now on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holds {
    /// Its repeat key.
    pub(crate) key: Option<DedupKey>,
    /// The pair that it carries, where the key does not tell.
    pub(crate) pair: Option<PairKey>,
}

impl Holds {
    /// What a conversion of this type holds under a kind of key (R47).
    pub(crate) fn of(
        kind: KeyKind,
        root: &Root,
        external_id: Option<&ExternalId>,
        conversion_type: &ConversionType,
    ) -> Self {
        let key = DedupKey::of(kind, root, external_id, Some(conversion_type));
        let untold = external_id.filter(|_| kind != KeyKind::External);
        Self { key, pair: untold.map(|id| PairKey::of(&root.origin.advertiser, id)) }
    }
}

/// The first bytes of SHA-256 over the parts, each preceded by its length.
fn hash<const LEN: usize>(parts: &[&[u8]]) -> [u8; LEN] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part);
    }
    let mut key = [0; LEN];
    for (to, from) in key.iter_mut().zip(hasher.finalize()) {
        *to = from;
    }
    key
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeSet, format, vec::Vec};

    use super::*;
    use crate::{
        conversion::{Origin, Source},
        ids::RequestId,
        time::Timestamp,
        token::{AffiliateId, OfferId},
    };

    fn root() -> Root {
        let origin = Origin {
            source: Source::Api,
            offer: OfferId::new("shoply-cz").unwrap(),
            advertiser: AdvertiserId::new("shoply").unwrap(),
            affiliate: AffiliateId::new("bo").unwrap(),
            channel: None,
            integration: None,
            affs: Vec::new(),
            affiliate_click_id: None,
        };
        let id = RequestId::from_bytes([7; 16]).conversion_id();
        let created_at = Timestamp::from_ms(0);
        Root { id, conversion_type: ConversionType::Click, origin, created_at }
    }

    fn pair(id: &str) -> PairKey {
        let advertiser = AdvertiserId::new("shoply").unwrap();
        PairKey::of(&advertiser, &ExternalId::new(id).unwrap())
    }

    #[test]
    fn a_key_exists_where_there_is_one() {
        let (id, sale) = (ExternalId::new("o-1").unwrap(), ConversionType::Sale);
        let root = root();
        for kind in KeyKind::ALL {
            for (id, of_type) in
                [(None, None), (Some(&id), None), (None, Some(&sale)), (Some(&id), Some(&sale))]
            {
                let key = DedupKey::of(kind, &root, id, of_type);
                assert_eq!(DedupKey::exists(kind, id, of_type), key.is_some(), "{kind:?}");
            }
        }
    }

    #[test]
    fn numbers_in_a_row_stand_side_by_side_and_differ() {
        let keys: BTreeSet<PairKey> = (4200..4300).map(|n| pair(&format!("o-{n}"))).collect();
        assert_eq!(keys.len(), 100);
        let near: BTreeSet<&[u8]> = keys.iter().map(|key| &key.as_bytes()[..4]).collect();
        assert_eq!(near.len(), 1);
        assert_ne!(pair("o-4200").as_bytes()[..4], pair("o-4300").as_bytes()[..4]);
        assert_ne!(pair("1"), pair("2"));
    }
}
