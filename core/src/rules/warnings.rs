//! What is legal but suspicious about the rules as a whole. What can be seen in one definition
//! alone is told where that is read.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};

use super::{item::Table, names::Names};
use crate::{
    conversion::Source,
    dialects::Dialect,
    parameter::Parameter,
    ruleset::{
        Commission, CommissionConditions, GLOBAL_POSTBACK, Offer, PostbackDefinition, Ruleset,
    },
    token::{AdvertiserId, AffiliateId, GroupName, OfferId},
};

/// Looks at rules without mistakes: every table of `names` became a part of `ruleset`.
pub(super) fn warn(names: &Names<'_>, ruleset: &Ruleset) {
    let scopes: Vec<Scope<'_>> = ruleset
        .commissions
        .iter()
        .map(|commission| Scope::of_commission(ruleset, &commission.conditions))
        .collect();
    let definitions: Vec<Scope<'_>> = ruleset
        .postbacks
        .iter()
        .map(|definition| Scope::of_postback(ruleset, definition))
        .collect();
    never_matching(names, &scopes, &definitions);
    let paying = shadowed(names, ruleset, &scopes);
    unpaid_offers(names, &paying);
    differing_keys(names, ruleset, &definitions);
    unknown_rates(names, ruleset);
    way_around(names, ruleset);
    unnamed_clicks(names, ruleset, &definitions);
}

/// The offers and affiliates that conditions let through; absent: all, those of tomorrow included.
struct Scope<'r> {
    offers: Option<BTreeSet<&'r OfferId>>,
    affiliates: Option<BTreeSet<&'r AffiliateId>>,
}

impl<'r> Scope<'r> {
    fn of_commission(ruleset: &'r Ruleset, conditions: &CommissionConditions) -> Self {
        Self {
            offers: offers(ruleset, &conditions.offers, &conditions.advertisers),
            affiliates: affiliates(ruleset, &conditions.affiliates, &conditions.groups),
        }
    }

    fn of_postback(ruleset: &'r Ruleset, definition: &PostbackDefinition) -> Self {
        let conditions = &definition.conditions;
        Self {
            offers: offers(ruleset, &conditions.offers, &conditions.advertisers),
            affiliates: affiliates(ruleset, &conditions.affiliates, &None),
        }
    }

    /// What nothing can meet, where there is such a condition.
    fn unmet(&self) -> Option<&'static str> {
        let is_empty = self.offers.as_ref().is_some_and(BTreeSet::is_empty);
        if is_empty {
            return Some("no offer");
        }
        let is_empty = self.affiliates.as_ref().is_some_and(BTreeSet::is_empty);
        is_empty.then_some("no affiliate")
    }
}

fn offers<'r>(
    ruleset: &'r Ruleset,
    offers: &Option<BTreeSet<OfferId>>,
    advertisers: &Option<BTreeSet<AdvertiserId>>,
) -> Option<BTreeSet<&'r OfferId>> {
    if offers.is_none() && advertisers.is_none() {
        return None;
    }
    let met = |offer: &&'r Offer| allows(advertisers, &offer.advertiser);
    let ids = |offer: &'r Offer| &offer.id;
    Some(match offers {
        // Named one by one, they are found without looking at all offers.
        Some(offers) => {
            let named = offers.iter().filter_map(|id| ruleset.offers.get(id));
            named.filter(met).map(ids).collect()
        }
        None => ruleset.offers.values().filter(met).map(ids).collect(),
    })
}

fn affiliates<'r>(
    ruleset: &'r Ruleset,
    affiliates: &Option<BTreeSet<AffiliateId>>,
    groups: &Option<BTreeSet<GroupName>>,
) -> Option<BTreeSet<&'r AffiliateId>> {
    if affiliates.is_none() && groups.is_none() {
        return None;
    }
    let in_groups = |group: &Option<GroupName>| match (groups, group) {
        (None, _) => true,
        (Some(groups), Some(group)) => groups.contains(group),
        (Some(_), None) => false,
    };
    let all = ruleset.affiliates.values();
    let met = all.filter(|one| allows(affiliates, &one.id) && in_groups(&one.group));
    Some(met.map(|affiliate| &affiliate.id).collect())
}

fn allows<T: Ord>(set: &Option<BTreeSet<T>>, value: &T) -> bool {
    set.as_ref().is_none_or(|set| set.contains(value))
}

fn never_matching(names: &Names<'_>, commissions: &[Scope<'_>], postbacks: &[Scope<'_>]) {
    let of_commissions = names.commissions.tables.iter().map(|(table, _)| table);
    let of_postbacks = names.postbacks.tables.iter().map(|(table, _)| table);
    // The implicit global postback has no table, and no conditions either.
    let all = of_commissions.zip(commissions).chain(of_postbacks.zip(postbacks));
    for (table, scope) in all {
        if let Some(what) = scope.unmet() {
            let message = format!("{what} meets all of its conditions, so it never matches");
            table.item.warning(message, "widen one of the conditions");
        }
    }
}

/// The commissions that can pay for an offer, by their places; under no offer those that do not
/// ask for one.
type ByOffer<'r> = BTreeMap<Option<&'r OfferId>, Vec<usize>>;

/// A commission that comes after one that wins wherever it matches. Candidates are tried in the
/// order of the rules and only the first is taken (R26): one that has reached its recurrence limit
/// makes no transaction and does not give way (R27), so the limit plays no part here.
fn shadowed<'r>(names: &Names<'_>, ruleset: &'r Ruleset, scopes: &[Scope<'r>]) -> ByOffer<'r> {
    let mut before: ByOffer<'r> = BTreeMap::new();
    for (index, (later, scope)) in ruleset.commissions.iter().zip(scopes).enumerate() {
        if !later.active || scope.unmet().is_some() {
            continue;
        }
        // What wins over it lets its first offer through as well.
        let first = scope.offers.as_ref().and_then(BTreeSet::first).copied();
        let restricted = first.and_then(|offer| before.get(&Some(offer)));
        let candidates = before.get(&None).into_iter().chain(restricted).flatten();
        let winner = candidates.copied().filter(|at| {
            let earlier = ruleset.commissions.get(*at).zip(scopes.get(*at));
            earlier.is_some_and(|(earlier, of)| covers(earlier, of, later, scope))
        });
        if let (Some(winner), Some((table, _))) =
            (winner.min(), names.commissions.tables.get(index))
        {
            let message = format!(
                "only an explicit `commission_id` ever chooses it: `commission[{winner}]` comes \
                 first wherever it matches"
            );
            table.item.warning(message, "put the narrower one first");
        }
        match &scope.offers {
            None => before.entry(None).or_default().push(index),
            Some(offers) => {
                for offer in offers {
                    before.entry(Some(offer)).or_default().push(index);
                }
            }
        }
    }
    before
}

fn covers(
    earlier: &Commission,
    of_earlier: &Scope<'_>,
    later: &Commission,
    of_later: &Scope<'_>,
) -> bool {
    let (wide, narrow) = (&earlier.conditions, &later.conditions);
    let starts = |from| narrow.valid_from.is_some_and(|at| at >= from);
    let ends = |to| narrow.valid_to.is_some_and(|at| at <= to);
    earlier.conversion_type == later.conversion_type
        && contains(&of_earlier.offers, &of_later.offers)
        && contains(&of_earlier.affiliates, &of_later.affiliates)
        && (has_all_sources(wide) || contains(&wide.sources, &narrow.sources))
        && contains(&wide.channels, &narrow.channels)
        && wide.valid_from.is_none_or(starts)
        && wide.valid_to.is_none_or(ends)
}

/// Whether every source is named: unlike offers and affiliates, there are never more of them.
fn has_all_sources(conditions: &CommissionConditions) -> bool {
    let named = conditions.sources.as_ref();
    named.is_some_and(|named| Source::ALL.iter().all(|source| named.contains(source)))
}

/// Whether everything that the narrow condition lets through passes the wide one.
fn contains<T: Ord>(wide: &Option<BTreeSet<T>>, narrow: &Option<BTreeSet<T>>) -> bool {
    match (wide, narrow) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => narrow.is_subset(wide),
    }
}

fn unpaid_offers(names: &Names<'_>, paying: &ByOffer<'_>) {
    if paying.contains_key(&None) {
        return;
    }
    for (table, id) in &names.offers.tables {
        if !paying.contains_key(&id.as_ref()) {
            let message = "no active commission pays for this offer";
            table.item.warning(message, "add a commission, or widen one");
        }
    }
}

/// Definitions that see the same conversions through different keys recognise no repeat of each
/// other (R47). Those that lead to one another so are told together.
fn differing_keys(names: &Names<'_>, ruleset: &Ruleset, scopes: &[Scope<'_>]) {
    let all = ruleset.postbacks.iter().zip(scopes);
    let mut first_of: Vec<usize> = Vec::new();
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, (later, scope)) in all.clone().enumerate() {
        let differs = all.clone().take(index).position(|(earlier, of_earlier)| {
            earlier.dedup.key != later.dedup.key
                && earlier.active
                && later.active
                && meet(ruleset, (earlier, of_earlier), (later, scope))
        });
        let first = differs.and_then(|at| first_of.get(at)).copied().unwrap_or(index);
        first_of.push(first);
        groups.entry(first).or_default().push(index);
    }
    for group in groups.values() {
        differing_group(names, ruleset, group);
    }
}

fn differing_group(names: &Names<'_>, ruleset: &Ruleset, group: &[usize]) {
    let [first, second, more @ ..] = group else {
        return;
    };
    let tables = &names.postbacks.tables;
    // The implicit global postback has no table: tell it at the other one.
    let Some((table, _)) = tables.get(*second).or_else(|| tables.get(*first)) else {
        return;
    };
    let all = || group.iter().filter_map(|at| ruleset.postbacks.get(*at));
    let told: Vec<String> =
        all().map(|one| format!("`{}` (key `{}`)", one.id, one.dedup.key.name())).collect();
    let message = format!(
        "{} reach the same offers, and no repeat is recognised that comes through another key",
        listed(told.into_iter())
    );
    let has_global = all().any(|definition| definition.id.as_str() == GLOBAL_POSTBACK);
    let hint = match (has_global, more.is_empty()) {
        (false, _) => "use one key, or conditions that keep them apart",
        (true, true) => {
            "use one key, or remove the global postback: id = \"global\", active = false"
        }
        (true, false) => {
            "use one key; or conditions that keep them apart, and remove the global postback: \
             id = \"global\", active = false"
        }
    };
    table.get("dedup").unwrap_or_else(|| table.item.clone()).warning(message, hint);
}

fn meet(
    ruleset: &Ruleset,
    (one, of_one): (&PostbackDefinition, &Scope<'_>),
    (other, of_other): (&PostbackDefinition, &Scope<'_>),
) -> bool {
    !ruleset.offers.is_empty()
        && intersect(&of_one.offers, &of_other.offers)
        && intersect(&of_one.affiliates, &of_other.affiliates)
        && intersect(&one.conditions.sources, &other.conditions.sources)
        && intersect(&one.conditions.types, &other.conditions.types)
}

fn intersect<T: Ord>(one: &Option<BTreeSet<T>>, other: &Option<BTreeSet<T>>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), None) | (None, Some(one)) => !one.is_empty(),
        (Some(one), Some(other)) => !one.is_disjoint(other),
    }
}

/// A currency that a definition allows and nothing converts is refused all the same (R34).
fn unknown_rates(names: &Names<'_>, ruleset: &Ruleset) {
    for ((table, _), definition) in names.postbacks.tables.iter().zip(&ruleset.postbacks) {
        let allowed = definition.limits.currencies.iter().flatten();
        for currency in allowed {
            if *currency == ruleset.currency || ruleset.exchange_rates.contains_key(currency) {
                continue;
            }
            let item = table.get("limits").unwrap_or_else(|| table.item.clone());
            let message = format!("{currency} is allowed, but there is no rate from it");
            item.warning(message, format!("add `[[exchange_rate]]` with from = \"{currency}\""));
        }
    }
}

/// A definition that asks for proof is no gain where the global one accepts anyone. That is told
/// once, for the cause is one.
fn way_around(names: &Names<'_>, ruleset: &Ruleset) {
    let active = || ruleset.postbacks.iter().filter(|definition| definition.active);
    let is_open = |definition: &PostbackDefinition| {
        definition.id.as_str() == GLOBAL_POSTBACK && !definition.authentication.is_required()
    };
    if !active().any(is_open) {
        return;
    }
    let all = names.postbacks.tables.iter().zip(&ruleset.postbacks);
    let asking =
        all.filter(|(_, definition)| definition.active).filter_map(|((table, _), definition)| {
            Some((table.get("auth")?, format!("`{}`", definition.id)))
        });
    let (items, ids): (Vec<_>, Vec<_>) = asking.unzip();
    let Some(item) = items.first() else {
        return;
    };
    let message = format!(
        "whoever leaves `id` out is asked for nothing: `{GLOBAL_POSTBACK}` has no `auth`, and that \
         of {} is got round",
        listed(ids.into_iter())
    );
    let hint = "give it one, or remove the global postback: id = \"global\", active = false";
    item.warning(message, hint);
}

/// Partners who speak a foreign dialect read the click id from a place of their own: the `pcid=`
/// that is appended to an url without a macro of the click is not it. Whoever may name an
/// advertiser's id with the advertiser, as in our own dialect, needs no click id.
fn unnamed_clicks(names: &Names<'_>, ruleset: &Ruleset, scopes: &[Scope<'_>]) {
    // Who names an offer: the first who needs the click back, or anybody else.
    let (mut needing, mut others) = (BTreeMap::new(), BTreeSet::new());
    for (definition, scope) in ruleset.postbacks.iter().zip(scopes) {
        for id in scope.offers.iter().flatten().filter(|_| definition.active) {
            if needs_click(&definition.dialect) {
                needing.entry(*id).or_insert(definition);
            } else {
                others.insert(*id);
            }
        }
    }
    let mut nobodys: Vec<&OfferId> = Vec::new();
    for (table, id) in &names.offers.tables {
        let offer = id.as_ref().and_then(|id| ruleset.offers.get(id));
        let (Some(offer), Some(item)) = (offer.filter(|one| !one.names_click()), table.get("url"))
        else {
            continue;
        };
        if let Some(definition) = needing.get(&offer.id) {
            let message = format!(
                "the url names the click by no macro, and the postback `{}` needs it back",
                definition.id
            );
            item.warning(message, macro_wanted(definition));
        } else if !others.contains(&offer.id) {
            nobodys.push(&offer.id);
        }
    }
    let all = names.postbacks.tables.iter().zip(ruleset.postbacks.iter().zip(scopes));
    for ((table, _), (definition, scope)) in all {
        if definition.active && scope.offers.is_none() && needs_click(&definition.dialect) {
            unnamed_everywhere(table, definition, &nobodys);
        }
    }
}

/// What reaches every offer does not say whose partner speaks it: it is told once, as what may be.
fn unnamed_everywhere(table: &Table<'_>, definition: &PostbackDefinition, offers: &[&OfferId]) {
    if offers.is_empty() {
        return;
    }
    let named = listed(offers.iter().map(|id| format!("`{id}`")));
    let message = format!(
        "it pairs by the click id alone, and may not get it back from offers whose url names the \
         click by no macro: {named}"
    );
    let item = table.get("dialect").unwrap_or_else(|| table.item.clone());
    let hint = format!("{}; or say in `offers` whose postback this is", macro_wanted(definition));
    item.warning(message, hint);
}

/// Whether nothing but the click id says which conversion is meant (R14).
fn needs_click(dialect: &Dialect) -> bool {
    let is_fixed = dialect.fixed.iter().any(|fixed| fixed.parameter == Parameter::AdvertiserId);
    let has_advertiser = is_fixed || dialect.name_of(Parameter::AdvertiserId).is_some();
    !has_advertiser || dialect.name_of(Parameter::ExternalId).is_none()
}

fn macro_wanted(definition: &PostbackDefinition) -> String {
    let wanted = definition.dialect.click_macros.first().unwrap_or(&"pcid");
    let system = &definition.dialect.system;
    format!("add what the partner wants, as in `sub={{{wanted}}}`; that is {system}'s")
}

/// Names as a text of one line.
fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    /// The most that are named one by one.
    const NAMED_MAX: usize = 3;
    let count = names.len();
    let mut named: Vec<String> = names.take(NAMED_MAX).collect();
    let last = match count.checked_sub(NAMED_MAX) {
        None | Some(0) => named.pop().unwrap_or_default(),
        Some(more) => format!("{more} more"),
    };
    if named.is_empty() { last } else { format!("{} and {last}", named.join(", ")) }
}
