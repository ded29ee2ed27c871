//! A running server, and a plain client that speaks bytes. Every answer that it reads is held
//! against the OpenAPI document.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, OnceLock},
    thread::JoinHandle,
    time::Duration,
};

use counterfoil_http::{Config, Secret, Server, ServerHandle, Stopped};
use serde_json::Value;

use crate::memory::Memory;

/// How long a test waits for what must happen; it only catches hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const ADMIN_TOKEN: &str = "canary-admin-token";
pub(crate) const TENANT_TOKEN: &str = "canary-tenant-token";
pub(crate) const SHOP_TOKEN: &str = "canary-shop-token";
pub(crate) const SHOP_KEY: &str = "canary-shop-key";
pub(crate) const SHOP_WEBHOOK: &str = "whsec_Y2FuYXJ5LXNob3Atd2ViaG9vay1zaWduaW5nLWtleSE=";
/// The secrets of rules, by name.
const SECRETS: [(&str, &str); 7] = [
    ("shop_token", SHOP_TOKEN),
    ("shop_key", SHOP_KEY),
    ("shop_webhook", SHOP_WEBHOOK),
    ("acme_api", TENANT_TOKEN),
    ("bo_api", "canary-bo-token"),
    ("eve_api", "canary-eve-token"),
    ("shared_api", "canary-shared-token"),
];

pub(crate) const RULES: &str = r#"
tenant = "acme"
currency = "EUR"
api_tokens = ["{secret:acme_api}", "{secret:missing}"]

[[advertiser]]
id = "shoply"
name = "Shoply"

[[affiliate]]
id = "bo"
name = "Blogger Bo"

[[offer]]
id = "shoply-cz"
name = "Shoply Czechia"
advertiser = "shoply"
country = "CZ"
url = "https://shoply.example/?click={pcid}&from={affiliate_id}"

[[offer]]
id = "plain"
name = "Without a macro"
advertiser = "shoply"
url = "https://plain.example/"

[[commission]]
id = "tenth"
type = "sale"
revenue = { percent = "10" }
payout = { percent_of_revenue = "50" }

[[postback]]
id = "strict"
answer = "strict"
offers = ["shoply-cz"]
"#;

/// A server on ports of its own; it stops when it is dropped.
pub(crate) struct Running {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) store: Memory,
    handle: ServerHandle,
    thread: Option<JoinHandle<Stopped>>,
}

impl Running {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(configure: impl FnOnce(&mut Config)) -> Self {
        Self::of(RULES, configure)
    }

    pub(crate) fn of(rules: &str, configure: impl FnOnce(&mut Config)) -> Self {
        let store = Memory::new(rules);
        let mut config = Config::new(Secret::new(ADMIN_TOKEN));
        config.listen.set_port(0);
        config.admin_listen.set_port(0);
        config.secrets = Arc::new(|name| {
            let found = SECRETS.iter().find(|(known, _)| *known == name.as_str());
            found.map(|(_, value)| Secret::new(value))
        });
        configure(&mut config);
        let server = Server::bind(config, Arc::new(store.clone())).unwrap();
        let (public, admin) = (server.public_addr().unwrap(), server.admin_addr().unwrap());
        let handle = server.handle();
        let thread = std::thread::spawn(|| server.run(std::future::pending()).unwrap());
        Self { public, admin, store, handle, thread: Some(thread) }
    }

    /// Asks the server to stop, without waiting.
    pub(crate) fn ask_to_stop(&self) {
        self.handle.stop();
    }

    /// Stops the server, and says how it ended.
    pub(crate) fn stop(mut self) -> Stopped {
        self.handle.stop();
        self.thread.take().unwrap().join().unwrap()
    }

    /// A GET of the public listener.
    pub(crate) fn get(&self, target: &str) -> Reply {
        self.public("GET", target, &[], b"")
    }

    /// A request to the public listener.
    pub(crate) fn public(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        send(self.public, method, target, headers, body)
    }

    /// A GET of the admin listener, with its token.
    pub(crate) fn admin_get(&self, target: &str) -> Reply {
        self.admin("GET", target, None, b"")
    }

    /// A request to the admin listener, with its token and a body of a media type.
    pub(crate) fn admin(
        &self,
        method: &str,
        target: &str,
        media_type: Option<&str>,
        body: &[u8],
    ) -> Reply {
        let token = bearer(ADMIN_TOKEN);
        let mut headers = vec![("authorization", &*token)];
        headers.extend(media_type.map(|media_type| ("content-type", media_type)));
        send(self.admin, method, target, &headers, body)
    }

    /// Hands in a root, with a token that every tenant takes.
    pub(crate) fn hand_in(&self, json: &str) -> Reply {
        let token = bearer(ADMIN_TOKEN);
        let headers = [("authorization", &*token), ("content-type", "application/json")];
        self.public("POST", "/api/acme/conversions", &headers, json.as_bytes())
    }

    /// A click by an affiliate link; its pcid.
    pub(crate) fn click(&self) -> String {
        self.click_on("plain")
    }

    /// A click by an affiliate link of an offer; its pcid.
    pub(crate) fn click_on(&self, offer: &str) -> String {
        let reply = self.get(&format!("/c/acme/{offer}/bo"));
        assert_eq!(reply.status, 302, "{reply:?}");
        let (origin, _) = self.store.newest_root();
        assert_eq!(origin.offer.as_str(), offer);
        let to = reply.header("location").unwrap();
        let (_, query) = to.split_once('=').unwrap();
        query.split('&').next().unwrap().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A connection that waits with patience.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends one request on a connection of its own.
pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        head += &format!("content-length: {}\r\n", body.len());
    }
    head += "\r\n";
    let mut stream = connect(address);
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let reply = Reply::read(&mut stream).expect("an answer");
    let path = target.split('?').next().unwrap();
    assert_documented(method, path, &reply);
    reply
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Reads one answer; none where the connection ended without one.
    pub(crate) fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return None,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut reply = Self { status, headers, body: Vec::new() };
        let len = reply.header("content-length").map_or(0, |len| len.parse().unwrap());
        reply.body = vec![0; len];
        // The body of an answer to HEAD is only announced.
        if stream.read_exact(&mut reply.body).is_err() {
            reply.body.clear();
        }
        Some(reply)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Checks that this is a problem of a status and a code, with every member that it must have.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["code"], code);
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], "about:blank");
        for member in ["title", "detail", "request_id"] {
            let text = problem[member].as_str().unwrap();
            assert!(!text.is_empty(), "{member}");
        }
        problem
    }
}

/// The OpenAPI document, as a server of its own tells it.
pub(crate) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let running = Running::start();
        let mut stream = connect(running.admin);
        let token = bearer(ADMIN_TOKEN);
        let head =
            format!("GET /openapi.json HTTP/1.1\r\nhost: test\r\nauthorization: {token}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        Reply::read(&mut stream).unwrap().json()
    })
}

/// Checks that a row has the members of a schema of the document: none is missing, none is more.
#[track_caller]
pub(crate) fn assert_is_of_schema(row: &Value, schema: &str) {
    let schema = &document()["components"]["schemas"][schema];
    let row = row.as_object().expect("an object");
    for name in row.keys() {
        assert!(schema["properties"][name].is_object(), "`{name}` is documented nowhere");
    }
    for name in schema["required"].as_array().expect("what is required") {
        assert!(row.contains_key(name.as_str().unwrap()), "{name} is missing");
    }
}

/// What a path and method may answer is in the document; what is not in it is answered 404 or 405.
#[track_caller]
fn assert_documented(method: &str, path: &str, reply: &Reply) {
    if matches!(reply.status, 400 | 404 | 405 | 414 | 431) {
        return; // before any operation is found
    }
    let paths = document()["paths"].as_object().unwrap();
    let answers = paths
        .iter()
        .filter(|(template, _)| matches_template(template, path))
        .map(|(_, item)| &item[method.to_ascii_lowercase()]["responses"])
        .any(|responses| responses[reply.status.to_string()].is_object());
    assert!(answers, "{method} {path} answered {} without a word of it", reply.status);
}

fn matches_template(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) =
        (template.split('/').collect(), path.split('/').collect());
    let same = |(wanted, given): (&&str, &&str)| wanted.starts_with('{') || wanted == given;
    template.len() == path.len() && template.iter().zip(&path).all(same)
}
