//! A store behind a server, on which requests arrive when a scenario says so.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use counterfoil::EmbeddedStore;
use counterfoil_core::{
    Arrival, ConversionId, MessageId, RequestId, Timestamp, TransactionId,
    view::{
        ConversionView, DeliveryView, Erased, Explanation, Filter, Page, RequestView, Subject,
        Timeline, TransactionView,
    },
};
use counterfoil_http::{
    Backlog, Health, PutRulesError, ReadError, Reply, Retried, RulesAccepted, RulesFormat,
    RulesText, RunningRules, Store, Submission, SubmitError,
};

/// The store, and the moment in milliseconds.
pub(super) struct ClockedStore {
    pub(super) store: EmbeddedStore,
    pub(super) now_ms: Arc<AtomicI64>,
}

impl Store for ClockedStore {
    fn submit(&self, mut batch: Vec<(Submission, Reply)>) {
        for (submission, _) in &mut batch {
            submission.received_at = Timestamp::from_ms(self.now_ms.load(Ordering::SeqCst));
        }
        self.store.submit(batch);
    }

    fn rules(&self, tenant: &str) -> Option<RunningRules> {
        self.store.rules(tenant)
    }

    fn explain(
        &self,
        rules: &RunningRules,
        arrival: Arrival,
        at: Timestamp,
    ) -> Result<Explanation, ReadError> {
        self.store.explain(rules, arrival, at)
    }

    fn conversions(
        &self,
        tenant: &str,
        filter: &Filter,
    ) -> Result<Page<ConversionView>, ReadError> {
        self.store.conversions(tenant, filter)
    }

    fn conversion(
        &self,
        tenant: &str,
        id: ConversionId,
    ) -> Result<Option<ConversionView>, ReadError> {
        self.store.conversion(tenant, id)
    }

    fn transactions(
        &self,
        tenant: &str,
        filter: &Filter,
    ) -> Result<Page<TransactionView>, ReadError> {
        self.store.transactions(tenant, filter)
    }

    fn transaction(
        &self,
        tenant: &str,
        id: TransactionId,
    ) -> Result<Option<TransactionView>, ReadError> {
        self.store.transaction(tenant, id)
    }

    fn requests(&self, tenant: &str, filter: &Filter) -> Result<Page<RequestView>, ReadError> {
        self.store.requests(tenant, filter)
    }

    fn request(&self, tenant: &str, id: RequestId) -> Result<Option<RequestView>, ReadError> {
        self.store.request(tenant, id)
    }

    fn timeline(&self, tenant: &str, id: RequestId) -> Result<Option<Timeline>, ReadError> {
        self.store.timeline(tenant, id)
    }

    fn deliveries(&self, tenant: &str, filter: &Filter) -> Result<Page<DeliveryView>, ReadError> {
        self.store.deliveries(tenant, filter)
    }

    fn delivery(&self, tenant: &str, id: MessageId) -> Result<Option<DeliveryView>, ReadError> {
        self.store.delivery(tenant, id)
    }

    fn retry_delivery(&self, tenant: &str, id: MessageId) -> Result<Retried, SubmitError> {
        self.store.retry_delivery(tenant, id)
    }

    fn retry_deliveries(&self, tenant: &str, filter: &Filter) -> Result<u64, SubmitError> {
        self.store.retry_deliveries(tenant, filter)
    }

    fn erase(&self, tenant: &str, subject: &Subject) -> Result<Erased, SubmitError> {
        self.store.erase(tenant, subject)
    }

    fn backlog(&self) -> Result<Backlog, ReadError> {
        self.store.backlog()
    }

    fn rules_text(&self, tenant: &str) -> Result<Option<RulesText>, ReadError> {
        self.store.rules_text(tenant)
    }

    fn put_rules(
        &self,
        tenant: &str,
        text: &str,
        format: RulesFormat,
    ) -> Result<RulesAccepted, PutRulesError> {
        self.store.put_rules(tenant, text, format)
    }

    fn health(&self) -> Health {
        self.store.health()
    }
}
