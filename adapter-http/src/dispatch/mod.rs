//! Sending messages: claims what is due, attempts it, and reports how it ended.
//!
//! ```text
//! on_due, time, ended attempts -> claim a slice -> breaker -> attempt -> reports, batched
//!                                                               |
//!              secrets, signature -> look up -> vet -> connect -> TLS -> send -> read
//! ```
//!
//! * [`Dispatcher`] and its configuration are public; [`run`] is the loop, and the only one that
//!   talks to the [`Outbox`].
//! * [`destinations`] remembers what is under way and which breakers are open.
//! * [`attempt`] makes one attempt, of [`request`] (secrets, signature), [`dial`] (with [`address`]
//!   and [`resolve`]), [`answer`] and [`excerpt`].
//!
//! It runs on a thread of its own, so that sending slows no request that comes in.

mod address;
mod answer;
mod attempt;
mod config;
mod destinations;
mod dial;
mod excerpt;
mod faults;
mod metrics;
mod request;
mod resolve;
mod run;

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{runtime, sync::watch};

pub use self::{
    address::forbidden,
    config::{DispatchConfig, DispatchError, Draws},
    metrics::DispatchMetrics,
    resolve::{Resolver, Resolving},
};
use self::{attempt::Sender, resolve::LOOKUPS_MAX, run::Run};
use crate::outbox::Outbox;

/// How long threads are waited for that look something up when everything else has ended.
const CUT_WITHIN: Duration = Duration::from_millis(100);

/// Sends messages until it is stopped.
pub struct Dispatcher {
    config: DispatchConfig,
    sender: Sender,
    outbox: Arc<dyn Outbox>,
    metrics: DispatchMetrics,
}

/// A dispatcher on a thread of its own. Dropped, it is asked to stop and not waited for.
#[derive(Debug)]
pub struct Dispatching {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Dispatcher {
    /// A dispatcher that has not begun.
    ///
    /// # Errors
    /// Where the certificates cannot be read, or TLS cannot be set up.
    pub fn new(config: DispatchConfig, outbox: Arc<dyn Outbox>) -> Result<Self, DispatchError> {
        let sender = Sender::new(config.clone())?;
        Ok(Self { config, sender, outbox, metrics: DispatchMetrics::default() })
    }

    /// What it counts.
    pub fn metrics(&self) -> DispatchMetrics {
        self.metrics.clone()
    }

    /// Sends messages until `stop` ends. Then it claims nothing more, lets attempts end within
    /// [`DispatchConfig::stop`], and gives the others back (P11). When it returns, the outbox is
    /// told nothing more.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        Run::new(self.config, self.sender, self.outbox, self.metrics).until(stop).await;
    }

    /// Sends messages on a thread of its own.
    ///
    /// # Errors
    /// Where the system gives no thread or no event queue.
    pub fn start(self) -> Result<Dispatching, DispatchError> {
        let mut builder = runtime::Builder::new_current_thread();
        // Beside lookups there is one more that blocks: when something is due next.
        let runtime = builder.enable_all().max_blocking_threads(LOOKUPS_MAX + 1).build()?;
        let (stop, mut stopping) = watch::channel(false);
        let thread = thread::Builder::new().name("dispatch".to_owned()).spawn(move || {
            // Where nobody is left who could say so, it is over as well.
            let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
            runtime.block_on(self.run(stopped));
            runtime.shutdown_timeout(CUT_WITHIN);
        })?;
        Ok(Dispatching { stop, thread })
    }
}

impl Dispatching {
    /// Asks it to stop; it goes on until what runs has ended.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Stops it, and waits until it has ended. False where it broke.
    pub fn join(self) -> bool {
        self.stop();
        self.thread.join().is_ok()
    }
}
