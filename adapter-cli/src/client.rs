//! A client that asks a server on this machine, one connection for each request.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, runtime, time::timeout};

use crate::failure::Failure;

/// How long an answer is waited for. A request of a demonstration is answered in milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of an answer.
const BODY_LEN_MAX: usize = 4 << 20;

/// Asks, and waits for the answers.
pub(crate) struct Client {
    runtime: runtime::Runtime,
}

/// An answer.
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// Where it sends the visitor.
    pub(crate) location: Option<String>,
    /// The body as it came.
    pub(crate) text: String,
    /// The body, where it is JSON.
    pub(crate) body: Value,
}

impl Client {
    /// A client that has asked nothing yet.
    ///
    /// # Errors
    /// Where the system gives no event queue.
    pub(crate) fn new() -> Result<Self, Failure> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::could_not)?;
        Ok(Self { runtime })
    }

    /// Gets `target`, with a bearer token where there is one.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub(crate) fn get(
        &self,
        address: SocketAddr,
        target: &str,
        token: Option<&str>,
    ) -> Result<Answer, Failure> {
        let answer = async {
            let late = |_| Err(format!("no answer within {PATIENCE:?}").into());
            timeout(PATIENCE, get(address, target, token)).await.unwrap_or_else(late)
        };
        self.runtime.block_on(answer).map_err(|error: Failed| {
            Failure::could_not(format_args!("cannot get http://{address}{target}: {error}"))
        })
    }
}

/// Why there is no answer.
type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn get(address: SocketAddr, target: &str, token: Option<&str>) -> Result<Answer, Failed> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::get(target).header(header::HOST, address.to_string());
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = response.status().as_u16();
    let location = response.headers().get(header::LOCATION);
    let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let body = Limited::new(response.into_body(), BODY_LEN_MAX).collect().await?.to_bytes();
    Ok(Answer {
        status,
        location,
        text: String::from_utf8_lossy(&body).into_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}
