//! Reading a request (rungs 1 to 5 of the ladder): parameters become a typed [`Postback`], or the
//! first refusal.
//!
//! `decode` gives the parameters, `select` finds the definition that decides, and [`parse`] does
//! the rest. Whoever authenticates requests does so between `select` and `parse`; whoever does not
//! calls [`read`].

use alloc::{boxed::Box, format, string::String, vec, vec::Vec};

use crate::{
    conversion::{ConversionType, ExternalId, Method, Params, RAW_RESULT_PARAM},
    decode::{Incoming, Pairs, decode},
    dialects::{Dialect, Meaning},
    logged_text::{masked_raw, masked_text},
    nearest::nearest,
    parameter::{Given, Parameter, Parameters, similar_name},
    postback::{Action, Postback},
    privacy::{Masked, masked},
    reason::{Note, Reason, Refusal, shown},
    request::Request,
    ruleset::{Limits, PostbackDefinition, Ruleset, StatusMeaning},
    select::select,
    token::{AdvertiserId, CommissionId, TrackingApiId},
    trace::Step,
    tracking_api::Cause,
    transaction::TransactionResult,
};

/// As many steps as reading most requests takes.
const STEPS_USUAL: usize = 4;

/// Decodes, selects and parses: the request, and the text that a log row keeps of it.
pub fn read(ruleset: &Ruleset, incoming: &Incoming<'_>) -> (Request, String) {
    let unreadable = |refusal: Refusal| Request::Unreadable(Box::new(refusal));
    let mut pairs = match decode(incoming) {
        Ok(pairs) => pairs,
        Err(refusal) => return (unreadable(refusal), masked_raw(ruleset.privacy(), incoming)),
    };
    let postback = select(ruleset, incoming, &mut pairs)
        .and_then(|definition| parse(ruleset, definition, incoming.method, &pairs));
    let request = match postback {
        Ok(postback) => Request::Postback(Box::new(postback)),
        Err(refusal) => unreadable(refusal),
    };
    (request, masked_text(&pairs))
}

/// Reads the parameters through the definition's dialect (rungs 3 to 5).
///
/// # Errors
/// The first refusal in the order of the ladder.
pub fn parse(
    ruleset: &Ruleset,
    definition: &PostbackDefinition,
    method: Method,
    pairs: &Pairs<'_>,
) -> Result<Postback, Refusal> {
    let parameters = Parameters::gather(&definition.dialect, pairs)?;
    let mut postback = unread(ruleset, definition, method);
    match rungs(ruleset, definition, &parameters, &mut postback) {
        Ok(()) => Ok(postback),
        Err(refusal) => Err(Refusal { steps: postback.steps, ..refusal }),
    }
}

/// The trace of a request that its definition has let no further, for whoever authenticates it.
pub fn refused_by(ruleset: &Ruleset, definition: &PostbackDefinition, refusal: Refusal) -> Refusal {
    Refusal { steps: vec![names(ruleset.place_of(definition))], ..refusal }
}

/// A postback of which nothing is read but who decides.
fn unread(ruleset: &Ruleset, definition: &PostbackDefinition, method: Method) -> Postback {
    let place = ruleset.place_of(definition);
    let mut steps = Vec::with_capacity(STEPS_USUAL);
    steps.push(names(place));
    Postback {
        method,
        definition: place,
        names_definition: false,
        cause: None,
        target: None,
        action: Action::Update,
        pcid: None,
        advertiser: None,
        external_id: None,
        commission_id: None,
        conversion_type: None,
        has_default_type: false,
        value: None,
        commission: None,
        price: None,
        result: None,
        currency: None,
        params: Params::new(),
        notes: Vec::new(),
        steps,
    }
}

/// The step that names the definition.
fn names(place: Option<usize>) -> Step {
    Step::Definition(place.and_then(|place| u32::try_from(place).ok()))
}

/// Rungs 3 to 5; what the trace of a refusal tells stands in the postback.
fn rungs(
    ruleset: &Ruleset,
    definition: &PostbackDefinition,
    parameters: &Parameters<'_>,
    postback: &mut Postback,
) -> Result<(), Refusal> {
    values(definition, parameters, postback)?;
    identify(&definition.dialect, postback)?;
    action_and_type(ruleset, definition, parameters, postback)?;
    not_ignored(&definition.dialect, parameters)?;
    claims(&definition.limits, postback)
}

/// Rung 3: `unresolved_macro`, `invalid_identifier`, `invalid_amount`, `invalid_result`,
/// `invalid_action`, `invalid_parameter`, each over all parameters before the next.
fn values(
    definition: &PostbackDefinition,
    parameters: &Parameters<'_>,
    postback: &mut Postback,
) -> Result<(), Refusal> {
    const IDENTIFIERS: [Parameter; 4] =
        [Parameter::Pcid, Parameter::AdvertiserId, Parameter::ExternalId, Parameter::CommissionId];
    // First, for it refuses nothing: a name that was misspelt explains many a refusal.
    others(&definition.dialect, parameters, postback);
    for identifier in IDENTIFIERS {
        if let Some(given) = parameters.get(identifier) {
            given.refuse_macro(&definition.dialect, identifier)?;
        }
    }
    let identifier = Reason::InvalidIdentifier;
    let amount = Reason::InvalidAmount;
    postback.names_definition = parameters.get(Parameter::Id).is_some();
    postback.pcid = read_as(parameters, Parameter::Pcid, identifier, str::parse)?;
    postback.advertiser =
        read_as(parameters, Parameter::AdvertiserId, identifier, AdvertiserId::new)?;
    postback.external_id = read_as(parameters, Parameter::ExternalId, identifier, ExternalId::new)?;
    postback.commission_id =
        read_as(parameters, Parameter::CommissionId, identifier, CommissionId::new)?;
    postback.value = read_as(parameters, Parameter::Value, amount, str::parse)?;
    postback.commission = read_as(parameters, Parameter::Commission, amount, str::parse)?;
    postback.price = read_as(parameters, Parameter::Price, amount, str::parse)?;
    postback.currency = parameters.get(Parameter::Currency).map(|given| given.value.into());
    if let Some(given) = parameters.get(Parameter::Result) {
        status(definition, parameters, given, postback)?;
    }
    event(&definition.dialect, parameters, postback);
    if let Some(given) = parameters.get(Parameter::Action) {
        named_action(given)?;
    }
    numbers(&definition.dialect, parameters)
}

fn read_as<T, E: core::fmt::Display>(
    parameters: &Parameters<'_>,
    parameter: Parameter,
    reason: Reason,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, Refusal> {
    let Some(given) = parameters.get(parameter) else {
        return Ok(None);
    };
    read(given.value).map(Some).map_err(|error| {
        let message = format!("`{}` cannot be `{}`", given.name, shown(given.value));
        Refusal::new(reason, message).about(given.name).hint(format!("{error}"))
    })
}

/// Unknown names are kept; those that repeat (R5), come close to a reserved one, or had a personal
/// value are noted. What was meant to be a secret is noted and not kept (P10).
fn others(dialect: &Dialect, parameters: &Parameters<'_>, postback: &mut Postback) {
    for (name, value) in &parameters.others {
        if Cause::may_stand_with(postback.method) && take_cause(name, value, postback) {
            continue;
        }
        let secret = Parameter::secret_named(name);
        let masked = masked(value).filter(|_| secret.is_none());
        if let Some(masked) = masked {
            postback.notes.push(Note::PersonalValue);
            postback.steps.push(Step::Masked { name: (*name).into(), masked });
        }
        if masked != Some(Masked::Dropped) && secret.is_none() {
            postback.params.insert((*name).into(), (*value).into());
        }
        if dialect.meaning(name).is_none()
            && let Some(reserved) = similar_name(dialect, name).or(secret.map(Parameter::name))
        {
            postback.notes.push(Note::SimilarParameter);
            let reserved = reserved.into();
            postback.steps.push(Step::Similar { name: (*name).into(), reserved });
        }
    }
    for name in &parameters.repeated {
        postback.notes.push(Note::RepeatedParameter);
        postback.steps.push(Step::Repeated(name.clone()));
    }
}

/// The sender's own fields that the dialect wants to be numbers (R47).
fn numbers(dialect: &Dialect, parameters: &Parameters<'_>) -> Result<(), Refusal> {
    let mut wrong = parameters.others.iter().filter(|(name, value)| {
        let may_stand = || is_number(value) || masked(value).is_some();
        dialect.meaning(name) == Some(&Meaning::OwnNumber) && !may_stand()
    });
    let Some((name, value)) = wrong.next() else {
        return Ok(());
    };
    let message = format!("`{name}` cannot be `{}`", shown(value));
    Err(Refusal::new(Reason::InvalidParameter, message)
        .about(name)
        .hint(format!("in the dialect `{}` it is a number", dialect.name)))
}

/// Digits, perhaps with a minus before them and with more behind a dot.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all_digits(whole) && all_digits(part)
}

/// The conversion that an answer is about (R45).
pub(crate) const TARGET_PARAM: &str = "conversion_id";
/// The tracking API whose answer it is (R45).
pub(crate) const CAUSE_PARAM: &str = "cause";
/// The length of the chain of causes (R45).
pub(crate) const DEPTH_PARAM: &str = "depth";

/// What the update that an answer makes says of its cause (R45); no request from outside can.
fn take_cause(name: &str, value: &str, postback: &mut Postback) -> bool {
    let none = || Cause { tracking_api: None, depth: 0 };
    match name {
        TARGET_PARAM => postback.target = value.parse().ok(),
        DEPTH_PARAM => {
            postback.cause.get_or_insert_with(none).depth = value.parse().unwrap_or(u8::MAX);
        }
        CAUSE_PARAM => {
            let id = TrackingApiId::new(value).ok();
            postback.cause.get_or_insert_with(none).tracking_api = id;
        }
        _ => return false,
    }
    true
}

/// The result, by what the request itself says of words, by our words, the definition's, or the
/// dialect's (R2, R48). The raw word of a translation stays on the conversion; so does a word that
/// means nothing in a foreign dialect, which then changes nothing else (R47).
fn status(
    definition: &PostbackDefinition,
    parameters: &Parameters<'_>,
    given: Given<'_>,
    postback: &mut Postback,
) -> Result<(), Refusal> {
    let listed = listed(&definition.dialect, parameters, given.value);
    if let (None, Some(result)) = (listed, TransactionResult::named(given.value)) {
        postback.result = Some(result);
        return Ok(());
    }
    let meaning = definition.status_meaning(listed.unwrap_or(given.value));
    if meaning.is_none() && !definition.dialect.keeps_unmapped {
        let message = format!("`{}` is no result", shown(given.value));
        return Err(Refusal::new(Reason::InvalidResult, message)
            .about(given.name)
            .hint("send approved, rejected or pending"));
    }
    if meaning.is_none() {
        postback.notes.push(Note::UnmappedStatus);
    }
    let meaning = meaning.unwrap_or_default();
    postback.result = meaning.result;
    postback.conversion_type.clone_from(&meaning.conversion_type);
    postback.params.insert(RAW_RESULT_PARAM.into(), given.value.into());
    postback.steps.push(Step::StatusWord {
        word: given.value.into(),
        result: meaning.result,
        conversion_type: meaning.conversion_type,
    });
    Ok(())
}

/// The status word that a word means in this request, by its lists.
fn listed<'d>(dialect: &'d Dialect, parameters: &Parameters<'_>, word: &str) -> Option<&'d str> {
    parameters.others.iter().find_map(|(name, words)| match dialect.meaning(name) {
        Some(Meaning::Listed(meant)) if has_word(words, word) => Some(&**meant),
        _ => None,
    })
}

/// Whether a word, in any case, is one of those between commas.
fn has_word(words: &str, word: &str) -> bool {
    words.split(',').any(|one| one.trim_ascii().eq_ignore_ascii_case(word))
}

/// What happened, by a word beside the status: the type that it means counts more than the status
/// word's, its result less. A word that means nothing is kept as any other field.
fn event(dialect: &Dialect, parameters: &Parameters<'_>, postback: &mut Postback) {
    let is_event = |name: &str| dialect.meaning(name) == Some(&Meaning::Event);
    for (name, word) in parameters.others.iter().filter(|(name, _)| is_event(name)) {
        let Some(StatusMeaning { result, conversion_type }) = dialect.event(word) else {
            postback.notes.push(Note::UnmappedStatus);
            continue;
        };
        let (name, word) = ((*name).into(), (*word).into());
        let meant = conversion_type.clone();
        postback.steps.push(Step::EventWord { name, word, result, conversion_type: meant });
        postback.result = postback.result.or(result);
        postback.conversion_type = conversion_type.or(postback.conversion_type.take());
    }
}

/// In rung 5: a status that the request itself lists among those that are not for us.
fn not_ignored(dialect: &Dialect, parameters: &Parameters<'_>) -> Result<(), Refusal> {
    let Some(given) = parameters.get(Parameter::Result) else {
        return Ok(());
    };
    let ignoring = parameters.others.iter().find(|(name, words)| {
        dialect.meaning(name) == Some(&Meaning::Ignored) && has_word(words, given.value)
    });
    let Some((name, _)) = ignoring else {
        return Ok(());
    };
    let message = format!("`{name}` says that `{}` is to be ignored", shown(given.value));
    Err(Refusal::new(Reason::NotAllowed, message)
        .about(given.name)
        .hint(format!("take it out of `{name}` if it counts")))
}

fn named_action(given: Given<'_>) -> Result<Action, Refusal> {
    if given.value.eq_ignore_ascii_case("create") {
        return Ok(Action::Create);
    }
    if given.value.eq_ignore_ascii_case("update") {
        return Ok(Action::Update);
    }
    let message = format!("`{}` is no action", shown(given.value));
    Err(Refusal::new(Reason::InvalidAction, message)
        .about(given.name)
        .hint("send create or update, or leave it out"))
}

/// Rung 4 (R14). Where the dialect has no name for the advertiser, only a pcid identifies.
fn identify(dialect: &Dialect, postback: &Postback) -> Result<(), Refusal> {
    if postback.pcid.is_some() {
        return Ok(());
    }
    let pcid = dialect.name_of(Parameter::Pcid).unwrap_or_default();
    let advertiser = dialect.name_of(Parameter::AdvertiserId);
    let refusal = match (&postback.external_id, &postback.advertiser) {
        (Some(_), Some(_)) => return Ok(()),
        (Some(_), None) if advertiser.is_some() => Refusal::new(
            Reason::AdvertiserIdRequired,
            "an external id is unique only together with its advertiser",
        )
        .about("advertiser_id"),
        _ => Refusal::new(Reason::MissingIdentifier, "nothing says which conversion is meant")
            .about(pcid),
    };
    Err(match meant_identifier(dialect, postback) {
        Some((name, reserved)) => refusal.hint(format!("is `{name}` meant to be `{reserved}`?")),
        None if advertiser.is_none() => refusal.hint(format!("send `{pcid}`")),
        None => refusal.hint("send `pcid`, or `external_id` with `advertiser_id`"),
    })
}

/// An unknown parameter that was perhaps meant to identify.
fn meant_identifier<'p>(dialect: &Dialect, postback: &'p Postback) -> Option<(&'p str, &'p str)> {
    postback.steps.iter().find_map(|step| match step {
        Step::Similar { name, reserved } => {
            let mut known = dialect.known_names();
            let identifies =
                known.any(|(name, parameter)| name == &**reserved && parameter.identifies());
            identifies.then_some((&**name, &**reserved))
        }
        _ => None,
    })
}

/// Rung 5: R11, then R9.
fn action_and_type(
    ruleset: &Ruleset,
    definition: &PostbackDefinition,
    parameters: &Parameters<'_>,
    postback: &mut Postback,
) -> Result<(), Refusal> {
    let named = parameters.get(Parameter::Action).map(named_action).transpose()?;
    let type_given = parameters.get(Parameter::Type);
    let from_status = postback.conversion_type.take();
    let default = definition.default_type.as_ref().filter(|_| named != Some(Action::Update));
    let has_type = type_given.is_some() || from_status.is_some() || default.is_some();
    postback.action = match (named, has_type) {
        (Some(Action::Create), false) => return Err(type_required()),
        (Some(action), _) => action,
        (None, true) => Action::Create,
        (None, false) => Action::Update,
    };
    postback.conversion_type = match (type_given, from_status, default) {
        (Some(given), _, _) => Some(known_type(ruleset, given)?),
        (None, Some(from_status), _) => Some(from_status),
        (None, None, Some(default)) => {
            postback.has_default_type = true;
            postback.steps.push(Step::DefaultType(default.clone()));
            Some(default.clone())
        }
        (None, None, None) => None,
    };
    postback.steps.push(Step::Action { action: postback.action, named: named.is_some() });
    match &postback.conversion_type {
        Some(t) if postback.action == Action::Create && !t.is_trackable() => Err(not_trackable(t)),
        _ => Ok(()),
    }
}

/// `type_required` (R11).
pub(crate) fn type_required() -> Refusal {
    Refusal::new(Reason::TypeRequired, "a conversion cannot be created without its type")
        .about("type")
        .hint("send `type`, for example type=sale")
}

fn known_type(ruleset: &Ruleset, given: Given<'_>) -> Result<ConversionType, Refusal> {
    ruleset.conversion_type(given.value).ok_or_else(|| {
        let message = format!("no conversion type is called `{}`", shown(given.value));
        let refusal = Refusal::new(Reason::UnknownType, message).about(given.name);
        let known: Vec<ConversionType> = ruleset.all_types().collect();
        match nearest(given.value, known.iter().map(ConversionType::name)) {
            Some(close) => refusal.hint(format!("did you mean `{close}`?")),
            None => refusal.hint("register it in the rules, or send a built-in type"),
        }
    })
}

fn not_trackable(conversion_type: &ConversionType) -> Refusal {
    let message = format!("a postback cannot create a `{conversion_type}`");
    Refusal::new(Reason::TypeNotTrackable, message)
        .about("type")
        .hint("it can create lead, prospect, sale and registered types")
}

/// The end of rung 5: what the definition lets a request claim (R50). Amounts come later, after
/// conversion; the type of an update that names none is its target's.
fn claims(limits: &Limits, postback: &Postback) -> Result<(), Refusal> {
    if let Some(conversion_type) = &postback.conversion_type {
        allowed_type(limits, conversion_type)?;
    }
    if let (Some(results), Some(result)) = (&limits.results, postback.result)
        && !results.contains(&result)
    {
        return Err(not_allowed("result", result.name()));
    }
    if let (Some(currencies), Some(code)) = (&limits.currencies, &postback.currency)
        && !currencies.iter().any(|currency| currency.code().eq_ignore_ascii_case(code))
    {
        return Err(not_allowed("currency", code));
    }
    Ok(())
}

/// Whether a request under these limits may be about this type (R50).
pub(crate) fn allowed_type(
    limits: &Limits,
    conversion_type: &ConversionType,
) -> Result<(), Refusal> {
    match &limits.types {
        Some(types) if !types.contains(conversion_type) => {
            Err(not_allowed("type", conversion_type.name()))
        }
        _ => Ok(()),
    }
}

/// `not_allowed` about a parameter (R50).
pub(crate) fn not_allowed(parameter: &str, value: impl core::fmt::Display) -> Refusal {
    let value = format!("{value}");
    let message = format!("this postback may not claim the {parameter} `{}`", shown(&value));
    Refusal::new(Reason::NotAllowed, message).about(parameter).hint(LIMITS_SAY)
}

/// Where it is said what a definition lets be claimed.
pub(crate) const LIMITS_SAY: &str = "its `limits` in the rules say what it may claim";
