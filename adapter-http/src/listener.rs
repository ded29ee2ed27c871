//! One listener: accepts, counts, and drives each connection within its deadlines.
//!
//! hyper limits the head of a request and nothing else. What a client may do before its first
//! byte, how long it may take to agree on TLS, and how long it may leave an answer unread, is
//! limited here; bodies and whole requests are limited where they are answered.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::{
    header::{CONNECTION, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;

use crate::{
    app::App, config::Limits, proxies::Peer, server::BACKLOG, stall::StallLimit, table::Listener,
    tls::Tls,
};

/// How long accepting pauses where the system has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// How long connections are looked at once more before a stop ends the idle ones. The runtime
/// hears of bytes only when it asks the system, which it does before it ends a timer: what had
/// come by the time of the stop is known to it by then.
const LAST_LOOK: Duration = Duration::from_millis(10);

/// hyper's lower bound of a connection's buffer.
const BUFFER_LEN_MIN: usize = 8 * 1024;

/// How a listener serves.
#[derive(Clone)]
pub(crate) struct Face {
    pub(crate) listener: Listener,
    /// Its certificate; none: clear text.
    pub(crate) tls: Option<Tls>,
}

/// Accepts connections until `stop` says so, and then those that wait already (P11). Each
/// connection holds a clone of `stop`, so whoever holds the sender sees when all have ended.
pub(crate) async fn accept(
    listener: TcpListener,
    face: Face,
    app: Arc<App>,
    mut stop: watch::Receiver<bool>,
) {
    let door = Door {
        face,
        counts: Arc::new(Counts::new(&app.limits)),
        http: Arc::new(protocol(&app.limits)),
        app,
        stop: stop.clone(),
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => door.let_in(stream, peer),
            Err(error) => pause_after(&error).await,
        }
    }
    if let Err(error) = accept_waiting(listener, &door).await {
        tracing::warn!(%error, "failed to accept the connections that waited at the stop");
    }
}

/// Accepts what waits at the stop: whoever it is may have sent a whole request.
async fn accept_waiting(listener: TcpListener, door: &Door) -> io::Result<()> {
    // The runtime may not have heard of them yet: the system itself is asked.
    let listener = listener.into_std()?;
    // No more than could wait: others that come meanwhile do not hold up the stop.
    for _ in 0..=BACKLOG {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                door.let_in(TcpStream::from_std(stream)?, peer);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if is_of_one_client(&error) => {}
            // There is no waiting for descriptors when everything ends.
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What every connection of a listener is given.
struct Door {
    face: Face,
    counts: Arc<Counts>,
    http: Arc<http1::Builder>,
    app: Arc<App>,
    stop: watch::Receiver<bool>,
}

impl Door {
    /// Serves a connection in a task of its own, where there is room for one more.
    fn let_in(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(held) = Counts::hold(&self.counts, peer.ip()) else {
            self.app.metrics.connection_refused(self.face.listener);
            return;
        };
        let (app, http, stop) = (self.app.clone(), self.http.clone(), self.stop.clone());
        let face = self.face.clone();
        tokio::spawn(async move {
            let _counted = (held, app.metrics.connection_opened(face.listener));
            drive(stream, peer, face, &app, &http, stop).await;
        });
    }
}

/// What one client did to its own connection is no reason to wait; a lack of descriptors is.
async fn pause_after(error: &io::Error) {
    if is_of_one_client(error) {
        return;
    }
    tracing::warn!(%error, "failed to accept a connection");
    sleep(PAUSE).await;
}

fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    [ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted].contains(&error.kind())
}

fn protocol(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.head_len_max.max(BUFFER_LEN_MIN))
        .max_header_size(limits.head_len_max)
        .max_headers(limits.headers_max)
        // Answers are short: copying one behind its head costs less than a vectored write.
        .writev(false)
        // Some senders close their half once they have asked, and wait for the answer.
        .half_close(true);
    http
}

/// Serves one connection to its end. Once `stop` says so, an idle one ends after a last look, and
/// one with a request after its answer.
async fn drive(
    stream: TcpStream,
    peer: SocketAddr,
    face: Face,
    app: &Arc<App>,
    http: &http1::Builder,
    mut stop: watch::Receiver<bool>,
) {
    let write_stall = app.limits.write_stall;
    let begin = async {
        let mut byte = [0];
        let began = stream.peek(&mut byte).await;
        if !matches!(began, Ok(1)) || stream.set_nodelay(true).is_err() {
            return None;
        }
        let stream = StallLimit::new(stream, write_stall);
        match &face.tls {
            None => Some(Stream::Plain(stream)),
            Some(tls) => tls.acceptor().accept(stream).await.map(Box::new).map(Stream::Tls).ok(),
        }
    };
    let begun = tokio::select! {
        biased;
        begun = timeout(app.limits.first_byte, begin) => begun.ok().flatten(),
        () = looked_at_after(&mut stop) => None,
    };
    let address = peer.ip().to_canonical();
    match begun {
        None => {}
        Some(Stream::Plain(stream)) => {
            let peer = Peer::new(address, false);
            serve(stream, peer, face.listener, app, http, stop).await;
        }
        Some(Stream::Tls(stream)) => {
            let peer = Peer::new(address, true);
            serve(stream, peer, face.listener, app, http, stop).await;
        }
    }
}

/// A connection on which a client has begun to speak.
enum Stream {
    Plain(StallLimit),
    Tls(Box<TlsStream<StallLimit>>),
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    listener: Listener,
    app: &Arc<App>,
    http: &http1::Builder,
    mut stop: watch::Receiver<bool>,
) {
    let (peer, stopping) = (&peer, stop.clone());
    let stopping = &stopping;
    let answer = service_fn(|request| async move {
        let mut answer = app.answer(listener, peer, request).await;
        if *stopping.borrow() {
            // So that the client asks for nothing more on this connection.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok::<_, Infallible>(answer)
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), answer));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = looked_at_after(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Ends when `stop` has said so and what had come by then is known to the runtime.
async fn looked_at_after(stop: &mut watch::Receiver<bool>) {
    stopped(stop).await;
    sleep(LAST_LOOK).await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Where nobody is left who could say so, it is over as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Who holds how many connections of one listener.
struct Counts {
    connections_max: usize,
    per_address_max: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One counted connection; counts back when it is dropped.
struct Hold {
    counts: Arc<Counts>,
    holder: IpAddr,
}

impl Counts {
    fn new(limits: &Limits) -> Self {
        Self {
            connections_max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
            held: Mutex::default(),
        }
    }

    /// Counts one more connection, where there is room for it.
    fn hold(counts: &Arc<Self>, peer: IpAddr) -> Option<Hold> {
        let holder = counted_address(peer);
        let mut held = counts.lock();
        if held.all >= counts.connections_max {
            return None;
        }
        let of_holder = held.by_address.entry(holder).or_insert(0);
        if *of_holder >= counts.per_address_max {
            return None;
        }
        *of_holder += 1;
        held.all += 1;
        Some(Hold { counts: counts.clone(), holder })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.counts.lock();
        held.all = held.all.saturating_sub(1);
        if let Some(count) = held.by_address.get_mut(&self.holder) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.by_address.remove(&self.holder);
            }
        }
    }
}

/// The address that connections and failures are counted under: of IPv6 the /64, which one
/// customer has to itself.
pub(crate) fn counted_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_is_an_ipv4_address_or_an_ipv6_network() {
        let cases = [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ];
        for (address, expected) in cases {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(counted_address(address), expected.parse::<IpAddr>().unwrap(), "{address}");
        }
    }

    #[test]
    fn connections_are_counted_and_counted_back() {
        let limits =
            Limits { connections_max: 3, connections_per_address_max: 2, ..Limits::default() };
        let counts = Arc::new(Counts::new(&limits));
        let one: IpAddr = [192, 0, 2, 1].into();
        let other: IpAddr = [192, 0, 2, 2].into();
        let first = Counts::hold(&counts, one).unwrap();
        let _second = Counts::hold(&counts, one).unwrap();
        assert!(Counts::hold(&counts, one).is_none(), "of one address");
        let _third = Counts::hold(&counts, other).unwrap();
        assert!(Counts::hold(&counts, other).is_none(), "of all");
        drop(first);
        assert!(Counts::hold(&counts, one).is_some());
    }
}
