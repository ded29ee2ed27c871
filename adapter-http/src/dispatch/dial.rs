//! How a destination is reached: look its name up, vet every address, connect to one of those that
//! were vetted, and over TLS have it prove its name (P6).
//!
//! The connection is made to the very address that was vetted: nothing is looked up twice, so a
//! name that leads elsewhere a moment later changes nothing. Environment variables that name
//! proxies mean nothing here.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::Uri;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    rustls::{self, CertificateError, pki_types::ServerName},
};
use tower_service::Service;

use super::{address::forbidden, resolve::Resolver};

/// How long one address may take where there is another one to try.
const ADDRESS_WITHIN: Duration = Duration::from_secs(5);
/// How long dialling may take at all. Attempts have a time of their own; this is for a connection
/// whose attempt went on over another one that became free first.
const DIAL_WITHIN: Duration = Duration::from_secs(60);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// A connection, in clear text or over TLS.
pub(super) type Connection = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Makes connections to where one may be made.
#[derive(Clone)]
pub(super) struct Dialer {
    inner: Arc<Inner>,
}

struct Inner {
    resolver: Resolver,
    allowed: Vec<IpNet>,
    tls: TlsConnector,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// P6.
    #[error(
        "`{host}` leads to `{address}`, which is {what}; where this is meant, start with \
         `--allow-destination {address}`"
    )]
    Forbidden { host: Box<str>, address: IpAddr, what: &'static str },
    #[error("the certificate is not one of `{host}`: {source}")]
    OtherName { host: Box<str>, source: io::Error },
    #[error("`{0}` is no host")]
    NoHost(Box<str>),
    #[error("cannot look up `{host}`: {source}")]
    Lookup { host: Box<str>, source: io::Error },
    #[error("`{0}` has no address")]
    NoAddress(Box<str>),
    #[error("cannot connect to `{address}`: {source}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("TLS with `{host}` failed: {source}")]
    Tls { host: Box<str>, source: io::Error },
    #[error("cannot connect within {}s", DIAL_WITHIN.as_secs())]
    TooSlow,
}

impl DialError {
    /// Whether trying again is of no use.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Forbidden { .. } | Self::OtherName { .. })
    }
}

impl Dialer {
    /// Reaches public addresses, and those in `allowed`.
    pub(super) fn new(
        resolver: Resolver,
        allowed: Vec<IpNet>,
        tls: Arc<rustls::ClientConfig>,
    ) -> Self {
        Self { inner: Arc::new(Inner { resolver, allowed, tls: TlsConnector::from(tls) }) }
    }
}

impl Service<Uri> for Dialer {
    type Response = Connection;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let inner = self.inner.clone();
        Box::pin(async move {
            let dialled = timeout(DIAL_WITHIN, inner.dial(&destination)).await;
            dialled.unwrap_or(Err(DialError::TooSlow))
        })
    }
}

impl Inner {
    async fn dial(&self, destination: &Uri) -> Result<Connection, DialError> {
        let host = destination.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_encrypted = destination.scheme_str() == Some("https");
        let port = destination.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
        let addresses = self.vetted(host, self.looked_up(host).await?)?;
        let stream = connect(host, &addresses, port).await?;
        if !is_encrypted {
            return Ok(TokioIo::new(stream).into());
        }
        let no_host = |_| DialError::NoHost(host.into());
        let name = ServerName::try_from(host.to_owned()).map_err(no_host)?;
        let secured = self.tls.connect(name, TokioIo::new(TokioIo::new(stream))).await;
        secured.map(Connection::from).map_err(|source| tls_error(host, source))
    }

    async fn looked_up(&self, host: &str) -> Result<Vec<IpAddr>, DialError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let addresses = (self.resolver)(host.into()).await;
        addresses.map_err(|source| DialError::Lookup { host: host.into(), source })
    }

    /// Those that may be reached. Where it is none of several, the first is named.
    fn vetted(&self, host: &str, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, DialError> {
        let mut refused = None;
        let mut vetted = Vec::new();
        for address in addresses.into_iter().map(|address| address.to_canonical()) {
            match forbidden(address, &self.allowed) {
                None => vetted.push(address),
                Some(what) => {
                    refused = refused.or(Some((address, what)));
                }
            }
        }
        match refused {
            Some((address, what)) if vetted.is_empty() => {
                Err(DialError::Forbidden { host: host.into(), address, what })
            }
            _ => Ok(vetted),
        }
    }
}

/// A connection to the first address that takes one.
async fn connect(host: &str, addresses: &[IpAddr], port: u16) -> Result<TcpStream, DialError> {
    let mut failed = DialError::NoAddress(host.into());
    let tried = addresses.iter().take(ADDRESSES_MAX);
    for (index, address) in tried.enumerate() {
        let address = SocketAddr::new(*address, port);
        let is_last = index + 1 == addresses.len().min(ADDRESSES_MAX);
        let within = if is_last { DIAL_WITHIN } else { ADDRESS_WITHIN };
        let connected = timeout(within, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                // A request is written at once; where the system refuses it is slower, no more.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(source) => failed = DialError::Connect { address, source },
        }
    }
    Err(failed)
}

/// A certificate of another name is a destination that is not who it says it is; everything else
/// may mend.
fn tls_error(host: &str, source: io::Error) -> DialError {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let host = host.into();
    match inner {
        Some(rustls::Error::InvalidCertificate(
            NotValidForName | NotValidForNameContext { .. },
        )) => DialError::OtherName { host, source },
        _ => DialError::Tls { host, source },
    }
}
