//! The small integers that stand for words in the database. A stored form: codes are never
//! changed and never used again, whatever becomes of the order in which the core declares the
//! words.

use counterfoil_core::{
    AttemptOutcome, DeadReason, Method, Note, Outcome, Reason, Source, TransactionResult,
};

use crate::{messages::Standing, rules::RulesFormat};

const OUTCOMES: [(Outcome, i64); 5] = [
    (Outcome::Created, 0),
    (Outcome::Updated, 1),
    (Outcome::Unchanged, 2),
    (Outcome::Duplicate, 3),
    (Outcome::Refused, 4),
];

const SOURCES: [(Source, i64); 3] = [(Source::Link, 0), (Source::Iframe, 1), (Source::Api, 2)];

const METHODS: [(Method, i64); 9] = [
    (Method::S2s, 0),
    (Method::Pixel, 1),
    (Method::Api, 2),
    (Method::Import, 3),
    (Method::Step, 4),
    (Method::TrackingApi, 5),
    (Method::AutoSet, 6),
    (Method::Admin, 7),
    (Method::Link, 8),
];

const RESULTS: [(TransactionResult, i64); 3] = [
    (TransactionResult::Pending, 0),
    (TransactionResult::Approved, 1),
    (TransactionResult::Rejected, 2),
];

const FORMATS: [(RulesFormat, i64); 2] = [(RulesFormat::Toml, 0), (RulesFormat::Json, 1)];

const REASONS: [(Reason, i64); 32] = [
    (Reason::Malformed, 0),
    (Reason::ConflictingParameters, 1),
    (Reason::UnknownPostback, 2),
    (Reason::UnresolvedMacro, 3),
    (Reason::InvalidIdentifier, 4),
    (Reason::InvalidAmount, 5),
    (Reason::InvalidResult, 6),
    (Reason::InvalidAction, 7),
    (Reason::InvalidParameter, 8),
    (Reason::MissingIdentifier, 9),
    (Reason::AdvertiserIdRequired, 10),
    (Reason::TypeRequired, 11),
    (Reason::UnknownType, 12),
    (Reason::TypeNotTrackable, 13),
    (Reason::NotAllowed, 14),
    (Reason::UnknownOffer, 15),
    (Reason::UnknownAffiliate, 16),
    (Reason::TypeNotRoot, 17),
    (Reason::PairingFailed, 18),
    (Reason::AdvertiserMismatch, 19),
    (Reason::ConditionsNotMet, 20),
    (Reason::Duplicate, 21),
    (Reason::PairingConflict, 22),
    (Reason::ClickExpired, 23),
    (Reason::UnknownCommission, 24),
    (Reason::CommissionMismatch, 25),
    (Reason::ConversionNotFound, 26),
    (Reason::ExternalIdTaken, 27),
    (Reason::CurrencyUnknown, 28),
    (Reason::NoExchangeRate, 29),
    (Reason::AmountOutOfRange, 30),
    (Reason::Unauthorized, 31),
];

const NOTES: [(Note, i64); 13] = [
    (Note::DirectAmountFirstOnly, 0),
    (Note::DirectAmountIgnored, 1),
    (Note::LoopStopped, 2),
    (Note::MissingValue, 3),
    (Note::NoMatchingCommission, 4),
    (Note::NoTransaction, 5),
    (Note::RecurrenceLimitReached, 6),
    (Note::RepeatedParameter, 7),
    (Note::ResultNotInherited, 8),
    (Note::SimilarParameter, 9),
    (Note::StepsSkippedNoId, 10),
    (Note::UnmappedStatus, 11),
    (Note::PersonalValue, 12),
];

/// Written out in schema/v1.sql too, in the conditions of indexes.
const STANDINGS: [(Standing, i64); 6] = [
    (Standing::Due, 0),
    (Standing::Held, 1),
    (Standing::Delivered, 2),
    (Standing::Polling, 3),
    (Standing::Dead, 4),
    (Standing::Waits, 5),
];

const DEAD_REASONS: [(DeadReason, i64); 7] = [
    (DeadReason::RetriesExhausted, 0),
    (DeadReason::StillPending, 1),
    (DeadReason::Gone, 2),
    (DeadReason::Forbidden, 3),
    (DeadReason::PreviousStepFailed, 4),
    (DeadReason::ConditionsNotMet, 5),
    (DeadReason::Unsendable, 6),
];

/// The code of what happened in an attempt; the status of an answer has a column.
pub(crate) fn attempt_code(outcome: &AttemptOutcome) -> i64 {
    match outcome {
        AttemptOutcome::Answered { .. } => 0,
        AttemptOutcome::Unanswered => 1,
        AttemptOutcome::Forbidden => 2,
        AttemptOutcome::OurFault => 3,
    }
}

/// What happened in the attempt of this code.
pub(crate) fn attempt_outcome(code: i64, status: Option<u16>) -> Option<AttemptOutcome> {
    Some(match (code, status) {
        (0, Some(status)) => AttemptOutcome::Answered { status, pending: false, retry_after: None },
        (1, _) => AttemptOutcome::Unanswered,
        (2, _) => AttemptOutcome::Forbidden,
        (3, _) => AttemptOutcome::OurFault,
        _ => return None,
    })
}

/// A word that is stored as a small integer.
pub(crate) trait Coded: Copy + PartialEq + 'static {
    /// Every word with its code.
    const CODES: &'static [(Self, i64)];

    /// The code of the word.
    fn stored(self) -> i64 {
        // Every word is listed, which a test holds; the fallback is a code that no word has.
        Self::CODES.iter().find(|(word, _)| *word == self).map_or(-1, |(_, code)| *code)
    }

    /// The word of a code.
    fn of_stored(code: i64) -> Option<Self> {
        Self::CODES.iter().find(|(_, known)| *known == code).map(|(word, _)| *word)
    }
}

impl Coded for Outcome {
    const CODES: &'static [(Self, i64)] = &OUTCOMES;
}

impl Coded for Source {
    const CODES: &'static [(Self, i64)] = &SOURCES;
}

impl Coded for Method {
    const CODES: &'static [(Self, i64)] = &METHODS;
}

impl Coded for TransactionResult {
    const CODES: &'static [(Self, i64)] = &RESULTS;
}

impl Coded for RulesFormat {
    const CODES: &'static [(Self, i64)] = &FORMATS;
}

impl Coded for Reason {
    const CODES: &'static [(Self, i64)] = &REASONS;
}

impl Coded for Note {
    const CODES: &'static [(Self, i64)] = &NOTES;
}

impl Coded for Standing {
    const CODES: &'static [(Self, i64)] = &STANDINGS;
}

impl Coded for DeadReason {
    const CODES: &'static [(Self, i64)] = &DEAD_REASONS;
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    fn check<T: Coded + Debug>(all: &[T], name: fn(T) -> &'static str, pinned: &str) {
        let text: Vec<String> =
            all.iter().map(|w| format!("{} {}", w.stored(), name(*w))).collect();
        let mut sorted = text.clone();
        sorted.sort_by_key(|line| line.split(' ').next().unwrap().parse::<i64>().unwrap());
        assert_eq!(sorted.join(", "), pinned);
        for word in all {
            assert_eq!(T::of_stored(word.stored()), Some(*word));
        }
        assert_eq!(T::of_stored(-1), None);
        assert_eq!(T::CODES.len(), all.len());
    }

    #[test]
    fn codes_are_a_stored_form() {
        check(
            &Outcome::ALL,
            Outcome::name,
            "0 created, 1 updated, 2 unchanged, 3 duplicate, 4 refused",
        );
        check(&Source::ALL, Source::name, "0 link, 1 iframe, 2 api");
        check(
            &Method::ALL,
            Method::name,
            "0 s2s, 1 pixel, 2 api, 3 import, 4 step, 5 tracking_api, 6 auto_set, 7 admin, 8 link",
        );
        check(
            &TransactionResult::ALL,
            TransactionResult::name,
            "0 pending, 1 approved, 2 rejected",
        );
        let standings = STANDINGS.map(|(standing, _)| standing);
        check(
            &standings,
            |standing| standing.state().name(),
            "0 due, 1 held, 2 delivered, 3 polling, 4 dead, 5 due",
        );
        let reasons = DEAD_REASONS.map(|(reason, _)| reason);
        let names = [
            "RetriesExhausted",
            "StillPending",
            "Gone",
            "Forbidden",
            "PreviousStepFailed",
            "ConditionsNotMet",
        ];
        for ((code, reason), name) in (0..).zip(reasons).zip(names) {
            assert_eq!((reason.stored(), format!("{reason:?}")), (code, name.to_owned()));
            assert_eq!(DeadReason::of_stored(code), Some(reason));
        }
        check(
            &Note::ALL,
            Note::code,
            "0 direct_amount_first_only, 1 direct_amount_ignored, 2 loop_stopped, \
             3 missing_value, 4 no_matching_commission, 5 no_transaction, \
             6 recurrence_limit_reached, 7 repeated_parameter, 8 result_not_inherited, \
             9 similar_parameter, 10 steps_skipped_no_id, 11 unmapped_status, \
             12 personal_value",
        );
        check(
            &Reason::ALL,
            Reason::code,
            "0 malformed, 1 conflicting_parameters, 2 unknown_postback, 3 unresolved_macro, \
             4 invalid_identifier, 5 invalid_amount, 6 invalid_result, 7 invalid_action, \
             8 invalid_parameter, 9 missing_identifier, 10 advertiser_id_required, \
             11 type_required, 12 unknown_type, 13 type_not_trackable, 14 not_allowed, \
             15 unknown_offer, 16 unknown_affiliate, 17 type_not_root, 18 pairing_failed, \
             19 advertiser_mismatch, 20 conditions_not_met, 21 duplicate, 22 pairing_conflict, \
             23 click_expired, 24 unknown_commission, 25 commission_mismatch, \
             26 conversion_not_found, 27 external_id_taken, 28 currency_unknown, \
             29 no_exchange_rate, 30 amount_out_of_range, 31 unauthorized",
        );
    }
}
