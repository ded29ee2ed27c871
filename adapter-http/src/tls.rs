//! TLS of the public listener: a certificate that can be replaced while it serves.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject},
        },
    },
};

/// The one protocol that is spoken.
const HTTP_1_1: &[u8] = b"http/1.1";

/// The certificate of a listener, with its files. Clones are the same.
#[derive(Clone)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    running: Arc<RwLock<Arc<ServerConfig>>>,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing of the kind in the file.
    #[error("there is no {what} in PEM in `{}`", path.display())]
    Nothing {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Both are there and cannot be used, for one because they belong to others.
    #[error("the certificate cannot be used with this key: {0}")]
    Unusable(#[from] rustls::Error),
}

impl Tls {
    /// Reads a certificate with those that vouch for it, and its key, both in PEM.
    ///
    /// # Errors
    /// Where one of them is missing, or they do not belong together.
    pub fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let running = Arc::new(read(&certificate, &key)?);
        Ok(Self { certificate, key, running: Arc::new(RwLock::new(running)) })
    }

    /// Reads the files again; connections that begin later are shown what they hold then.
    ///
    /// # Errors
    /// As [`Tls::load`]; then the certificate from before goes on.
    pub fn reload(&self) -> Result<(), TlsError> {
        let read = Arc::new(read(&self.certificate, &self.key)?);
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(running.clone())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

fn read(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let of_chain = |error| of_pem(error, certificate, "certificate");
    let chain = CertificateDer::pem_file_iter(certificate).map_err(of_chain)?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(of_chain)?;
    if chain.is_empty() {
        return Err(of_chain(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| of_pem(error, key, "key"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols.push(HTTP_1_1.to_vec());
    Ok(config)
}

fn of_pem(error: pem::Error, path: &Path, what: &'static str) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(source) => TlsError::File { path, source },
        _ => TlsError::Nothing { path, what },
    }
}
