//! A client over loopback: one connection that is kept, one request at a time.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Why there is no answer: the connection ended.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// One connection.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) media_type: Option<String>,
    pub(crate) body: String,
}

/// What a request carries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content<'a> {
    None,
    Form(&'a str),
    Json(&'a str),
    Toml(&'a str),
    /// Of a media type by its name.
    Bytes(&'a str, &'a [u8]),
}

impl<'a> Content<'a> {
    fn parts(self) -> (Option<&'a str>, &'a [u8]) {
        match self {
            Self::None => (None, b""),
            Self::Form(text) => (Some("application/x-www-form-urlencoded"), text.as_bytes()),
            Self::Json(text) => (Some("application/json"), text.as_bytes()),
            Self::Toml(text) => (Some("application/toml"), text.as_bytes()),
            Self::Bytes(media_type, bytes) => (Some(media_type), bytes),
        }
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, Failed> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let host = address.to_string();
        Ok(Self { sender, host })
    }

    pub(crate) async fn get(&mut self, target: &str) -> Result<Answer, Failed> {
        self.ask(Method::GET, target, None, Content::None).await
    }

    /// Asks with a bearer token, where there is one.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        target: &str,
        token: Option<&str>,
        content: Content<'_>,
    ) -> Result<Answer, Failed> {
        let token = token.map(|token| ("authorization".to_owned(), format!("Bearer {token}")));
        self.ask_as(method, target, token.as_slice(), content).await
    }

    /// Asks with headers.
    pub(crate) async fn ask_as(
        &mut self,
        method: Method,
        target: &str,
        headers: &[(String, String)],
        content: Content<'_>,
    ) -> Result<Answer, Failed> {
        let mut request = Request::builder().method(method).uri(target).header("host", &self.host);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let (content_type, body) = content.parts();
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body)))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let (location, media_type) = (header("location"), header("content-type"));
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Answer { status, location, media_type, body: String::from_utf8_lossy(&body).into() })
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs what is asynchronous to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}
