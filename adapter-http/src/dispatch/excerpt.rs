//! What of an answer people may read: its beginning, without the secrets that were sent (P10).

use counterfoil_core::SecretName;

/// The most bytes of an answer that are kept to be read by people.
pub(super) const EXCERPT_LEN_MAX: usize = 16 * 1024;
/// The most bytes of a word that has no meaning here.
const WORD_LEN_MAX: usize = 80;

/// The secrets of one request, as they were sent: a receiver may answer with them.
#[derive(Default)]
pub(super) struct Masks(Vec<(Box<str>, SecretName)>);

impl Masks {
    /// Remembers a text that holds a secret.
    pub(super) fn add(&mut self, text: &str, name: &SecretName) {
        let is_known = self.0.iter().any(|(known, _)| **known == *text);
        if !text.is_empty() && !is_known {
            self.0.push((text.into(), name.clone()));
        }
    }

    /// The beginning of a body as text, each secret by its name. Whatever is no UTF-8 is replaced.
    /// A secret that begins within the part that is looked at is seen whole: far more is read.
    pub(super) fn excerpt(&self, body: &[u8]) -> Option<Box<str>> {
        let excerpt = self.beginning(&String::from_utf8_lossy(body), EXCERPT_LEN_MAX);
        (!excerpt.is_empty()).then_some(excerpt)
    }

    /// The beginning of a word of an answer, each secret by its name.
    pub(super) fn word(&self, word: &str) -> Box<str> {
        self.beginning(word, WORD_LEN_MAX)
    }

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
    use super::*;

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
        let shown = masks.excerpt(b"key s3cret, s3c and s3\xff").unwrap();
        assert_eq!(&*shown, "key {secret:long}, {secret:short} and s3\u{fffd}");
        assert_eq!(masks.excerpt(b""), None);
    }

    #[test]
    fn an_excerpt_is_bounded_and_cuts_no_secret_in_two() {
        let masks = masks(&[("canary-canary", "key")]);
        let filler = "ž".repeat(EXCERPT_LEN_MAX / 2 - 3);
        let shown = masks.excerpt(format!("{filler}canary-canary{filler}").as_bytes()).unwrap();
        assert_eq!(*shown, *filler);
        let shown = masks.excerpt("a".repeat(100_000).as_bytes()).unwrap();
        assert_eq!(shown.len(), EXCERPT_LEN_MAX);
        // The body was cut within the last of them.
        let shown = masks.excerpt("canary-canary".repeat(2000).get(..25_999).unwrap().as_bytes());
        assert!(!shown.unwrap().contains("canary"));
    }
}
