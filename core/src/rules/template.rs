//! Templates of outbound requests become pieces (R40): every macro known, allowed to its owner, and
//! with the place it stands in.

use alloc::{boxed::Box, format, string::String, vec::Vec};

use super::item::Item;
use crate::{
    decode::NAME_LEN_MAX,
    macros::{AFFS_MACROS, MACROS, PARAM_MACRO, SECRET_MACRO},
    nearest::{edit_distance, nearest},
    parameter::Parameter,
    pieces::{Piece, Pieces, Place},
    reason::shown,
    template::{Part, Template, TemplateError},
    token::SecretName,
};

/// The most bytes of one text in a request.
const TEXT_LEN_MAX: usize = 64 << 10;

/// How many macros are named where none is near.
const NEAREST_SHOWN: usize = 3;

/// What a request may tell (R39).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visibility {
    /// Everything: it is the tenant's own.
    All,
    /// The payout leg only: it is an affiliate's.
    PayoutOnly,
}

/// Text in which every brace belongs to a macro. Braces that do not are told; the macros beside
/// them are yielded all the same, so that what is wrong with those is told as well.
pub(super) fn strict(item: &Item<'_>) -> Option<Template> {
    let (template, errors) = Template::parse_in_spite(bounded_text(item)?);
    for error in errors {
        item.error(&error, brace_hint(&error));
    }
    Some(template)
}

/// A hint: double braces are what other systems write.
fn brace_hint(error: &TemplateError) -> Box<str> {
    if let TemplateError::Name(name) = error
        && let Some(inner) = name.strip_prefix('{').map(str::trim)
        && (MACROS.iter().any(|known| known.name == inner) || AFFS_MACROS.contains(&inner))
    {
        return format!("write `{{{inner}}}`").into();
    }
    "only a raw body can hold braces that are no macro".into()
}

/// Text of a length that is allowed.
pub(super) fn bounded_text<'t>(item: &Item<'t>) -> Option<&'t str> {
    let text = item.text()?;
    if text.len() > TEXT_LEN_MAX {
        item.error(format!("the text has more than {TEXT_LEN_MAX} bytes"), "shorten it");
        return None;
    }
    Some(text)
}

/// Pieces in the making.
#[derive(Default)]
pub(super) struct Builder {
    pieces: Vec<Piece>,
    text: String,
}

impl Builder {
    /// Adds text as it stands.
    pub(super) fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds a macro; what is wrong with it is told.
    pub(super) fn value(
        &mut self,
        item: &Item<'_>,
        name: &str,
        visibility: Visibility,
        place: Place,
    ) -> Option<()> {
        let piece = piece(item, name, visibility, place)?;
        self.flush();
        self.pieces.push(piece);
        Some(())
    }

    /// Adds a template, all of whose macros stand in the same place; text stands as it is.
    pub(super) fn template(
        &mut self,
        item: &Item<'_>,
        template: &Template,
        visibility: Visibility,
        place: Place,
    ) -> Option<()> {
        each(template, |part| match part {
            Part::Text(text) => {
                self.text(text);
                Some(())
            }
            Part::Macro(name) => self.value(item, name, visibility, place),
        })
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            let text = core::mem::take(&mut self.text);
            self.pieces.push(Piece::Text(text.into()));
        }
    }

    /// The pieces.
    pub(super) fn finish(mut self) -> Pieces {
        self.flush();
        Pieces(self.pieces)
    }
}

/// Does something with each part, to the end, so that all mistakes are told.
pub(super) fn each(template: &Template, mut act: impl FnMut(&Part) -> Option<()>) -> Option<()> {
    let mut right = true;
    for part in template.parts() {
        right &= act(part).is_some();
    }
    right.then_some(())
}

/// A macro as a piece, where it is known and its owner may use it.
fn piece(item: &Item<'_>, name: &str, visibility: Visibility, place: Place) -> Option<Piece> {
    if let Some(secret) = name.strip_prefix(SECRET_MACRO) {
        return secret_piece(item, secret, visibility, place);
    }
    let known = if let Some(param) = name.strip_prefix(PARAM_MACRO) {
        is_param(item, param)?
    } else if let Some(known) = MACROS.iter().find(|known| known.name == name) {
        if !known.for_affiliates && visibility == Visibility::PayoutOnly {
            let message = format!("an affiliate may not see `{{{name}}}`");
            item.error(message, "affiliates see the payout leg only: use `{payout}`");
            return None;
        }
        true
    } else {
        AFFS_MACROS.contains(&name)
    };
    if !known {
        let message = format!("the macro `{{{}}}` is unknown here", shown(name));
        item.error(message, meant(name));
        return None;
    }
    Some(Piece::Macro(name.into(), place))
}

fn secret_piece(
    item: &Item<'_>,
    name: &str,
    visibility: Visibility,
    place: Place,
) -> Option<Piece> {
    if visibility == Visibility::PayoutOnly {
        let message = "an affiliate's own request may not hold a secret of the tenant";
        item.error(message, "remove it, or let the owner be \"admin\"");
        return None;
    }
    let Ok(secret) = SecretName::new(name) else {
        item.error("this is no name of a secret", "1 to 64 of the characters A-Z a-z 0-9 . _ -");
        return None;
    };
    Some(Piece::Secret(secret, place))
}

/// Whether a name can be that of a param: reserved names never are, and what they say has macros
/// of its own.
fn is_param(item: &Item<'_>, name: &str) -> Option<bool> {
    if Parameter::named(name).is_some() || Parameter::secret_named(name).is_some() {
        let message = format!("`{name}` is a parameter with a meaning, and never a param");
        let has_macro = MACROS.iter().any(|known| known.name == name);
        let hint = if has_macro { format!("write `{{{name}}}`") } else { "remove it".into() };
        item.error(message, hint);
        return None;
    }
    Some((1..=NAME_LEN_MAX).contains(&name.len()))
}

/// A hint: the macro that was perhaps meant.
fn meant(name: &str) -> Box<str> {
    let known = MACROS.iter().map(|known| known.name).chain(AFFS_MACROS);
    match nearest(name, known) {
        Some(near) => format!("did you mean `{{{near}}}`?").into(),
        None => {
            let known = MACROS.iter().map(|known| known.name);
            let mut known: Vec<&str> = known.collect();
            // Long input is no near miss of anything, and not worth a comparison.
            let name = name.get(..name.len().min(NAME_LEN_MAX)).unwrap_or_default();
            known.sort_by_cached_key(|known| edit_distance(name, known));
            let nearest: Vec<String> =
                known.iter().take(NEAREST_SHOWN).map(|known| format!("`{{{known}}}`")).collect();
            let nearest = nearest.join(", ");
            format!(
                "the nearest are {nearest}; what the sender said under a name of its own is \
                 `{{param.NAME}}`; the list is in core/docs/rules.md under `Requests`"
            )
            .into()
        }
    }
}
