-- Schema version 1.
--
-- Ids are the 16 bytes of a UUIDv7, so that tables grow at their right edge; the repeat key and
-- the root in `under_root` are the only values that come in random order.
-- Amounts are micro-units (1.00 is 1000000), times are milliseconds since 1970 in UTC, small
-- enumerations are the codes of codes.rs, blobs other than ids and keys are the forms of blobs.rs.

CREATE TABLE tenants (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    currency TEXT NOT NULL,
    -- The version of the rules that decides, or decided last.
    ruleset  INTEGER NOT NULL
) STRICT;

CREATE TABLE rulesets (
    tenant       INTEGER NOT NULL REFERENCES tenants (id),
    version      INTEGER NOT NULL,
    hash         BLOB NOT NULL,
    format       INTEGER NOT NULL,
    text         TEXT NOT NULL,
    installed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE conversions (
    id          BLOB PRIMARY KEY NOT NULL,
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
) STRICT, WITHOUT ROWID;

-- Which conversions stand under a root: an index over `conversions` that is kept behind the writes
-- (under_root.rs).
CREATE TABLE under_root (
    root BLOB NOT NULL,
    type TEXT NOT NULL,
    id   BLOB NOT NULL,
    PRIMARY KEY (root, type, id)
) STRICT, WITHOUT ROWID;

-- Conversions up to this id have their row in it; of later ones it may hold some.
CREATE TABLE under_root_upto (id BLOB NOT NULL) STRICT;
INSERT INTO under_root_upto VALUES (x'');

CREATE INDEX conversions_of_pair ON conversions (tenant, pair, type) WHERE pair IS NOT NULL;

-- By root too: one pair may be carried by very many.
CREATE INDEX conversions_pair_root ON conversions (tenant, pair, ifnull(root, id), type)
    WHERE pair IS NOT NULL;

CREATE TABLE repeat_keys (
    tenant     INTEGER NOT NULL,
    key        BLOB NOT NULL,
    conversion BLOB NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE transactions (
    conversion      BLOB NOT NULL REFERENCES conversions (id),
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

-- A transaction shares its first 14 bytes with the conversion that was made by the same request,
-- and is found by them; the others are found here.
CREATE INDEX transactions_made_later ON transactions (id)
    WHERE substr(id, 1, 14) <> substr(conversion, 1, 14);

CREATE INDEX transactions_due ON transactions (tenant, auto_set_at, id)
    WHERE auto_set_at IS NOT NULL;

-- Kept only for commissions with a recurrence limit.
CREATE TABLE counters (
    root       BLOB NOT NULL,
    tenant     INTEGER NOT NULL,
    commission TEXT NOT NULL,
    made       INTEGER NOT NULL,
    PRIMARY KEY (root, commission)
) STRICT, WITHOUT ROWID;

-- Append only. Clicks of affiliate links are their own record and have no row here.
CREATE TABLE requests (
    id          BLOB PRIMARY KEY NOT NULL,
    tenant      INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    method      INTEGER NOT NULL,
    dialect     TEXT,
    remote_addr TEXT,
    query       TEXT NOT NULL,
    ruleset     INTEGER NOT NULL,
    outcome     INTEGER NOT NULL,
    reason      INTEGER,
    conversion  BLOB,
    more        BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What is told to other systems (R40 to R46), and of what standing it is. That one is being sent is
-- told by its lease alone: when the lease ends it stands as before.
CREATE TABLE messages (
    id            BLOB PRIMARY KEY NOT NULL,
    tenant        INTEGER NOT NULL,
    -- The version of the rules of its event.
    ruleset       INTEGER NOT NULL,
    -- What makes it: a tracking API, or a step of a postback definition.
    tracking_api  TEXT,
    postback      TEXT,
    step          INTEGER,
    -- The affiliate whose tracking API it is; NULL: the tenant's own.
    owner         TEXT,
    event         INTEGER,
    conversion    BLOB NOT NULL,
    transaction_id BLOB,
    -- NULL: steps, and what is not rendered yet.
    sequence      INTEGER,
    standing      INTEGER NOT NULL,
    -- Why it is dead.
    reason        INTEGER,
    due_at        INTEGER NOT NULL,
    destination   TEXT NOT NULL,
    request       BLOB,
    depth         INTEGER NOT NULL,
    -- 1: made without a request, for a delayed tracking API (R43).
    is_delayed    INTEGER NOT NULL,
    -- Of a delayed one, once it was rendered or dropped: the newest request by then. It places the
    -- moment in the history of decisions, as `replay` needs it.
    settled_after BLOB,
    fence         INTEGER NOT NULL,
    lease_until   INTEGER,
    attempts      INTEGER NOT NULL,
    delivery_retries INTEGER NOT NULL,
    polls         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What can be claimed, by destination: a claim takes the oldest of each. What is held, waits for
-- another, or has ended is not in it, so that it is as long as the backlog. The standing is there
-- for counting without the rows.
CREATE INDEX messages_due ON messages (destination, ifnull(lease_until, due_at), id, standing)
    WHERE standing = 0 OR standing = 3;

-- What is being sent: few at any time. All of it is due again when the database is opened.
CREATE INDEX messages_leased ON messages (id) WHERE lease_until IS NOT NULL;

-- What was told of a conversion before, the order of its messages (R44), and lists of them.
CREATE INDEX messages_of_conversion ON messages (conversion, tracking_api, sequence);

-- The newest delayed message about a transaction (R43). Others have no row in it.
CREATE INDEX messages_delayed ON messages (conversion, tracking_api, transaction_id, id)
    WHERE is_delayed = 1;

-- What waits for something other than its time, and what is dead: lists and numbers of them. What
-- is delivered at once never has a row in it.
CREATE INDEX messages_standing ON messages (standing, id)
    WHERE standing = 1 OR standing = 4 OR standing = 5;

CREATE TABLE attempts (
    message    BLOB NOT NULL,
    number     INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    -- Milliseconds.
    took       INTEGER NOT NULL,
    outcome    INTEGER NOT NULL,
    status     INTEGER,
    error      TEXT,
    response   TEXT,
    -- Parameters that the answer should have set and did not; NULL: none.
    unmapped   BLOB,
    PRIMARY KEY (message, number)
) STRICT, WITHOUT ROWID;

-- Written and emptied again to see whether the disk takes writes.
CREATE TABLE probe (filler BLOB NOT NULL) STRICT;
