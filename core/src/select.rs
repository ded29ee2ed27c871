//! Which inbound definition decides (rung 2; R13).

use alloc::format;

use crate::{
    decode::{Incoming, Pairs},
    nearest::nearest,
    parameter::{Given, Parameter, Parameters},
    reason::{Reason, Refusal, shown},
    ruleset::{Dialect, GLOBAL_POSTBACK, PostbackDefinition, Ruleset},
};

/// Finds the definition that decides (rung 2; R13). Methods from inside are decided by the
/// built-in definition (R47).
///
/// # Errors
/// `conflicting_parameters` (rung 1), `unresolved_macro` where `id` is still a macro, and
/// `unknown_postback`.
pub fn select<'r>(
    ruleset: &'r Ruleset,
    incoming: &Incoming<'_>,
    pairs: &Pairs<'_>,
) -> Result<&'r PostbackDefinition, Refusal> {
    let parameters = Parameters::gather(pairs)?;
    if incoming.method.is_internal() {
        return Ok(ruleset.built_in_postback());
    }
    let path = match incoming.dialect {
        None => None,
        Some(name) => Some(Dialect::named(name).ok_or_else(|| unknown_dialect(name))?),
    };
    match parameters.get(Parameter::Id) {
        Some(id) => by_id(ruleset, id, path),
        None => by_default(ruleset, path),
    }
}

fn by_id<'r>(
    ruleset: &'r Ruleset,
    id: Given<'_>,
    path: Option<Dialect>,
) -> Result<&'r PostbackDefinition, Refusal> {
    id.refuse_macro()?;
    let active = || ruleset.postbacks().iter().filter(|definition| definition.active);
    let Some(definition) = active().find(|definition| definition.id.as_str() == id.value) else {
        let message = format!("no active postback has the id `{}`", shown(id.value));
        let refusal = Refusal::new(Reason::UnknownPostback, message).about(id.name);
        let known = active().map(|definition| definition.id.as_str());
        return Err(match nearest(id.value, known) {
            Some(close) => refusal.hint(format!("did you mean `{close}`?")),
            None => refusal.hint("leave `id` out to use the global postback"),
        });
    };
    if path.is_some_and(|path| path != definition.dialect) {
        let message = format!("the postback `{}` is not of this path's dialect", definition.id);
        return Err(Refusal::new(Reason::UnknownPostback, message)
            .about(id.name)
            .hint(format!("send it to the path of `{}`", definition.dialect.name())));
    }
    Ok(definition)
}

fn by_default(ruleset: &Ruleset, path: Option<Dialect>) -> Result<&PostbackDefinition, Refusal> {
    let mut active = ruleset.postbacks().iter().filter(|definition| definition.active);
    let of_path =
        path.and_then(|dialect| active.clone().find(|definition| definition.dialect == dialect));
    let global = || active.find(|definition| definition.id.as_str() == GLOBAL_POSTBACK);
    of_path.or_else(global).ok_or_else(|| {
        Refusal::new(Reason::UnknownPostback, "the rules have removed the global postback")
            .about("id")
            .hint("name a postback definition with `id`")
    })
}

fn unknown_dialect(name: &str) -> Refusal {
    let message = format!("no dialect is called `{}`", shown(name));
    Refusal::new(Reason::UnknownPostback, message).hint("use the path `handle` or `native`")
}
