//! The table of routes: everything that both listeners answer to. The routers and the OpenAPI
//! document are made of it, so neither can know a route that the other does not.

use hyper::{Method, StatusCode};
use matchit::{Params, Router};

use crate::{
    problem::Problem,
    routes::lists::{
        CONVERSION_FILTERS, DELIVERY_FILTERS, OWNER_FILTERS, REQUEST_FILTERS, RETRY_FILTERS,
        TRANSACTION_FILTERS,
    },
};

/// Which of the two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    Public,
    Admin,
}

impl Listener {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Admin => "admin",
        }
    }
}

/// A method that some path knows. HEAD is none of them: it never has effects, and is answered 405.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
}

impl Verb {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// What answers an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Handle,
    Dialect,
    Pixel,
    Link,
    MakeRoot,
    Alive,
    Ready,
    Metrics,
    Version,
    OpenApi,
    Explain,
    Conversions,
    Conversion,
    Transactions,
    Transaction,
    EditTransaction,
    Requests,
    Request,
    Timeline,
    Deliveries,
    Delivery,
    RetryDelivery,
    RetryDeliveries,
    Erase,
    Postbacks,
    TrackingApis,
    PutRules,
    GetRules,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anyone.
    Open,
    /// Whoever has one of the tenant's tokens, or the admin token.
    Tenant,
    /// Whoever has the admin token, and affiliates with a token of their own for what is their own
    /// (R39).
    Affiliate,
    /// Whoever has the admin token.
    Admin,
}

/// What a request's query may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    /// Nothing that is looked at.
    None,
    /// The parameters of a postback.
    Postback,
    /// The parameters of an affiliate link.
    Link,
    /// The filters of a list; any other is refused.
    Filters(&'static [&'static str]),
}

/// What a request's or an answer's body is; a schema is named as in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// None.
    Empty,
    /// The parameters of a postback, as form or flat JSON (R8).
    Parameters,
    /// A rules file, as TOML or JSON.
    Rules,
    /// JSON of a schema.
    Json(&'static str),
    /// The outcome of a postback, as JSON or as the text that its dialect wants.
    Outcome,
    /// A page of a list of a schema.
    Page(&'static str),
    /// RFC 9457.
    Problem,
    /// A picture.
    Gif,
    /// Text of a media type.
    Text(&'static str),
}

/// One method on one path.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) endpoint: Endpoint,
    pub(crate) listener: Listener,
    pub(crate) verb: Verb,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) summary: &'static str,
    pub(crate) query: Query,
    pub(crate) body: Content,
    /// Its own answers; what every operation may answer is added by the document.
    pub(crate) answers: &'static [(StatusCode, Content)],
}

const OK: StatusCode = StatusCode::OK;
const NOT_FOUND: (StatusCode, Content) = (StatusCode::NOT_FOUND, Content::Problem);
const BAD_REQUEST: (StatusCode, Content) = (StatusCode::BAD_REQUEST, Content::Problem);
const CONFLICT: (StatusCode, Content) = (StatusCode::CONFLICT, Content::Problem);
const UNPROCESSABLE: (StatusCode, Content) = (StatusCode::UNPROCESSABLE_ENTITY, Content::Problem);
const STRICT: (StatusCode, Content) = (StatusCode::UNPROCESSABLE_ENTITY, Content::Outcome);
const ANSWERED: (StatusCode, Content) = (OK, Content::Outcome);

const fn public(endpoint: Endpoint, verb: Verb, path: &'static str) -> Operation {
    Operation {
        endpoint,
        listener: Listener::Public,
        verb,
        path,
        access: Access::Open,
        summary: "",
        query: Query::None,
        body: Content::Empty,
        answers: &[],
    }
}

const fn admin(endpoint: Endpoint, verb: Verb, path: &'static str) -> Operation {
    let mut operation = public(endpoint, verb, path);
    operation.listener = Listener::Admin;
    operation.access = Access::Admin;
    operation
}

/// What affiliates read too, as far as it is their own.
const fn own(endpoint: Endpoint, path: &'static str) -> Operation {
    let mut operation = admin(endpoint, Verb::Get, path);
    operation.access = Access::Affiliate;
    operation
}

/// Every operation there is.
pub(crate) static OPERATIONS: &[Operation] = &[
    Operation {
        summary: "An inbound postback",
        query: Query::Postback,
        answers: &[ANSWERED, STRICT, NOT_FOUND],
        ..public(Endpoint::Handle, Verb::Get, "/api/{tenant}/postbacks/handle")
    },
    Operation {
        summary: "An inbound postback; query and body are one set of parameters",
        query: Query::Postback,
        body: Content::Parameters,
        answers: &[ANSWERED, STRICT, NOT_FOUND],
        ..public(Endpoint::Handle, Verb::Post, "/api/{tenant}/postbacks/handle")
    },
    Operation {
        summary: "An inbound postback in a dialect",
        query: Query::Postback,
        answers: &[ANSWERED, STRICT, NOT_FOUND],
        ..public(Endpoint::Dialect, Verb::Get, "/api/{tenant}/postbacks/{dialect}")
    },
    Operation {
        summary: "An inbound postback in a dialect; query and body are one set of parameters",
        query: Query::Postback,
        body: Content::Parameters,
        answers: &[ANSWERED, STRICT, NOT_FOUND],
        ..public(Endpoint::Dialect, Verb::Post, "/api/{tenant}/postbacks/{dialect}")
    },
    Operation {
        summary: "An inbound postback by a pixel: a picture whatever the outcome",
        query: Query::Postback,
        answers: &[(OK, Content::Gif), NOT_FOUND],
        ..public(Endpoint::Pixel, Verb::Get, "/api/{tenant}/pixel.gif")
    },
    Operation {
        summary: "An affiliate link: stores a click and leads to the offer",
        query: Query::Link,
        answers: &[(StatusCode::FOUND, Content::Empty), NOT_FOUND, UNPROCESSABLE],
        ..public(Endpoint::Link, Verb::Get, "/c/{tenant}/{offer}/{affiliate}")
    },
    Operation {
        access: Access::Tenant,
        summary: "Makes a root: a click, lead, view or send that is handed in",
        body: Content::Json("RootRequest"),
        answers: &[
            (StatusCode::CREATED, Content::Json("RootAnswer")),
            (OK, Content::Json("RootAnswer")),
            UNPROCESSABLE,
            NOT_FOUND,
        ],
        ..public(Endpoint::MakeRoot, Verb::Post, "/api/{tenant}/conversions")
    },
    Operation {
        access: Access::Open,
        summary: "Whether the process lives",
        answers: &[(OK, Content::Text("text/plain"))],
        ..admin(Endpoint::Alive, Verb::Get, "/healthz")
    },
    Operation {
        access: Access::Open,
        summary: "Whether requests can be acknowledged now",
        answers: &[(OK, Content::Text("text/plain"))],
        ..admin(Endpoint::Ready, Verb::Get, "/readyz")
    },
    Operation {
        access: Access::Open,
        summary: "Metrics for Prometheus",
        answers: &[(OK, Content::Text("application/openmetrics-text"))],
        ..admin(Endpoint::Metrics, Verb::Get, "/metrics")
    },
    Operation {
        access: Access::Open,
        summary: "The version that runs",
        answers: &[(OK, Content::Json("Version"))],
        ..admin(Endpoint::Version, Verb::Get, "/version")
    },
    Operation {
        summary: "This document",
        answers: &[(OK, Content::Json("Document"))],
        ..admin(Endpoint::OpenApi, Verb::Get, "/openapi.json")
    },
    Operation {
        summary: "Decides about a postback without writing, and says why",
        body: Content::Json("ExplainRequest"),
        answers: &[(OK, Content::Json("Explanation")), BAD_REQUEST, NOT_FOUND],
        ..admin(Endpoint::Explain, Verb::Post, "/api/{tenant}/explain")
    },
    Operation {
        summary: "Conversions, newest first; to an affiliate its own, with the payout alone",
        query: Query::Filters(CONVERSION_FILTERS),
        answers: &[(OK, Content::Page("ConversionRow")), BAD_REQUEST, NOT_FOUND],
        ..own(Endpoint::Conversions, "/api/{tenant}/conversions")
    },
    Operation {
        summary: "One conversion; to an affiliate one of its own, with the payout alone",
        answers: &[(OK, Content::Json("ConversionRow")), NOT_FOUND],
        ..own(Endpoint::Conversion, "/api/{tenant}/conversions/{id}")
    },
    Operation {
        summary: "Transactions, newest first",
        query: Query::Filters(TRANSACTION_FILTERS),
        answers: &[(OK, Content::Page("Transaction")), BAD_REQUEST, NOT_FOUND],
        ..admin(Endpoint::Transactions, Verb::Get, "/api/{tenant}/transactions")
    },
    Operation {
        summary: "One transaction",
        answers: &[(OK, Content::Json("Transaction")), NOT_FOUND],
        ..admin(Endpoint::Transaction, Verb::Get, "/api/{tenant}/transactions/{id}")
    },
    Operation {
        summary: "Edits a transaction; amounts stand until the next edit that names them",
        body: Content::Json("Edit"),
        answers: &[ANSWERED, BAD_REQUEST, NOT_FOUND, UNPROCESSABLE],
        ..admin(Endpoint::EditTransaction, Verb::Post, "/api/{tenant}/transactions/{id}")
    },
    Operation {
        summary: "The request log, newest first",
        query: Query::Filters(REQUEST_FILTERS),
        answers: &[(OK, Content::Page("Request")), BAD_REQUEST, NOT_FOUND],
        ..admin(Endpoint::Requests, Verb::Get, "/api/{tenant}/requests")
    },
    Operation {
        summary: "One request of the log",
        answers: &[(OK, Content::Json("Request")), NOT_FOUND],
        ..admin(Endpoint::Request, Verb::Get, "/api/{tenant}/requests/{id}")
    },
    Operation {
        summary: "What became of a request, in the order of time",
        answers: &[(OK, Content::Json("Timeline")), NOT_FOUND],
        ..admin(Endpoint::Timeline, Verb::Get, "/api/{tenant}/requests/{id}/timeline")
    },
    Operation {
        summary: "Messages to other systems, newest first; to an affiliate its own",
        query: Query::Filters(DELIVERY_FILTERS),
        answers: &[(OK, Content::Page("Delivery")), BAD_REQUEST, NOT_FOUND],
        ..own(Endpoint::Deliveries, "/api/{tenant}/deliveries")
    },
    Operation {
        summary: "One message with its attempts; to an affiliate one of its own",
        answers: &[(OK, Content::Json("Delivery")), NOT_FOUND],
        ..own(Endpoint::Delivery, "/api/{tenant}/deliveries/{id}")
    },
    Operation {
        summary: "Sends a message again, now, under its old id; uses up no retry",
        answers: &[(OK, Content::Json("Delivery")), NOT_FOUND, CONFLICT],
        ..admin(Endpoint::RetryDelivery, Verb::Post, "/api/{tenant}/deliveries/{id}/retry")
    },
    Operation {
        summary: "Sends all messages again that match: dead ones, unless `state` names others",
        query: Query::Filters(RETRY_FILTERS),
        answers: &[(OK, Content::Json("Retried")), BAD_REQUEST, NOT_FOUND],
        ..admin(Endpoint::RetryDeliveries, Verb::Post, "/api/{tenant}/deliveries/retry")
    },
    Operation {
        summary: "Erases what is personal about one visitor; a resend stays a duplicate",
        body: Content::Json("Subject"),
        answers: &[(OK, Content::Json("Erased")), BAD_REQUEST, NOT_FOUND, CONFLICT],
        ..admin(Endpoint::Erase, Verb::Post, "/api/{tenant}/privacy/erase")
    },
    Operation {
        summary: "The tracking APIs; to an affiliate its own",
        query: Query::Filters(OWNER_FILTERS),
        answers: &[(OK, Content::Page("TrackingApi")), BAD_REQUEST, NOT_FOUND],
        ..own(Endpoint::TrackingApis, "/api/{tenant}/tracking-apis")
    },
    Operation {
        summary: "The inbound postback definitions",
        query: Query::Filters(OWNER_FILTERS),
        answers: &[(OK, Content::Page("PostbackDefinition")), BAD_REQUEST, NOT_FOUND],
        ..admin(Endpoint::Postbacks, Verb::Get, "/api/{tenant}/postbacks")
    },
    Operation {
        summary: "Replaces the rules, after checking them; each version is kept",
        body: Content::Rules,
        answers: &[(OK, Content::Json("RulesAccepted")), NOT_FOUND, UNPROCESSABLE],
        ..admin(Endpoint::PutRules, Verb::Put, "/api/{tenant}/rules")
    },
    Operation {
        summary: "The running rules as they were handed in",
        answers: &[(OK, Content::Rules), NOT_FOUND],
        ..admin(Endpoint::GetRules, Verb::Get, "/api/{tenant}/rules")
    },
];

/// Finds the operation of a request on one listener.
pub(crate) struct Table {
    router: Router<Vec<&'static Operation>>,
}

impl Table {
    /// The table of one listener. A path that clashes with another is left out, which a test
    /// of the table notices.
    pub(crate) fn of(listener: Listener) -> Self {
        let mut router = Router::new();
        let of_listener =
            || OPERATIONS.iter().filter(move |operation| operation.listener == listener);
        for first in of_listener() {
            let same_path = of_listener().filter(|operation| operation.path == first.path);
            // Inserting a path again changes nothing.
            let _ = router.insert(first.path, same_path.collect());
        }
        Self { router }
    }

    /// The operation, and the parameters in its path.
    ///
    /// # Errors
    /// 404 for an unknown path, 405 for a method that the path does not know.
    pub(crate) fn find<'t, 'p>(
        &'t self,
        method: &Method,
        path: &'p str,
    ) -> Result<(&'static Operation, Params<'t, 'p>), Problem> {
        let found = self.router.at(path).map_err(|_| Problem::unknown_path())?;
        let operations = found.value;
        let asked = |operation: &&&Operation| operation.verb.name() == method.as_str();
        match operations.iter().find(asked) {
            Some(operation) => Ok((operation, found.params)),
            None => {
                Err(Problem::method_not_allowed(operations.iter().map(|operation| operation.verb)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_on_its_own_listener_only() {
        for operation in OPERATIONS {
            let path = operation.path.replace(['{', '}'], "x");
            let find = |listener| {
                let table = Table::of(listener);
                table
                    .find(&operation.verb.name().parse().unwrap(), &path)
                    .map(|(found, _)| (found.endpoint, found.path))
                    .ok()
            };
            let (own, other) = match operation.listener {
                Listener::Public => (Listener::Public, Listener::Admin),
                Listener::Admin => (Listener::Admin, Listener::Public),
            };
            let expected = Some((operation.endpoint, operation.path));
            assert_eq!(find(own), expected, "{path}");
            assert_ne!(find(other), expected, "{path}");
        }
    }

    #[test]
    fn every_operation_says_what_it_is_and_answers() {
        for operation in OPERATIONS {
            assert!(!operation.summary.is_empty(), "{}", operation.path);
            assert!(!operation.answers.is_empty(), "{}", operation.path);
        }
    }
}
