//! The two addresses of a server: free, held by a server of ours, or by something else.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use counterfoil_sqlite::owner;

use super::{Finding, Settings};
use crate::{
    client::{Answer, Client},
    command::serve::exposure,
    database,
};

const PORTS: &str = "ports";

/// How long a listener on this machine may take to let somebody in.
const CONNECTED_WITHIN: Duration = Duration::from_secs(3);

/// Who has an address.
enum Holder {
    Nobody,
    /// What the system says to whoever would listen there.
    Refused(io::Error),
    Somebody,
}

/// Looks at both addresses, and at what is open through them.
pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let listening = settings.listening;
    let (public, admin) = (listening.public, listening.admin);
    let mut findings = Vec::new();
    if public == admin && public.port() != 0 {
        let finding = Finding::fault(PORTS, public, "both listeners have this address");
        findings.push(finding.hint("choose another one with --admin-listen"));
    }
    let db = settings.db.as_deref();
    findings.extend(look_at_admin(admin, db));
    findings.extend(look_at_public(public, listening.is_encrypted, db));
    if let Some(failure) = &settings.tls {
        findings.push(Finding::failed(PORTS, public, failure));
    }
    let warning =
        |open: exposure::Exposure| Finding::warning(PORTS, open.about, open.what).hint(open.hint);
    let key = settings.tls_key.as_deref().and_then(exposure::of_key);
    findings.extend(exposure::of_listeners(listening).into_iter().chain(key).map(warning));
    findings.extend(elsewhere(settings));
    findings
}

fn look_at_admin(address: SocketAddr, db: Option<&Path>) -> Option<Finding> {
    let about = format!("admin {address}");
    match holder(address)? {
        Holder::Nobody => Some(free(about)),
        Holder::Refused(error) => Some(refused(about, "--admin-listen", &error)),
        Holder::Somebody => Some(match ask(address, "/version") {
            Some(answer) if is_ours(&answer) && is_of_another(address, db) => {
                another(about, "--admin-listen")
            }
            Some(answer) if is_ours(&answer) => server(about, address, &answer),
            _ => held(about, "--admin-listen"),
        }),
    }
}

fn look_at_public(address: SocketAddr, is_encrypted: bool, db: Option<&Path>) -> Option<Finding> {
    let about = format!("public {address}");
    match holder(address)? {
        Holder::Nobody => Some(free(about)),
        Holder::Refused(error) => Some(refused(about, "--listen", &error)),
        Holder::Somebody if is_encrypted && is_of_another(address, db) => {
            Some(held(about, "--listen"))
        }
        Holder::Somebody if is_encrypted => {
            Some(Finding::fine(PORTS, about, "held; it speaks TLS and was not asked who it is"))
        }
        Holder::Somebody => Some(match ask(address, "/healthz") {
            // The public listener has no such path, and says so in our words.
            Some(answer) if said(&answer, "code") == "unknown_path" => {
                if is_of_another(address, db) {
                    return Some(another(about, "--listen"));
                }
                Finding::fine(PORTS, about, "a Counterfoil server has it")
            }
            _ => held(about, "--listen"),
        }),
    }
}

/// Whether a server on an address cannot be the one of the database that is looked at: its lock
/// names none there. Who lets the system choose its ports does not name them.
fn is_of_another(address: SocketAddr, db: Option<&Path>) -> bool {
    let Some(Ok(owner)) = db.map(owner) else {
        return false;
    };
    let served = owner.as_deref().and_then(database::served);
    !served.is_some_and(|served| {
        served.iter().any(|known| known.port() == 0 || is_same(*known, address))
    })
}

/// Whether both mean one listener, where who listens on all addresses listens on each.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (is_any || one.ip() == other.ip())
}

/// A server that has the database and other addresses than those looked at.
fn elsewhere(settings: &Settings) -> Option<Finding> {
    let owner = owner(settings.db.as_deref()?).ok()??;
    let admin: SocketAddr = database::serving(&owner)?.parse().ok()?;
    if admin == settings.listening.admin || admin.port() == 0 {
        return None;
    }
    let answer = ask(admin, "/version").filter(is_ours)?;
    Some(server(format!("admin {admin}, as the database says"), admin, &answer))
}

fn is_ours(answer: &Answer) -> bool {
    said(answer, "name") == "counterfoil"
}

/// A text of an answer in JSON; empty where there is none.
fn said<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.body.get(name).and_then(serde_json::Value::as_str).unwrap_or_default()
}

/// A server of ours: whether it lives and can acknowledge requests.
fn server(about: String, address: SocketAddr, version: &Answer) -> Finding {
    let alive = ask(address, "/healthz").is_some_and(|answer| answer.status == 200);
    let ready = ask(address, "/readyz");
    let version = said(version, "version");
    match ready {
        Some(ready) if alive && ready.status == 200 => {
            let message = format!("a Counterfoil server has it, version {version}, and is ready");
            Finding::fine(PORTS, about, message)
        }
        Some(ready) if alive => {
            let why = said(&ready, "detail");
            let message = format!("a Counterfoil server has it and is not ready: {why}");
            Finding::fault(PORTS, about, message).hint("look at its log, and at the disk")
        }
        _ => Finding::fault(PORTS, about, "a Counterfoil server has it and does not answer")
            .hint("look at its log"),
    }
}

fn free(about: String) -> Finding {
    Finding::fine(PORTS, about, "free: no server runs here")
}

fn held(about: String, flag: &str) -> Finding {
    Finding::fault(PORTS, about, "something else has it").hint(format_args!(
        "choose another address with {flag}, or stop what has it: `ss -ltnp` names it"
    ))
}

fn another(about: String, flag: &str) -> Finding {
    let message = "another Counterfoil server has it, and not one on this database";
    Finding::fault(PORTS, about, message).hint(format_args!(
        "choose another address with {flag}, or stop that server: `ss -ltnp` names it"
    ))
}

fn refused(about: String, flag: &str, error: &io::Error) -> Finding {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("choose a port above 1023 with {flag}, or give the server the right to it")
        }
        _ => format!("choose an address of this machine with {flag}"),
    };
    Finding::fault(PORTS, about, format_args!("nobody can listen there: {error}")).hint(hint)
}

/// Who has an address; of a port that is chosen at each start there is nothing to say.
fn holder(address: SocketAddr) -> Option<Holder> {
    if address.port() == 0 {
        return None;
    }
    if TcpStream::connect_timeout(&reachable(address), CONNECTED_WITHIN).is_ok() {
        return Some(Holder::Somebody);
    }
    Some(match TcpListener::bind(address) {
        Ok(_) => Holder::Nobody,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Holder::Somebody,
        Err(error) => Holder::Refused(error),
    })
}

fn ask(address: SocketAddr, path: &str) -> Option<Answer> {
    Client::new().ok()?.get(reachable(address), path, None).ok()
}

/// Who listens on all addresses is reached on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
