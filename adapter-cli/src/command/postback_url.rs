//! `counterfoil postback-url`: what a partner is to call.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use counterfoil_core::{PostbackDefinition, Ruleset, SecretName};
use url::{Host, Url};

use super::list;
use crate::{
    arguments::{HELP_TEMPLATE, TenantArgument},
    database,
    exit_code::ExitCode,
    failure::Failure,
    output,
    rules_files::{self, RulesFile},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil postback-url shoply-orders --rules rules.toml --base https://pb.example
  counterfoil postback-url global --rules rules.toml";

const BASE_EXAMPLE: &str = "https://pb.example";

/// Print the address that a partner is to call, with the partner's macros in place of values
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The postback definition
    #[arg(value_name = "DEFINITION")]
    definition: String,
    /// Rules files, or folders of them
    #[arg(long, required = true, value_name = "PATH", env = "COUNTERFOIL_RULES")]
    rules: Vec<PathBuf>,
    /// Where partners reach the public listener
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", value_parser = base)]
    base: String,
    #[command(flatten)]
    tenant: TenantArgument,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let files = rules_files::load(&arguments.rules)?;
    let rulesets: Vec<&Ruleset> = files.iter().filter_map(RulesFile::rules).collect();
    let wanted = arguments.tenant.tenant.as_deref();
    let ruleset = *database::choose(wanted, &rulesets, |ruleset| ruleset.tenant())?;
    let mut active = ruleset.postbacks().iter().filter(|definition| definition.active);
    let known: Vec<&str> = active.clone().map(|definition| definition.id.as_str()).collect();
    let Some(definition) = active.find(|one| one.id.as_str() == arguments.definition) else {
        let wanted = output::visible(&arguments.definition);
        let message = format!("no active postback has the id `{wanted}`");
        return Err(Failure::could_not(message).hint(list::one_of(&arguments.definition, &known)));
    };
    output::say(definition.url(&arguments.base, ruleset.tenant()))?;
    if let Some(unfit) = unfit(&arguments.base, definition) {
        output::tell(format_args!("{unfit}; name it with --base, as in {BASE_EXAMPLE}"));
    }
    output::tell(format_args!(
        "the macros are those of {}: replace them by the partner's own where they differ",
        definition.dialect.system
    ));
    let asked = proofs(definition);
    asked
        .iter()
        .for_each(|asked| output::tell(format_args!("the sender must prove itself: {asked}")));
    Ok(ExitCode::Done)
}

/// Why partners cannot use what begins so.
fn unfit(base: &str, definition: &PostbackDefinition) -> Option<&'static str> {
    let base = Url::parse(base).ok()?;
    let is_loopback = match base.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    if definition.authentication.https_only && base.scheme() != "https" {
        return Some("this postback is refused over http: partners need its address with https");
    }
    is_loopback.then_some("this is an address of this machine alone: partners need the public one")
}

/// Where partners reach us: everything else of the address is ours to say.
fn base(text: &str) -> Result<String, String> {
    let hint = format!("write it as in {BASE_EXAMPLE}");
    let url = Url::parse(text).map_err(|error| format!("it is no URL: {error}; {hint}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("it is neither http nor https; {hint}"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("it has a query or a fragment; {hint}"));
    }
    Ok(text.to_owned())
}

/// What the sender must add that no URL has by itself. Secrets are named, and never told.
fn proofs(definition: &PostbackDefinition) -> Vec<String> {
    let asked = &definition.authentication;
    let mut proofs = Vec::new();
    if asked.https_only {
        proofs.push("call it over https alone".into());
    }
    if !asked.addresses.is_empty() {
        let networks: Vec<String> = asked.addresses.iter().map(ToString::to_string).collect();
        proofs.push(format!("call it from {}", networks.join(", ")));
    }
    if !asked.tokens.is_empty() {
        proofs.push(format!(
            "put the value of the secret {} into `token`, or leave `token` out and send the header \
             `Authorization: Bearer`",
            names(&asked.tokens)
        ));
    }
    if let Some(signed) = &asked.signed_query {
        proofs.push(format!(
            "sign each query with the secret {}: `ts` in Unix seconds and, last of all, `sig`, the \
             HMAC-SHA256 over the query before `&sig=` in hexadecimal digits",
            names(&signed.secrets)
        ));
    }
    if let Some(signed) = &asked.standard_webhooks {
        proofs.push(format!(
            "send a POST whose body is signed as in Standard Webhooks with the secret {}: \
             webhook-id, webhook-timestamp and webhook-signature",
            names(&signed.secrets)
        ));
    }
    let body = definition.body_parameters();
    if !body.is_empty() {
        let body: Vec<String> =
            body.iter().map(|(name, example)| format!("{name}={example}")).collect();
        proofs.push(format!("send in the signed body, not in the query: {}", body.join("&")));
    }
    proofs
}

fn names(secrets: &BTreeSet<SecretName>) -> String {
    let names: Vec<String> = secrets.iter().map(|name| format!("`{name}`")).collect();
    names.join(" or ")
}
