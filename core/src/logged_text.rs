//! The one text that a log row keeps of a request's parameters. Secrets are masked in it.

use alloc::{
    borrow::Cow,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{
    decode::{Body, Incoming, Pairs, decode},
    dialects::Dialect,
    parameter::Parameter,
    privacy::Privacy,
    ruleset::Ruleset,
};

/// What a log row shows in place of a secret.
pub(crate) const MASK: &str = "***";
/// The most bytes of an undecodable request that a log row keeps.
const RAW_LEN_MAX: usize = 8192;

/// The text that a log row keeps of a request that no definition reads, whether it can be decoded
/// or not.
pub fn logged_text(ruleset: &Ruleset, incoming: &Incoming<'_>) -> String {
    let privacy = ruleset.privacy();
    match decode(incoming) {
        Ok(mut pairs) => {
            privacy.mask_postback(incoming.method, Dialect::native(), &mut pairs);
            masked_text(&pairs)
        }
        Err(_) => masked_raw(privacy, incoming),
    }
}

/// What stays as it is in a form-encoded text, beside letters and digits.
const STAYING: [u8; 4] = *b"-._*";
const FORM: &AsciiSet = {
    let [a, b, c, d] = STAYING;
    &NON_ALPHANUMERIC.remove(a).remove(b).remove(c).remove(d)
};

/// For each byte whether it stays as it is: every byte of every request is looked up here.
static STAYS: [bool; 256] = {
    let [a, b, c, d] = STAYING;
    let mut table = [false; 256];
    let mut byte = 0_u8;
    let mut rest: &mut [bool] = &mut table;
    while let Some((stays, behind)) = rest.split_first_mut() {
        let is_staying = byte == a || byte == b || byte == c || byte == d;
        *stays = byte.is_ascii_alphanumeric() || is_staying;
        byte = byte.wrapping_add(1);
        rest = behind;
    }
    table
};

/// The parameters as one form-encoded text with the secrets masked: what a log row keeps.
/// Decoding it gives the same parameters again, but for the secrets; different values of one
/// secret stay different, so that a conflict is still one when the row is read again (R5).
pub fn masked_text(pairs: &Pairs<'_>) -> String {
    let joined = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| name.len() + value.len() + 2;
    let mut text = String::with_capacity(pairs.iter().map(joined).sum());
    let mut secrets: BTreeMap<Parameter, Vec<&str>> = BTreeMap::new();
    for (at, (name, value)) in pairs.iter().enumerate() {
        if at > 0 {
            text.push('&');
        }
        push_encoded(&mut text, name);
        text.push('=');
        if let Some(secret) = Parameter::secret_named(name) {
            let values = secrets.entry(secret).or_default();
            text.push_str(&mask(values, value));
        } else {
            push_encoded(&mut text, value);
        }
    }
    text
}

/// Adds a name or a value, form-encoded. Most stay as they are, and are copied as a whole.
fn push_encoded(text: &mut String, piece: &str) {
    let stays = |byte: u8| STAYS.get(usize::from(byte)).is_some_and(|stays| *stays);
    if piece.bytes().all(stays) {
        text.push_str(piece);
    } else {
        text.extend(utf8_percent_encode(piece, FORM));
    }
}

/// The mask of a secret: its first value has one, each further value one of its own, under
/// whichever of its names.
fn mask<'a>(values: &mut Vec<&'a str>, value: &'a str) -> String {
    let place = values.iter().position(|known| *known == value).unwrap_or_else(|| {
        values.push(value);
        values.len() - 1
    });
    if place == 0 { MASK.to_string() } else { format!("{MASK}{place}") }
}

/// What a log row keeps of a request that cannot be decoded: the text as it came, cut, with
/// everything masked that follows the name of a secret, or is personal.
pub(crate) fn masked_raw(privacy: &Privacy, incoming: &Incoming<'_>) -> String {
    let mask_piece = |piece| mask_piece(privacy, piece);
    let mut pieces: Vec<String> = incoming.query.split('&').map(mask_piece).collect();
    match incoming.body {
        None => {}
        Some(Body::Form(bytes)) => {
            pieces.extend(String::from_utf8_lossy(bytes).split('&').map(mask_piece));
        }
        // A broken JSON body may hold a secret anywhere: only its length is kept.
        Some(Body::Json(bytes)) => pieces.push(format!("(JSON body of {} bytes)", bytes.len())),
    }
    pieces.retain(|piece| !piece.is_empty());
    let mut text = pieces.join("&");
    let mut end = text.len().min(RAW_LEN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.replace('\0', "\u{fffd}")
}

fn mask_piece(privacy: &Privacy, piece: &str) -> String {
    let (name, value) = piece.split_once('=').unwrap_or(("", piece));
    let decoded = percent_decode_str(name).decode_utf8_lossy();
    let is_secret = Parameter::secret_named(&decoded).is_some();
    if is_secret || privacy.hides(&decoded, &percent_decode_str(value).decode_utf8_lossy()) {
        return format!("{name}={MASK}");
    }
    piece.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{conversion::Method, token::TenantName};

    fn query(query: &str) -> Incoming<'_> {
        Incoming { method: Method::S2s, dialect: None, query, body: None }
    }

    #[test]
    fn secrets_are_masked_and_conflicts_survive() {
        let text = masked_text(&decode(&query("token=abc&x=1&token=def&token=abc&sig=s")).unwrap());
        assert_eq!(text, "token=***&x=1&token=***1&token=***&sig=***");
        let privacy = Privacy::of_tenant(TenantName::new("acme").unwrap());
        let text = "token=abc&x=%zz&%74oken=abc&m=a%40b.example%zz&phone=%2B420777123456";
        let raw = masked_raw(&privacy, &query(text));
        assert_eq!(raw, "token=***&x=%zz&%74oken=***&m=***&phone=***");
        // P10: whatever the case, and among the params of a root.
        let text = "Token=abc&token=abc&TOKEN=def&Secure=abc&param.sIG=s&tokens=1";
        let masked = masked_text(&decode(&query(text)).unwrap());
        let expected = "Token=***&token=***&TOKEN=***1&Secure=***&param.sIG=***&tokens=1";
        assert_eq!(masked, expected);
        let raw = masked_raw(&privacy, &query("Token=abc&x=%zz&%53ecure=abc"));
        assert_eq!(raw, "Token=***&x=%zz&%53ecure=***");
    }
}
