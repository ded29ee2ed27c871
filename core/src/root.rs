//! Making a root (R51): an affiliate link's click, or what is handed in over the API.

use alloc::{boxed::Box, vec::Vec};

use crate::{
    conversion::{ConversionType, ExternalId, Method, Params, Source},
    money::Amount,
    token::{AffiliateId, Channel, Integration, OfferId},
};

/// A root to be made, read and typed. Offer and affiliate exist in the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootRequest {
    /// How it came in: `link` or `api`.
    pub method: Method,
    /// Its type.
    pub conversion_type: ConversionType,
    /// How the visitor came.
    pub source: Source,
    /// The offer.
    pub offer: OfferId,
    /// The affiliate.
    pub affiliate: AffiliateId,
    /// The channel.
    pub channel: Option<Channel>,
    /// The integration.
    pub integration: Option<Integration>,
    /// The affiliate's sub ids, by number (1 to 10).
    pub affs: Vec<(u8, Box<str>)>,
    /// The affiliate's own id of the click.
    pub affiliate_click_id: Option<Box<str>>,
    /// The advertiser's id of a lead.
    pub external_id: Option<ExternalId>,
    /// The value.
    pub value: Option<Amount>,
    /// Everything else.
    pub params: Params,
}
