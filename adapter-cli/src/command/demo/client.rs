//! A client that asks a server on this machine, one connection for each request.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, runtime};

use crate::failure::Failure;

/// Asks, and waits for the answers.
pub(super) struct Client {
    runtime: runtime::Runtime,
}

/// An answer.
pub(super) struct Answer {
    /// The status code.
    pub(super) status: u16,
    /// Where it sends the visitor.
    pub(super) location: Option<String>,
    /// The body as it came.
    pub(super) text: String,
    /// The body, where it is JSON.
    pub(super) body: Value,
}

impl Client {
    /// A client that has asked nothing yet.
    ///
    /// # Errors
    /// Where the system gives no event queue.
    pub(super) fn new() -> Result<Self, Failure> {
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
    pub(super) fn get(
        &self,
        address: SocketAddr,
        target: &str,
        token: Option<&str>,
    ) -> Result<Answer, Failure> {
        self.runtime.block_on(get(address, target, token)).map_err(|error| {
            Failure::could_not(format_args!("cannot get http://{address}{target}: {error}"))
        })
    }
}

async fn get(
    address: SocketAddr,
    target: &str,
    token: Option<&str>,
) -> Result<Answer, Box<dyn std::error::Error>> {
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
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Answer {
        status,
        location,
        text: String::from_utf8_lossy(&body).into_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}
