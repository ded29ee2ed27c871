//! What a start leaves open that should perhaps be closed: told in the log, refused nowhere.

use counterfoil_core::{PostbackDefinition, Ruleset};

use super::config::Settings;

/// Warns of what everyone can reach, or read on the way.
pub(super) fn warn_of_listeners(settings: &Settings) {
    let (public, admin) = (settings.listen, settings.admin_listen);
    if !public.ip().is_loopback() && settings.tls.is_none() && settings.trusted_proxies.is_empty() {
        tracing::warn!(
            %public,
            hint = "name a certificate with --tls-cert and --tls-key, or the proxy that speaks TLS \
                    with --trusted-proxy",
            "the public listener speaks plain HTTP on a public address: tokens can be read"
        );
    }
    if !admin.ip().is_loopback() {
        tracing::warn!(
            %admin,
            hint = "listen on 127.0.0.1 and reach it through a tunnel or a proxy that speaks TLS",
            "the admin listener is not on loopback, and it speaks plain HTTP"
        );
    }
}

/// Warns of definitions that anyone may use who reaches the public listener.
pub(super) fn warn_of_open<'a>(rulesets: impl Iterator<Item = &'a Ruleset>, settings: &Settings) {
    // Behind a proxy the world comes from loopback, too.
    if settings.listen.ip().is_loopback() && settings.trusted_proxies.is_empty() {
        return;
    }
    let is_open = |definition: &&PostbackDefinition| {
        definition.active && !definition.authentication.is_required()
    };
    for ruleset in rulesets {
        let open = ruleset.postbacks().iter().filter(is_open);
        let open: Vec<&str> = open.map(|definition| definition.id.as_str()).collect();
        if !open.is_empty() {
            tracing::warn!(
                tenant = %ruleset.tenant(),
                postbacks = %open.join(", "),
                hint = "give them `auth` in the rules; `global` is there unless the rules redefine \
                        or remove it",
                "anyone who reaches the public listener may send these postbacks"
            );
        }
    }
}
