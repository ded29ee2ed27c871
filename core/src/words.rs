//! The trace in words: one line a step, for people.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::{self, Display};

use crate::{
    announce::SILENCES_MAX,
    conversion::{ConversionType, Method},
    decision::Outcome,
    decode::PARAMS_MAX,
    money::Amount,
    postback::Action,
    privacy::Masked,
    ruleset::{OnRepeat, Ruleset},
    trace::{
        AmountParameter, BornBecause, Field, Formula, Leg, PairedBy, Step, TargetBy, Trace,
        Verdict, VerdictRun,
    },
    tracking_api::{Owner, TrackingApi, Trigger},
};

impl Trace {
    /// The trace in words: a line for each step, with the names that `ruleset` gives, then one for
    /// each tracking API of the tenant's own that no event fired. Pass the version of the rules
    /// that decided, and what came of it.
    pub fn lines(&self, ruleset: &Ruleset, outcome: Outcome) -> Vec<String> {
        let mut lines = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            lines.push(Worded { step, ruleset }.to_string());
            if let Step::Candidates { verdicts, chosen, .. } = step {
                lines.extend(verdict_lines(ruleset, verdicts, *chosen));
            }
        }
        if matches!(outcome, Outcome::Created | Outcome::Updated) {
            lines.extend(self.waiting(ruleset));
        }
        lines
    }

    /// What waits for other events: every tracking API that fired stands in the trace, so those
    /// that did not need not be stored. Of affiliates' own ones there may be thousands.
    fn waiting(&self, ruleset: &Ruleset) -> Vec<String> {
        let (mut fired, mut silences) = (BTreeSet::new(), 0_usize);
        for step in &self.steps {
            match step {
                Step::Tells { tracking_api, .. } => drop(fired.insert(*tracking_api)),
                Step::Silent { tracking_api, .. } => {
                    fired.insert(*tracking_api);
                    silences += 1;
                }
                _ => {}
            }
        }
        if silences >= usize::from(SILENCES_MAX) {
            // The trace does not name all that fired.
            return Vec::new();
        }
        let waits = |(place, api): &(u32, &TrackingApi)| {
            api.active && api.owner == Owner::Admin && !fired.contains(place)
        };
        let line = |(_, api): (u32, &TrackingApi)| {
            format!("`{}` tells nothing: it waits for {}", api.id, awaited(api.trigger))
        };
        let all = (0_u32..).zip(ruleset.tracking_apis());
        all.filter(waits).take(WAITING_MAX).map(line).collect()
    }
}

/// The most tracking APIs that are named because no event fired them.
const WAITING_MAX: usize = 20;

/// The events that fire a trigger.
const fn awaited(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Transaction => "`transaction.created` or `transaction.updated`",
        Trigger::TransactionCreated => "`transaction.created`",
        Trigger::TransactionUpdated => "`transaction.updated`",
        Trigger::Conversion => "`conversion.created` or `conversion.updated`",
        Trigger::ConversionCreated => "`conversion.created`",
        Trigger::ConversionUpdated => "`conversion.updated`",
    }
}

/// The most commissions of one verdict in a row that are named one by one.
const NAMED_MAX: u32 = 10;

/// Why each commission lost, or that it was taken: one line a commission, but long rows of the same
/// verdict together.
fn verdict_lines(ruleset: &Ruleset, verdicts: &[VerdictRun], chosen: Option<u32>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut place = 0_u32;
    for run in verdicts {
        let end = place.saturating_add(run.count);
        let named = if run.verdict == Verdict::Candidate { run.count } else { NAMED_MAX };
        for at in place..end.min(place.saturating_add(named)) {
            let id = commission_name(ruleset, at);
            let why = match (run.verdict, chosen) {
                (Verdict::Candidate, Some(taken)) if taken == at => "taken",
                (Verdict::Candidate, _) => "a candidate, but another comes first or is named",
                (verdict, _) => verdict.words(),
            };
            lines.push(format!("  commission `{id}`: {why}"));
        }
        if run.count > named {
            let (from, to) = (place.saturating_add(named), end.saturating_sub(1));
            let (from, to) = (commission_name(ruleset, from), commission_name(ruleset, to));
            lines.push(format!("  commissions `{from}` to `{to}`: {}", run.verdict.words()));
        }
        place = end;
    }
    lines
}

fn commission_name(ruleset: &Ruleset, place: u32) -> String {
    let found = usize::try_from(place).ok().and_then(|place| ruleset.commissions().get(place));
    found.map_or_else(|| format!("number {place}"), |commission| commission.id.to_string())
}

fn tracking_api_name(ruleset: &Ruleset, place: u32) -> String {
    let found = usize::try_from(place).ok().and_then(|place| ruleset.tracking_apis().get(place));
    found.map_or_else(|| format!("number {place}"), |api| api.id.to_string())
}

/// A step with the rules that give the names.
struct Worded<'a> {
    step: &'a Step,
    ruleset: &'a Ruleset,
}

impl Display for Worded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Step::Definition(place) => definition(f, self.ruleset, *place),
            Step::Similar { .. } | Step::Repeated(_) | Step::Masked { .. } | Step::LeftOut(_) => {
                own_parameter(f, self.step)
            }
            Step::StatusWord { .. } | Step::EventWord { .. } => foreign_word(f, self.step),
            Step::DefaultType(t) => write!(f, "no type was given: the definition's default, {t}"),
            Step::Action { action, named } => effective_action(f, *action, *named),
            Step::MakesRoot(Method::Link) => f.write_str("a click on an affiliate link (R51)"),
            Step::MakesRoot(method) => write!(f, "a root handed in by {} (R51)", method.name()),
            Step::Paired { root, by } => write!(f, "paired with the root `{root}`: {}", by.words()),
            Step::ConditionsHold => f.write_str("all conditions of the definition hold (R19)"),
            Step::ConditionFailed(condition) => {
                write!(f, "the condition `{}` does not hold (R19)", condition.name())
            }
            Step::Key { kind, first: None } => {
                write!(f, "the repeat key `{}` is free (R20, R47)", kind.name())
            }
            Step::Key { kind, first: Some(first) } => {
                write!(f, "the repeat key `{}` is held by `{first}` (R20, R47)", kind.name())
            }
            Step::NoKey(kind) => {
                write!(f, "no repeat key of kind `{}`: nothing to repeat (R47)", kind.name())
            }
            Step::Repeat(reaction) => f.write_str(reaction_words(*reaction)),
            Step::AddsTransaction(id) => write!(
                f,
                "the repeat names the commission `{id}`, which has no transaction there yet (R20)"
            ),
            Step::Target { conversion, by } => {
                write!(f, "the target is `{conversion}`: {}", by.words())
            }
            Step::Candidates { conversion_type, chosen, named, .. } => {
                candidates(f, self.ruleset, conversion_type, *chosen, *named)
            }
            Step::Counted { commission, made, most } => {
                let id = commission_name(self.ruleset, *commission);
                write!(f, "`{id}` made {made} of at most {most} transactions under this root (R27)")
            }
            Step::Converted { .. } | Step::Added { .. } => converted(f, self.ruleset, self.step),
            Step::Leg { leg, formula, amount, .. } => {
                leg_words(f, self.ruleset, *leg, formula, *amount)
            }
            Step::Born { transaction, result, because } => {
                write!(f, "transaction `{transaction}` is born {result}: {}", because.words())
            }
            Step::WillSet { result, at, .. } => {
                write!(f, "if still pending at {at}, it becomes {result} (R35)")
            }
            Step::Changed(field) => changed(f, field),
            Step::ResultSet { transaction, from, to } => {
                write!(f, "transaction `{transaction}` goes from {from} to {to} (R23)")
            }
            Step::Refused(reason) => write!(f, "refused here: {reason}"),
            Step::Tells { .. } | Step::Silent { .. } | Step::RunsStep { .. } => {
                outbound(f, self.ruleset, self.step)
            }
            Step::AutoSetIdle(result) => {
                write!(f, "the auto-set found the result {result} and had nothing to do (R35)")
            }
        }
    }
}

/// What became of a parameter of the sender's own.
fn own_parameter(f: &mut fmt::Formatter<'_>, step: &Step) -> fmt::Result {
    match step {
        Step::Similar { name, reserved } => write!(
            f,
            "the unknown parameter `{name}` is close to `{reserved}`; it is kept as it is"
        ),
        Step::Repeated(name) => {
            write!(f, "the parameter `{name}` came more than once; the first value counts (R5)")
        }
        Step::Masked { name, masked } => masked_value(f, name, *masked),
        Step::LeftOut(name) => {
            write!(f, "`{name}` is left out: the conversion has {PARAMS_MAX} params (R22)")
        }
        _ => Ok(()),
    }
}

/// What a decision tells to others, and what it does not.
fn outbound(f: &mut fmt::Formatter<'_>, ruleset: &Ruleset, step: &Step) -> fmt::Result {
    match step {
        Step::Tells { tracking_api, event, message, at } => {
            let id = tracking_api_name(ruleset, *tracking_api);
            write!(f, "`{id}` tells of {}: message `{message}`, due {at} (R37)", event.name())
        }
        Step::Silent { tracking_api, event, because } => {
            let id = tracking_api_name(ruleset, *tracking_api);
            write!(f, "`{id}` tells nothing of {}: {}", event.name(), because.words())
        }
        Step::RunsStep { number, message } => {
            write!(f, "step {} runs: message `{message}` (R46)", u32::from(*number) + 1)
        }
        _ => Ok(()),
    }
}

fn definition(f: &mut fmt::Formatter<'_>, ruleset: &Ruleset, place: Option<u32>) -> fmt::Result {
    let found = place
        .and_then(|place| usize::try_from(place).ok())
        .and_then(|place| ruleset.definition_at(place));
    match found {
        Some(definition) if definition.dialect.is_native() => {
            write!(f, "the postback `{}` decides (R13)", definition.id)
        }
        Some(definition) => {
            let (id, dialect) = (&definition.id, &definition.dialect.name);
            write!(f, "the postback `{id}` decides, in the dialect `{dialect}` (R13)")
        }
        None => f.write_str("the built-in definition decides: no conditions, no limits (R47)"),
    }
}

fn masked_value(f: &mut fmt::Formatter<'_>, name: &str, masked: Masked) -> fmt::Result {
    let kept = match masked {
        Masked::Hashed => "only its hash is kept",
        Masked::Dropped => "it is not kept",
    };
    write!(f, "the value of `{name}` is personal: {kept}")
}

/// What a word of another system means.
fn foreign_word(f: &mut fmt::Formatter<'_>, step: &Step) -> fmt::Result {
    match step {
        Step::StatusWord { word, result, conversion_type } => {
            write!(f, "the status word `{word}` ")?;
            word_means(f, *result, conversion_type.as_ref())
        }
        Step::EventWord { name, word, result, conversion_type } => {
            write!(f, "the word `{word}` in `{name}` ")?;
            word_means(f, *result, conversion_type.as_ref())
        }
        _ => Ok(()),
    }
}

fn word_means(
    f: &mut fmt::Formatter<'_>,
    result: Option<crate::TransactionResult>,
    conversion_type: Option<&ConversionType>,
) -> fmt::Result {
    if result.is_none() && conversion_type.is_none() {
        return f.write_str("means nothing here; it is kept (R47)");
    }
    f.write_str("means")?;
    if let Some(result) = result {
        write!(f, " the result {result}")?;
    }
    if let Some(conversion_type) = conversion_type {
        let and = if result.is_some() { " and" } else { "" };
        write!(f, "{and} the type {conversion_type}")?;
    }
    f.write_str(" (R48)")
}

fn effective_action(f: &mut fmt::Formatter<'_>, action: Action, named: bool) -> fmt::Result {
    f.write_str(match (action, named) {
        (Action::Create, true) => "create, as the request says (R11)",
        (Action::Update, true) => "update, as the request says (R11)",
        (Action::Create, false) => "create: a type and no action (R11)",
        (Action::Update, false) => "update: neither type nor action (R11)",
    })
}

const fn reaction_words(reaction: OnRepeat) -> &'static str {
    match reaction {
        OnRepeat::Refuse => "a repeat is refused (R47)",
        OnRepeat::Update => "a repeat is applied as an update of the first (R47)",
        OnRepeat::Add => "a repeat is applied as an update of the first, amounts are added (R47)",
    }
}

fn candidates(
    f: &mut fmt::Formatter<'_>,
    ruleset: &Ruleset,
    conversion_type: &ConversionType,
    chosen: Option<u32>,
    named: bool,
) -> fmt::Result {
    let Some(chosen) = chosen else {
        return match named {
            true => write!(f, "the commission named does not pay this {conversion_type} (R25)"),
            false => write!(f, "no commission pays this {conversion_type} (R26)"),
        };
    };
    let id = commission_name(ruleset, chosen);
    let why = if named { "named by the request (R25)" } else { "the first candidate (R26)" };
    write!(f, "commission `{id}` pays this {conversion_type}: {why}")
}

/// How an amount of the request became one in the tenant's currency (R34, R47).
fn converted(f: &mut fmt::Formatter<'_>, ruleset: &Ruleset, step: &Step) -> fmt::Result {
    let own = ruleset.currency();
    match step {
        Step::Converted { parameter, original, currency, rate, frozen, amount } => {
            let whence = if *frozen { "frozen earlier" } else { "by the rules, frozen now" };
            let (from, to) = (original.text(*currency), amount.text(own));
            let name = parameter.name();
            write!(f, "{name} {from} {currency} x {rate} ({whence}) = {to} {own} (R34)")
        }
        Step::Added { parameter, before, sum } => {
            let (name, before, sum) = (parameter.name(), before.text(own), sum.text(own));
            write!(f, "{name} is added to what was there, {before}: {sum} (R47)")
        }
        _ => Ok(()),
    }
}

fn leg_words(
    f: &mut fmt::Formatter<'_>,
    ruleset: &Ruleset,
    leg: Leg,
    formula: &Formula,
    amount: Amount,
) -> fmt::Result {
    let own = ruleset.currency();
    let (name, rule) = match leg {
        Leg::Revenue => ("revenue", "R30"),
        Leg::Payout => ("payout", "R31"),
    };
    write!(f, "{name} {} {own}: ", amount.text(own))?;
    match formula {
        Formula::Direct(direct) => write!(f, "the direct amount {}", direct.text(own)),
        Formula::Fixed(fixed) => write!(f, "fixed at {}", fixed.text(own)),
        Formula::PercentOfValue(percent, value) => {
            write!(f, "{percent} % of the value {}", value.text(own))
        }
        Formula::PercentOfMissingValue(percent) => {
            write!(f, "{percent} % of a value that is missing (R32)")
        }
        Formula::PercentOfRevenue(percent, revenue) => {
            write!(f, "{percent} % of the revenue {}", revenue.text(own))
        }
        Formula::Nothing => f.write_str("the commission pays nothing out"),
        Formula::Edited => f.write_str("set by an administrator"),
    }?;
    match formula {
        Formula::Nothing | Formula::Edited => write!(f, " ({rule})"),
        _ => write!(f, ", rounded half away from zero ({rule}, R33)"),
    }
}

fn changed(f: &mut fmt::Formatter<'_>, field: &Field) -> fmt::Result {
    match field {
        Field::Value => f.write_str("the value changes (R22)"),
        Field::Price => f.write_str("the price changes (R22)"),
        Field::Commission => {
            f.write_str("a direct amount waits on the conversion for its transaction (R30)")
        }
        Field::ExternalId => f.write_str("the conversion gets its external id (R22)"),
        Field::Type(conversion_type) => {
            write!(f, "the type follows the last request: {conversion_type} (R47)")
        }
        Field::Param(name) => write!(f, "the param `{name}` changes (R22)"),
    }
}

impl PairedBy {
    /// What led to the root, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Pcid => "the pcid names it (R15)",
            Self::PcidUnderRoot => "the pcid names a conversion under it (R15)",
            Self::Pair => "a conversion under it carries the external id (R16)",
            Self::Transaction => "the transaction belongs under it",
        }
    }
}

impl TargetBy {
    /// How the target was found, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Pair => "it carries the external id (R21a)",
            Self::Named => "the pcid names it (R21b)",
            Self::NewestOfType => "the newest of the type under the root (R21c)",
            Self::Newest => "the newest under the root (R21d)",
            Self::Repeat => "the first with the same repeat key (R47)",
        }
    }
}

impl BornBecause {
    /// Why the result is what it is, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Import => "an import's own result is trusted (R29)",
            Self::AutoApprove => "the commission approves at once (R29)",
            Self::Inherited => "the commission takes over this result (R29)",
            Self::Default => "the commission says nothing else (R29)",
            Self::Update => "the update that makes it says so (R23)",
        }
    }
}

impl AmountParameter {
    /// The name of the parameter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Commission => "commission",
            Self::Price => "price",
        }
    }
}
