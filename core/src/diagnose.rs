//! What is wrong with a postback that somebody says was sent: from its text alone, and from what
//! is stored.
//!
//! [`Diagnosis::of`] takes the URL apart, mends what broke it as a whole (so that one fault is not
//! told as ten), reads it as a request is read, and looks at each parameter. What it cannot know by
//! itself it asks for: [`Diagnosis::sought`] says which ids and log rows a store is to look for,
//! and [`Diagnosis::compare`] adds what follows from the answer. Nothing here decides about a
//! request; `explain` does.

mod finding;
mod place;
mod proof;
mod sought;

use alloc::{
    borrow::Cow,
    boxed::Box,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use self::sought::Meant;
pub use self::{
    finding::{Finding, NameFault},
    sought::{Known, Likeness, Sought},
};
use crate::{
    conversion::Method,
    decode::{Incoming, Pairs, decode, decode_piece},
    dialects::{DIALECTS, Dialect, Meaning},
    ids::ConversionId,
    nearest::nearest,
    parameter::{Parameter, looks_like_macro, similar_name},
    read::parse,
    reason::{Reason, Refusal},
    ruleset::{PostbackDefinition, Ruleset},
    select::select,
    time::Timestamp,
};

/// The most refusals of one postback that are told.
const REFUSALS_MAX: usize = 16;

/// A postback as somebody says that it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Called<'a> {
    /// Whether the URL says `http`, not `https`.
    pub is_plain: bool,
    /// The path; absent where only a query is known.
    pub path: Option<&'a str>,
    /// The query, as it was written, without the question mark.
    pub query: &'a str,
    /// What stands behind a `#`.
    pub fragment: Option<&'a str>,
}

/// What is wrong with it.
#[derive(Clone, Debug)]
pub struct Diagnosis<'r> {
    /// The rules that it meets, or was meant to meet.
    pub ruleset: Option<&'r Ruleset>,
    /// What is wrong, and what to do about it; that which hides the others first.
    pub findings: Vec<Finding>,
    /// What a store is to look for.
    pub sought: Sought<'r>,
}

impl<'r> Diagnosis<'r> {
    /// Looks at the text. `tenant` is whose postback it is where the path does not say it; `now`
    /// is for signatures.
    pub fn of(
        rulesets: &[&'r Ruleset],
        tenant: Option<&str>,
        called: &Called<'_>,
        now: Timestamp,
    ) -> Self {
        let mut findings = Vec::new();
        let (path, query) = place::split(called, &mut findings);
        let place = place::find(rulesets, tenant, path, &mut findings);
        let query = mended(query, &mut findings);
        if called.fragment.is_some() {
            findings.push(Finding::FragmentCut { name: last_name(&query).into() });
        }
        raw_macros(&query, &mut findings);
        let incoming =
            Incoming { method: Method::S2s, dialect: place.dialect, query: &query, body: None };
        let mut sought = Sought::default();
        match decode(&incoming) {
            Ok(pairs) => {
                let call = Call { called, incoming: &incoming, pairs: &pairs };
                let Reading { dialect, masked, meant } =
                    call.read(place.ruleset, now, &mut findings);
                sought = Sought::of(&dialect, &pairs, &masked, &findings, meant);
            }
            Err(refusal) => tell_refusal(refusal, &mut findings),
        }
        Self { ruleset: place.ruleset, findings, sought }
    }

    /// Adds what follows from what a store holds of [`Self::sought`].
    pub fn compare(&mut self, known: &Known) {
        let tenant = self.ruleset.map(Ruleset::tenant);
        for found in self.sought.compare(tenant, known) {
            // The whole id says more than that it is cut.
            if let Finding::Truncated { name, .. } = &found {
                let cut = |known: &Finding| {
                    matches!(known, Finding::CutId { .. } | Finding::Refused(_))
                        && known.parameter() == Some(name)
                };
                self.findings.retain(|known| !cut(known));
            }
            self.findings.push(found);
        }
    }
}

/// Mends what breaks a query as a whole.
fn mended<'q>(query: &'q str, findings: &mut Vec<Finding>) -> Cow<'q, str> {
    let mut query = Cow::Borrowed(query);
    if query.contains("&amp;") {
        findings.push(Finding::EscapedAmpersand);
        query = Cow::Owned(query.replace("&amp;", "&"));
    }
    if query.contains(['=', '&']) {
        return query;
    }
    match decode_piece(&query) {
        Ok(decoded) if decoded.contains('=') => {
            findings.push(Finding::EncodedQuery);
            Cow::Owned(decoded.into_owned())
        }
        _ => query,
    }
}

fn last_name(query: &str) -> &str {
    let last = query.rsplit('&').next().unwrap_or_default();
    last.split('=').next().unwrap_or_default()
}

/// Macros that cannot even be decoded, as `%cid%`.
fn raw_macros(query: &str, findings: &mut Vec<Finding>) {
    for (name, value) in query.split('&').filter_map(|piece| piece.split_once('=')) {
        let is_secret = Parameter::secret_named(name).is_some();
        if !is_secret && looks_like_macro(value) && decode_piece(value).is_err() {
            findings.push(Finding::UnreplacedMacro { name: name.into(), value: value.into() });
        }
    }
}

/// One request, decoded.
struct Call<'c> {
    called: &'c Called<'c>,
    incoming: &'c Incoming<'c>,
    pairs: &'c Pairs<'c>,
}

/// How it is read.
struct Reading<'c, 'r> {
    dialect: Arc<Dialect>,
    /// The parameters as the log keeps them.
    masked: Pairs<'c>,
    meant: Option<Meant<'r>>,
}

impl<'c> Call<'c> {
    /// Reads it as the rules do, and tells what is wrong.
    fn read<'r>(
        &self,
        ruleset: Option<&'r Ruleset>,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) -> Reading<'c, 'r> {
        // As it would be decided: what is personal is told by its hash.
        let mut pairs = self.pairs.clone();
        let selected = ruleset.map(|ruleset| select(ruleset, self.incoming, &mut pairs));
        let masked = Call { pairs: &pairs, ..*self };
        let definition = selected.as_ref().and_then(|selected| selected.as_ref().ok());
        let built_in = |name: &str| Dialect::named(name).cloned().map(Arc::new);
        let named = |name: &str| {
            ruleset.and_then(|ruleset| ruleset.dialect(name)).cloned().or_else(|| built_in(name))
        };
        let of_path = || self.incoming.dialect.and_then(named);
        // The definition that is meant says how it is called, also where the path is another's.
        let definition_named = || {
            let is_id = |name: &str| Parameter::named(name) == Some(Parameter::Id);
            let (_, id) = pairs.iter().find(|(name, _)| is_id(name))?;
            let mut active = ruleset?.postbacks().iter().filter(|definition| definition.active);
            active.find(|definition| definition.id.as_str() == *id)
        };
        let meant = definition.copied().or_else(definition_named);
        let dialect = meant.map(|definition| Arc::clone(&definition.dialect));
        let native = || Arc::new(Dialect::native().clone());
        let dialect = dialect.or_else(of_path).unwrap_or_else(native);
        for (name, value) in &pairs {
            masked.value(&dialect, ruleset, name, value, findings);
        }
        let is_named = definition_named().is_some();
        for (name, value) in &pairs {
            let found = masked.wrong_name(&dialect, name, value);
            findings.extend(found.map(|found| if is_named { of_no_dialect(found) } else { found }));
        }
        let mut meant = None;
        if let (Some(ruleset), Some(definition)) = (ruleset, definition) {
            proof::look(definition, self.called.is_plain, self.pairs, now, findings);
            meant = masked.parse(ruleset, definition, findings);
        } else if let Some(Err(refusal)) = selected {
            tell_refusal(refusal, findings);
        }
        Reading { dialect, masked: pairs, meant }
    }

    /// What it means; nothing, where it is refused. Each value that is wrong is told.
    fn parse<'r>(
        &self,
        ruleset: &'r Ruleset,
        definition: &PostbackDefinition,
        findings: &mut Vec<Finding>,
    ) -> Option<Meant<'r>> {
        let parsed = |pairs: &Pairs<'_>| parse(ruleset, definition, Method::S2s, pairs);
        let mut refusal = match parsed(self.pairs) {
            Ok(postback) => {
                let dialect = self.incoming.dialect.map(Into::into);
                return Some(Meant { ruleset, dialect, postback });
            }
            Err(refusal) => refusal,
        };
        // The ladder ends with the first value that is wrong: the others are seen without it.
        let mut pairs = self.pairs.clone();
        for _ in 0..REFUSALS_MAX {
            let is_mended = set_right(&definition.dialect, &refusal, &mut pairs);
            tell_refusal(refusal, findings);
            match parsed(&pairs) {
                // What is missing then was taken out here.
                Err(next) if is_mended && !is_of_lack(&next) => refusal = next,
                _ => break,
            }
        }
        None
    }

    /// What is wrong with a value.
    fn value(
        &self,
        dialect: &Dialect,
        ruleset: Option<&Ruleset>,
        name: &str,
        value: &str,
        findings: &mut Vec<Finding>,
    ) {
        if Parameter::secret_named(name).is_some() {
            return;
        }
        let meaning = known(dialect, name);
        let twice = decode_piece(value).ok().filter(|decoded| **decoded != *value);
        // A field of the sender may well hold a URL that is encoded.
        let twice = twice.filter(|decoded| {
            value.contains('%') && (meaning.is_some() || looks_like_macro(decoded))
        });
        if let Some(decoded) = twice {
            let (value, decoded) = (value.into(), decoded.into());
            findings.push(Finding::EncodedTwice { name: name.into(), value, decoded });
            return;
        }
        let is_macro = meaning.map_or_else(
            || looks_like_macro(value),
            |parameter| dialect.is_macro(parameter, value),
        );
        if is_macro {
            findings.push(Finding::UnreplacedMacro { name: name.into(), value: value.into() });
            return;
        }
        match meaning {
            Some(Parameter::Pcid) => findings.extend(broken_id(name, value)),
            Some(Parameter::ExternalId) if value.contains(' ') && self.has_plus(name) => {
                findings.push(Finding::PlusIsSpace { name: name.into(), value: value.into() });
            }
            Some(parameter) => {
                findings.extend(ruleset.and_then(|rules| unknown(rules, parameter, name, value)));
            }
            None => {}
        }
    }

    fn has_plus(&self, name: &str) -> bool {
        let mut pieces = self.incoming.query.split('&').filter_map(|piece| piece.split_once('='));
        pieces.any(|(known, value)| known == name && value.contains('+'))
    }

    /// What was probably meant by a name that means nothing.
    fn wrong_name(&self, dialect: &Dialect, name: &str, value: &str) -> Option<Finding> {
        if dialect.meaning(name).is_some() {
            return None;
        }
        let is_free = |meant: &str| {
            let parameter = known(dialect, meant);
            !self.pairs.iter().any(|(name, _)| known(dialect, name) == parameter)
        };
        let similar = similar_name(dialect, name).filter(|meant| is_free(meant));
        let foreign = || {
            let (meant, because) = self.foreign(dialect, name)?;
            is_free(meant).then_some((meant, because))
        };
        let by_value = || {
            let pcid = dialect.name_of(Parameter::Pcid)?;
            let is_id = value.parse::<ConversionId>().is_ok() && self.identifies_nothing(dialect);
            is_id.then_some((pcid, NameFault::Value))
        };
        let (meant, because) = match similar {
            Some(meant) if meant.eq_ignore_ascii_case(name) => (meant, NameFault::Case),
            _ => foreign()
                .or_else(|| similar.map(|meant| (meant, NameFault::Spelling)))
                .or_else(by_value)?,
        };
        Some(Finding::WrongName { name: name.into(), meant: meant.into(), because })
    }

    /// What this dialect calls what others know by a name. Those are named that know the most of
    /// the request's names, those first that mean nothing here: a request is of one system.
    fn foreign<'d>(&self, dialect: &'d Dialect, name: &str) -> Option<(&'d str, NameFault)> {
        let same = |other: &Dialect, name: &str| dialect.name_of(known(other, name)?);
        let knows = |other: &Dialect| {
            let is_explained =
                |name: &str| dialect.meaning(name).is_none() && same(other, name).is_some();
            let names = || self.pairs.iter().map(|(name, _)| &**name);
            let explained = names().filter(|name| is_explained(name)).count();
            (explained, names().filter(|name| other.meaning(name).is_some()).count())
        };
        let others = || DIALECTS.into_iter().filter(|other| *other != dialect);
        let most = others().map(knows).max();
        let best = || others().filter(|other| Some(knows(other)) == most);
        let Some(meant) = best().find_map(|other| same(other, name)) else {
            let meant = others().find_map(|other| same(other, name))?;
            return Some((meant, NameFault::Foreign));
        };
        let agreeing = best().filter(|other| same(other, name) == Some(meant));
        Some((meant, NameFault::Dialects(agreeing.map(|other| &*other.name).collect())))
    }

    fn identifies_nothing(&self, dialect: &Dialect) -> bool {
        let identifies =
            |name: &str| known(dialect, name).is_some_and(|parameter| parameter.identifies());
        !self.pairs.iter().any(|(name, _)| identifies(name))
    }
}

/// The same without other dialects to send to: the request itself says in which it is.
fn of_no_dialect(found: Finding) -> Finding {
    match found {
        Finding::WrongName { name, meant, because: NameFault::Dialects(_) } => {
            Finding::WrongName { name, meant, because: NameFault::Foreign }
        }
        found => found,
    }
}

/// The parameter of the semantics that a name stands for.
fn known(dialect: &Dialect, name: &str) -> Option<Parameter> {
    match dialect.meaning(name)? {
        Meaning::Known(parameter) => Some(*parameter),
        _ => None,
    }
}

/// What is wrong with a click id by itself: too few digits, or something behind them.
fn broken_id(name: &str, value: &str) -> Option<Finding> {
    if value.parse::<ConversionId>().is_ok() {
        return None;
    }
    let whole = |len| value.get(..len).filter(|head| head.parse::<ConversionId>().is_ok());
    if let Some(meant) = whole(36).or_else(|| whole(32)) {
        let (name, value) = (name.into(), value.into());
        return Some(Finding::WrongValue { name, value, meant: meant.into() });
    }
    let digits = value.bytes().filter(u8::is_ascii_hexdigit).count();
    let is_cut = value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') && digits < 32;
    is_cut.then(|| Finding::CutId { name: name.into(), value: value.into(), digits })
}

/// A word that the rules do not know, and one that they do know is close to it.
fn unknown(rules: &Ruleset, parameter: Parameter, name: &str, value: &str) -> Option<Finding> {
    let types: Vec<_>;
    let known: Vec<&str> = match parameter {
        Parameter::Type if rules.conversion_type(value).is_none() => {
            types = rules.all_types().collect();
            types.iter().map(|known| known.name()).collect()
        }
        Parameter::AdvertiserId => rules.advertisers().map(|known| known.id.as_str()).collect(),
        Parameter::CommissionId => rules.commissions().iter().map(|c| c.id.as_str()).collect(),
        Parameter::Id => rules.postbacks().iter().map(|known| known.id.as_str()).collect(),
        _ => return None,
    };
    if known.contains(&value) {
        return None;
    }
    let meant: Box<str> = nearest(value, known)?.into();
    Some(Finding::WrongValue { name: name.into(), value: value.into(), meant })
}

/// Sets right what a refusal is about, so that the ladder goes on: an id that says which conversion
/// is meant gets a stand-in, any other value is taken out, under whichever names it came. Returns
/// whether it could.
fn set_right(dialect: &Dialect, refusal: &Refusal, pairs: &mut Pairs<'_>) -> bool {
    let name = refusal.parameter.as_deref().unwrap_or_default();
    let parameter = match refusal.reason {
        Reason::MissingIdentifier | Reason::AdvertiserIdRequired => Some(Parameter::Pcid),
        _ => known(dialect, name),
    };
    let len = pairs.len();
    let is_it =
        |given: &str| given == name || parameter.is_some() && known(dialect, given) == parameter;
    pairs.retain(|(given, _)| !is_it(given));
    let is_taken_out = pairs.len() < len;
    let stand_in = match parameter {
        Some(Parameter::Pcid) => ConversionId::from_bytes([0; 16]).to_string(),
        Some(parameter) if parameter.identifies() => "0".into(),
        _ => return is_taken_out,
    };
    let name = parameter.and_then(|parameter| dialect.name_of(parameter)).unwrap_or_default();
    pairs.push((Cow::Owned(name.into()), Cow::Owned(stand_in)));
    true
}

/// Whether something is missing.
fn is_of_lack(refusal: &Refusal) -> bool {
    matches!(
        refusal.reason,
        Reason::MissingIdentifier | Reason::AdvertiserIdRequired | Reason::TypeRequired
    )
}

/// Tells a refusal, unless what is behind it has been told.
fn tell_refusal(refusal: Refusal, findings: &mut Vec<Finding>) {
    let about = refusal.parameter.as_deref();
    let lacks_id =
        matches!(refusal.reason, Reason::MissingIdentifier | Reason::AdvertiserIdRequired);
    let is_behind = |finding: &Finding| match finding {
        Finding::WrongName { meant, .. } if lacks_id && identifies(meant) => true,
        Finding::WrongName { meant, .. } if Some(&**meant) == about => true,
        _ => about.is_some() && finding.parameter() == about,
    };
    if !findings.iter().any(is_behind) {
        findings.push(Finding::Refused(Box::new(refusal)));
    }
}

/// Whether some dialect identifies conversions by a name.
fn identifies(name: &str) -> bool {
    let by_it = |dialect| known(dialect, name).is_some_and(Parameter::identifies);
    DIALECTS.into_iter().any(by_it)
}

/// The text of an id without what may be left out of it.
fn bare(id: &str) -> String {
    id.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect()
}
