-- Schema version 5: conversions are keyed by numbers that follow from their ids (numbers.rs).

-- As before, but without a foreign key: that would need a unique index on `conversions.id`.
ALTER TABLE transactions RENAME TO transactions_of_4;

CREATE TABLE transactions (
    conversion      BLOB NOT NULL,
    id              BLOB NOT NULL,
    tenant          INTEGER NOT NULL,
    commission      TEXT NOT NULL,
    type            TEXT NOT NULL,
    result          INTEGER NOT NULL,
    revenue         INTEGER NOT NULL,
    payout          INTEGER NOT NULL,
    currency        TEXT NOT NULL,
    terms           BLOB NOT NULL,
    direct_amount   INTEGER,
    revenue_edited  INTEGER NOT NULL,
    payout_edited   INTEGER NOT NULL,
    auto_set_at     INTEGER,
    auto_set_result INTEGER,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    revision        INTEGER NOT NULL,
    -- The second guard behind the decision: a commission pays once for a conversion.
    PRIMARY KEY (conversion, commission)
) STRICT, WITHOUT ROWID;

INSERT INTO transactions (conversion, id, tenant, commission, type, result, revenue, payout,
    currency, terms, direct_amount, revenue_edited, payout_edited, auto_set_at, auto_set_result,
    created_at, updated_at, revision)
SELECT conversion, id, tenant, commission, type, result, revenue, payout, currency, terms,
    direct_amount, revenue_edited, payout_edited, auto_set_at, auto_set_result, created_at,
    updated_at, revision
FROM transactions_of_4 ORDER BY conversion, commission;

DROP TABLE transactions_of_4;

-- A transaction shares its first 14 bytes with the conversion that was made by the same request,
-- and is found by them; the others are found here.
CREATE INDEX transactions_made_later ON transactions (id)
    WHERE substr(id, 1, 14) <> substr(conversion, 1, 14);

CREATE INDEX transactions_due ON transactions (tenant, auto_set_at, id)
    WHERE auto_set_at IS NOT NULL;

ALTER TABLE conversions RENAME TO conversions_of_4;

CREATE TABLE conversions (
    number      INTEGER PRIMARY KEY,
    id          BLOB NOT NULL,
    tenant      INTEGER NOT NULL,
    -- NULL: it is a root itself.
    root        BLOB,
    type        TEXT NOT NULL,
    method      INTEGER NOT NULL,
    -- From here to `integration`: only on roots.
    source      INTEGER,
    offer       TEXT,
    advertiser  TEXT,
    affiliate   TEXT,
    channel     TEXT,
    integration TEXT,
    external_id TEXT,
    value       INTEGER,
    price       INTEGER,
    currency    TEXT NOT NULL,
    more        BLOB,
    -- Advertiser and external id, where no repeat key tells them.
    pair        BLOB,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    -- The version of the rules that made it.
    ruleset     INTEGER NOT NULL,
    -- Only on clicks that were changed: `more` as it was made, empty for NULL. Clicks have no log
    -- row; with this the request that made one can be told.
    first_more  BLOB
) STRICT;

INSERT INTO conversions (number, id, tenant, root, type, method, source, offer, advertiser,
    affiliate, channel, integration, external_id, value, price, currency, more, pair, created_at,
    updated_at, revision, ruleset, first_more)
SELECT next_number(id), id, tenant, root, type, method, source, offer, advertiser, affiliate,
    channel, integration, external_id, value, price, currency, more, pair, created_at, updated_at,
    revision, ruleset, first_more
FROM conversions_of_4 ORDER BY id;

DROP TABLE conversions_of_4;

-- Conversions that stand on another number than that of their id.
CREATE TABLE conversions_apart (
    id     BLOB PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO conversions_apart
SELECT id, number FROM conversions WHERE number <> number_of(id) ORDER BY number;

CREATE INDEX conversions_of_pair ON conversions (tenant, pair, type, id) WHERE pair IS NOT NULL;

-- By root too: one pair may be carried by very many.
CREATE INDEX conversions_pair_root ON conversions (tenant, pair, ifnull(root, id), type, id)
    WHERE pair IS NOT NULL;
