//! GET `/api/{tenant}/tracking-apis`: the outbound definitions, in the order of the rules.

use counterfoil_core::{
    Owner, TrackingApi,
    view::{Page, TrackingApiView},
};
use hyper::StatusCode;

use crate::{
    answer::{self, Answer},
    app::Call,
    problem::Problem,
    routes::lists::{OWNER_FILTERS, filters},
};

/// Visibility follows the owner, not the conditions: an affiliate reads what it owns (R39).
pub(crate) fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let rules = call.rules()?;
    let ruleset = &rules.ruleset;
    let filters = filters(call, OWNER_FILTERS)?;
    let owner = filters.first().map(|(_, owner)| &**owner);
    let is_visible = |api: &&TrackingApi| match (call.affiliate(), &api.owner) {
        (None, _) => true,
        (Some(asks), Owner::Affiliate(owner)) => asks == owner,
        (Some(_), Owner::Admin) => false,
    };
    let visible = ruleset.tracking_apis().iter().filter(is_visible);
    let page = Page {
        items: visible
            .map(|api| TrackingApiView::of(api, ruleset))
            .filter(|view| owner.is_none_or(|owner| *view.owner == *owner))
            .collect(),
        next_cursor: None,
    };
    Ok(answer::json(StatusCode::OK, &page))
}
