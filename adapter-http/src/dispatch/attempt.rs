//! One attempt: complete the request, send it, read the answer, and say what follows. All of it
//! within the time of its call (R41); nothing of it fails otherwise than as an outcome.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use counterfoil_core::{
    Attempt, AttemptOutcome, Attempted, Call, Claim, DeadReason, Next, Period, ReadAnswer,
    RetryPolicy, after_attempt, read_answer,
};
use http_body_util::Full;
use hyper::Request;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::{
    task::yield_now,
    time::{Instant, timeout},
};

use super::{
    answer::{Answer, BODY_LEN_MAX, read, retry_after},
    config::{DispatchConfig, DispatchError, tls},
    dial::{DialError, Dialer},
    excerpt::Reading,
    request::{Completed, RequestError, completed},
};

/// How long an idle connection is kept: less than most servers do, so that few are found closed.
const IDLE_FOR: Duration = Duration::from_secs(15);
/// The most bytes of the head of an answer, and of headers in it.
const HEAD_LEN_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 128;
/// The most bytes of an error: receivers have a say in some.
const ERROR_LEN_MAX: usize = 500;

/// Sends messages.
pub(super) struct Sender {
    config: DispatchConfig,
    client: Client<Dialer, Full<Bytes>>,
}

/// What happened in an attempt, but for its times.
struct Told {
    outcome: AttemptOutcome,
    error: Option<String>,
    response: Option<Box<str>>,
    answer: Option<ReadAnswer>,
}

impl Sender {
    /// A sender with no connections.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub(super) fn new(config: DispatchConfig) -> Result<Self, DispatchError> {
        let tls = tls(config.ca_file.clone())?;
        let dialer = Dialer::new(config.resolver.clone(), config.allowed.clone(), tls);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(config.most_of_one)
            .http1_max_buf_size(HEAD_LEN_MAX)
            .http1_max_headers(HEADERS_MAX)
            .build(dialer);
        Ok(Self { config, client })
    }

    /// Makes the attempt that a claim allows.
    pub(super) async fn attempt(&self, claim: Arc<Claim>) -> Attempted {
        let started_at = (self.config.clock)();
        let began = Instant::now();
        let mut is_final = false;
        let told = match completed(&claim, &self.config.secrets, started_at) {
            Err(error) => {
                is_final = error.is_final();
                Told::our_fault(error.to_string())
            }
            Ok(completed) => match claim.call() {
                None => Told::our_fault(RequestError::Unknown.to_string()),
                Some(call) => self.send(&claim, call, completed).await,
            },
        };
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Told { outcome, error, response, answer } = told;
        let ended_at = (self.config.clock)();
        let attempt = Attempt {
            ended_at,
            outcome,
            delivery_retries: claim.delivery_retries,
            polls: claim.polls,
        };
        let unknown = RetryPolicy::default();
        let policy = claim.call().map_or(&unknown, |call| &call.retry);
        let next = match is_final {
            true => Next::Dead(DeadReason::Unsendable),
            false => after_attempt(policy, &attempt, (self.config.draws)()),
        };
        Attempted {
            message: claim.message.id,
            fence: claim.fence,
            started_at,
            took: Period::from_ms(took),
            outcome,
            error: error.map(bounded),
            response,
            answer,
            next,
        }
    }

    async fn send(&self, claim: &Claim, call: &Call, completed: Completed) -> Told {
        let Completed { request, masks } = completed;
        let within = Duration::from_millis(call.timeout.as_ms());
        let ended = timeout(within, self.exchange(request)).await;
        let reading = Reading::of(claim, &masks);
        match ended {
            Err(_) => Told::unanswered(format!("no whole answer within {}", call.timeout)),
            Ok(Err(error)) => Told::failed(&*error, &reading),
            Ok(Ok(answer)) => Told::answered(call, &answer, &reading),
        }
    }

    /// Dropped before its end, it ends the connection with it.
    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        // Connections see first what has arrived: one that its receiver has closed is not used.
        yield_now().await;
        let (head, body) = self.client.request(request).await?.into_parts();
        let (body, is_cut) = read(body).await?;
        let retry_after = retry_after(&head.headers);
        Ok(Answer { status: head.status, retry_after, body, is_cut })
    }
}

impl Told {
    fn our_fault(error: String) -> Self {
        Self::without_answer(AttemptOutcome::OurFault, error)
    }

    fn unanswered(error: String) -> Self {
        Self::without_answer(AttemptOutcome::Unanswered, error)
    }

    fn without_answer(outcome: AttemptOutcome, error: String) -> Self {
        Self { outcome, error: Some(error), response: None, answer: None }
    }

    /// The root of an error says the most; what wraps it are words of the client. A certificate has
    /// a say in some.
    fn failed(error: &(dyn Error + 'static), reading: &Reading<'_>) -> Self {
        let words = |words: String| reading.beginning(&words, ERROR_LEN_MAX).into();
        let mut root = error;
        loop {
            if let Some(dial) = root.downcast_ref::<DialError>() {
                let is_final = dial.is_final();
                let outcome =
                    if is_final { AttemptOutcome::Forbidden } else { AttemptOutcome::Unanswered };
                return Self::without_answer(outcome, words(dial.to_string()));
            }
            match root.source() {
                Some(source) => root = source,
                None => {
                    return Self::unanswered(words(format!("the connection broke: {root}")));
                }
            }
        }
    }

    fn answered(call: &Call, answer: &Answer, reading: &Reading<'_>) -> Self {
        let status = answer.status;
        let read = status.is_success().then(|| {
            let mut read = read_answer(call, &answer.body);
            for unmapped in &mut read.unmapped {
                unmapped.found = reading.word(call, unmapped);
            }
            read
        });
        let is_read = call.pending.is_some() || !call.set.is_empty();
        let error = if status.is_redirection() {
            Some("redirects are not followed: write the url that it leads to".to_owned())
        } else if answer.is_cut && is_read && status.is_success() {
            Some(format!("the answer is longer than {BODY_LEN_MAX} bytes: the rest was not read"))
        } else {
            None
        };
        Self {
            outcome: AttemptOutcome::Answered {
                status: status.as_u16(),
                pending: read.as_ref().is_some_and(|read| read.pending),
                retry_after: answer.retry_after,
            },
            error,
            response: reading.excerpt(&answer.body),
            answer: read,
        }
    }
}

fn bounded(error: String) -> Box<str> {
    let end = error.floor_char_boundary(ERROR_LEN_MAX);
    error.get(..end).unwrap_or_default().into()
}
