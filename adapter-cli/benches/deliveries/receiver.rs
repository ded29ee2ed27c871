//! A receiver that answers at once: many addresses, one thread, every message counted by its id.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::Result;

/// A running receiver; its sockets close when it is dropped.
pub(crate) struct Receiver {
    pub(crate) addresses: Vec<SocketAddr>,
    seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    requests: AtomicU64,
    messages: Mutex<HashSet<String>>,
    first: Mutex<Option<Instant>>,
}

impl Receiver {
    /// Listens on so many ports of loopback.
    pub(crate) fn start(destinations: usize) -> Result<Self> {
        let listen = |_| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        };
        let listening: Result<Vec<_>> = (0..destinations).map(listen).collect();
        let (addresses, listeners): (Vec<_>, Vec<_>) = listening?.into_iter().unzip();
        let seen = Arc::<Seen>::default();
        let told = seen.clone();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                for listener in listeners.into_iter().filter_map(|l| TcpListener::from_std(l).ok())
                {
                    tokio::spawn(accept(listener, told.clone()));
                }
                // An error means that nobody can stop this any more.
                let _ = stopped.await;
            });
        });
        Ok(Self { addresses, seen, stop: Some(stop), thread: Some(thread) })
    }

    /// Requests that came in.
    pub(crate) fn received(&self) -> u64 {
        self.seen.requests.load(Relaxed)
    }

    /// Requests beyond the first of each message.
    pub(crate) fn repeated(&self) -> u64 {
        self.received() - self.messages()
    }

    fn messages(&self) -> u64 {
        self.seen.messages.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// Waits until so many different messages are here; the time since the first.
    pub(crate) fn wait_for(&self, messages: u64, patience: Duration) -> Result<Duration> {
        let began = Instant::now();
        while self.messages() < messages {
            if began.elapsed() > patience {
                return Err(format!("only {} of {messages} messages came", self.messages()).into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let first = *self.seen.first.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(first.map_or(Duration::ZERO, |first| first.elapsed()))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, seen: Arc<Seen>) {
    while let Ok((stream, _)) = listener.accept().await {
        let seen = seen.clone();
        tokio::spawn(async move {
            let respond = service_fn(|request| {
                let answer = seen.take(&request);
                async { Ok::<_, Infallible>(answer) }
            });
            // A sender that goes away is none of our business.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), respond).await;
        });
    }
}

impl Seen {
    fn take(&self, request: &Request<Incoming>) -> Response<Empty<Bytes>> {
        let id = request.uri().query().unwrap_or_default().to_owned();
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.is_empty() {
            *self.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        messages.insert(id);
        self.requests.fetch_add(1, Relaxed);
        Response::new(Empty::new())
    }
}
