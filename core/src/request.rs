//! A request: one arrival, whatever came of it. What a store takes in, and what a log row holds.

use alloc::{boxed::Box, string::String, sync::Arc};

use crate::{
    conversion::Method,
    decision::{Decision, Receipt},
    decode::{Body, Incoming, Pairs, decode, decode_root_text, path_name},
    edit::{Edit, transaction_id},
    facts::{FactQuery, Facts},
    ids::TransactionId,
    logged_text::{logged_text, masked_text},
    postback::Postback,
    read::read,
    reason::Refusal,
    root::{RootRequest, root_pairs},
    ruleset::Ruleset,
};

/// One arrival, read as far as it could be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A postback that could be read.
    Postback(Box<Postback>),
    /// A root to be made.
    Root(Box<RootRequest>),
    /// An auto-set that is due (R35).
    AutoSet(TransactionId),
    /// An administrator's edit.
    Edit(Box<Edit>),
    /// What could not be read: it is logged and answered like any other.
    Unreadable(Box<Refusal>),
}

/// A request with what a log row says about how it came. `query` holds everything that is needed
/// to read it again: secrets are masked, query and body are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// What to decide.
    pub request: Request,
    /// How it came in.
    pub method: Method,
    /// The dialect of the path, where it named one; `***` where what stands there cannot be a name.
    pub dialect: Option<Box<str>>,
    /// The parameters as one form-encoded text, secrets masked.
    pub query: String,
    /// The address it came from.
    pub remote_addr: Option<Arc<str>>,
}

impl Request {
    /// Reads a request again from what its log row kept, for a replay. `undecodable` is the refusal
    /// of a request that could not be decoded: what it was is lost, and its refusal stands.
    pub fn of_log(
        ruleset: &Ruleset,
        method: Method,
        dialect: Option<&str>,
        query: &str,
        undecodable: Option<Refusal>,
    ) -> Self {
        if let Some(refusal) = undecodable {
            return Self::Unreadable(Box::new(refusal));
        }
        let incoming = Incoming { method, dialect, query, body: None };
        let inside = match method {
            Method::Api | Method::Link => decode_root_text(query)
                .and_then(|pairs| RootRequest::read(ruleset, method, &pairs))
                .map(|root| Self::Root(Box::new(root))),
            Method::Admin => decode(&incoming)
                .and_then(|pairs| Edit::read(&pairs))
                .map(|edit| Self::Edit(Box::new(edit))),
            Method::AutoSet => decode(&incoming).and_then(|pairs| {
                let id = pairs.first().map(|(_, id)| &**id).unwrap_or_default();
                transaction_id(id).map(Self::AutoSet)
            }),
            Method::S2s | Method::Pixel | Method::Import | Method::Step | Method::TrackingApi => {
                Ok(read(ruleset, &incoming).0)
            }
        };
        inside.unwrap_or_else(|refusal| Self::Unreadable(Box::new(refusal)))
    }

    /// The facts that the decision needs.
    pub fn query(&self, ruleset: &Ruleset) -> FactQuery {
        match self {
            Self::Postback(postback) => crate::query(ruleset, postback),
            Self::Root(root) => crate::query_root(ruleset, root),
            Self::AutoSet(id) => crate::query_transaction(*id),
            Self::Edit(edit) => crate::query_transaction(edit.transaction_id),
            Self::Unreadable(_) => FactQuery::default(),
        }
    }

    /// Decides. Total: it always answers.
    pub fn decide(&self, ruleset: &Ruleset, facts: &Facts, receipt: Receipt) -> Decision {
        match self {
            Self::Postback(postback) => crate::decide(ruleset, postback, facts, receipt),
            Self::Root(root) => crate::create_root(ruleset, root, facts, receipt),
            Self::AutoSet(_) => crate::auto_set(ruleset, facts, receipt),
            Self::Edit(edit) => crate::edit(ruleset, edit, facts, receipt),
            Self::Unreadable(refusal) => crate::refuse((**refusal).clone(), receipt),
        }
    }
}

impl Arrival {
    /// Reads a postback, with what a log row keeps of it. Whoever authenticates requests reads them
    /// in steps instead, `decode`, `select`, `parse`, and ends with [`Arrival::of`].
    pub fn read(ruleset: &Ruleset, incoming: &Incoming<'_>) -> Self {
        let (request, query) = read(ruleset, incoming);
        Self::of(incoming, request, query)
    }

    /// What was read of a postback, in one step or in several, with the query as the log keeps it.
    pub fn of(incoming: &Incoming<'_>, request: Request, query: String) -> Self {
        let dialect = incoming.dialect.map(|name| path_name(name).into());
        Self { request, method: incoming.method, dialect, query, remote_addr: None }
    }

    /// Reads a visitor's click on an affiliate link, with the parameters of its query, as far as it
    /// can be. What cannot be the name of an offer or an affiliate is not kept.
    pub fn click<'a>(
        ruleset: &Ruleset,
        offer: &'a str,
        affiliate: &'a str,
        mut pairs: Pairs<'a>,
    ) -> Self {
        let (offer, affiliate) = (path_name(offer), path_name(affiliate));
        ruleset.privacy().mask_root(&mut pairs);
        let request = match RootRequest::click(ruleset, offer, affiliate, &pairs) {
            Ok(click) => Request::Root(Box::new(click)),
            Err(refusal) => {
                // A click has columns of its own for what the path names, and this has none.
                let path = [("offer_id", offer), ("affiliate_id", affiliate)];
                pairs.splice(..0, path.map(|(name, id)| (name.into(), id.into())));
                Request::Unreadable(Box::new(refusal))
            }
        };
        let query = masked_text(&pairs);
        Self { request, method: Method::Link, dialect: None, query, remote_addr: None }
    }

    /// Reads a root that is handed in as JSON (R51), as far as it can be.
    pub fn root(ruleset: &Ruleset, json: &[u8]) -> Self {
        let method = Method::Api;
        let (read, query) = match root_pairs(json) {
            Ok(mut pairs) => {
                ruleset.privacy().mask_root(&mut pairs);
                (RootRequest::read(ruleset, method, &pairs), masked_text(&pairs))
            }
            Err(refusal) => {
                let body = Some(Body::Json(json));
                let incoming = Incoming { method, dialect: None, query: "", body };
                (Err(refusal), logged_text(ruleset, &incoming))
            }
        };
        let request = match read {
            Ok(root) => Request::Root(Box::new(root)),
            Err(refusal) => Request::Unreadable(Box::new(refusal)),
        };
        Self { request, method, dialect: None, query, remote_addr: None }
    }

    /// Reads an administrator's edit from its parameters, as [`Edit::read`] does, as far as it can
    /// be.
    pub fn edit(pairs: &Pairs<'_>) -> Self {
        let (request, query) = match Edit::read(pairs) {
            Ok(edit) => {
                let query = edit.logged_text();
                (Request::Edit(Box::new(edit)), query)
            }
            Err(refusal) => (Request::Unreadable(Box::new(refusal)), masked_text(pairs)),
        };
        Self { request, method: Method::Admin, dialect: None, query, remote_addr: None }
    }
}
