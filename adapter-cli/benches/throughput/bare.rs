//! The measure of all ratios: the least that a hyper server can do with the same request. It reads
//! every parameter of the URL into its type, stores nothing and answers a constant of 60 bytes.

use std::borrow::Cow;
use std::convert::Infallible;
use std::process::Command;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use rust_decimal::Decimal;
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::Result;

const CREATED: &[u8; 60] = br#"{"outcome":"created","id":"019a0c5e-7b1f-7c33-9d52-3f6a8e1"}"#;
const REFUSED: &[u8] = br#"{"outcome":"refused"}"#;

/// This program as a bare server.
pub(crate) fn command() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--serve-bare");
    Ok(command)
}

/// Serves until it is killed; says its address on standard error.
pub(crate) fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        eprintln!("bare server on http://{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(converse(stream));
        }
    })
}

async fn converse(stream: TcpStream) {
    let respond = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request)) });
    // A client that goes away is none of our business.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), respond).await;
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let query = request.uri().query().unwrap_or_default();
    let read = query.split('&').all(|pair| read_pair(pair).is_some());
    let mut response =
        Response::new(Full::new(Bytes::from_static(if read { CREATED } else { REFUSED })));
    if request.uri().path().starts_with("/c/") {
        *response.status_mut() = StatusCode::FOUND;
        *response.body_mut() = Full::default();
        let url = "https://shoply.example/landing?pcid=019a0c5e-7b1f-7c33-9d52-3f6a8e1d4b70";
        let headers = response.headers_mut();
        headers.insert(header::LOCATION, header::HeaderValue::from_static(url));
    }
    response
}

/// Decodes one parameter and reads its value into its type.
fn read_pair(pair: &str) -> Option<Cow<'_, str>> {
    let (name, value) = pair.split_once('=')?;
    let name = percent_decode_str(name).decode_utf8().ok()?;
    let value = percent_decode_str(value).decode_utf8().ok()?;
    match &*name {
        "pcid" => {
            let pcid: Uuid = std::hint::black_box(value.parse().ok()?);
            (!pcid.is_nil()).then_some(value)
        }
        "value" => {
            let amount: Decimal = std::hint::black_box(value.parse().ok()?);
            (!amount.is_sign_negative()).then_some(value)
        }
        _ => Some(std::hint::black_box(value)),
    }
}
