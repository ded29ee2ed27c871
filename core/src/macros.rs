//! The macros of outbound requests (R40): one table of names, what each stands for, and whose
//! tracking APIs may use it.

use alloc::{borrow::Cow, string::String, string::ToString};

use crate::{
    conversion::{Conversion, RAW_RESULT_PARAM, Root},
    currency::Currency,
    decision::Event,
    ids::{MessageId, TransactionId},
    money::Amount,
    transaction::Transaction,
};

/// A macro: its name, what it stands for, and whether an affiliate's own tracking API may use it
/// (R39).
pub struct Macro {
    /// The name between the braces.
    pub name: &'static str,
    /// What it stands for.
    pub meaning: &'static str,
    /// Whether an affiliate's own tracking API may use it: revenue and price are not theirs to see.
    pub for_affiliates: bool,
}

const fn open(name: &'static str, meaning: &'static str) -> Macro {
    Macro { name, meaning, for_affiliates: true }
}

const fn closed(name: &'static str, meaning: &'static str) -> Macro {
    Macro { name, meaning, for_affiliates: false }
}

/// All macros, beside `affs1` to `affs10`, `param.NAME` and `secret:NAME`.
pub const MACROS: [Macro; 26] = [
    open("pcid", "the id of the root"),
    open("conversion_id", "the id of this conversion"),
    open("transaction_id", "the id of the transaction; of a conversion event, if it has just one"),
    open("external_id", "the advertiser's id"),
    open("affiliate_click_id", "the affiliate's own id of the click"),
    open("type", "the type of the conversion"),
    open("transaction_type", "the type of the transaction"),
    open("commission_id", "the commission; of a conversion event, if it has just one transaction"),
    open("result", "the result; of a conversion event, if it has just one transaction"),
    open("event", "the event, for example transaction.created"),
    open("value", "the value, in the tenant's currency"),
    closed("revenue", "what the advertiser owes; of a conversion event, the sum"),
    open("payout", "what the affiliate gets; of a conversion event, the sum"),
    closed("price", "the price, in the tenant's currency"),
    open("currency", "the tenant's currency"),
    open("offer_id", "the offer"),
    open("advertiser_id", "the advertiser"),
    open("affiliate_id", "the affiliate"),
    open("channel", "the channel of the root"),
    open("integration", "the integration of the root"),
    open("source", "how the root came in: link, iframe or api"),
    open("created_at", "when the conversion was made"),
    open("updated_at", "when the conversion last changed"),
    open("sequence", "the number of the message among those about this conversion"),
    open("message_id", "the id of the message"),
    open("status", "the advertiser's own word for the result, where one came"),
];

/// The macros of the affiliate's own sub ids.
pub(crate) const AFFS_MACROS: [&str; 10] =
    ["affs1", "affs2", "affs3", "affs4", "affs5", "affs6", "affs7", "affs8", "affs9", "affs10"];
/// Before the name of a param.
pub const PARAM_MACRO: &str = "param.";
/// Before the name of a secret.
pub const SECRET_MACRO: &str = "secret:";

/// Whether a macro may be empty on any event, because what it stands for need not have come. The
/// external id, which may be missing too, is not among these: it names what is asked for, and a
/// path that holds it has no other way to be written.
pub(crate) fn is_optional(name: &str) -> bool {
    const OPTIONAL: [&str; 6] =
        ["affiliate_click_id", "value", "price", "channel", "integration", "status"];
    OPTIONAL.contains(&name) || AFFS_MACROS.contains(&name) || name.starts_with(PARAM_MACRO)
}

/// The state that a message is rendered from: that of the end of the step (R36).
#[derive(Clone, Copy)]
pub(crate) struct State<'a> {
    pub(crate) root: &'a Root,
    pub(crate) conversion: &'a Conversion,
    pub(crate) transactions: &'a [Transaction],
    /// The event that is told; a step tells of none.
    pub(crate) event: Option<Event>,
    pub(crate) currency: Currency,
    pub(crate) message: MessageId,
    pub(crate) sequence: Option<u32>,
}

impl<'a> State<'a> {
    /// The transaction of the event, where it is one of a transaction.
    fn transaction(&self) -> Option<TransactionId> {
        self.event.and_then(Event::transaction)
    }

    /// The transaction that single-valued macros stand for: the event's, or the only one.
    fn only(&self) -> Option<&'a Transaction> {
        match self.transaction() {
            Some(id) => self.transactions.iter().find(|transaction| transaction.id == id),
            None => match self.transactions {
                [only] => Some(only),
                _ => None,
            },
        }
    }

    /// A leg: of the event's transaction, or summed over all. A sum that leaves the range renders
    /// empty rather than wrong.
    fn leg(&self, leg: impl Fn(&Transaction) -> Amount) -> Option<String> {
        let sum = match (self.transaction(), self.only()) {
            (Some(_), only) => leg(only?),
            (None, _) if self.transactions.is_empty() => return None,
            (None, _) => self
                .transactions
                .iter()
                .try_fold(Amount::ZERO, |sum, transaction| sum.plus(leg(transaction)))
                .ok()?,
        };
        Some(sum.text(self.currency))
    }

    /// The value of a macro; none renders empty.
    pub(crate) fn value(&self, name: &str) -> Option<Cow<'a, str>> {
        let Self { root, conversion, .. } = *self;
        let origin = &root.origin;
        if let Some(param) = name.strip_prefix(PARAM_MACRO) {
            return conversion.params.get(param).map(|value| Cow::from(&**value));
        }
        if let Some(number) = name.strip_prefix("affs") {
            let number: u8 = number.parse().ok()?;
            let found = origin.affs.iter().find(|(known, _)| *known == number);
            return found.map(|(_, text)| Cow::from(&**text));
        }
        let amount = |received: Option<crate::conversion::Received>| {
            received.map(|received| received.amount.text(self.currency).into())
        };
        match name {
            "pcid" => Some(root.id.to_string().into()),
            "conversion_id" => Some(conversion.id.to_string().into()),
            "transaction_id" => self.only().map(|t| t.id.to_string().into()),
            "external_id" => conversion.external_id.as_ref().map(|id| id.as_str().into()),
            "affiliate_click_id" => origin.affiliate_click_id.as_deref().map(Cow::from),
            "type" => Some(conversion.conversion_type.name().into()),
            "transaction_type" => self.only().map(|t| t.transaction_type.name().into()),
            "commission_id" => self.only().map(|t| t.commission_id.as_str().into()),
            "result" => self.only().map(|t| t.result.name().into()),
            "event" => self.event.map(|event| event.name().into()),
            "value" => amount(conversion.value),
            "revenue" => self.leg(|t| t.revenue).map(Cow::from),
            "payout" => self.leg(|t| t.payout).map(Cow::from),
            "price" => amount(conversion.price),
            "currency" => Some(self.currency.code().to_string().into()),
            "offer_id" => Some(origin.offer.as_str().into()),
            "advertiser_id" => Some(origin.advertiser.as_str().into()),
            "affiliate_id" => Some(origin.affiliate.as_str().into()),
            "channel" => origin.channel.as_ref().map(|channel| channel.as_str().into()),
            "integration" => origin.integration.as_ref().map(|i| i.as_str().into()),
            "source" => Some(origin.source.name().into()),
            "created_at" => Some(conversion.created_at.to_string().into()),
            "updated_at" => Some(conversion.updated_at.to_string().into()),
            "sequence" => self.sequence.map(|sequence| sequence.to_string().into()),
            "message_id" => Some(self.message.to_string().into()),
            "status" => conversion.params.get(RAW_RESULT_PARAM).map(|word| Cow::from(&**word)),
            _ => None,
        }
    }
}
