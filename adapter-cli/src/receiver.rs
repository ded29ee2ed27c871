//! A small receiver of outbound requests, for trying things out: `listen` prints what arrives, the
//! demo shows it. Each connection carries one request, and everything that a client may hold is
//! limited.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::failure::Failure;

/// The most bytes of a body.
const BODY_LEN_MAX: usize = 64 * 1024;
/// Connections that are served at once; more wait.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take from its beginning to the end of its answer.
const CONNECTION_MAX: Duration = Duration::from_secs(15);
/// How long it waits where the system has no more connections to give.
const PAUSE: Duration = Duration::from_millis(100);

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct Received {
    /// The HTTP method.
    pub(crate) method: Method,
    /// The path, as it was sent.
    pub(crate) path: String,
    /// The query, as it was sent, without the question mark.
    pub(crate) query: String,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The whole body.
    pub(crate) body: Bytes,
}

impl Received {
    /// A header, where it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: StatusCode,
    /// A body of JSON; empty: none.
    pub(crate) json: Bytes,
}

/// Says what is answered to a request. It is called for one request after the other or for several
/// at once, and must not block for long.
pub(crate) type Take = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

/// Listens on an address. Must be called on a runtime.
///
/// # Errors
/// Where it is taken or none of this machine.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::could_not(format_args!("cannot listen on `{address}`: {error}"))
            .hint("choose another address with --listen")
    })
}

/// Takes requests for as long as it is asked to.
pub(crate) async fn receive(listener: TcpListener, take: Take) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let take = Arc::clone(&take);
        tokio::spawn(async move {
            let answer = service_fn(|request| answer(request, &take));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answer);
            // Whoever is too slow or goes away is shown by its own side.
            let _ = timeout(CONNECTION_MAX, connection).await;
            drop(permit);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    take: &Take,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let reply = match Limited::new(body, BODY_LEN_MAX).collect().await {
        Err(_) => Reply { status: StatusCode::PAYLOAD_TOO_LARGE, json: Bytes::new() },
        Ok(body) => take(&Received {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            body: body.to_bytes(),
        }),
    };
    let mut response = Response::new(Full::new(reply.json.clone()));
    *response.status_mut() = reply.status;
    if !reply.json.is_empty() {
        let json = header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
    }
    Ok(response)
}
