//! Which inbound definition decides (rung 2; R13).

use alloc::{format, string::String, vec::Vec};

use crate::{
    decode::{Incoming, Pairs, path_name},
    dialects::{DIALECTS, Dialect, ID},
    nearest::nearest,
    parameter::{Given, Parameter, Parameters},
    reason::{Reason, Refusal, shown},
    ruleset::{GLOBAL_POSTBACK, PostbackDefinition, Ruleset},
};

/// Finds the definition that decides (rung 2; R13), and masks what is personal among the
/// parameters, by the names of its dialect. Methods from inside are decided by the built-in
/// definition (R47).
///
/// # Errors
/// `conflicting_parameters` (rung 1), by the names of the definition's dialect or, where there is
/// none, of the path's; then `unresolved_macro` where `id` is still a macro, and
/// `unknown_postback`.
pub fn select<'r>(
    ruleset: &'r Ruleset,
    incoming: &Incoming<'_>,
    pairs: &mut Pairs<'_>,
) -> Result<&'r PostbackDefinition, Refusal> {
    let path = incoming.dialect.and_then(|name| ruleset.dialect(name)).map(|path| &**path);
    let selected = if incoming.method.is_internal() {
        Ok(ruleset.built_in_postback())
    } else {
        selected(ruleset, incoming, pairs, path)
    };
    let dialect = selected.as_ref().ok().map(|definition| &*definition.dialect).or(path);
    let dialect = dialect.unwrap_or(Dialect::native());
    ruleset.privacy().mask_postback(incoming.method, dialect, pairs);
    Parameters::gather(dialect, pairs)?;
    selected
}

fn selected<'r>(
    ruleset: &'r Ruleset,
    incoming: &Incoming<'_>,
    pairs: &mut Pairs<'_>,
    path: Option<&Dialect>,
) -> Result<&'r PostbackDefinition, Refusal> {
    if let (Some(name), None) = (incoming.dialect, path) {
        return Err(unknown_dialect(name));
    }
    // Another value of it is told by whoever gathers them all.
    match pairs.iter_mut().find(|(name, _)| *name == ID) {
        Some((name, value)) => {
            ruleset.privacy().mask_known(name, value);
            by_id(ruleset, Given { name, value }, path)
        }
        None => by_default(ruleset, path),
    }
}

fn by_id<'r>(
    ruleset: &'r Ruleset,
    id: Given<'_>,
    path: Option<&Dialect>,
) -> Result<&'r PostbackDefinition, Refusal> {
    id.refuse_macro(path.unwrap_or(Dialect::native()), Parameter::Id)?;
    let mut active = ruleset.postbacks().iter().filter(|definition| definition.active);
    let Some(definition) = active.find(|definition| definition.id.as_str() == id.value) else {
        // No id that is close is told: it may be another partner's, who is nobody's business.
        let message = format!("no active postback has the id `{}`", shown(id.value));
        let refusal = Refusal::new(Reason::UnknownPostback, message).about(id.name);
        return Err(match by_default(ruleset, path) {
            Ok(_) => refusal.hint("correct it, or leave it out"),
            Err(_) => refusal.hint("ask for the id of your postback; without one nothing answers"),
        });
    };
    if path.is_some_and(|path| path.name != definition.dialect.name) {
        let message = format!("the postback `{}` is not of this path's dialect", definition.id);
        return Err(Refusal::new(Reason::UnknownPostback, message)
            .about(id.name)
            .hint(format!("send it to the path of `{}`", definition.dialect.name)));
    }
    Ok(definition)
}

/// The first definition of the path's dialect, else the global one, spoken in it.
fn by_default<'r>(
    ruleset: &'r Ruleset,
    path: Option<&Dialect>,
) -> Result<&'r PostbackDefinition, Refusal> {
    let mut active = ruleset.postbacks().iter().filter(|definition| definition.active);
    let found = match path {
        None => active.find(|definition| definition.id.as_str() == GLOBAL_POSTBACK),
        Some(path) => {
            let mut all = active.chain(&ruleset.global_spoken);
            all.find(|definition| definition.dialect.name == path.name)
        }
    };
    found.ok_or_else(|| {
        Refusal::new(Reason::UnknownPostback, "the rules have removed the global postback")
            .about("id")
            .hint("name a postback definition with `id`")
    })
}

fn unknown_dialect(name: &str) -> Refusal {
    if path_name(name) != name {
        return Refusal::new(Reason::UnknownPostback, "the path names no dialect").hint(
            "end the path in `handle` or a dialect, and write `?` before the first parameter",
        );
    }
    let message = format!("no dialect is called `{}`", shown(name));
    let refusal = Refusal::new(Reason::UnknownPostback, message);
    // Those of the rules may name partners, who are nobody's business.
    match nearest(name, DIALECTS.iter().map(|dialect| &*dialect.name)) {
        Some(close) => refusal.hint(format!("did you mean `{close}`?")),
        None => {
            let known: Vec<String> =
                DIALECTS.iter().map(|dialect| format!("`{}`", dialect.name)).collect();
            let known = known.join(", ");
            refusal.hint(format!("use the path `handle`, or that of a dialect: {known}"))
        }
    }
}
