//! How other systems write postbacks (R47, R48): one table for each.
//!
//! A [`Dialect`] is nothing but a table: its parameters ([`Row`]) and status words ([`Word`]) with
//! what they mean here, its repeat rule, its default type, and how it answers ([`Replies`]). Each
//! fact says where it comes from ([`Source`]). Reading goes through the table, whatever the
//! dialect: another system is another table, in a file of its own, and a line in [`DIALECTS`].
//! Rules may add tables of the same shape: whoever reads holds a [`Dialect`], whoever made it.

mod affise;
mod binom;
mod everflow;
mod keitaro;
mod native;
mod peerclick;
mod pushground;
mod redtrack;
mod reply;
mod tune;
mod voluum;

use alloc::{borrow::Cow, format, string::String, sync::Arc, vec::Vec};

use crate::{
    conversion::ConversionType,
    parameter::{Parameter, looks_like_macro},
    ruleset::{Dedup, PostbackDefinition, StatusMeaning},
    token::TenantName,
    transaction::TransactionResult,
};

pub use self::reply::{Replies, Reply};

/// The built-in dialects, the native one first; [`Ruleset::dialects`](crate::Ruleset::dialects) are
/// all.
pub static DIALECTS: [&Dialect; 10] = [
    &native::NATIVE,
    &peerclick::PEERCLICK,
    &pushground::PUSHGROUND,
    &voluum::VOLUUM,
    &keitaro::KEITARO,
    &binom::BINOM,
    &redtrack::REDTRACK,
    &everflow::EVERFLOW,
    &tune::TUNE,
    &affise::AFFISE,
];

/// What every dialect knows beside its own names: which definition, and authentication. The last
/// three are the names that Everflow, TUNE and Affise have for a shared secret.
static COMMON: [Row; 7] = [
    row(ID, Parameter::Id, "", Source::Own),
    row("token", Parameter::Token, "", Source::Own),
    row("ts", Parameter::Ts, "", Source::Own),
    row("sig", Parameter::Sig, "", Source::Own),
    row("verification_token", Parameter::Token, "", Source::Own),
    row("security_token", Parameter::Token, "", Source::Own),
    row("secure", Parameter::Token, "", Source::Own),
];

/// What a reversal is called, whatever the dialect (R48).
const REVERSALS: [&str; 3] = ["reversed", "refund", "chargeback"];

/// What stands for a whole number at the end of a row's name.
pub(crate) const NUMBER: char = '#';
const LAST_OF_NUMBERED: u8 = NUMBER as u8;
/// What every dialect calls the parameter that names the definition.
pub(crate) const ID: &str = "id";

/// The text of a table: built in, or of the rules.
pub type Text = Cow<'static, str>;

/// Another system's way to write a postback; its name is unique among those of a ruleset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The name in rules and paths.
    pub name: Text,
    /// Whose way it is, for people.
    pub system: Text,
    /// The parameters; every other name is the sender's own.
    pub rows: Cow<'static, [Row]>,
    /// What its status words mean, beside `approved`, `pending`, `rejected` and reversals.
    pub words: Cow<'static, [Word]>,
    /// What the words of its [`Meaning::Event`] mean.
    pub events: Cow<'static, [Word]>,
    /// What every request says that does not say it itself.
    pub fixed: Cow<'static, [Fixed]>,
    /// Whether a status word that means nothing is kept (R47); the native dialect refuses it.
    pub keeps_unmapped: bool,
    /// The repeat rule, where the definition has none of its own.
    pub dedup: Dedup,
    /// Where the repeat rule comes from.
    pub dedup_source: Source,
    /// The type of a create that names none, where the definition has none of its own.
    pub default_type: Option<ConversionType>,
    /// How it answers.
    pub replies: Replies,
    /// Where the manner of answering comes from.
    pub replies_source: Source,
    /// Whether that system answers 200 whatever becomes of a request, so that its senders repeat
    /// none that was refused.
    pub always_200: bool,
    /// What the click id is called in the url of an offer.
    pub click_macros: Cow<'static, [&'static str]>,
}

/// Where a fact comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is ours.
    Own,
    /// The rules say so.
    Rules,
    /// The vendor's public page says so.
    Page(&'static str),
    /// No public page of the vendor says so; why it was taken nevertheless.
    Uncertain(&'static str),
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name, case-sensitive (R2); a `#` at its end stands for a number.
    pub name: Text,
    /// What it means here.
    pub means: Meaning,
    /// What a partner is shown in place of the value; empty where the parameter need not be sent.
    pub example: Text,
    /// Who says so.
    pub source: Source,
}

/// What a parameter means here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A parameter of the semantics.
    Known(Parameter),
    /// A field of the sender, kept as it is.
    Own,
    /// A field of the sender that must be a number.
    OwnNumber,
    /// A word for what happened, beside the status; kept too.
    Event,
    /// Words, between commas, that mean in this request what this status word means; kept too.
    Listed(Text),
    /// Status words, between commas, that are not for us; kept too.
    Ignored,
}

/// What every request of a dialect says (one that says it itself cannot be: no name means it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// Of which parameter.
    pub parameter: Parameter,
    /// The value.
    pub value: Text,
}

/// A status word, or one of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word, in any case.
    pub word: Text,
    /// What it means here.
    pub meaning: StatusMeaning,
    /// Who says so.
    pub source: Source,
}

impl Dialect {
    /// The built-in dialect of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        DIALECTS.into_iter().find(|dialect| dialect.name == name)
    }

    /// The built-in ones, to be shared: their tables are not copied.
    pub(crate) fn built_in() -> Vec<Arc<Self>> {
        DIALECTS.into_iter().map(|dialect| Arc::new(dialect.clone())).collect()
    }

    /// The dialect of the semantics.
    pub fn native() -> &'static Self {
        &native::NATIVE
    }

    /// Whether it is the dialect of the semantics.
    pub fn is_native(&self) -> bool {
        self.name == native::NATIVE.name
    }

    /// The names of the click id, the usual one first.
    pub fn click_id_names(&self) -> impl Iterator<Item = &str> {
        let known = self.known_names().filter(|(_, parameter)| *parameter == Parameter::Pcid);
        known.map(|(name, _)| name)
    }

    /// What a name means, where this dialect knows it.
    pub(crate) fn meaning(&self, name: &str) -> Option<&Meaning> {
        let mut rows = self.rows.iter().chain(&COMMON);
        rows.find(|row| row.is(name)).map(|row| &row.means)
    }

    /// The names that have a meaning of ours.
    pub fn known_names(&self) -> impl Iterator<Item = (&str, Parameter)> {
        self.rows.iter().chain(&COMMON).filter_map(|row| match row.means {
            Meaning::Known(parameter) => Some((&*row.name, parameter)),
            _ => None,
        })
    }

    /// What this dialect calls a parameter, where it has one.
    pub(crate) fn name_of(&self, parameter: Parameter) -> Option<&str> {
        self.known_names().find(|(_, known)| *known == parameter).map(|(name, _)| name)
    }

    /// R6: whether a value is still what this dialect's senders put a value in the place of: it
    /// looks like a macro, or is the very text that partners are shown
    /// ([`PostbackDefinition::url`]). An advertiser that is shown may be a fixed one.
    pub(crate) fn is_macro(&self, parameter: Parameter, value: &str) -> bool {
        let differs = matches!(parameter, Parameter::Pcid | Parameter::ExternalId);
        let is_shown = |row: &Row| row.means == Meaning::Known(parameter) && row.example == value;
        looks_like_macro(value) || differs && self.rows.iter().any(is_shown)
    }

    /// What a status word means in this dialect; reversals mean the same in all (R48).
    pub(crate) fn status(&self, word: &str) -> Option<StatusMeaning> {
        let known = meaning_in(&self.words, word);
        if known.is_some() {
            return known;
        }
        let is_reversal = REVERSALS.iter().any(|reversal| reversal.eq_ignore_ascii_case(word));
        let rejected =
            StatusMeaning { result: Some(TransactionResult::Rejected), conversion_type: None };
        is_reversal.then_some(rejected)
    }

    /// What a word for what happened means in this dialect.
    pub(crate) fn event(&self, word: &str) -> Option<StatusMeaning> {
        meaning_in(&self.events, word)
    }
}

fn meaning_in(words: &[Word], word: &str) -> Option<StatusMeaning> {
    let known = words.iter().find(|known| known.word.eq_ignore_ascii_case(word));
    known.map(|known| known.meaning.clone())
}

/// The names of secrets, which are the same in every dialect.
pub(crate) fn secret_names() -> impl Iterator<Item = (&'static str, Parameter)> {
    COMMON.iter().filter_map(|row| match row.means {
        Meaning::Known(parameter) if parameter.is_secret() => Some((&*row.name, parameter)),
        _ => None,
    })
}

/// Whether every dialect knows a name.
pub(crate) fn is_common(name: &str) -> bool {
    COMMON.iter().any(|row| row.name == name)
}

impl PostbackDefinition {
    /// What a partner is to call: the address of this definition on the public listener at `base`,
    /// with the partner's macros in place of values. The macros are those of the system that the
    /// dialect is of; a partner of another kind replaces them by its own. A token is named by its
    /// secret. Where a body is signed and the query is not, the parameters belong into the body
    /// ([`PostbackDefinition::body_parameters`]).
    pub fn url(&self, base: &str, tenant: &TenantName) -> String {
        let base = base.trim_end_matches('/');
        let path = if self.dialect.is_native() { "handle" } else { &self.dialect.name };
        let mut url = format!("{base}/api/{tenant}/postbacks/{path}?id={}", self.id);
        let in_body = self.signs_body_alone();
        for (name, example) in self.examples().filter(|_| !in_body) {
            url.push_str(&format!("&{name}={example}"));
        }
        if let Some(secret) = self.authentication.tokens.first() {
            url.push_str(&format!("&token={{secret:{secret}}}"));
        }
        url
    }

    /// What a partner is to send in the body, by name with its macro: nothing where the query may
    /// say it.
    pub fn body_parameters(&self) -> Vec<(&str, &str)> {
        let in_body = self.signs_body_alone();
        self.examples().filter(|_| in_body).collect()
    }

    fn examples(&self) -> impl Iterator<Item = (&str, &str)> {
        let shown = self.dialect.rows.iter().filter(|row| !row.example.is_empty());
        shown.map(|row| (&*row.name, &*row.example))
    }

    fn signs_body_alone(&self) -> bool {
        let asked = &self.authentication;
        asked.standard_webhooks.is_some() && asked.signed_query.is_none()
    }
}

impl Row {
    /// Every name of every request is held against many rows: most are told apart by their lengths.
    fn is(&self, name: &str) -> bool {
        match self.name.as_bytes().last() {
            Some(&LAST_OF_NUMBERED) => self.is_numbered(name),
            _ => *self.name == *name,
        }
    }

    fn is_numbered(&self, name: &str) -> bool {
        let stem = self.name.strip_suffix(NUMBER).unwrap_or_default();
        let number = name.strip_prefix(stem).unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    }
}

impl Meaning {
    /// In words: the name of the parameter of the semantics, or what the sender's own must be.
    pub fn words(&self) -> Text {
        match self {
            Self::Known(parameter) => parameter.name().into(),
            Self::Own => "kept".into(),
            Self::OwnNumber => "kept, a number".into(),
            Self::Event => "kept, the word of an event".into(),
            Self::Listed(word) => format!("kept, words that mean `{word}` here").into(),
            Self::Ignored => "kept, status words that are refused".into(),
        }
    }
}

const fn row(
    name: &'static str,
    parameter: Parameter,
    example: &'static str,
    source: Source,
) -> Row {
    let (name, example) = (Cow::Borrowed(name), Cow::Borrowed(example));
    Row { name, means: Meaning::Known(parameter), example, source }
}

const fn own(name: &'static str, source: Source) -> Row {
    kept(name, Meaning::Own, source)
}

const fn kept(name: &'static str, means: Meaning, source: Source) -> Row {
    Row { name: Cow::Borrowed(name), means, example: Cow::Borrowed(""), source }
}

const fn result(word: &'static str, result: TransactionResult, source: Source) -> Word {
    let meaning = StatusMeaning { result: Some(result), conversion_type: None };
    Word { word: Cow::Borrowed(word), meaning, source }
}

const fn typed(
    word: &'static str,
    conversion_type: ConversionType,
    result: Option<TransactionResult>,
    source: Source,
) -> Word {
    let meaning = StatusMeaning { result, conversion_type: Some(conversion_type) };
    Word { word: Cow::Borrowed(word), meaning, source }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;
    use crate::link::CLICK_MACROS;

    #[test]
    fn every_table_is_sound() {
        for dialect in DIALECTS {
            let name = &*dialect.name;
            assert_eq!(Dialect::named(name), Some(dialect));
            assert!(dialect.name_of(Parameter::Pcid).is_some(), "{name}");
            for row in dialect.rows.iter() {
                let secret = matches!(row.means, Meaning::Known(known) if known.is_secret());
                assert!(!secret, "{name}: a secret of its own");
            }
            let rows = dialect.rows.iter().chain(&COMMON);
            let names: BTreeSet<&str> = rows.map(|row| &*row.name).collect();
            assert_eq!(names.len(), dialect.rows.len() + COMMON.len(), "{name}: a name twice");
            let words: BTreeSet<&str> = dialect.words.iter().map(|word| &*word.word).collect();
            assert_eq!(words.len(), dialect.words.len(), "{name}: a word twice");
            let lacks_status = dialect.name_of(Parameter::Result).is_none();
            assert!(!lacks_status || words.is_empty(), "{name}: words that nothing brings");
            for known in dialect.click_macros.iter() {
                assert!(CLICK_MACROS.contains(known), "{name}: {known}");
            }
        }
    }

    #[test]
    fn a_name_with_a_number() {
        let row = own("param#", Source::Own);
        for (name, fits) in [
            ("param1", true),
            ("param20", true),
            ("param", false),
            ("param#", false),
            ("param1x", false),
            ("Param1", false),
        ] {
            assert_eq!(row.is(name), fits, "{name}");
        }
    }
}
