//! TLS of the public listener.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use counterfoil_http::{Tls, TlsError};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::harness::{RULES, Running, connect};

/// A certificate of a name with its key, in files.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(file: &str, name: &str) -> Self {
        let at = |end: &str| Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{file}.{end}"));
        let files = Self { certificate: at("crt.pem"), key: at("key.pem") };
        files.write(name);
        files
    }

    /// Puts a new certificate into the files.
    fn write(&self, name: &str) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(&self.certificate, cert.pem()).unwrap();
        std::fs::write(&self.key, signing_key.serialize_pem()).unwrap();
    }

    fn load(&self) -> Result<Tls, TlsError> {
        Tls::load(self.certificate.clone(), self.key.clone())
    }
}

/// A client that trusts the certificate of a file and asks a server of this name.
fn client(trusted: &[u8], name: &'static str, alpn: &[&[u8]]) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    ClientConnection::new(Arc::new(config), name.try_into().unwrap()).unwrap()
}

/// What is answered over TLS; an error where no connection comes about.
fn get(
    running: &Running,
    trusted: &[u8],
    name: &'static str,
    path: &str,
) -> std::io::Result<String> {
    let connection = client(trusted, name, &[b"http/1.1"]);
    let mut stream = StreamOwned::new(connection, connect(running.public));
    let head = format!("GET {path} HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    Ok(text)
}

fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

#[test]
fn postbacks_come_over_tls_and_that_counts() {
    let files = Files::new("served", "track.example");
    let tls = files.load().unwrap();
    let rules = format!("{RULES}[[postback]]\nid = \"secure\"\nhttps_only = true\n");
    let running = Running::of(&rules, |config| config.tls = Some(tls));
    let trusted = std::fs::read(&files.certificate).unwrap();
    let path = "/api/acme/postbacks/handle?id=secure&value=x";
    let answer = get(&running, &trusted, "track.example", path).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("invalid_amount"), "{answer}");
    assert!(get(&running, &trusted, "other.example", path).is_err());
    // Who speaks no TLS is told nothing in clear text.
    let mut plain = connect(running.public);
    plain.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    assert!(!read_all(plain).starts_with(b"HTTP"));
    // The admin listener stays as it was.
    assert_eq!(running.admin_get("/version").status, 200);
}

#[test]
fn a_new_certificate_is_shown_after_it_was_read_again() {
    let files = Files::new("replaced", "track.example");
    let tls = files.load().unwrap();
    let running = Running::with(|config| config.tls = Some(tls.clone()));
    let old = std::fs::read(&files.certificate).unwrap();
    let status = |trusted: &[u8]| {
        let answer = get(&running, trusted, "track.example", "/nowhere");
        answer.map(|answer| answer.starts_with("HTTP/1.1 404")).unwrap_or(false)
    };
    files.write("track.example");
    let new = std::fs::read(&files.certificate).unwrap();
    assert_eq!((status(&old), status(&new)), (true, false));
    tls.reload().unwrap();
    assert_eq!((status(&old), status(&new)), (false, true));
    std::fs::write(&files.key, "no key").unwrap();
    let error = tls.reload().unwrap_err().to_string();
    assert!(error.starts_with("there is no key in PEM"), "{error}");
    assert!(status(&new), "the one before goes on");
}

#[test]
fn files_that_cannot_be_served_say_why() {
    let (one, other) = (Files::new("one", "a.example"), Files::new("other", "a.example"));
    let error = Tls::load(one.certificate.clone(), other.key).unwrap_err();
    assert!(matches!(error, TlsError::Unusable(_)), "{error}");
    let error = Tls::load(one.key.clone(), one.key.clone()).unwrap_err();
    assert!(error.to_string().starts_with("there is no certificate in PEM"), "{error}");
    let error = Tls::load("no/such/file".into(), one.key).unwrap_err();
    assert!(error.to_string().starts_with("cannot read `no/such/file`"), "{error}");
}

#[test]
fn a_handshake_that_never_ends_is_cut_and_another_protocol_refused() {
    let files = Files::new("slow", "track.example");
    let tls = files.load().unwrap();
    let running = Running::with(|config| {
        config.tls = Some(tls);
        config.limits.first_byte = Duration::from_millis(300);
    });
    let trusted = std::fs::read(&files.certificate).unwrap();
    let mut half = connect(running.public);
    // The first bytes of a greeting that never comes.
    half.write_all(b"\x16\x03\x01\x02\x00\x01\x00").unwrap();
    assert!(read_all(half).is_empty());
    let h2 = client(&trusted, "track.example", &[b"h2"]);
    let mut stream = StreamOwned::new(h2, connect(running.public));
    assert!(stream.write_all(b"PRI * HTTP/2.0\r\n\r\n").is_err());
    let answer = get(&running, &trusted, "track.example", "/nowhere").unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}
