//! `counterfoil listen`: a receiver on this machine that prints what arrives.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use bytes::Bytes;
use clap::Args;
use counterfoil_core::{Period, SecretName, SignedMessage, SigningKey, Timestamp};
use hyper::{StatusCode, header::HeaderName};
use serde_json::Value;
use tokio::runtime;
use url::form_urlencoded;

use super::serve;
use crate::{
    arguments::HELP_TEMPLATE,
    clock,
    exit_code::ExitCode,
    failure::Failure,
    output::{self, GOOD, MISTAKE, QUIET, STRONG, SUSPICIOUS, visible},
    receiver::{self, Received, Reply, Take},
    secrets::Secrets,
    signals::{Asked, Signals},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil listen                                print what reaches http://127.0.0.1:9000
  counterfoil listen --status 503                   and let the sender try again
  counterfoil listen --body '{\"state\": \"paid\"}'     answer as a shop would
  counterfoil listen --secret-name bo_signing       verify signatures (Standard Webhooks)";

/// How far the clocks of sender and receiver may differ.
const TOLERANCE: Period = Period::from_ms(5 * 60 * 1000);

/// Headers of the connection, which say nothing about the message.
const DULL: [&str; 7] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "transfer-encoding",
    "user-agent",
];

/// Headers whose values are secrets: they are not printed.
const SECRET: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

/// Print every request that arrives: a receiver on this machine, for trying things out
///
/// A server reaches it only where `--allow-destination 127.0.0.1/32` says so.
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000",
          value_parser = serve::address)]
    listen: SocketAddr,
    /// The secret with which messages are signed; they are verified, and what it does not sign is
    /// answered 401
    #[arg(long, value_name = "NAME", value_parser = SecretName::new)]
    secret_name: Option<SecretName>,
    /// The folder with the secrets, one file each
    #[arg(long, value_name = "DIR", env = "COUNTERFOIL_SECRETS")]
    secrets: Option<PathBuf>,
    /// The status of every answer
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
    /// The body of every answer
    #[arg(long, value_name = "JSON", value_parser = json)]
    body: Option<Value>,
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let key = key(arguments)?;
    let reply = Reply {
        status: StatusCode::from_u16(arguments.status).map_err(Failure::usage)?,
        json: arguments.body.as_ref().map_or_else(Bytes::new, |body| body.to_string().into()),
    };
    let take: Take = Arc::new(move |received| {
        let verified = key.as_ref().map(|key| verified(received, key));
        let reply = match &verified {
            Some(Err(_)) => Reply { status: StatusCode::UNAUTHORIZED, json: Bytes::new() },
            _ => reply.clone(),
        };
        // Where stdout is closed, the sender is answered all the same.
        let lines = lines(received, clock::now(), verified, &reply);
        let _ = output::say(lines.join("\n"));
        reply
    });
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::could_not)?.block_on(listen(arguments.listen, take))
}

/// The key to verify with, looked up by its name.
fn key(arguments: &Arguments) -> Result<Option<SigningKey>, Failure> {
    let Some(name) = &arguments.secret_name else {
        return Ok(None);
    };
    let secrets = Secrets::new(arguments.secrets.clone())?;
    let key = secrets.signing_key(name);
    Ok(Some(key.map_err(|error| Failure::could_not(&error).hint(error.hint()))?))
}

async fn listen(address: SocketAddr, take: Take) -> Result<ExitCode, Failure> {
    let listener = receiver::bind(address).await?;
    let address = listener.local_addr().map_err(Failure::could_not)?;
    let mut signals = Signals::listen().map_err(Failure::could_not)?;
    output::tell(format_args!("listening on http://{address} until Ctrl-C"));
    let stopped = async { while signals.next().await != Asked::ToStop {} };
    tokio::select! {
        () = receiver::receive(listener, take) => {}
        () = stopped => {}
    }
    Ok(ExitCode::Done)
}

/// Whether the headers of Standard Webhooks sign this, in words.
fn verified(received: &Received, key: &SigningKey) -> Result<(), String> {
    let header =
        |name: &str| received.header(name).ok_or_else(|| format!("the header `{name}` is missing"));
    let message = SignedMessage {
        id: header("webhook-id")?,
        timestamp: header("webhook-timestamp")?,
        signature: header("webhook-signature")?,
        body: &received.body,
    };
    let keys = std::slice::from_ref(key);
    message.verify(keys, clock::now(), TOLERANCE).map_err(|error| error.to_string())
}

/// A request for people. What a stranger sent cannot steer the terminal.
fn lines(
    received: &Received,
    at: Timestamp,
    verified: Option<Result<(), String>>,
    reply: &Reply,
) -> Vec<String> {
    let Received { method, path, query, headers, body } = received;
    let mut lines =
        vec![format!("{STRONG}{method} {}{STRONG:#}  {QUIET}{at}{QUIET:#}", visible(path))];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        lines.push(format!("  {} = {}", visible(&name), visible(&value)));
    }
    let shown = headers.iter().filter(|(name, _)| !DULL.contains(&name.as_str()));
    for (name, value) in shown {
        let value = shown_value(name, &String::from_utf8_lossy(value.as_bytes()));
        lines.push(format!("  {QUIET}{name}:{QUIET:#} {value}"));
    }
    let text = String::from_utf8_lossy(body);
    lines.extend(text.lines().map(|line| format!("  {}", visible(line))));
    lines.extend(verified.map(|verified| match verified {
        Ok(()) => format!("  {GOOD}the signature is right{GOOD:#}"),
        Err(why) => format!("  {MISTAKE}not signed as it should be{MISTAKE:#}: {why}"),
    }));
    let style = if reply.status.is_success() { GOOD } else { SUSPICIOUS };
    lines.push(format!("  {style}answered {}{style:#}", reply.status.as_u16()));
    lines
}

/// The value of a header; of a secret one only that it is there.
fn shown_value(name: &HeaderName, value: &str) -> String {
    if !SECRET.contains(&name.as_str()) {
        return visible(value);
    }
    match value.split_once(' ') {
        Some((scheme, _)) => format!("{} (not shown)", visible(scheme)),
        None => "(not shown)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, Method};

    use super::*;

    fn received(headers: &[(&'static str, &str)], body: &str) -> Received {
        let pairs = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        Received {
            method: Method::POST,
            path: "/pb".to_owned(),
            query: "sum=5.00&name=Caf%C3%A9+1&x=%1b%5B31m".to_owned(),
            headers: pairs.collect::<HeaderMap>(),
            body: Bytes::from(body.to_owned()),
        }
    }

    fn told(received: &Received, verified: Option<Result<(), String>>) -> String {
        let reply = Reply { status: StatusCode::OK, json: Bytes::new() };
        let text = lines(received, Timestamp::from_ms(0), verified, &reply).join("\n");
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn a_request_is_shown_decoded_and_without_secrets_or_control_characters() {
        let headers = [("host", "x"), ("authorization", "Bearer canary"), ("x-mine", "1")];
        let text = told(&received(&headers, "{\"a\":1}"), None);
        for line in [
            "POST /pb  1970-01-01T00:00:00.000Z",
            "  sum = 5.00",
            "  name = Café 1",
            "  x-mine: 1",
            "  {\"a\":1}",
        ] {
            assert!(text.lines().any(|told| told == line), "no `{line}` in {text}");
        }
        assert!(text.contains("authorization: Bearer (not shown)"), "{text}");
        assert!(!text.contains("canary") && !text.contains("host"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_signature_is_verified_over_the_body_as_it_came() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let now = clock::now().as_ms() / 1000;
        let signature = key.sign("msg", now, b"{}");
        let (moment, old) = (now.to_string(), (now - 301).to_string());
        let signed = |moment: &str, body: &str| {
            let headers = [
                ("webhook-id", "msg"),
                ("webhook-timestamp", moment),
                ("webhook-signature", &*signature),
            ];
            verified(&received(&headers, body), &key)
        };
        assert_eq!(signed(&moment, "{}"), Ok(()));
        assert!(signed(&moment, "{ }").unwrap_err().contains("no signature"));
        assert!(signed(&old, "{}").unwrap_err().contains("too far"));
        let unsigned = verified(&received(&[], "{}"), &key).unwrap_err();
        assert!(unsigned.contains("`webhook-id` is missing"), "{unsigned}");
    }
}
