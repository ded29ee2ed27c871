//! Where a pasted URL goes, held against how the server listens: certain where it names a listener
//! by its address, and else only a hint, for a proxy has a host, a port and a scheme of its own.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

use super::Told;
use crate::command::doctor::{Settings, State};

/// The part of a URL in front of its path.
#[derive(Debug)]
pub(super) struct Origin {
    is_https: bool,
    host: Host<String>,
    /// The port, where the URL names one that is not its scheme's.
    port: Option<u16>,
}

impl Origin {
    /// The origin of a URL; nothing where its scheme has none of ours.
    pub(super) fn of(url: &Url) -> Option<Self> {
        let is_https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        Some(Self { is_https, host: url.host()?.to_owned(), port: url.port() })
    }

    fn port(&self) -> u16 {
        self.port.unwrap_or(if self.is_https { 443 } else { 80 })
    }

    fn ip(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Ipv4(ip) => Some((*ip).into()),
            Host::Ipv6(ip) => Some((*ip).into()),
            Host::Domain(_) => None,
        }
    }

    /// Whether it means this machine.
    fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Domain(name) => name == "localhost",
            _ => self.ip().is_some_and(|ip| ip.is_loopback()),
        }
    }

    /// Whether it is certainly this listener, with nothing in between. There are many addresses of
    /// loopback: only a name may mean each.
    fn is_at(&self, listener: SocketAddr) -> bool {
        let ip = listener.ip();
        let is_host = match self.ip() {
            Some(own) => own == ip || own.is_loopback() && ip.is_unspecified(),
            None => self.is_loopback() && (ip.is_unspecified() || ip.is_loopback()),
        };
        self.port() == listener.port() && is_host
    }
}

/// What is wrong with the way that it takes, or may be.
pub(super) fn look(settings: &Settings, origin: &Origin) -> Option<Told> {
    // A port that is chosen at each start is not known.
    let is_known = |listener: &SocketAddr| listener.port() != 0;
    let (public, admin) = (settings.public.filter(is_known), settings.admin.filter(is_known));
    if public.is_some_and(|public| origin.is_at(public)) {
        return wrong_scheme(settings, origin);
    }
    if let Some(admin) = admin.filter(|admin| origin.is_at(*admin)) {
        let message = format!("{admin} is the admin listener, which takes no postbacks");
        return Some(told(State::Fault, "admin_listener", message, to_public(public)));
    }
    let public = public?;
    if origin.port.is_none() && !origin.is_loopback() || origin.port() == public.port() {
        return None;
    }
    let port = origin.port();
    let whose = match admin {
        Some(admin) if admin.port() == port => ", which is the port of the admin listener",
        _ => "",
    };
    let message = format!("the URL names port {port}{whose}, and the public listener is {public}");
    let hint =
        format!("send it to {public}, unless a proxy listens at that port and passes requests on");
    Some(told(State::Warning, "other_port", message, hint))
}

/// A scheme that the public listener does not speak. Without the server's file it is not known
/// whether it has a certificate.
fn wrong_scheme(settings: &Settings, origin: &Origin) -> Option<Told> {
    let is_encrypted = settings.listening.is_encrypted;
    if origin.is_https == is_encrypted {
        return None;
    }
    let public = settings.listening.public;
    let (message, hint) = if origin.is_https {
        (
            format!("the URL says https, and the public listener {public} has no certificate"),
            "call it by http, or start the server with --tls-cert and --tls-key".to_owned(),
        )
    } else {
        (
            format!("the URL says http, and the public listener {public} takes https alone"),
            "call it by https".to_owned(),
        )
    };
    let state = if settings.has_file { State::Fault } else { State::Warning };
    Some(told(state, "wrong_scheme", message, hint))
}

fn to_public(public: Option<SocketAddr>) -> String {
    match public {
        Some(public) => format!("send it to the public listener, {public}"),
        None => "send it to the public listener: `serve --listen` says which it is".to_owned(),
    }
}

fn told(state: State, code: &'static str, message: String, hint: String) -> Told {
    Told { state, code, parameter: None, message, hint }
}
