//! Due auto-sets are submitted through the same path as every request (R35): by a timer where a
//! server runs, else by `catch-up`.

use std::{
    io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use counterfoil_core::{Arrival, Method, Request, Timestamp};
use counterfoil_sqlite::{Decided, Due, Rules, Store, Submission, SubmitError, Waiting};

use crate::{clock, store::EmbeddedStore};

/// How long the timer sleeps at the most: new transactions may be due earlier than it knew.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long it sleeps at the least.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// How many auto-sets are submitted at once.
const BATCH_LEN: usize = 256;

/// A running timer; dropping it stops it and waits for what it is about.
#[derive(Debug)]
pub(crate) struct AutoSetTimer {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl AutoSetTimer {
    /// Starts it on a thread of its own.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(crate) fn start(store: Arc<EmbeddedStore>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let run = move || {
            let mut pause = PAUSE_MAX;
            while stopped.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
                let is_stopped = || stopped.try_recv() == Err(mpsc::TryRecvError::Disconnected);
                pause = match submit_due(store.store(), clock::now(), is_stopped, drop) {
                    Ok(()) => until_next(store.store()),
                    Err(Waits) => PAUSE_MAX,
                };
            }
        };
        let thread = thread::Builder::new().name("auto-sets".to_owned()).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for AutoSetTimer {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic of the thread was reported when it happened.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Something stays due and is tried again after a pause; the log has why.
#[derive(Debug)]
pub(crate) struct Waits;

/// Submits what is due by then, of each tenant that is served, in the order of its times, and hands
/// on what was decided. What fails stays due, and holds up nothing that comes after it.
///
/// # Errors
/// Where something stays due that could not be submitted.
pub(crate) fn submit_due(
    store: &Store,
    now: Timestamp,
    is_stopped: impl Fn() -> bool,
    mut decided: impl FnMut(Decided),
) -> Result<(), Waits> {
    let mut waits = false;
    for rules in store.all_rules() {
        let mut after = None;
        while !is_stopped() {
            let tenant = rules.ruleset().tenant();
            let due = store.reader().due_auto_sets(tenant, now, after.as_ref(), BATCH_LEN as u32);
            let due = due.map_err(|error| {
                tracing::warn!(%error, "cannot read which auto-sets are due");
                Waits
            })?;
            waits |= submit_all(store, &rules, &due, now, &mut decided).is_err();
            if due.len() < BATCH_LEN {
                break;
            }
            after = due.last().cloned();
        }
    }
    if waits { Err(Waits) } else { Ok(()) }
}

/// Submits some auto-sets of a tenant, so that they can share a commit, and waits for all.
fn submit_all(
    store: &Store,
    rules: &Rules,
    due: &[Due],
    now: Timestamp,
    decided: &mut impl FnMut(Decided),
) -> Result<(), Waits> {
    let (reply, replies) = mpsc::channel();
    let waiting = |one| waiting(rules, one, now, reply.clone());
    store.submit(due.iter().map(waiting).collect());
    drop(reply);
    let mut all = Ok(());
    for result in replies {
        match result {
            Ok(one) => decided(one),
            Err(error) => {
                tracing::warn!(%error, "an auto-set waits");
                all = Err(Waits);
            }
        }
    }
    all
}

fn waiting(
    rules: &Rules,
    due: &Due,
    now: Timestamp,
    reply: mpsc::Sender<Result<Decided, SubmitError>>,
) -> Waiting {
    let arrival = Arrival {
        request: Request::AutoSet(due.transaction_id),
        method: Method::AutoSet,
        dialect: None,
        query: counterfoil_core::auto_set_text(due.transaction_id),
        remote_addr: None,
    };
    let submission = Submission { ruleset: rules.ruleset().clone(), arrival, received_at: now };
    // The receiver outlives every sender, so it is there.
    let answered = move |result| drop(reply.send(result));
    Waiting { submission, row: None, reply: Box::new(answered) }
}

/// How long to sleep until the next one is due, as far as it is known.
fn until_next(store: &Store) -> Duration {
    let next_of = |rules: &Rules| store.reader().next_auto_set(rules.ruleset().tenant());
    // Where it cannot be read, the next round tells.
    let next = store.all_rules().iter().filter_map(|rules| next_of(rules).ok()?).min();
    let pause = next.map_or(PAUSE_MAX, |at| {
        let ms = at.as_ms().saturating_sub(clock::now().as_ms());
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    });
    pause.clamp(PAUSE_MIN, PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use counterfoil_core::{Incoming, TenantName, read};
    use counterfoil_sqlite::{Options, RulesFormat};

    use super::*;

    const RULES: &str = r#"
tenant = "idle"
currency = "EUR"

[[advertiser]]
id = "shoply"
name = "Shoply"

[[affiliate]]
id = "bo"
name = "Blogger Bo"

[[offer]]
id = "shoply-cz"
name = "Shoply Czechia"
advertiser = "shoply"
url = "https://shoply.example/"

[[commission]]
id = "lead"
type = "lead"
revenue = { fixed = "20" }
payout = { fixed = "12" }
auto_set = { result = "approved", after = "1ms" }
"#;

    fn install(store: &Store, tenant: &str) -> Rules {
        let rules = RULES.replace("idle", tenant);
        store.install_rules(None, &rules, RulesFormat::Toml, clock::now()).unwrap().rules
    }

    /// Makes leads whose results are due already.
    fn make_due(store: &Store, rules: &Rules, count: usize) {
        let take = |method, text: &str| {
            let incoming = Incoming { method, dialect: None, query: text, body: None };
            let (request, query) = match method {
                Method::Api => {
                    let pairs = counterfoil_core::decode(&incoming).unwrap();
                    let root = counterfoil_core::RootRequest::read(rules.ruleset(), method, &pairs);
                    (Request::Root(root.unwrap().into()), text.to_owned())
                }
                _ => read(rules.ruleset(), &incoming),
            };
            let arrival = Arrival { request, method, dialect: None, query, remote_addr: None };
            let submission = Submission {
                ruleset: rules.ruleset().clone(),
                arrival,
                received_at: Timestamp::from_ms(1_767_225_600_000),
            };
            store.submit_wait(submission).unwrap().decision.conversion.unwrap().id
        };
        let root = "type=click&source=api&offer_id=shoply-cz&affiliate_id=bo";
        let pcid = take(Method::Api, root);
        for n in 0..count {
            take(Method::S2s, &format!("pcid={pcid}&type=lead&external_id=o{n}"));
        }
    }

    fn due(store: &Store, tenant: &str) -> usize {
        let tenant = TenantName::new(tenant).unwrap();
        store.reader().due_auto_sets(&tenant, clock::now(), None, 1000).unwrap().len()
    }

    #[test]
    fn what_a_tenant_that_is_not_served_leaves_due_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let store = Store::open(&path, Options::default()).unwrap();
        make_due(&store, &install(&store, "idle"), 300);
        drop(store);
        let store = Store::open(&path, Options::default()).unwrap();
        make_due(&store, &install(&store, "served"), 300);
        assert_eq!((due(&store, "idle"), due(&store, "served")), (300, 300));
        submit_due(&store, clock::now(), || true, drop).unwrap();
        assert_eq!(due(&store, "served"), 300, "it was to stop");
        submit_due(&store, clock::now(), || false, drop).unwrap();
        assert_eq!((due(&store, "idle"), due(&store, "served")), (300, 0));
        assert_eq!(until_next(&store), PAUSE_MAX, "nothing is known to come");
    }

    #[test]
    fn what_cannot_be_stored_holds_up_nothing_that_follows() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { queue_len: 1, batch_max: 1, ..Options::default() };
        let store = Store::open(&folder.path().join("test.db"), options).unwrap();
        make_due(&store, &install(&store, "served"), 300);
        // So many do not fit in the queue at once; what is left over comes in later rounds.
        while submit_due(&store, clock::now(), || false, drop).is_err() {}
        assert_eq!(due(&store, "served"), 0);
    }
}
