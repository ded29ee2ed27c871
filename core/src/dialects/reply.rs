//! How a processed request is answered in the words of its sender's system.

use alloc::string::String;

use super::{Dialect, Text};
use crate::{
    decision::{Decision, Outcome},
    decode::Pairs,
    pieces::Place,
};

/// How a processed request is answered; the status is the definition's choice (R49).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replies {
    /// With the outcome, as JSON.
    Json,
    /// With a text that senders look for.
    Text {
        /// The media type of all three.
        media_type: &'static str,
        /// After created, updated and unchanged.
        success: Text,
        /// The parameter whose value is sent in place of `success`, where it is given.
        success_param: Option<Text>,
        /// After duplicate.
        duplicate: Text,
        /// After refused; `{message}` in it stands for the reason in words.
        refusal: Text,
    },
}

/// A body that a dialect wants in place of the outcome as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The media type.
    pub media_type: &'static str,
    /// The body.
    pub body: String,
}

impl Dialect {
    /// The text that a request asks for after a success, where this dialect lets it.
    pub fn asked_reply<'p>(&self, pairs: &'p Pairs<'_>) -> Option<&'p str> {
        let Replies::Text { success_param: Some(name), .. } = &self.replies else {
            return None;
        };
        pairs.iter().find(|(known, _)| known == name).map(|(_, text)| &**text)
    }

    /// The body that senders of this dialect look for, `asked` in place of its success; absent:
    /// the outcome, as JSON.
    pub fn reply(&self, decision: &Decision, asked: Option<&str>) -> Option<Reply> {
        let Replies::Text { media_type, success, duplicate, refusal, .. } = &self.replies else {
            return None;
        };
        let body = match decision.outcome {
            Outcome::Created | Outcome::Updated | Outcome::Unchanged => {
                asked.unwrap_or(success).into()
            }
            Outcome::Duplicate => duplicate.clone().into_owned(),
            Outcome::Refused => {
                let message = decision.refusal.as_ref().map_or("", |refusal| &refusal.message);
                refusal.replace("{message}", &place_in(media_type).encode(message))
            }
        };
        Some(Reply { media_type, body })
    }
}

/// What a message holds came from the sender: it must not become more than text.
fn place_in(media_type: &str) -> Place {
    let essence = media_type.split(';').next().unwrap_or_default();
    match essence {
        "text/plain" => Place::Raw,
        "application/json" => Place::Json,
        _ => Place::Xml,
    }
}
