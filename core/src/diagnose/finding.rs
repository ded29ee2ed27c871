//! What can be wrong with a postback, each with its data and with what to do about it.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::fmt;

use crate::{
    ids::ConversionId,
    reason::{Refusal, shown},
    time::{Period, Timestamp},
    token::{PostbackId, TenantName},
};

/// Something that is wrong with a postback, or that is to be known of it. Values of secrets are in
/// none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// No postback is taken at this path.
    WrongPath {
        /// The path.
        path: Box<str>,
        /// The path that was probably meant.
        meant: Box<str>,
    },
    /// It is an affiliate link: it makes clicks.
    AffiliateLink,
    /// No rules are of this tenant.
    UnknownTenant {
        /// The tenant in the path.
        given: Box<str>,
        /// The one that was probably meant.
        meant: Option<TenantName>,
    },
    /// The parameters stand in the path.
    NoQuestionMark,
    /// What stands behind a `#` is never sent.
    FragmentCut {
        /// The name of the parameter in which it begins.
        name: Box<str>,
    },
    /// `&amp;` separates parameters: the URL was copied out of HTML.
    EscapedAmpersand,
    /// The whole query is percent-encoded.
    EncodedQuery,
    /// A value is percent-encoded twice (R3).
    EncodedTwice {
        /// The parameter.
        name: Box<str>,
        /// The value as it is read.
        value: Box<str>,
        /// The value that was probably meant.
        decoded: Box<str>,
    },
    /// A macro that the sender has not replaced (R6).
    UnreplacedMacro {
        /// The parameter.
        name: Box<str>,
        /// The macro.
        value: Box<str>,
    },
    /// A name that means nothing here.
    WrongName {
        /// The name.
        name: Box<str>,
        /// The name that was probably meant.
        meant: Box<str>,
        /// Why it was probably meant.
        because: NameFault,
    },
    /// A value that is none of those that are known.
    WrongValue {
        /// The parameter.
        name: Box<str>,
        /// The value.
        value: Box<str>,
        /// The value that was probably meant.
        meant: Box<str>,
    },
    /// An identifier with a space, where the URL has a `+` (R3).
    PlusIsSpace {
        /// The parameter.
        name: Box<str>,
        /// The identifier as it is read.
        value: Box<str>,
    },
    /// A click id with too few digits.
    CutId {
        /// The parameter.
        name: Box<str>,
        /// The value.
        value: Box<str>,
        /// How many hexadecimal digits it has.
        digits: usize,
    },
    /// The definition wants https.
    NotEncrypted {
        /// The definition.
        postback: PostbackId,
    },
    /// The definition wants a token, and the URL has none.
    NoToken {
        /// The definition.
        postback: PostbackId,
    },
    /// The definition wants a signed query, and a part of it is missing.
    NoSignature {
        /// The definition.
        postback: PostbackId,
        /// The parameter that is missing.
        missing: &'static str,
    },
    /// The query was signed too long ago to be taken now.
    SignedLongAgo {
        /// When.
        at: Timestamp,
        /// How far from arrival it may be.
        tolerance: Period,
    },
    /// The definition wants a signed body: no URL alone is enough.
    NeedsWebhook {
        /// The definition.
        postback: PostbackId,
    },
    /// It cannot be read (rungs 1 to 5 of the ladder).
    Refused(Box<Refusal>),
    /// The id is the beginning of one that exists.
    Truncated {
        /// The parameter.
        name: Box<str>,
        /// The value.
        value: Box<str>,
        /// The whole id.
        whole: Box<str>,
    },
    /// The id exists in another case (R1).
    OtherCase {
        /// The parameter.
        name: Box<str>,
        /// The value.
        value: Box<str>,
        /// The id as it is stored.
        stored: Box<str>,
    },
    /// The id belongs to another tenant.
    OtherTenant {
        /// The parameter.
        name: Box<str>,
        /// The id.
        value: Box<str>,
        /// Whose it is.
        tenant: TenantName,
    },
    /// Nothing is stored under the id.
    NotStored {
        /// The parameter.
        name: Box<str>,
        /// The id.
        value: Box<str>,
        /// When the id was made, where its own digits say that.
        made_at: Option<Timestamp>,
    },
}

/// Why another name was probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// It differs in its case alone (R2).
    Case,
    /// It differs in a letter or two.
    Spelling,
    /// These other dialects call it so, which know the most of the request's names.
    Dialects(Vec<&'static str>),
    /// Other systems call it so, and not the one whose names the request has otherwise.
    Foreign,
    /// Its value looks like a click id, and nothing else says which conversion is meant.
    Value,
}

impl Finding {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongPath { .. } => "wrong_path",
            Self::AffiliateLink => "affiliate_link",
            Self::UnknownTenant { .. } => "unknown_tenant",
            Self::NoQuestionMark => "no_question_mark",
            Self::FragmentCut { .. } => "fragment_cut",
            Self::EscapedAmpersand => "escaped_ampersand",
            Self::EncodedQuery => "encoded_query",
            Self::EncodedTwice { .. } => "encoded_twice",
            Self::UnreplacedMacro { .. } => "unreplaced_macro",
            Self::WrongName { .. } => "wrong_name",
            Self::WrongValue { .. } => "wrong_value",
            Self::PlusIsSpace { .. } => "plus_is_space",
            Self::CutId { .. } => "cut_id",
            Self::NotEncrypted { .. } => "not_encrypted",
            Self::NoToken { .. } => "no_token",
            Self::NoSignature { .. } => "no_signature",
            Self::SignedLongAgo { .. } => "signed_long_ago",
            Self::NeedsWebhook { .. } => "needs_webhook",
            Self::Refused(refusal) => refusal.reason.code(),
            Self::Truncated { .. } => "truncated",
            Self::OtherCase { .. } => "other_case",
            Self::OtherTenant { .. } => "other_tenant",
            Self::NotStored { .. } => "not_stored",
        }
    }

    /// The parameter that it is about, as the request calls it.
    pub fn parameter(&self) -> Option<&str> {
        match self {
            Self::FragmentCut { name }
            | Self::EncodedTwice { name, .. }
            | Self::UnreplacedMacro { name, .. }
            | Self::WrongName { name, .. }
            | Self::WrongValue { name, .. }
            | Self::PlusIsSpace { name, .. }
            | Self::CutId { name, .. }
            | Self::Truncated { name, .. }
            | Self::OtherCase { name, .. }
            | Self::OtherTenant { name, .. }
            | Self::NotStored { name, .. } => Some(name),
            Self::NoToken { .. } => Some("token"),
            Self::NoSignature { missing, .. } => Some(missing),
            Self::SignedLongAgo { .. } => Some("ts"),
            Self::Refused(refusal) => refusal.parameter.as_deref(),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::WrongPath { meant, .. } => format!("send it to `{meant}`"),
            Self::AffiliateLink => "`counterfoil postback-url` prints the URL for a partner".into(),
            Self::UnknownTenant { meant: Some(meant), .. } => format!("did you mean `{meant}`?"),
            Self::UnknownTenant { meant: None, .. } => {
                "look at `tenant` in the rules, and name those that the server runs".into()
            }
            Self::NoQuestionMark => "write `?` before the first parameter".into(),
            Self::FragmentCut { .. } => {
                "write `#` as `%23`; or is it a macro that was not filled in?".into()
            }
            Self::EscapedAmpersand => "write `&` where the URL has `&amp;`".into(),
            Self::EncodedQuery => {
                "encode each value by itself, and leave `?`, `&` and `=` as they are".into()
            }
            Self::EncodedTwice { .. } => {
                "encode the value once; a macro must not stand encoded in the sender's template"
                    .into()
            }
            Self::UnreplacedMacro { .. } => "the sender must replace the macro by a value; is it \
                                             written as the sender's system writes it?"
                .into(),
            Self::WrongName { meant, because: NameFault::Dialects(dialects), .. } => format!(
                "call it `{meant}`, or send the postback to the path of the dialect `{}`",
                dialects.join("` or `")
            ),
            Self::WrongName { meant, .. } => format!("call it `{meant}`"),
            Self::WrongValue { meant, .. } => format!("did you mean `{meant}`?"),
            Self::PlusIsSpace { .. } => "write a `+` that is meant as `%2B`".into(),
            Self::CutId { .. } | Self::Truncated { .. } => {
                "the sender must keep and send all of it; look at the width of the column in which \
                 it keeps the id"
                    .into()
            }
            Self::NotEncrypted { .. } => "call it by https".into(),
            Self::NoToken { .. } => {
                "send `token`, or the header `Authorization: Bearer`, which no URL shows".into()
            }
            Self::NoSignature { .. } => {
                "sign the query: `ts` in Unix seconds and, last of all, `sig`".into()
            }
            Self::SignedLongAgo { .. } => {
                "sign each request anew; compare the clocks where it was sent just now".into()
            }
            Self::NeedsWebhook { .. } => {
                "send a POST with the headers webhook-id, webhook-timestamp and webhook-signature"
                    .into()
            }
            Self::Refused(refusal) => refusal.hint.as_deref().unwrap_or_default().into(),
            Self::OtherCase { stored, .. } => {
                format!("ids are compared byte for byte: send `{stored}`")
            }
            Self::OtherTenant { tenant, .. } => {
                format!("send it to the path of the tenant `{tenant}`")
            }
            Self::NotStored { .. } => "is it an id of this system, of this database, and of a \
                                       click that was stored? `counterfoil conversions` lists them"
                .into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongPath { path, .. } => {
                write!(f, "no postback is taken at the path `{}`", shown(path))
            }
            Self::AffiliateLink => f.write_str("this is an affiliate link: it makes clicks"),
            Self::UnknownTenant { given, .. } => {
                write!(f, "there are no rules of the tenant `{}`", shown(given))
            }
            Self::NoQuestionMark => f.write_str("the parameters stand in the path"),
            Self::FragmentCut { name } => {
                write!(f, "`{}` has a `#`: what stands behind it is never sent", shown(name))
            }
            Self::EscapedAmpersand => {
                f.write_str("parameters are separated by `&amp;`: the URL was copied out of HTML")
            }
            Self::EncodedQuery => f.write_str("the query is percent-encoded as a whole"),
            Self::EncodedTwice { name, value, decoded } => {
                let (name, value, decoded) = (shown(name), shown(value), shown(decoded));
                write!(f, "`{name}` is encoded twice: it is read as `{value}`, not `{decoded}`")
            }
            Self::UnreplacedMacro { name, value } => {
                write!(f, "`{}` is still the macro `{}`", shown(name), shown(value))
            }
            Self::WrongName { name, meant, because } => wrong_name(f, name, meant, because),
            Self::WrongValue { name, value, .. } => {
                write!(f, "nothing is known as the {} `{}`", shown(name), shown(value))
            }
            Self::PlusIsSpace { name, value } => {
                write!(f, "`{}` is read as `{}`: `+` is a space", shown(name), shown(value))
            }
            Self::CutId { name, value, digits } => {
                let (name, value) = (shown(name), shown(value));
                write!(f, "`{name}` has {digits} of the 32 digits of an id: `{value}`")
            }
            Self::Truncated { name, value, whole } => {
                let (name, value, whole) = (shown(name), shown(value), shown(whole));
                write!(f, "`{name}` is cut off: `{value}` is the beginning of `{whole}`")
            }
            Self::OtherCase { name, value, stored } => {
                let (name, value, stored) = (shown(name), shown(value), shown(stored));
                write!(f, "`{name}` is `{value}`, and stored is `{stored}`")
            }
            Self::OtherTenant { name, value, tenant } => {
                let (name, value) = (shown(name), shown(value));
                write!(f, "`{name}` `{value}` belongs to the tenant `{tenant}`")
            }
            Self::NotStored { name, value, made_at } => {
                write!(f, "nothing is stored under the {} `{}`", shown(name), shown(value))?;
                made_at.map_or(Ok(()), |at| write!(f, ", an id of {at}"))
            }
            Self::Refused(refusal) => f.write_str(&refusal.message),
            _ => proof(f, self),
        }
    }
}

/// What is said of proofs.
fn proof(f: &mut fmt::Formatter<'_>, finding: &Finding) -> fmt::Result {
    match finding {
        Finding::NotEncrypted { postback } => {
            write!(f, "the postback `{postback}` is taken over https alone")
        }
        Finding::NoToken { postback } => {
            write!(f, "the postback `{postback}` wants a token, and the URL has none")
        }
        Finding::NoSignature { postback, missing } => {
            write!(f, "the postback `{postback}` wants a signed query, and `{missing}` is missing")
        }
        Finding::SignedLongAgo { at, tolerance } => {
            write!(f, "the query was signed at {at}, and is taken within {tolerance} of that")
        }
        Finding::NeedsWebhook { postback } => {
            write!(f, "the postback `{postback}` wants a signed body, which no URL has")
        }
        _ => Ok(()),
    }
}

fn wrong_name(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    meant: &str,
    because: &NameFault,
) -> fmt::Result {
    let name = shown(name);
    match because {
        NameFault::Case => write!(f, "`{name}` is `{meant}` in the wrong case"),
        NameFault::Spelling => write!(f, "`{name}` means nothing here and is close to `{meant}`"),
        NameFault::Dialects(dialects) => {
            let (calls, dialects) = match dialects.as_slice() {
                [_] => ("calls", dialects.join("")),
                _ => ("call", dialects.join("` and `")),
            };
            write!(f, "`{name}` is what `{dialects}` {calls} `{meant}`; here it means nothing")
        }
        NameFault::Foreign => {
            write!(f, "`{name}` is what other systems call `{meant}`; here it means nothing")
        }
        NameFault::Value => {
            write!(f, "`{name}` means nothing here, and its value looks like a click id")
        }
    }
}

/// When an id was made, as a UUIDv7 tells it.
pub(super) fn made_at(id: &ConversionId) -> Option<Timestamp> {
    let bytes = id.as_bytes();
    let [_, _, _, _, _, _, version, ..] = bytes;
    if version >> 4 != 7 {
        return None;
    }
    let ms = bytes.iter().take(6).fold(0_i64, |ms, byte| (ms << 8) | i64::from(*byte));
    Some(Timestamp::from_ms(ms))
}
