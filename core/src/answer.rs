//! The answer of another system, mapped back (R42, R45): what of it is still pending, and which
//! parameters it sets. The body is read without trust: wrong kinds, depth and words leave a
//! parameter out and are told.

use alloc::{boxed::Box, format, string::String, string::ToString, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    conversion::{Conversion, ConversionType},
    decode::{Pairs, VALUE_LEN_MAX, json_members},
    logged_text::masked_text,
    message::Message,
    read::{CAUSE_PARAM, DEPTH_PARAM, TARGET_PARAM},
    tracking_api::{Call, Mapping, Pointer},
    transaction::Transaction,
};

/// The most segments of a JSON Pointer in rules.
pub const POINTER_SEGMENTS_MAX: usize = 16;

/// What an answer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadAnswer {
    /// That the result is still pending (R42); nothing is applied then.
    pub pending: bool,
    /// The parameters that it sets.
    pub set: Vec<(Box<str>, Box<str>)>,
    /// What it left out (`unmapped_value`).
    pub unmapped: Vec<Unmapped>,
}

/// A parameter that an answer should have set and did not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmapped {
    /// The parameter.
    pub parameter: Box<str>,
    /// Why.
    pub reason: UnmappedReason,
    /// The JSON Pointer that leads nowhere; else the word that the answer has, as it stands there:
    /// whoever keeps it masks and cuts it.
    pub found: Box<str>,
}

/// Why an answer set no parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnmappedReason {
    /// The answer has no text, number or truth value at the path, or is no JSON.
    Absent,
    /// The word is not in `map`.
    NotInMap,
    /// No parameter can have the value: it is empty, too long, or has a NUL.
    NoValue,
}

impl fmt::Display for Unmapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parameter, reason, found } = self;
        match reason {
            UnmappedReason::Absent if found.is_empty() => {
                write!(f, "`{parameter}`: the answer is no text, number or truth value")
            }
            UnmappedReason::Absent => {
                write!(f, "`{parameter}`: the answer has no value at {found}")
            }
            UnmappedReason::NotInMap => write!(f, "`{parameter}`: `{found}` is not in `map`"),
            UnmappedReason::NoValue => write!(f, "`{parameter}`: no parameter can be `{found}`"),
        }
    }
}

/// Reads the body of a 2xx answer.
pub fn read_answer(call: &Call, body: &[u8]) -> ReadAnswer {
    let document: Option<&RawValue> = serde_json::from_slice(body).ok();
    let at = |pointer: &Pointer| document.and_then(|root| pointed(root, &pointer.0));
    let pending = call.pending.as_ref().is_some_and(|pending| {
        at(&pending.path).and_then(scalar).is_some_and(|word| pending.among.contains(&*word))
    });
    if pending {
        return ReadAnswer { pending, ..ReadAnswer::default() };
    }
    let mut answer = ReadAnswer::default();
    for mapping in &call.set {
        let parameter = mapping.parameter.clone();
        match meaning(mapping, at(&mapping.path).and_then(scalar)) {
            Ok(value) => answer.set.push((parameter, value)),
            Err((reason, found)) => {
                answer.unmapped.push(Unmapped { parameter, reason, found });
            }
        }
    }
    answer
}

/// The value of a word; else why there is none, and what was found.
fn meaning(
    mapping: &Mapping,
    word: Option<String>,
) -> Result<Box<str>, (UnmappedReason, Box<str>)> {
    let word = word.map(String::into_boxed_str);
    let word = word.ok_or_else(|| (UnmappedReason::Absent, mapping.path.text().into()))?;
    let value = match &mapping.words {
        None => word,
        Some(words) => match words.get(&*word) {
            Some(value) => value.clone(),
            None => return Err((UnmappedReason::NotInMap, word)),
        },
    };
    // What no parameter can be would spoil the whole update (R3).
    let is_value = !value.is_empty() && value.len() <= VALUE_LEN_MAX && !value.contains('\0');
    if is_value { Ok(value) } else { Err((UnmappedReason::NoValue, value)) }
}

/// Follows a JSON Pointer through literal text, so that numbers keep theirs.
fn pointed<'a>(root: &'a RawValue, segments: &[Box<str>]) -> Option<&'a RawValue> {
    segments.iter().take(POINTER_SEGMENTS_MAX).try_fold(root, |value, segment| {
        match value.get().as_bytes().first() {
            Some(b'{') => {
                let members = json_members(value.get().as_bytes()).ok()?;
                members.into_iter().find(|(name, _)| **name == **segment).map(|(_, raw)| raw)
            }
            Some(b'[') => {
                let index: usize = segment.parse().ok()?;
                let items: Vec<&'a RawValue> = serde_json::from_str(value.get()).ok()?;
                items.get(index).copied()
            }
            _ => None,
        }
    })
}

/// The text of a string, a number or a truth value.
fn scalar(raw: &RawValue) -> Option<String> {
    let literal = raw.get();
    match literal.as_bytes().first() {
        Some(b'"') => serde_json::from_str(literal).ok(),
        Some(b'-' | b'0'..=b'9' | b't' | b'f') => Some(literal.to_string()),
        _ => None,
    }
}

impl Message {
    /// The parameters of the update that an answer to this message makes (R45): the target is the
    /// message's conversion, by id, and the transaction's commission where it is about one.
    pub fn update_text(
        &self,
        answer: &ReadAnswer,
        conversion: &Conversion,
        transactions: &[Transaction],
    ) -> String {
        update_pairs(self, answer, &conversion.conversion_type, transactions)
    }
}

fn update_pairs(
    message: &Message,
    answer: &ReadAnswer,
    conversion_type: &ConversionType,
    transactions: &[Transaction],
) -> String {
    let cause = message.of.cause(message.depth);
    let mut pairs: Pairs<'_> = alloc::vec![
        ("action".into(), "update".into()),
        ("pcid".into(), message.conversion_id.to_string().into()),
        (TARGET_PARAM.into(), message.conversion_id.to_string().into()),
        ("type".into(), conversion_type.name().to_string().into()),
        (DEPTH_PARAM.into(), format!("{}", cause.depth).into()),
    ];
    if let Some(id) = &cause.tracking_api {
        pairs.push((CAUSE_PARAM.into(), id.as_str().to_string().into()));
    }
    let told = message.transaction_id();
    let transaction = transactions.iter().find(|transaction| Some(transaction.id) == told);
    if let Some(transaction) = transaction {
        let id = transaction.commission_id.as_str().to_string();
        pairs.push(("commission_id".into(), id.into()));
    }
    for (parameter, value) in &answer.set {
        let name = parameter.strip_prefix("param.").unwrap_or(parameter);
        pairs.push((name.to_string().into(), value.to_string().into()));
    }
    masked_text(&pairs)
}

#[cfg(test)]
mod tests {
    use alloc::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::{
        delivery::RetryPolicy,
        tracking_api::{HttpMethod, PendingAnswer, RequestTemplate},
    };

    fn pointer(text: &str) -> Pointer {
        Pointer::parse(text).unwrap()
    }

    fn call() -> Call {
        let words = BTreeMap::from([("paid".into(), "approved".into())]);
        Call {
            request: RequestTemplate {
                method: HttpMethod::Get,
                destination: "https://shoply.example:443".into(),
                url: crate::Pieces::default(),
                headers: Vec::new(),
                body: None,
            },
            timeout: crate::TIMEOUT_DEFAULT,
            retry: RetryPolicy::default(),
            pending: Some(PendingAnswer {
                path: pointer("/state"),
                among: BTreeSet::from(["processing".into()]),
            }),
            set: alloc::vec![
                Mapping { parameter: "result".into(), path: pointer("/state"), words: Some(words) },
                Mapping { parameter: "value".into(), path: pointer("/lines/1/a~1b"), words: None },
            ],
        }
    }

    #[test]
    fn values_are_taken_by_their_literal_text() {
        let body = br#"{"state":"paid","lines":[{}, {"a/b": 12.30}]}"#;
        let answer = read_answer(&call(), body);
        assert_eq!(
            answer.set,
            [("result".into(), "approved".into()), ("value".into(), "12.30".into())]
        );
        assert!(answer.unmapped.is_empty() && !answer.pending);
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_told() {
        let deep = alloc::format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let bodies = [
            "",
            "null",
            "[]",
            "{",
            "\u{0}",
            "{\"state\":{},\"lines\":7}",
            &deep,
            "{\"state\":\"lost\",\"lines\":[1]}",
            "{\"lines\":[1,{\"a/b\":\"a\\u0000b\"}]}",
            "{\"lines\":[1,{\"a/b\":\"\"}]}",
        ];
        for body in bodies {
            let answer = read_answer(&call(), body.as_bytes());
            let parameters = answer.unmapped.iter().map(|unmapped| &*unmapped.parameter);
            assert!(parameters.eq(["result", "value"]), "{body:.40}");
            assert!(answer.set.is_empty());
        }
    }

    #[test]
    fn what_is_left_out_says_why() {
        let table = [
            ("{\"lines\":[]}", ["no value at /state", "no value at /lines/1/a~1b"]),
            (
                "{\"state\":\"lost\",\"lines\":[1,{\"a/b\":\"\"}]}",
                ["`lost` is not in `map`", "no parameter can be ``"],
            ),
        ];
        for (body, words) in table {
            let answer = read_answer(&call(), body.as_bytes());
            for (unmapped, words) in answer.unmapped.iter().zip(words) {
                assert!(unmapped.to_string().ends_with(words), "{unmapped}");
            }
            assert_eq!(answer.unmapped.len(), words.len());
        }
    }

    #[test]
    fn a_pending_answer_sets_nothing() {
        let answer = read_answer(&call(), br#"{"state":"processing"}"#);
        assert_eq!(answer, ReadAnswer { pending: true, ..ReadAnswer::default() });
    }
}
