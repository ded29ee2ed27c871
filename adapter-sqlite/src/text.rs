//! Log rows as requests, and back: what `replay` decides again.
//!
//! A postback's row keeps the parameters that came, secrets masked, and the core reads them again.
//! Requests from inside are written by this module, form-encoded, so that nothing is lost:
//!
//! * a root: `type`, `source`, `offer_id`, `affiliate_id`, `channel`, `integration`, `affs1` to
//!   `affs10`, `affiliate_click_id`, `external_id`, `value`, and each param as `param.NAME`;
//! * an auto-set: `transaction_id`;
//! * an edit: `transaction_id`, `result`, `revenue`, `payout`, `reason`.

use std::collections::BTreeMap;

use counterfoil_core::{
    Arrival, Conversion, Edit, ExternalId, Incoming, Method, Origin, Params, Reason, Refusal,
    Request, RootRequest, Ruleset, Source, TransactionResult,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::rows::type_named;

const PARAM: &str = "param.";
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'.')
    .remove(b'_')
    .remove(b'-')
    .remove(b':');

/// The text under which a request from inside is logged; absent for what comes from outside.
pub(crate) fn of_request(request: &Request) -> Option<String> {
    let mut text = Text::default();
    match request {
        Request::Postback(_) | Request::Unreadable(_) => return None,
        Request::AutoSet(id) => text.push("transaction_id", &id.to_string()),
        Request::Root(root) => write_root(root, &mut text),
        Request::Edit(edit) => {
            text.push("transaction_id", &edit.transaction_id.to_string());
            text.maybe("result", edit.result.map(TransactionResult::name));
            text.maybe("revenue", edit.revenue.map(|a| a.to_string()).as_deref());
            text.maybe("payout", edit.payout.map(|a| a.to_string()).as_deref());
            text.push("reason", &edit.reason);
        }
    }
    Some(text.0)
}

/// The text of the request that made a click which has not changed since.
pub(crate) fn of_click(click: &Conversion) -> Option<String> {
    of_request(&Request::Root(Box::new(root_request(click)?)))
}

/// The request that made a click which has not changed since.
pub(crate) fn root_request(click: &Conversion) -> Option<RootRequest> {
    let Origin {
        source,
        offer,
        affiliate,
        channel,
        integration,
        affs,
        affiliate_click_id,
        ..
    } = click.origin.clone()?;
    Some(RootRequest {
        method: click.method,
        conversion_type: click.conversion_type.clone(),
        source,
        offer,
        affiliate,
        channel,
        integration,
        affs,
        affiliate_click_id,
        external_id: click.external_id.clone(),
        value: click.value.map(|received| received.amount),
        params: click.params.clone(),
    })
}

/// A log row as it is read again.
pub(crate) struct Logged<'a> {
    pub(crate) method: Method,
    pub(crate) dialect: Option<&'a str>,
    pub(crate) query: &'a str,
    /// How the request was refused, where it was.
    pub(crate) refusal: Option<&'a Refusal>,
}

/// The request of a log row, read with `ruleset`.
///
/// What could not be decoded is not kept byte for byte, and secrets are masked: where one of these
/// was the reason, the stored refusal is taken as given.
///
/// # Errors
/// Where the text is none that [`of_request`] writes.
pub(crate) fn read(ruleset: &Ruleset, logged: &Logged<'_>) -> Result<Request, String> {
    if let Some(refusal) = logged.refusal.filter(|refusal| is_beyond_the_text(refusal)) {
        return Ok(Request::Unreadable(Box::new(refusal.clone())));
    }
    let Logged {
        method,
        dialect,
        query,
        refusal,
    } = *logged;
    let inside = match method {
        Method::S2s | Method::Pixel | Method::Import | Method::Step | Method::TrackingApi => {
            let incoming = Incoming {
                method,
                dialect,
                query,
                body: None,
            };
            return Ok(counterfoil_core::read(ruleset, &incoming).0);
        }
        Method::AutoSet | Method::Admin | Method::Link | Method::Api => read_inside(method, query),
    };
    match (inside, refusal) {
        (Ok(request), _) => Ok(request),
        // It was refused before it became a request.
        (Err(_), Some(refusal)) => Ok(Request::Unreadable(Box::new(refusal.clone()))),
        (Err(why), None) => Err(why),
    }
}

/// The request of an arrival that was read with other rules than `ruleset`.
///
/// # Errors
/// As [`read`].
pub(crate) fn reread(ruleset: &Ruleset, arrival: &Arrival) -> Result<Request, String> {
    let refusal = match &arrival.request {
        Request::Root(_) | Request::AutoSet(_) | Request::Edit(_) => {
            return Ok(arrival.request.clone());
        }
        Request::Postback(_) => None,
        Request::Unreadable(refusal) => Some(&**refusal),
    };
    let (method, dialect, query) = (arrival.method, arrival.dialect.as_deref(), &arrival.query);
    read(
        ruleset,
        &Logged {
            method,
            dialect,
            query,
            refusal,
        },
    )
}

/// A request from inside, from the text that [`of_request`] wrote.
pub(crate) fn read_inside(method: Method, query: &str) -> Result<Request, String> {
    let mut fields = Fields::read(query)?;
    match method {
        Method::AutoSet => Ok(Request::AutoSet(fields.parsed("transaction_id")?)),
        Method::Admin => Ok(Request::Edit(Box::new(read_edit(fields)?))),
        _ => Ok(Request::Root(Box::new(read_root(method, fields)?))),
    }
}

fn is_beyond_the_text(refusal: &Refusal) -> bool {
    let is_masked = matches!(refusal.parameter.as_deref(), Some("token" | "ts" | "sig"));
    refusal.reason == Reason::Malformed
        || refusal.reason == Reason::ConflictingParameters && is_masked
}

fn write_root(root: &RootRequest, text: &mut Text) {
    text.push("type", root.conversion_type.name());
    text.push("source", root.source.name());
    text.push("offer_id", root.offer.as_str());
    text.push("affiliate_id", root.affiliate.as_str());
    text.maybe(
        "channel",
        root.channel.as_ref().map(|channel| channel.as_str()),
    );
    text.maybe("integration", root.integration.as_ref().map(|i| i.as_str()));
    for (n, aff) in &root.affs {
        text.push(&format!("affs{n}"), aff);
    }
    text.maybe("affiliate_click_id", root.affiliate_click_id.as_deref());
    text.maybe(
        "external_id",
        root.external_id.as_ref().map(ExternalId::as_str),
    );
    text.maybe(
        "value",
        root.value.map(|value| value.to_string()).as_deref(),
    );
    for (name, value) in &root.params {
        text.push(&format!("{PARAM}{name}"), value);
    }
}

fn read_root(method: Method, mut fields: Fields) -> Result<RootRequest, String> {
    let conversion_type = fields.read_with("type", type_named)?.ok_or("no type")?;
    let affs = (1..=10)
        .filter_map(|n| Some((n, fields.take(&format!("affs{n}"))?.into_boxed_str())))
        .collect();
    Ok(RootRequest {
        method,
        conversion_type,
        source: fields
            .read_with("source", Source::named)?
            .ok_or("no source")?,
        offer: fields.token("offer_id")?.ok_or("no offer_id")?,
        affiliate: fields.token("affiliate_id")?.ok_or("no affiliate_id")?,
        channel: fields.token("channel")?,
        integration: fields.token("integration")?,
        affs,
        affiliate_click_id: fields
            .take("affiliate_click_id")
            .map(String::into_boxed_str),
        external_id: fields.token("external_id")?,
        value: fields.read_with("value", |text| text.parse().ok())?,
        params: fields.params(),
    })
}

fn read_edit(mut fields: Fields) -> Result<Edit, String> {
    Ok(Edit {
        transaction_id: fields.parsed("transaction_id")?,
        result: fields.read_with("result", TransactionResult::named)?,
        revenue: fields.read_with("revenue", |text| text.parse().ok())?,
        payout: fields.read_with("payout", |text| text.parse().ok())?,
        reason: fields.take("reason").unwrap_or_default().into_boxed_str(),
    })
}

/// A form-encoded text in the making.
#[derive(Default)]
struct Text(String);

impl Text {
    fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.extend(utf8_percent_encode(name, KEPT));
        self.0.push('=');
        self.0.extend(utf8_percent_encode(value, KEPT));
    }

    fn maybe(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.push(name, value);
        }
    }
}

/// The fields of a form-encoded text, taken one by one.
struct Fields(BTreeMap<String, String>);

impl Fields {
    fn read(text: &str) -> Result<Self, String> {
        let decoded = |piece: &str| {
            let text = percent_decode_str(piece).decode_utf8();
            text.map(|text| text.into_owned())
                .map_err(|_| format!("`{piece}` is not UTF-8"))
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let fields = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        });
        fields.collect::<Result<_, String>>().map(Self)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn read_with<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        read(&text)
            .map(Some)
            .ok_or_else(|| format!("`{text}` as {name}"))
    }

    fn token<T: TryFrom<Box<str>>>(&mut self, name: &str) -> Result<Option<T>, String> {
        self.read_with(name, |text| T::try_from(text.into()).ok())
    }

    fn parsed<T: std::str::FromStr>(&mut self, name: &str) -> Result<T, String> {
        let found = self.read_with(name, |text| text.parse().ok())?;
        found.ok_or_else(|| format!("no {name}"))
    }

    /// What is left: the params.
    fn params(self) -> Params {
        let params = self.0.into_iter().filter_map(|(name, value)| {
            let name = name.strip_prefix(PARAM)?;
            Some((name.into(), value.into_boxed_str()))
        });
        params.collect()
    }
}
