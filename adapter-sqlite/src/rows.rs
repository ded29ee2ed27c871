//! Conversions and transactions as rows.

use std::sync::LazyLock;

use counterfoil_core::{
    AdvertiserId, AffiliateId, Amount, Channel, CommissionId, Conversion, ConversionId,
    ConversionType, Currency, DueResult, ExternalId, Integration, Method, OfferId, Origin, PairKey,
    Received, Root, Source, Stored, Timestamp, Transaction, TransactionId, TransactionResult,
    TypeName,
};
use rusqlite::{Connection, OptionalExtension, Row, params, types::FromSql};

use crate::{
    blobs::{self, ConversionMore},
    codes::Coded,
    effects::Place,
    fault::{Fault, bad},
    numbers::{self, Free, IS_IT, Table},
    together::{Insert, Values},
};

/// The columns of a conversion, in the order in which [`read_conversion`] takes them.
pub(crate) const CONVERSION: &str = "id, root, type, method, source, offer, advertiser, \
     affiliate, channel, integration, external_id, value, price, currency, more, created_at, \
     updated_at, revision";

/// The columns of a transaction, in the order in which [`read_transaction`] takes them.
pub(crate) const TRANSACTION: &str = "conversion, id, commission, type, result, revenue, payout, \
     currency, terms, direct_amount, revenue_edited, payout_edited, auto_set_at, \
     auto_set_result, created_at, updated_at, revision, direct_original, direct_currency";

static INSERT_CONVERSION: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new("conversions", &format!("number, {CONVERSION}, tenant, ruleset, pair"), "")
});

/// Stores new conversions.
pub(crate) fn insert_conversions(
    db: &Connection,
    new: &[(Place<'_>, &Stored)],
) -> Result<(), Fault> {
    let mut numbers = Free::of(db)?;
    let numbered = new
        .iter()
        .map(|(place, stored)| (numbers.take(stored.conversion.id.as_bytes()), place, *stored));
    let numbered: Vec<_> = numbered.collect();
    INSERT_CONVERSION.write(db, &numbered, |(number, place, stored), values| {
        let Stored { conversion, pair, .. } = stored;
        let origin = conversion.origin.as_ref();
        values.row(&[
            number,
            conversion.id.as_bytes(),
            &(!conversion.is_root()).then(|| conversion.root_id.as_bytes()),
            &conversion.conversion_type.name(),
            &conversion.method.stored(),
            &origin.map(|o| o.source.stored()),
            &origin.map(|o| o.offer.as_str()),
            &origin.map(|o| o.advertiser.as_str()),
            &origin.map(|o| o.affiliate.as_str()),
            &origin.and_then(|o| o.channel.as_ref().map(Channel::as_str)),
            &origin.and_then(|o| o.integration.as_ref().map(Integration::as_str)),
            &conversion.external_id.as_ref().map(ExternalId::as_str),
            &micros(conversion.value),
            &micros(conversion.price),
            &conversion.currency.code(),
            &blobs::encode_conversion(&ConversionMore::of(conversion))?,
            &conversion.created_at.as_ms(),
            &conversion.updated_at.as_ms(),
            &conversion.revision,
            &place.tenant,
            &place.version,
            &pair.as_ref().map(PairKey::as_bytes),
        ])
    })?;
    numbered
        .iter()
        .try_for_each(|(number, _, new)| numbers::keep(db, new.conversion.id.as_bytes(), *number))
}

/// Replaces what can change about a conversion.
pub(crate) fn update_conversion(
    db: &Connection,
    conversion: &Conversion,
    pair: Option<&PairKey>,
) -> Result<(), Fault> {
    let rows = db
        .prepare_cached(
            "UPDATE conversions SET type = ?2, external_id = ?3, value = ?4, price = ?5, \
         currency = ?6, more = ?7, updated_at = ?8, revision = ?9, pair = ifnull(?10, pair), \
                 first_more = iif(method = 8 AND revision = 1, ifnull(more, x''), first_more) \
                 WHERE number = ?1",
        )?
        .execute(params![
            numbers::find(db, Table::Conversions, conversion.id.as_bytes())?,
            conversion.conversion_type.name(),
            conversion.external_id.as_ref().map(ExternalId::as_str),
            micros(conversion.value),
            micros(conversion.price),
            conversion.currency.code(),
            blobs::encode_conversion(&ConversionMore::of(conversion))?,
            conversion.updated_at.as_ms(),
            conversion.revision,
            pair.map(PairKey::as_bytes),
        ])?;
    if rows == 1 { Ok(()) } else { Err(bad("conversions", conversion.id)) }
}

static INSERT_TRANSACTION: LazyLock<Insert> =
    LazyLock::new(|| Insert::new("transactions", &format!("{TRANSACTION}, tenant"), ""));

/// Stores new transactions.
pub(crate) fn insert_transactions(
    db: &Connection,
    new: &[(Place<'_>, &Transaction)],
) -> Result<(), Fault> {
    INSERT_TRANSACTION.write(db, new, |(place, transaction), values| {
        give_transaction(place.tenant, transaction, values)
    })?;
    Ok(())
}

/// Replaces a transaction by its new state.
pub(crate) fn update_transaction(
    db: &Connection,
    tenant: i64,
    transaction: &Transaction,
) -> Result<(), Fault> {
    let sql = "UPDATE transactions SET commission = ?3, type = ?4, result = ?5, revenue = ?6, \
         payout = ?7, currency = ?8, terms = ?9, direct_amount = ?10, revenue_edited = ?11, \
         payout_edited = ?12, auto_set_at = ?13, auto_set_result = ?14, created_at = ?15, \
         updated_at = ?16, revision = ?17, direct_original = ?18, direct_currency = ?19 \
         WHERE conversion = ?1 AND id = ?2 AND tenant = ?20";
    let mut statement = db.prepare_cached(sql)?;
    give_transaction(tenant, transaction, &mut Values::of(&mut statement))?;
    let rows = statement.raw_execute()?;
    if rows == 1 { Ok(()) } else { Err(bad("transactions", transaction.id)) }
}

/// The columns of [`TRANSACTION`], and the tenant.
fn give_transaction(
    tenant: i64,
    transaction: &Transaction,
    values: &mut Values<'_, '_>,
) -> Result<(), Fault> {
    let due = transaction.auto_set;
    let original = transaction.direct_amount.and_then(|direct| direct.original);
    values.row(&[
        transaction.conversion_id.as_bytes(),
        transaction.id.as_bytes(),
        &transaction.commission_id.as_str(),
        &transaction.transaction_type.name(),
        &transaction.result.stored(),
        &transaction.revenue.as_micros(),
        &transaction.payout.as_micros(),
        &transaction.currency.code(),
        &blobs::encode_terms(&transaction.terms)?,
        &micros(transaction.direct_amount),
        &transaction.revenue_is_edited,
        &transaction.payout_is_edited,
        &due.map(|due| due.at.as_ms()),
        &due.map(|due| due.result.stored()),
        &transaction.created_at.as_ms(),
        &transaction.updated_at.as_ms(),
        &transaction.revision,
        &original.map(|(amount, _)| amount.as_micros()),
        &original.as_ref().map(|(_, currency)| currency.code()),
        &tenant,
    ])
}

fn micros(received: Option<Received>) -> Option<i64> {
    received.map(|received| received.amount.as_micros())
}

/// The conversion of an id, where the tenant has it.
pub(crate) fn conversion(
    db: &Connection,
    tenant: i64,
    id: &ConversionId,
) -> Result<Option<Conversion>, Fault> {
    static SQL: LazyLock<String> =
        LazyLock::new(|| format!("SELECT {CONVERSION}, tenant FROM conversions WHERE {IS_IT}"));
    let found = numbers::conversion(db, &SQL, id.as_bytes(), |row| {
        let is_theirs = row.get::<_, i64>(18)? == tenant;
        is_theirs.then(|| read_conversion(row)).transpose()
    })?;
    Ok(found.flatten())
}

/// What an id of a conversion stands for.
pub(crate) enum Named {
    /// A root.
    Root(Root),
    /// A conversion under this root.
    Under(ConversionId),
}

/// What an id stands for, where the tenant has it: every request asks this, and of a root it needs
/// half of the columns.
pub(crate) fn named(
    db: &Connection,
    tenant: i64,
    id: &ConversionId,
) -> Result<Option<Named>, Fault> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT created_at, root, type, more, source, offer, advertiser, affiliate, channel, \
             integration, tenant FROM conversions WHERE {IS_IT}"
        )
    });
    let found = numbers::conversion(db, &SQL, id.as_bytes(), |row| {
        if row.get::<_, i64>(10)? != tenant {
            return Ok(None);
        }
        if let Some(root) = row.get::<_, Option<[u8; 16]>>(1)? {
            return Ok(Some(Named::Under(ConversionId::from_bytes(root))));
        }
        let more = blobs::decode_conversion(row.get_ref(3)?.as_blob_or_null().map_err(sql_error)?)?;
        Ok(Some(Named::Root(Root {
            id: *id,
            conversion_type: read_type(row, 2)?,
            origin: read_origin(row, &more)?,
            created_at: time(row, 0)?,
        })))
    })?;
    Ok(found.flatten())
}

/// All transactions of a conversion, oldest first.
pub(crate) fn transactions(
    db: &Connection,
    conversion: &ConversionId,
) -> Result<Vec<Transaction>, Fault> {
    static SQL: LazyLock<String> =
        LazyLock::new(|| format!("SELECT {TRANSACTION} FROM transactions WHERE conversion = ?1"));
    let mut statement = db.prepare_cached(&SQL)?;
    let mut rows = statement.query(params![conversion.as_bytes()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read_transaction(row)?);
    }
    found.sort_unstable_by_key(|transaction| transaction.id);
    Ok(found)
}

/// The first row of a query, read by `read`.
pub(crate) fn one<T>(
    db: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// The first column of the first row of a query.
pub(crate) fn value<T: FromSql>(
    db: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Option<T>, Fault> {
    Ok(db.prepare_cached(sql)?.query_row(params, |row| row.get(0)).optional()?)
}

/// A conversion from the columns of [`CONVERSION`].
pub(crate) fn read_conversion(row: &Row<'_>) -> Result<Conversion, Fault> {
    let id = ConversionId::from_bytes(row.get(0)?);
    let more = blobs::decode_conversion(row.get_ref(14)?.as_blob_or_null().map_err(sql_error)?)?;
    let root: Option<[u8; 16]> = row.get(1)?;
    let origin = if root.is_none() { Some(read_origin(row, &more)?) } else { None };
    Ok(Conversion {
        id,
        root_id: root.map_or(id, ConversionId::from_bytes),
        conversion_type: read_type(row, 2)?,
        method: coded::<Method>(row, 3, "method")?,
        origin,
        external_id: text(row, 10, "external_id", |t| ExternalId::new(t).ok())?,
        value: received(row, 11, more.value_original)?,
        price: received(row, 12, more.price_original)?,
        untaken_commission: more.untaken_commission,
        currency: read_currency(row, 13)?,
        rates: more.rates.into_owned(),
        params: more.params.into_owned(),
        exhausted: more.exhausted.into_owned(),
        created_at: time(row, 15)?,
        updated_at: time(row, 16)?,
        revision: row.get(17)?,
    })
}

/// Where a root came from, from the columns 4 to 9 of [`CONVERSION`].
fn read_origin(row: &Row<'_>, more: &ConversionMore<'_>) -> Result<Origin, Fault> {
    let missing = |column| move || bad(column, "NULL");
    Ok(Origin {
        source: coded::<Source>(row, 4, "source")?,
        offer: text(row, 5, "offer", |t| OfferId::new(t).ok())?.ok_or_else(missing("offer"))?,
        advertiser: text(row, 6, "advertiser", |t| AdvertiserId::new(t).ok())?
            .ok_or_else(missing("advertiser"))?,
        affiliate: text(row, 7, "affiliate", |t| AffiliateId::new(t).ok())?
            .ok_or_else(missing("affiliate"))?,
        channel: text(row, 8, "channel", |t| Channel::new(t).ok())?,
        integration: text(row, 9, "integration", |t| Integration::new(t).ok())?,
        affs: more.affs.to_vec(),
        affiliate_click_id: more.affiliate_click_id.clone(),
    })
}

/// A transaction from the columns of [`TRANSACTION`].
pub(crate) fn read_transaction(row: &Row<'_>) -> Result<Transaction, Fault> {
    let due_at: Option<i64> = row.get(12)?;
    let auto_set = match due_at {
        Some(at) => Some(DueResult {
            at: Timestamp::from_ms(at),
            result: coded::<TransactionResult>(row, 13, "auto_set_result")?,
        }),
        None => None,
    };
    Ok(Transaction {
        id: TransactionId::from_bytes(row.get(1)?),
        conversion_id: ConversionId::from_bytes(row.get(0)?),
        commission_id: text(row, 2, "commission", |t| CommissionId::new(t).ok())?
            .ok_or_else(|| bad("commission", "NULL"))?,
        transaction_type: read_type(row, 3)?,
        result: coded::<TransactionResult>(row, 4, "result")?,
        revenue: amount(row.get(5)?)?,
        payout: amount(row.get(6)?)?,
        currency: read_currency(row, 7)?,
        terms: blobs::decode_terms(row.get_ref(8)?.as_blob().map_err(sql_error)?)?,
        direct_amount: read_direct(row)?,
        revenue_is_edited: row.get(10)?,
        payout_is_edited: row.get(11)?,
        auto_set,
        created_at: time(row, 14)?,
        updated_at: time(row, 15)?,
        revision: row.get(16)?,
    })
}

/// The direct amount of a transaction; how it came, where that was in another currency.
fn read_direct(row: &Row<'_>) -> Result<Option<Received>, Fault> {
    let Some(direct) = row.get::<_, Option<i64>>(9)? else {
        return Ok(None);
    };
    let original = match row.get::<_, Option<i64>>(17)? {
        Some(original) => Some((amount(original)?, read_currency(row, 18)?)),
        None => None,
    };
    Ok(Some(Received { amount: amount(direct)?, original }))
}

/// A word that is stored as a code.
pub(crate) fn coded<T: Coded>(row: &Row<'_>, index: usize, column: &str) -> Result<T, Fault> {
    let code: i64 = row.get(index)?;
    T::of_stored(code).ok_or_else(|| bad(column, code))
}

/// A moment.
pub(crate) fn time(row: &Row<'_>, index: usize) -> Result<Timestamp, Fault> {
    Ok(Timestamp::from_ms(row.get(index)?))
}

/// A conversion type by its name.
pub(crate) fn type_named(name: &str) -> Option<ConversionType> {
    ConversionType::built_in(name).or_else(|| TypeName::new(name).ok().map(ConversionType::Custom))
}

fn read_type(row: &Row<'_>, index: usize) -> Result<ConversionType, Fault> {
    text(row, index, "type", type_named)?.ok_or_else(|| bad("type", "NULL"))
}

fn read_currency(row: &Row<'_>, index: usize) -> Result<Currency, Fault> {
    text(row, index, "currency", |t| t.parse().ok())?.ok_or_else(|| bad("currency", "NULL"))
}

/// A text that is read as something.
pub(crate) fn text<T>(
    row: &Row<'_>,
    index: usize,
    column: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Fault> {
    match row.get_ref(index)?.as_str_or_null().map_err(sql_error)? {
        Some(text) => read(text).map(Some).ok_or_else(|| bad(column, text)),
        None => Ok(None),
    }
}

fn received(
    row: &Row<'_>,
    index: usize,
    original: Option<(Amount, Currency)>,
) -> Result<Option<Received>, Fault> {
    let micros: Option<i64> = row.get(index)?;
    micros.map(|micros| Ok(Received { amount: amount(micros)?, original })).transpose()
}

fn amount(micros: i64) -> Result<Amount, Fault> {
    Amount::from_micros(micros).map_err(|_| bad("an amount", micros))
}

fn sql_error(error: rusqlite::types::FromSqlError) -> Fault {
    Fault::Row(error.to_string())
}
