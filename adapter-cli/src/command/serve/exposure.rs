//! What a start leaves open that should perhaps be closed: told in the log and by the doctor,
//! refused nowhere.

use std::{net::SocketAddr, path::Path};

use counterfoil_core::{PostbackDefinition, Ruleset};
use counterfoil_http::IpNet;

use crate::secrets;

/// How a server listens.
#[derive(Clone, Copy, Debug)]
pub(in crate::command) struct Listening {
    /// The public address.
    pub(in crate::command) public: SocketAddr,
    /// The admin address.
    pub(in crate::command) admin: SocketAddr,
    /// Whether the public listener speaks TLS.
    pub(in crate::command) is_encrypted: bool,
    /// Whether there are proxies that are believed.
    pub(in crate::command) is_behind_proxy: bool,
    /// Whether every address is believed to be such a proxy.
    pub(in crate::command) believes_everyone: bool,
}

impl Listening {
    /// On these addresses, behind these proxies.
    pub(in crate::command) fn new(
        (public, admin): (SocketAddr, SocketAddr),
        is_encrypted: bool,
        proxies: &[IpNet],
    ) -> Self {
        let is_behind_proxy = !proxies.is_empty();
        let believes_everyone = proxies.iter().any(|network| network.prefix_len() == 0);
        Self { public, admin, is_encrypted, is_behind_proxy, believes_everyone }
    }
}

/// Something that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::command) struct Exposure {
    /// Which address, or which tenant and postbacks.
    pub(in crate::command) about: String,
    /// What it is open to.
    pub(in crate::command) what: &'static str,
    /// How to close it.
    pub(in crate::command) hint: &'static str,
}

/// What everyone can reach, or read on the way.
pub(in crate::command) fn of_listeners(listening: Listening) -> Vec<Exposure> {
    let Listening { public, admin, is_encrypted, is_behind_proxy, believes_everyone } = listening;
    let mut open = Vec::new();
    if !public.ip().is_loopback() && !is_encrypted && !is_behind_proxy {
        open.push(Exposure {
            about: public.to_string(),
            what: "the public listener speaks plain HTTP on a public address: tokens can be read",
            hint: "name a certificate with --tls-cert and --tls-key, or the proxy that speaks TLS \
                   with --trusted-proxy",
        });
    }
    if believes_everyone {
        open.push(Exposure {
            about: public.to_string(),
            what: "every address is believed to be a proxy: whoever writes X-Forwarded-For says \
                   where a request comes from, and X-Forwarded-Proto that it came over TLS",
            hint: "name the proxy alone with --trusted-proxy, as in 10.0.0.1/32",
        });
    }
    if !admin.ip().is_loopback() {
        open.push(Exposure {
            about: admin.to_string(),
            what: "the admin listener is not on loopback, and it speaks plain HTTP",
            hint: "listen on 127.0.0.1 and reach it through a tunnel or a proxy that speaks TLS",
        });
    }
    open
}

/// The private key of the certificate, where others than the server's user can read it.
pub(in crate::command) fn of_key(key: &Path) -> Option<Exposure> {
    secrets::is_open_to_all(key).then(|| Exposure {
        about: key.display().to_string(),
        what: "every user of this machine can read the private key of the certificate",
        hint: "let the server's user alone read it: chmod o-r",
    })
}

/// Definitions that anyone may use who reaches the public listener.
pub(in crate::command) fn of_rules<'a>(
    rulesets: impl Iterator<Item = &'a Ruleset>,
    listening: Listening,
) -> Vec<Exposure> {
    // Behind a proxy the world comes from loopback, too.
    if listening.public.ip().is_loopback() && !listening.is_behind_proxy {
        return Vec::new();
    }
    let is_open = |definition: &&PostbackDefinition| {
        definition.active && !definition.authentication.is_required()
    };
    let exposure = |ruleset: &Ruleset| {
        let open = ruleset.postbacks().iter().filter(is_open);
        let open: Vec<&str> = open.map(|definition| definition.id.as_str()).collect();
        (!open.is_empty()).then(|| Exposure {
            about: format!("tenant {}, postbacks {}", ruleset.tenant(), open.join(", ")),
            what: "anyone who reaches the public listener may send these postbacks",
            hint: "give them `auth` in the rules; `global` is there unless the rules redefine or \
                   remove it",
        })
    };
    rulesets.filter_map(exposure).collect()
}

/// Warns of what is open.
pub(super) fn warn_of(open: &[Exposure]) {
    for Exposure { about, what, hint } in open {
        tracing::warn!(%about, hint, "{what}");
    }
}
