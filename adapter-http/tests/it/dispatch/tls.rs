//! Receivers behind TLS: whoever is not who it says it is gets nothing.

use std::{
    io::Write,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use counterfoil_core::{AttemptOutcome, Attempted, DeadReason, Next};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::{
    receiver::{Asked, Receiver, http},
    sending::Sending,
};

/// An authority of its own, whose certificate is a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pem"));
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// A receiver that shows a certificate of a name; what it was asked goes into the list.
    fn receiver(&self, name: &str, asked: Arc<Mutex<Vec<Asked>>>) -> Receiver {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        Receiver::new(move |stream| {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            while let Some(request) = Asked::read(&mut stream) {
                asked.lock().unwrap().push(request);
                stream.write_all(&http("200", "", b"secured")).unwrap();
            }
        })
    }
}

/// What becomes of a message to `shop.example`, whose certificate is one of `name`.
fn sent(name: &str, ca_file: Option<PathBuf>, authority: &Authority) -> (Attempted, usize) {
    let asked = Arc::default();
    let receiver = authority.receiver(name, Arc::clone(&asked));
    let sending = Sending::with(|config| {
        config.ca_file = ca_file;
        let address: IpAddr = receiver.address.ip();
        config.resolver = Arc::new(move |_| Box::pin(async move { Ok(vec![address]) }));
    });
    let port = receiver.address.port();
    let attempted = sending.send(&format!("request = {{ url = 'https://Shop.example:{port}/' }}"));
    let count = asked.lock().unwrap().len();
    (attempted, count)
}

#[test]
fn a_certificate_of_its_name_by_a_known_authority_is_trusted() {
    let authority = Authority::new("right");
    let (attempted, asked) = sent("shop.example", Some(authority.file.clone()), &authority);
    assert_eq!((attempted.next, asked), (Next::Delivered, 1), "{attempted:?}");
    assert_eq!(attempted.response.as_deref(), Some("secured"));
}

#[test]
fn a_certificate_of_another_name_ends_it_at_once() {
    let authority = Authority::new("other");
    let (attempted, asked) = sent("other.example", Some(authority.file.clone()), &authority);
    assert_eq!(attempted.outcome, AttemptOutcome::Forbidden);
    assert_eq!(attempted.next, Next::Dead(DeadReason::Forbidden));
    let error = attempted.error.unwrap();
    assert!(error.to_lowercase().contains("certificate is not one of `shop.example`"), "{error}");
    assert_eq!(asked, 0);
}

#[test]
fn an_unknown_authority_may_become_known() {
    let (authority, stranger) = (Authority::new("known"), Authority::new("stranger"));
    for ca_file in [None, Some(authority.file)] {
        let (attempted, asked) = sent("shop.example", ca_file, &stranger);
        assert_eq!((attempted.outcome, asked), (AttemptOutcome::Unanswered, 0));
        let error = attempted.error.unwrap();
        assert!(error.contains("UnknownIssuer"), "{error}");
    }
}

#[test]
fn who_speaks_no_tls_is_no_answer() {
    let plain = Receiver::new(|mut stream| drop(stream.write_all(b"HTTP/1.1 400 x\r\n\r\n")));
    let port = plain.address.port();
    let attempted =
        Sending::start().send(&format!("request = {{ url = 'https://127.0.0.1:{port}/' }}"));
    assert_eq!(attempted.outcome, AttemptOutcome::Unanswered);
    assert!(attempted.error.unwrap().starts_with("TLS with `127.0.0.1` failed"));
}
