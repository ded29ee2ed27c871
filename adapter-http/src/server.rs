//! The server: two listeners, one runtime, one way to stop.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    runtime,
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    app::App,
    config::Config,
    listener::{Face, accept},
    store::Store,
    table::Listener,
};

/// Reads of administrators that run at once; more wait.
const READS_MAX: usize = 16;

/// How long reads that run are waited for when everything else has ended.
const CUT_WITHIN: Duration = Duration::from_secs(1);

/// Connections that may wait to be accepted; the system may hold it lower.
pub(crate) const BACKLOG: i32 = 1024;

/// Below all limits that are usual.
const NEAR: Duration = Duration::from_secs(1);

/// Both listeners, bound but not served yet: a client that connects now waits.
pub struct Server {
    config: Config,
    store: Arc<dyn Store>,
    public: TcpListener,
    admin: TcpListener,
    stop: watch::Sender<bool>,
}

/// Stops a server, from any thread. Clones stop the same server.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    stop: watch::Sender<bool>,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Whether connections were cut because they did not end within
    /// [`crate::Limits::stop`].
    pub cut: bool,
}

/// Why a server could not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on `{address}`: {source}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

impl Server {
    /// Takes both addresses. Nothing is served before [`Server::run`].
    ///
    /// # Errors
    /// Where an address is taken or is none of this machine.
    pub fn bind(config: Config, store: Arc<dyn Store>) -> Result<Self, BindError> {
        let public = listen(config.listen)?;
        let admin = listen(config.admin_listen)?;
        let (stop, _) = watch::channel(false);
        Ok(Self { config, store, public, admin, stop })
    }

    /// Where senders and visitors come in.
    ///
    /// # Errors
    /// What the system says.
    pub fn public_addr(&self) -> io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// Where administrators come in.
    ///
    /// # Errors
    /// What the system says.
    pub fn admin_addr(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// What stops this server.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { stop: self.stop.clone() }
    }

    /// Serves on this thread (and on more, where [`Config::workers`] says so) until `shutdown`
    /// ends or a handle stops it. Then it accepts what waits already and no more, closes idle
    /// connections and finishes what runs or was sent (P11), within [`crate::Limits::stop`]. When
    /// it returns, nothing more is submitted: the store may be flushed and closed.
    ///
    /// `shutdown` runs on the server's runtime, so it may wait for signals.
    ///
    /// # Errors
    /// Where the system gives no threads or no event queue.
    pub fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<Stopped> {
        let mut builder = match self.config.workers {
            0 | 1 => runtime::Builder::new_current_thread(),
            workers => {
                let mut builder = runtime::Builder::new_multi_thread();
                builder.worker_threads(workers);
                builder
            }
        };
        builder.enable_all().max_blocking_threads(READS_MAX);
        let runtime = builder.build()?;
        let stopped = runtime.block_on(self.serve(shutdown));
        // Ends what was cut, so that nothing of it is submitted after this returns.
        runtime.shutdown_timeout(CUT_WITHIN);
        stopped
    }

    async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<Stopped> {
        let public = tokio::net::TcpListener::from_std(self.public)?;
        let admin = tokio::net::TcpListener::from_std(self.admin)?;
        let stop_within = self.config.limits.stop;
        let tls = self.config.tls.clone();
        let app = Arc::new(App::new(self.config, self.store));
        let mut stopping = self.stop.subscribe();
        tokio::spawn(keep_a_near_timer());
        let face = Face { listener: Listener::Public, tls };
        tokio::spawn(accept(public, face, app.clone(), self.stop.subscribe()));
        let face = Face { listener: Listener::Admin, tls: None };
        tokio::spawn(accept(admin, face, app, self.stop.subscribe()));
        tokio::select! {
            () = shutdown => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
        self.stop.send_replace(true);
        drop(stopping);
        tracing::info!("stopping: who waits already is answered, and nobody else is let in");
        // Listeners and connections hold a receiver each for as long as they live.
        let cut = timeout(stop_within, self.stop.closed()).await.is_err();
        if cut {
            tracing::warn!("connections were cut: they did not end in time");
        }
        Ok(Stopped { cut })
    }
}

impl ServerHandle {
    /// Asks the server to stop; it goes on until what runs has ended.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

/// Keeps a timer that ends before most others. The runtime is woken, by a system call, for each new
/// one that would be the next to end; the limit of the next head would be, with each answer.
async fn keep_a_near_timer() {
    loop {
        sleep(NEAR).await;
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bind().map_err(|source| BindError { address, source })
}
