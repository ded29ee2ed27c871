//! What of an answer people may read: its beginning, without the secrets that were sent and without
//! what the rules mask of personal values (P10). Whatever is kept or shown of what a receiver says
//! goes through here.

use std::cell::OnceCell;

use counterfoil_core::{Call, Claim, SecretName, Sent, Unmapped, UnmappedReason};

/// The most bytes of an answer that are kept to be read by people.
pub(super) const EXCERPT_LEN_MAX: usize = 16 * 1024;
/// The most bytes of a word that has no meaning here.
const WORD_LEN_MAX: usize = 80;
/// How much more is looked at than is kept, so that a value at the end is seen whole.
const MARGIN: usize = 1024;

/// The secrets of one request, as they were sent: a receiver may answer with them.
#[derive(Default)]
pub(super) struct Masks(Vec<(Box<str>, SecretName)>);

/// What is masked in all that a receiver says to one message.
pub(super) struct Reading<'a> {
    claim: &'a Claim,
    secrets: &'a Masks,
    /// Looked for once there is something to mask.
    sent: OnceCell<Sent>,
}

impl<'a> Reading<'a> {
    pub(super) fn of(claim: &'a Claim, secrets: &'a Masks) -> Self {
        Self { claim, secrets, sent: OnceCell::new() }
    }

    /// The personal values that the message carries: a receiver may answer with them.
    fn sent(&self) -> &Sent {
        let request = self.claim.message.request.as_ref();
        let sent = || request.map(|request| self.claim.ruleset.privacy().sent(request));
        self.sent.get_or_init(|| sent().unwrap_or_default())
    }

    /// The beginning of a body as text. Whatever is no UTF-8 is replaced.
    pub(super) fn excerpt(&self, body: &[u8]) -> Option<Box<str>> {
        if body.is_empty() {
            return None;
        }
        let excerpt = self.beginning(&String::from_utf8_lossy(body), EXCERPT_LEN_MAX);
        (!excerpt.is_empty()).then_some(excerpt)
    }

    /// The beginning of a text.
    pub(super) fn beginning(&self, text: &str, len_max: usize) -> Box<str> {
        let text = self.secrets.beginning(text, len_max + MARGIN);
        let mut shown = self.claim.ruleset.privacy().mask_foreign(&text, self.sent(), len_max);
        if text.len() > len_max {
            whole_names(&mut shown);
        }
        shown.into()
    }

    /// The word that an answer has for a parameter, which stands where its mapping says.
    pub(super) fn word(&self, call: &Call, unmapped: &Unmapped) -> Box<str> {
        if unmapped.reason == UnmappedReason::Absent {
            // What was found is a path that leads nowhere: words of the rules.
            return unmapped.found.clone();
        }
        let mapping = call.set.iter().find(|mapping| mapping.parameter == unmapped.parameter);
        let path = mapping.map(|mapping| mapping.path.text()).unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let names = [&*unmapped.parameter, name];
        let word = self.secrets.beginning(&unmapped.found, WORD_LEN_MAX + MARGIN);
        let privacy = self.claim.ruleset.privacy();
        let mut shown = privacy.mask_word(&names, &word, self.sent(), WORD_LEN_MAX);
        if word.len() > WORD_LEN_MAX {
            whole_names(&mut shown);
        }
        shown.into()
    }
}

/// Leaves out the name of a secret that was cut in two at the end.
fn whole_names(shown: &mut String) {
    const BEGINNING: &str = "{secret:";
    let Some(last) = shown.rfind('{') else {
        return;
    };
    let name = shown.get(last..).unwrap_or_default();
    let is_name = BEGINNING.starts_with(name) || name.starts_with(BEGINNING);
    if is_name && !name.contains('}') {
        shown.truncate(last);
    }
}

impl Masks {
    /// Remembers a text that holds a secret.
    pub(super) fn add(&mut self, text: &str, name: &SecretName) {
        let is_known = self.0.iter().any(|(known, _)| **known == *text);
        if !text.is_empty() && !is_known {
            self.0.push((text.into(), name.clone()));
        }
    }

    /// The beginning of a text, each secret by its name. A secret that begins within the part that
    /// is looked at is seen whole.
    fn beginning(&self, text: &str, most: usize) -> Box<str> {
        let mut rest = text;
        let end = text.len().saturating_sub(most);
        let mut excerpt = String::new();
        while let Some(char) = rest.chars().next().filter(|_| rest.len() > end) {
            let masked = self.longest_at(rest);
            let (len, shown) = match masked {
                Some((secret, name)) => (secret.len(), format!("{{secret:{name}}}")),
                None => (char.len_utf8(), char.to_string()),
            };
            if excerpt.len() + shown.len() > most {
                break;
            }
            excerpt.push_str(&shown);
            rest = rest.get(len..).unwrap_or_default();
        }
        excerpt.into()
    }

    /// The longest secret that a text begins with: one may begin another.
    fn longest_at(&self, text: &str) -> Option<&(Box<str>, SecretName)> {
        let begins = self.0.iter().filter(|(secret, _)| text.starts_with(&**secret));
        begins.max_by_key(|(secret, _)| secret.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use counterfoil_core::{
        ConversionId, HttpMethod, Message, MessageId, MessageOf, MessageState, Part, Rendered,
        Ruleset, RulesetSpec, Timestamp, TrackingApiId,
    };

    use super::*;

    /// A message to a receiver that is sent a first name, which the rules drop.
    fn claim() -> Claim {
        let text = "tenant = 'acme'\ncurrency = 'EUR'\n[privacy]\ndrop = ['first_name']\n\
                    email = 'drop'\nphone = 'drop'\n";
        let (ruleset, _) = Ruleset::check(RulesetSpec::from_toml(text).unwrap()).unwrap();
        let request = Rendered {
            method: HttpMethod::Get,
            url: vec![Part::Text("https://a.example/?first_name=Josefina".into())],
            headers: Vec::new(),
            body: None,
        };
        let message = Message {
            id: MessageId::from_bytes([7; 16]),
            of: MessageOf::TrackingApi(TrackingApiId::new("x").unwrap()),
            event: None,
            conversion_id: ConversionId::from_bytes([9; 16]),
            sequence: Some(1),
            state: MessageState::Due,
            due_at: Timestamp::from_ms(0),
            request: Some(request),
            depth: 0,
        };
        let ruleset = Arc::new(ruleset);
        Claim { message, ruleset, fence: 1, attempt: 1, delivery_retries: 0, polls: 0 }
    }

    fn masks(secrets: &[(&str, &str)]) -> Masks {
        let mut masks = Masks::default();
        for (text, name) in secrets {
            masks.add(text, &SecretName::new(name).unwrap());
        }
        masks
    }

    #[test]
    fn secrets_are_shown_by_name() {
        let masks = masks(&[("s3c", "short"), ("s3cret", "long"), ("s3cret", "again"), ("", "no")]);
        let claim = claim();
        let reading = Reading::of(&claim, &masks);
        let shown = reading.excerpt(b"key s3cret, s3c and s3\xff").unwrap();
        assert_eq!(&*shown, "key {secret:long}, {secret:short} and s3\u{fffd}");
        assert_eq!(reading.excerpt(b""), None);
    }

    #[test]
    fn an_excerpt_is_bounded_and_cuts_no_secret_in_two() {
        let masks = masks(&[("canary-canary", "key")]);
        let claim = claim();
        let reading = Reading::of(&claim, &masks);
        let filler = "ž".repeat(EXCERPT_LEN_MAX / 2 - 3);
        let shown = reading.excerpt(format!("{filler}canary-canary{filler}").as_bytes()).unwrap();
        assert_eq!(*shown, *filler);
        let shown = reading.excerpt("a".repeat(100_000).as_bytes()).unwrap();
        assert_eq!(shown.len(), EXCERPT_LEN_MAX);
        // The body was cut within the last of them.
        let shown = reading.excerpt("canary-canary".repeat(2000).get(..25_999).unwrap().as_bytes());
        assert!(!shown.unwrap().contains("canary"));
    }

    /// Masking a number within a secret first would leave the rest of it.
    #[test]
    fn personal_values_are_masked_among_what_secrets_leave() {
        let masks = masks(&[("canary-+420777000111-canary@a.example", "key")]);
        let claim = claim();
        let reading = Reading::of(&claim, &masks);
        let body = "canary-+420777000111-canary@a.example JOSEFINA j@a.example +420777000111";
        assert_eq!(&*reading.excerpt(body.as_bytes()).unwrap(), "{secret:key} *** *** ***");
    }

    #[test]
    fn an_address_at_the_end_of_an_excerpt_is_whole_or_not_there() {
        let claim = claim();
        let masks = Masks::default();
        let reading = Reading::of(&claim, &masks);
        let address = "canary.canary@canary.shop.example";
        for cut in 0..address.len() + 3 {
            let filler = " ".repeat(EXCERPT_LEN_MAX - cut);
            let body = format!("{filler}{address}{}", " x".repeat(EXCERPT_LEN_MAX));
            let shown = reading.excerpt(body.as_bytes()).unwrap();
            assert!(!shown.contains('c') && !shown.contains('@'), "{cut}");
            assert_eq!(shown.contains("***"), cut > 2);
        }
    }
}
