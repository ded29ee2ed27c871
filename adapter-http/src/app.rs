//! From a request to its answer: find the operation, let through who may ask, run it within the
//! whole request's deadline, count and log.

use std::{net::IpAddr, pin::pin, sync::Arc, time::Instant};

use counterfoil_core::{AffiliateId, Arrival, Receipt, Request, Timestamp, refuse};
use hyper::{body::Incoming, http::request::Parts};
use ipnet::IpNet;
use matchit::Params;
use serde::de::DeserializeOwned;
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    answer::Answer,
    auth::{Asker, Guard},
    body::{self, Form},
    clock::Clock,
    config::{Config, Limits},
    handover::Handover,
    metrics::Metrics,
    problem::{Problem, fresh_id},
    proxies::{Peer, sender},
    routes::{
        deliveries, edit, erase, explain, link, lists, postback, process, root, rules,
        tracking_apis,
    },
    store::{Decided, RunningRules, Store, Submission, SubmitError},
    table::{Access, Endpoint, Listener, Operation, Table},
    unlogged::RowBudget,
};

/// What all connections share.
pub(crate) struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) limits: Limits,
    pub(crate) guard: Guard,
    pub(crate) metrics: Metrics,
    row_budget: RowBudget,
    clock: Clock,
    trusted_proxies: Vec<IpNet>,
    handover: Handover,
    public: Table,
    admin: Table,
}

/// One request while it is answered.
pub(crate) struct Call<'a> {
    pub(crate) app: &'a App,
    /// The sender, behind the proxies that are trusted.
    pub(crate) peer: Peer,
    pub(crate) head: &'a Parts,
    /// Who asks; on the public listener, and where anyone may, nobody knows.
    asker: Option<Asker>,
    params: Params<'a, 'a>,
}

/// Who hands in an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Anyone: nothing was proved.
    Stranger,
    /// Who has proved who it is: the log keeps a row of whatever it sends.
    Known,
}

impl App {
    pub(crate) fn new(config: Config, store: Arc<dyn Store>) -> Self {
        Self {
            handover: Handover::new(store.clone()),
            store,
            limits: config.limits,
            guard: Guard::new(&config),
            row_budget: RowBudget::new(config.limits.refusal_rows),
            clock: config.clock,
            trusted_proxies: config.trusted_proxies,
            metrics: Metrics::new(config.dispatch),
            public: Table::of(Listener::Public),
            admin: Table::of(Listener::Admin),
        }
    }

    /// Answers one request. It always does: what goes wrong is a problem.
    pub(crate) async fn answer(
        &self,
        listener: Listener,
        peer: &Peer,
        request: hyper::Request<Incoming>,
    ) -> Answer {
        let began = Instant::now();
        let (head, body) = request.into_parts();
        // Pinned where it is: it is large, and would be moved into the timeout.
        let run = pin!(self.run(listener, peer, &head, body));
        let answered = timeout(self.limits.request, run).await;
        let answer = answered
            .unwrap_or_else(|_| Err(Problem::too_slow()))
            .unwrap_or_else(Problem::into_answer);
        let status = answer.status();
        self.metrics.answered(status);
        tracing::debug!(
            listener = listener.name(),
            method = %head.method,
            status = status.as_u16(),
            took_us = began.elapsed().as_micros(),
            "answered"
        );
        answer
    }

    async fn run(
        &self,
        listener: Listener,
        peer: &Peer,
        head: &Parts,
        body: Incoming,
    ) -> Result<Answer, Problem> {
        let target_len = head.uri.path_and_query().map_or(0, |t| t.as_str().len());
        if target_len > self.limits.target_len_max {
            return Err(Problem::target_too_long(self.limits.target_len_max));
        }
        let table = match listener {
            Listener::Public => &self.public,
            Listener::Admin => &self.admin,
        };
        let (operation, params) = table.find(&head.method, head.uri.path())?;
        let peer = sender(peer, &head.headers, &self.trusted_proxies);
        let asker = self.asker(operation, peer.address, head, &params).await?;
        let call = Call { app: self, peer, head, asker, params };
        call.run(operation.endpoint, body).await
    }

    /// Who asks, where the operation is not for anyone; the tenant's tokens are compared by the
    /// operation that takes them.
    async fn asker(
        &self,
        operation: &Operation,
        peer: IpAddr,
        head: &Parts,
        params: &Params<'_, '_>,
    ) -> Result<Option<Asker>, Problem> {
        if matches!(operation.access, Access::Open | Access::Tenant) {
            return Ok(None);
        }
        let rules = match params.get("tenant") {
            Some(tenant) => self.store.rules(tenant).into_iter().collect(),
            None => self.store.all_rules(),
        };
        let rulesets = rules.into_iter().map(|rules| rules.ruleset).collect();
        let asker = self.guard.asker(peer, &head.headers, rulesets).await?;
        match asker {
            Asker::Affiliate(_) if operation.access == Access::Admin => {
                Err(Problem::not_for_affiliates())
            }
            asker => Ok(Some(asker)),
        }
    }
}

impl Call<'_> {
    async fn run(&self, endpoint: Endpoint, body: Incoming) -> Result<Answer, Problem> {
        match endpoint {
            Endpoint::Handle => postback::handle(self, body).await,
            Endpoint::Dialect => postback::dialect(self, body).await,
            Endpoint::Pixel => postback::pixel(self).await,
            Endpoint::Link => link::follow(self).await,
            Endpoint::MakeRoot => root::make(self, body).await,
            Endpoint::Alive => Ok(process::alive()),
            Endpoint::Ready => process::ready(self),
            Endpoint::Metrics => Ok(process::metrics(self).await),
            Endpoint::Version => Ok(process::version()),
            Endpoint::OpenApi => Ok(process::openapi()),
            Endpoint::Explain => explain::explain(self, body).await,
            Endpoint::Conversions => lists::conversions(self).await,
            Endpoint::Conversion => lists::conversion(self).await,
            Endpoint::Transactions => lists::transactions(self).await,
            Endpoint::Transaction => lists::transaction(self).await,
            Endpoint::EditTransaction => edit::transaction(self, body).await,
            Endpoint::Requests => lists::requests(self).await,
            Endpoint::Request => lists::request(self).await,
            Endpoint::Timeline => lists::timeline(self).await,
            Endpoint::Deliveries => deliveries::list(self).await,
            Endpoint::Delivery => deliveries::one(self).await,
            Endpoint::RetryDelivery => deliveries::retry(self).await,
            Endpoint::RetryDeliveries => deliveries::retry_all(self).await,
            Endpoint::Erase => erase::erase(self, body).await,
            Endpoint::TrackingApis => tracking_apis::list(self),
            Endpoint::Postbacks => lists::postbacks(self),
            Endpoint::PutRules => rules::put(self, body).await,
            Endpoint::GetRules => rules::get(self).await,
        }
    }

    /// The affiliate that asks, where it is no administrator.
    pub(crate) fn affiliate(&self) -> Option<&AffiliateId> {
        match &self.asker {
            Some(Asker::Affiliate(id)) => Some(id),
            Some(Asker::Admin) | None => None,
        }
    }

    /// The moment of an arrival.
    pub(crate) fn now(&self) -> Timestamp {
        (self.app.clock)()
    }

    /// A parameter of the path; every path that asks has it.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.get(name).unwrap_or_default()
    }

    /// The tenant of the path.
    pub(crate) fn tenant(&self) -> &str {
        self.param("tenant")
    }

    /// The query, without the question mark.
    pub(crate) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// The running rules of the tenant of the path.
    ///
    /// # Errors
    /// 404 where there is no such tenant.
    pub(crate) fn rules(&self) -> Result<RunningRules, Problem> {
        let rules = self.app.store.rules(self.tenant());
        rules.ok_or_else(Problem::unknown_tenant)
    }

    /// The body, within the limits.
    ///
    /// # Errors
    /// 413, 408, and 400 where it breaks.
    pub(crate) async fn body(&self, body: Incoming) -> Result<bytes::Bytes, Problem> {
        let limits = &self.app.limits;
        body::read(body, limits.body_len_max, limits.body).await
    }

    /// The body, a JSON object of one shape.
    ///
    /// # Errors
    /// 415 where it is no JSON, 400 where it is no object or has another shape, and those of
    /// [`Call::body`].
    pub(crate) async fn json<T: DeserializeOwned>(&self, body: Incoming) -> Result<T, Problem> {
        const ACCEPTED: &str = "application/json";
        if Form::of(&self.head.headers, ACCEPTED)? != Some(Form::Json) {
            return Err(Problem::unsupported_media_type(ACCEPTED));
        }
        body::object(&self.body(body).await?)
    }

    /// Has an arrival decided and stored; answers when the commit is on stable storage (P1).
    ///
    /// # Errors
    /// 503 where the writer is busy or cannot write.
    pub(crate) async fn submit(
        &self,
        rules: RunningRules,
        arrival: Arrival,
        sender: Sender,
    ) -> Result<Decided, Problem> {
        self.submit_at(rules, arrival, sender, self.now()).await
    }

    /// The same for an arrival whose moment has played a part already.
    pub(crate) async fn submit_at(
        &self,
        rules: RunningRules,
        arrival: Arrival,
        sender: Sender,
        received_at: Timestamp,
    ) -> Result<Decided, Problem> {
        if let Some(decided) = self.unlogged(&arrival, sender, received_at) {
            return Ok(decided);
        }
        let began = Instant::now();
        let method = arrival.method;
        let submission = Submission { rules, arrival, received_at };
        let decided = self.app.handover.submit(submission).await;
        let decided = decided.inspect_err(|error| {
            tracing::warn!(tenant = self.tenant(), %error, "failed to store a request");
        })?;
        let decision = &decided.decision;
        self.app.metrics.decided(method, decision, began.elapsed());
        tracing::debug!(
            tenant = self.tenant(),
            request_id = %decided.request_id,
            method = method.name(),
            outcome = decision.outcome.name(),
            reason = decision.refusal.as_ref().map(|refusal| refusal.reason.code()),
            "decided"
        );
        Ok(decided)
    }

    /// The answer to a stranger's refusal that is beyond what the log keeps.
    fn unlogged(
        &self,
        arrival: &Arrival,
        sender: Sender,
        received_at: Timestamp,
    ) -> Option<Decided> {
        let Request::Unreadable(refusal) = &arrival.request else {
            return None;
        };
        if sender == Sender::Known || self.app.row_budget.take(self.peer.address) {
            return None;
        }
        let request_id = fresh_id();
        let receipt = Receipt { id: request_id, at: received_at };
        let decision = refuse((**refusal).clone(), receipt);
        self.app.metrics.unlogged(arrival.method, &decision, refusal.reason);
        Some(Decided { request_id, decision })
    }

    /// Asks the store for something that may block, on a thread of its own.
    ///
    /// # Errors
    /// What the question answers; 503 where it broke off.
    pub(crate) async fn ask<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Store, &str) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        let (store, tenant) = (self.app.store.clone(), self.tenant().to_owned());
        let asked = spawn_blocking(move || question(&*store, &tenant)).await;
        match asked {
            Ok(answer) => answer.map_err(Into::into),
            Err(error) => {
                tracing::error!(%error, "failed to ask the store");
                Err(SubmitError::Unavailable.into())
            }
        }
    }
}
