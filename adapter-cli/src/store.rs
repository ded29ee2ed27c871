//! The store behind the server and the dispatcher: [`counterfoil_http::Store`] and
//! [`counterfoil_http::Outbox`] over [`counterfoil_sqlite::Store`]. Everything is handed through.

use counterfoil_core::{
    Arrival, ConversionId, Issue, MessageId, Report, RequestId, Severity, TenantName, Timestamp,
    TransactionId, Wanted,
    view::{
        ConversionView, DeliveryView, Erased, Explanation, Filter, Page, RequestView, Subject,
        Timeline, TransactionView,
    },
};
use counterfoil_http as http;
use counterfoil_sqlite as sqlite;

use crate::clock;

/// An embedded store that a server can use.
#[derive(Debug)]
pub struct EmbeddedStore {
    store: sqlite::Store,
}

impl EmbeddedStore {
    /// Takes a store that this process owns. The tenants that have rules in it are served.
    pub fn new(store: sqlite::Store) -> Self {
        Self { store }
    }

    /// The store itself.
    pub fn store(&self) -> &sqlite::Store {
        &self.store
    }

    fn reader(&self) -> &sqlite::Reader {
        self.store.reader()
    }

    /// The tenant by its name, where it is served.
    fn tenant(&self, name: &str) -> Option<TenantName> {
        let rules = self.store.rules(name)?;
        Some(rules.ruleset().tenant().clone())
    }
}

impl http::Store for EmbeddedStore {
    fn rules(&self, tenant: &str) -> Option<http::RunningRules> {
        self.store.rules(tenant).map(|rules| running(&rules))
    }

    fn all_rules(&self) -> Vec<http::RunningRules> {
        self.store.all_rules().iter().map(running).collect()
    }

    fn submit(&self, batch: Vec<(http::Submission, http::Reply)>) {
        let waiting = |(submission, reply): (http::Submission, http::Reply)| {
            let submission = sqlite::Submission {
                ruleset: submission.rules.ruleset,
                arrival: submission.arrival,
                received_at: submission.received_at,
            };
            let answered = |result: Result<sqlite::Decided, sqlite::SubmitError>| {
                reply(result.map(decided).map_err(submit_error));
            };
            sqlite::Waiting { submission, row: None, reply: Box::new(answered) }
        };
        self.store.submit(batch.into_iter().map(waiting).collect());
    }

    fn explain(
        &self,
        rules: &http::RunningRules,
        arrival: Arrival,
        at: Timestamp,
    ) -> Result<Explanation, http::ReadError> {
        let ruleset = &rules.ruleset;
        let decision = self.reader().explain(ruleset, &arrival.request, at).map_err(read_error)?;
        Ok(Explanation::of(&decision, ruleset))
    }

    fn conversions(
        &self,
        tenant: &str,
        filter: &Filter,
    ) -> Result<Page<ConversionView>, http::ReadError> {
        let list = |tenant| self.reader().conversions(&tenant, filter);
        self.tenant(tenant).map_or_else(empty, list).map_err(read_error)
    }

    fn conversion(
        &self,
        tenant: &str,
        id: ConversionId,
    ) -> Result<Option<ConversionView>, http::ReadError> {
        let find = |tenant| self.reader().conversion(&tenant, id);
        self.tenant(tenant).map_or(Ok(None), find).map_err(read_error)
    }

    fn transactions(
        &self,
        tenant: &str,
        filter: &Filter,
    ) -> Result<Page<TransactionView>, http::ReadError> {
        let list = |tenant| self.reader().transactions(&tenant, filter);
        self.tenant(tenant).map_or_else(empty, list).map_err(read_error)
    }

    fn transaction(
        &self,
        tenant: &str,
        id: TransactionId,
    ) -> Result<Option<TransactionView>, http::ReadError> {
        let find = |tenant| self.reader().transaction(&tenant, id);
        self.tenant(tenant).map_or(Ok(None), find).map_err(read_error)
    }

    fn requests(
        &self,
        tenant: &str,
        filter: &Filter,
    ) -> Result<Page<RequestView>, http::ReadError> {
        let list = |tenant| self.reader().requests(&tenant, filter);
        self.tenant(tenant).map_or_else(empty, list).map_err(read_error)
    }

    fn request(&self, tenant: &str, id: RequestId) -> Result<Option<RequestView>, http::ReadError> {
        let find = |tenant| self.reader().request(&tenant, id);
        self.tenant(tenant).map_or(Ok(None), find).map_err(read_error)
    }

    fn timeline(&self, tenant: &str, id: RequestId) -> Result<Option<Timeline>, http::ReadError> {
        let find = |tenant| self.reader().timeline(&tenant, id);
        let found = self.tenant(tenant).map_or(Ok(None), find).map_err(read_error)?;
        Ok(found.map(|(_, timeline)| timeline))
    }

    fn deliveries(
        &self,
        tenant: &str,
        filter: &Filter,
    ) -> Result<Page<DeliveryView>, http::ReadError> {
        let list = |tenant| self.reader().deliveries(&tenant, filter);
        self.tenant(tenant).map_or_else(empty, list).map_err(read_error)
    }

    fn delivery(
        &self,
        tenant: &str,
        id: MessageId,
    ) -> Result<Option<DeliveryView>, http::ReadError> {
        let find = |tenant| self.reader().delivery(&tenant, id);
        self.tenant(tenant).map_or(Ok(None), find).map_err(read_error)
    }

    fn retry_delivery(
        &self,
        tenant: &str,
        id: MessageId,
    ) -> Result<http::Retried, http::SubmitError> {
        let Some(tenant) = self.tenant(tenant) else {
            return Ok(http::Retried::NotFound);
        };
        let retried = self.store.retry(&tenant, id, clock::now()).map_err(submit_error)?;
        Ok(match retried {
            sqlite::Retried::Due => http::Retried::Due,
            sqlite::Retried::NotFound => http::Retried::NotFound,
            sqlite::Retried::Forgotten => http::Retried::Forgotten,
            sqlite::Retried::InHand => http::Retried::InHand,
        })
    }

    fn retry_deliveries(&self, tenant: &str, filter: &Filter) -> Result<u64, http::SubmitError> {
        let retry = |tenant| self.store.retry_all(&tenant, filter, clock::now());
        self.tenant(tenant).map_or(Ok(0), retry).map_err(submit_error)
    }

    fn erase(&self, tenant: &str, subject: &Subject) -> Result<Erased, http::EraseError> {
        let erase = |tenant| self.store.erase(&tenant, subject, clock::now());
        self.tenant(tenant).map_or(Ok(Erased::default()), erase).map_err(|error| match error {
            sqlite::EraseError::Read(sqlite::ReadError::SeveralAdvertisers {
                advertisers, ..
            }) => http::EraseError::SeveralAdvertisers(advertisers),
            error => {
                tracing::error!(%error, "a visitor could not be erased");
                http::SubmitError::Unavailable.into()
            }
        })
    }

    fn backlog(&self) -> Result<http::Backlog, http::ReadError> {
        let outbox = self.reader().outbox().map_err(read_error)?;
        Ok(http::Backlog {
            due: outbox.due,
            oldest_due_at: outbox.oldest_due_at,
            held: outbox.held,
            dead: outbox.dead,
        })
    }

    fn rules_text(&self, tenant: &str) -> Result<Option<http::RulesText>, http::ReadError> {
        let Some(rules) = self.store.rules(tenant) else {
            return Ok(None);
        };
        let stored = self
            .reader()
            .rules_text(rules.ruleset().tenant(), Some(rules.version()))
            .map_err(read_error)?;
        Ok(stored.map(|stored| http::RulesText {
            version: i64::from(stored.version),
            text: stored.text,
            format: match stored.format {
                sqlite::RulesFormat::Toml => http::RulesFormat::Toml,
                sqlite::RulesFormat::Json => http::RulesFormat::Json,
            },
        }))
    }

    fn put_rules(
        &self,
        tenant: &str,
        text: &str,
        format: http::RulesFormat,
    ) -> Result<http::RulesAccepted, http::PutRulesError> {
        let tenant = self.tenant(tenant);
        let format = match format {
            http::RulesFormat::Toml => sqlite::RulesFormat::Toml,
            http::RulesFormat::Json => sqlite::RulesFormat::Json,
        };
        let installed = self
            .store
            .install_rules(tenant.as_ref(), text, format, clock::now())
            .map_err(put_rules_error)?;
        Ok(http::RulesAccepted {
            version: i64::from(installed.rules.version()),
            warnings: installed.warnings,
        })
    }

    fn health(&self) -> http::Health {
        let health = self.store.health();
        http::Health {
            not_ready: health.not_ready,
            queue_depth: health.queue_depth,
            batches: health.batches,
            batched_requests: health.batched_requests,
            batch_len_max: health.batch_len_max,
            commit_seconds: distribution(&health.commit_us, 1e6),
            batch_requests: distribution(&health.batch_requests, 1.0),
        }
    }
}

impl http::Outbox for EmbeddedStore {
    fn claim(&self, wanted: Wanted, reply: http::ClaimReply) {
        self.store.claim(wanted, Box::new(|claimed| reply(claimed.map_err(submit_error))));
    }

    fn report(&self, reports: Vec<Report>, reply: http::ReportReply) {
        let reported = |reported: Result<sqlite::Reported, sqlite::SubmitError>| {
            reply(match reported {
                // The store has told of the defect, and stored what it could. To hand it in again
                // would meet it again: the lease ends, and its message is attempted once more.
                Err(sqlite::SubmitError::Internal) => Ok(0),
                reported => reported.map(|reported| reported.stale).map_err(submit_error),
            });
        };
        self.store.report(reports, Box::new(reported));
    }

    fn next_due(&self) -> Result<Option<Timestamp>, http::ReadError> {
        self.reader().next_due().map_err(read_error)
    }

    fn on_due(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.store.on_due(wake);
    }
}

/// A distribution in units of which one has so many of the store's.
#[expect(clippy::float_arithmetic, reason = "metrics are floats; this is no money")]
fn distribution(of: &sqlite::Distribution, per_unit: f64) -> http::Distribution {
    let bound =
        |bound: u64| if bound == u64::MAX { f64::INFINITY } else { bound as f64 / per_unit };
    http::Distribution {
        buckets: of.buckets.iter().map(|(upper, count)| (bound(*upper), *count)).collect(),
        sum: of.sum as f64 / per_unit,
    }
}

fn running(rules: &sqlite::Rules) -> http::RunningRules {
    http::RunningRules { version: i64::from(rules.version()), ruleset: rules.ruleset().clone() }
}

/// The page of a tenant that is not served.
fn empty<T>() -> Result<Page<T>, sqlite::ReadError> {
    Ok(Page { items: Vec::new(), next_cursor: None })
}

fn decided(decided: sqlite::Decided) -> http::Decided {
    http::Decided { request_id: decided.receipt.id, decision: decided.decision }
}

fn submit_error(error: sqlite::SubmitError) -> http::SubmitError {
    match error {
        sqlite::SubmitError::Busy => http::SubmitError::Busy,
        sqlite::SubmitError::Unavailable | sqlite::SubmitError::Internal => {
            http::SubmitError::Unavailable
        }
    }
}

fn read_error(error: sqlite::ReadError) -> http::ReadError {
    match error {
        sqlite::ReadError::Cursor(cursor) => http::ReadError::Cursor(cursor),
        other => http::ReadError::Unavailable(other.to_string()),
    }
}

fn put_rules_error(error: sqlite::InstallError) -> http::PutRulesError {
    let path = match &error {
        sqlite::InstallError::OtherTenant { .. } => "tenant",
        sqlite::InstallError::CurrencyChange { .. } => "currency",
        _ => "",
    };
    let message = error.to_string();
    match error {
        sqlite::InstallError::Invalid(issues) => http::PutRulesError::Invalid(issues),
        _ if path.is_empty() => http::PutRulesError::Unavailable(message),
        _ => http::PutRulesError::Invalid(vec![Issue {
            severity: Severity::Error,
            position: None,
            path: path.to_owned(),
            message,
            hint: None,
        }]),
    }
}
