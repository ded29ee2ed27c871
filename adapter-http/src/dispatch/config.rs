//! What a dispatcher is told at its start.

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use counterfoil_core::{Draw, Period};
use ipnet::IpNet;
use tokio_rustls::rustls::{
    self, ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem, pem::PemObject},
};

use super::resolve::{Resolver, system};
use crate::{
    clock::{self, Clock},
    config::SecretLookup,
};

/// Draws the jitter of a retry.
pub type Draws = Arc<dyn Fn() -> Draw + Send + Sync>;

/// What a dispatcher is told at its start. How long an attempt may take is for the rules to say
/// (R41).
#[derive(Clone)]
#[non_exhaustive]
pub struct DispatchConfig {
    /// Where the values of secrets come from, for each attempt anew.
    pub secrets: SecretLookup,
    /// Messages under way in all.
    pub most: usize,
    /// Messages under way to one destination.
    pub most_of_one: usize,
    /// How long a claim lasts beyond the timeout of its call: the time that its report may take.
    pub slack: Period,
    /// For which a stop waits for attempts that run; beyond it they are given up, and made again
    /// after the next start.
    pub stop: Duration,
    /// Networks that may be reached although they are not public (P6).
    pub allowed: Vec<IpNet>,
    /// A file of certificates (PEM) that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// How names are looked up.
    pub resolver: Resolver,
    /// What time it is.
    pub clock: Clock,
    /// Where jitter comes from.
    pub draws: Draws,
}

impl DispatchConfig {
    /// The defaults: 256 messages under way, 8 of them to one destination, public addresses only,
    /// the certificates and the resolver of the system.
    pub fn new(secrets: SecretLookup) -> Self {
        Self {
            secrets,
            most: 256,
            most_of_one: 8,
            slack: Period::from_ms(20_000),
            stop: Duration::from_secs(20),
            allowed: Vec::new(),
            ca_file: None,
            resolver: system(),
            clock: clock::system(),
            draws: Arc::new(random),
        }
    }
}

impl fmt::Debug for DispatchConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DispatchConfig")
            .field("most", &self.most)
            .field("most_of_one", &self.most_of_one)
            .field("slack", &self.slack)
            .field("stop", &self.stop)
            .field("allowed", &self.allowed)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

/// A system without random numbers adds no jitter.
fn random() -> Draw {
    let mut bytes = [0; 2];
    let drawn = getrandom::fill(&mut bytes);
    Draw(drawn.map_or(0, |()| u16::from_le_bytes(bytes)))
}

/// Why a dispatcher cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The file of certificates.
    #[error("cannot read certificates from `{}`: {source}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing in it.
    #[error("there is no certificate in `{}`", .0.display())]
    NoCertificate(PathBuf),
    /// The cryptography does not support what TLS needs.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    /// The system gives no thread or no event queue.
    #[error("cannot start sending: {0}")]
    System(#[from] io::Error),
}

/// TLS 1.2 and 1.3 with whoever shows a certificate of its name.
pub(super) fn tls(ca_file: Option<PathBuf>) -> Result<Arc<ClientConfig>, DispatchError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "a certificate of the system cannot be read");
    }
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        add_file(&mut roots, path)?;
    }
    if roots.is_empty() {
        tracing::warn!("the system trusts no certificate: https destinations cannot be reached");
    }
    let of_tls = |error: rustls::Error| DispatchError::Tls(error.to_string());
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(of_tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn add_file(roots: &mut RootCertStore, path: PathBuf) -> Result<(), DispatchError> {
    let ca_file = |source: io::Error| DispatchError::CaFile { path: path.clone(), source };
    let of_pem = |error: pem::Error| match error {
        pem::Error::Io(source) => ca_file(source),
        other => ca_file(io::Error::other(other.to_string())),
    };
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(&path).map_err(of_pem)? {
        let certificate = certificate.map_err(of_pem)?;
        let added = roots.add(certificate);
        added.map_err(|error| ca_file(io::Error::other(error)))?;
    }
    if roots.len() == before {
        return Err(DispatchError::NoCertificate(path));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_that_are_promised() {
        let config = DispatchConfig::new(Arc::new(|_| None));
        assert_eq!((config.most, config.most_of_one), (256, 8));
        assert!(config.allowed.is_empty());
    }

    #[test]
    fn a_file_without_certificates_is_a_mistake() {
        let missing = tls(Some("no/such/file.pem".into())).unwrap_err();
        assert!(
            missing.to_string().starts_with("cannot read certificates from `no/such/file.pem`")
        );
        let empty = tls(Some("/dev/null".into())).unwrap_err();
        assert!(matches!(empty, DispatchError::NoCertificate(_)), "{empty}");
    }
}
