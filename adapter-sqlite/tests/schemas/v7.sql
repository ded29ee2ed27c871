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
CREATE TABLE audit (
    number  INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    -- The name; empty: all tenants.
    tenant  TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL,
    hash    BLOB NOT NULL
) STRICT;
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
CREATE TABLE conversions_apart (
    id     BLOB PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX conversions_of_pair ON conversions (tenant, pair, type, id) WHERE pair IS NOT NULL;
CREATE INDEX conversions_pair_root ON conversions (tenant, pair, ifnull(root, id), type, id)
    WHERE pair IS NOT NULL;
CREATE TABLE counters (
    root       BLOB NOT NULL,
    tenant     INTEGER NOT NULL,
    commission TEXT NOT NULL,
    made       INTEGER NOT NULL,
    PRIMARY KEY (root, commission)
) STRICT, WITHOUT ROWID;
CREATE TABLE erased (
    root BLOB PRIMARY KEY NOT NULL,
    at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE import_counts (
    import  INTEGER NOT NULL REFERENCES imports (id),
    outcome INTEGER NOT NULL,
    -- -1: none.
    reason  INTEGER NOT NULL,
    rows    INTEGER NOT NULL,
    PRIMARY KEY (import, outcome, reason)
) STRICT, WITHOUT ROWID;
CREATE TABLE import_refusals (
    import  INTEGER NOT NULL,
    offset  INTEGER NOT NULL,
    line    INTEGER NOT NULL,
    request BLOB NOT NULL,
    PRIMARY KEY (import, offset)
) STRICT, WITHOUT ROWID;
CREATE TABLE import_rounds (
    tenant     INTEGER NOT NULL,
    -- The SHA-256 of the content.
    hash       BLOB NOT NULL,
    -- Equal for the files of one round.
    round      INTEGER NOT NULL,
    name       TEXT NOT NULL,
    began_at   INTEGER NOT NULL,
    -- Imports up to this id were there before the round.
    newer_than INTEGER NOT NULL,
    is_done    INTEGER NOT NULL,
    PRIMARY KEY (tenant, hash)
) STRICT, WITHOUT ROWID;
CREATE TABLE imports (
    id         INTEGER PRIMARY KEY,
    tenant     INTEGER NOT NULL,
    name       TEXT NOT NULL,
    -- The SHA-256 of the content.
    hash       BLOB NOT NULL,
    started_at INTEGER NOT NULL,
    rows       INTEGER NOT NULL,
    -- Where the next row begins.
    line       INTEGER NOT NULL,
    offset     INTEGER NOT NULL
) STRICT;
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
CREATE INDEX messages_delayed ON messages (conversion, tracking_api, transaction_id, id)
    WHERE is_delayed = 1;
CREATE INDEX messages_due ON messages (destination, ifnull(lease_until, due_at), id, standing)
    WHERE standing = 0 OR standing = 3;
CREATE INDEX messages_leased ON messages (id) WHERE lease_until IS NOT NULL;
CREATE INDEX messages_of_conversion ON messages (conversion, tracking_api, sequence);
CREATE INDEX messages_standing ON messages (standing, id)
    WHERE standing = 1 OR standing = 4 OR standing = 5;
CREATE TABLE probe (filler BLOB NOT NULL) STRICT;
CREATE TABLE pruned (upto BLOB NOT NULL) STRICT;
CREATE TABLE repeat_keys (
    tenant     INTEGER NOT NULL,
    key        BLOB NOT NULL,
    conversion BLOB NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE requests (
    number      INTEGER PRIMARY KEY,
    id          BLOB NOT NULL,
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
CREATE TABLE tenants (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    currency TEXT NOT NULL,
    -- The version of the rules that decides, or decided last.
    ruleset  INTEGER NOT NULL
) STRICT;
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
    revision        INTEGER NOT NULL, direct_original INTEGER, direct_currency TEXT,
    -- The second guard behind the decision: a commission pays once for a conversion.
    PRIMARY KEY (conversion, commission)
) STRICT, WITHOUT ROWID;
CREATE INDEX transactions_due ON transactions (tenant, auto_set_at, id)
    WHERE auto_set_at IS NOT NULL;
CREATE INDEX transactions_made_later ON transactions (id)
    WHERE substr(id, 1, 14) <> substr(conversion, 1, 14);
CREATE TABLE under_root (
    root BLOB NOT NULL,
    type TEXT NOT NULL,
    id   BLOB NOT NULL,
    PRIMARY KEY (root, type, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE under_root_upto (id BLOB NOT NULL, generations INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE under_root_young (
    root BLOB NOT NULL,
    type TEXT NOT NULL,
    id   BLOB NOT NULL,
    PRIMARY KEY (root, type, id)
) STRICT, WITHOUT ROWID;
-- rows
INSERT INTO under_root_upto VALUES (x'', 0);
INSERT INTO tenants VALUES (1, 'acme', 'EUR', 1);
INSERT INTO rulesets VALUES (1, 1, X'C75263E0DE8B44B4CE874ADDBA51B9E0BD335A33B7D6835F3937FA61A1F89630', 0, '
tenant   = "acme"
currency = "EUR"

[[conversion_type]]
name = "deposit"

[[advertiser]]
id   = "shoply"
name = "Shoply"

[[advertiser]]
id   = "other"
name = "Other"

[[affiliate]]
id   = "bo"
name = "Blogger Bo"

[[offer]]
id         = "shoply-cz"
name       = "Shoply Czechia"
advertiser = "shoply"
url        = "https://shoply.example/?pcid={pcid}"

[[offer]]
id         = "other-de"
name       = "Other Germany"
advertiser = "other"
url        = "https://other.example/"

[[commission]]
id      = "sale-10"
type    = "sale"
revenue = { percent = "10" }
payout  = { percent_of_revenue = "50" }

[[commission]]
id      = "lead-once"
type    = "lead"
revenue = { fixed = "20" }
payout  = { fixed = "12" }
recurrence = 1
auto_set = { result = "approved", after = "30d" }

[[commission]]
id      = "deposit-2"
type    = "deposit"
revenue = { percent = "2" }
recurrence = 2

[[postback]]
id = "per-click"
dedup = { key = "click", on_repeat = "update" }

[[postback]]
id = "per-order"
dedup = { key = "click+external", on_repeat = "add" }

[[postback]]
id = "unkeyed"
dedup = { key = "none" }

[[exchange_rate]]
from = "USD"
rate = "0.92"
', 1767225600000);
INSERT INTO conversions VALUES (7238556057602009, X'019B76DAA80077D99939C86027B71000', 1, NULL, 'click', 8, 0, 'shoply-cz', 'shoply', 'bo', NULL, NULL, NULL, NULL, NULL, 'EUR', NULL, NULL, 1767225600000, 1767225600000, 1, 1, NULL);
INSERT INTO conversions VALUES (7238556057605677, X'019B76DAA801762D8B0DB9939A7A1000', 1, X'019B76DAA80077D99939C86027B71000', 'sale', 0, NULL, NULL, NULL, NULL, NULL, NULL, 'o1', 9200000, NULL, 'USD', X'0100000180DAC4090355534400000103555344B801020000', NULL, 1767225600001, 1767225600003, 2, 1, NULL);
INSERT INTO repeat_keys VALUES (1, X'A85CE391E3BCCBF225FFBCB4443F54C2', X'019B76DAA801762D8B0DB9939A7A1000');
INSERT INTO transactions VALUES (X'019B76DAA801762D8B0DB9939A7A1000', X'019B76DAA801762D8B0DB9939A7A2000', 1, 'sale-10', 'sale', 1, 920000, 460000, 'EUR', X'0101140002640001', NULL, 0, 0, NULL, NULL, 1767225600001, 1767225600003, 2, NULL, NULL);
INSERT INTO requests VALUES (NULL, X'019B76DAA801762D8B0DB9939A7A0000', 1, 1767225600001, 0, NULL, NULL, 'pcid=019b76da-a800-77d9-9939-c86027b71000&type=sale&external_id=o1&value=10&currency=USD', 1, 0, NULL, X'019B76DAA801762D8B0DB9939A7A1000', X'010A00010305000007019B76DAA80077D99939C86027B7100000080A00000F050200010202010000110080DAC40903555344B80102008086E30814019B76DAA801762D8B0DB9939A7A2000000313019B76DAA801762D8B0DB9939A7A2000000214008086E30880A77013019B76DAA801762D8B0DB9939A7A20000104640080A770C093380001019B76DAA801762D8B0DB9939A7A200000');
INSERT INTO requests VALUES (NULL, X'019B76DAA802765A8F2FF0C51FBD0000', 1, 1767225600002, 0, NULL, NULL, 'pcid=019b76da-a800-77d9-9939-c86027b71000&type=sale&external_id=o1&value=10', 1, 3, 21, X'019B76DAA801762D8B0DB9939A7A1000', X'010500010305000007019B76DAA80077D99939C86027B7100000080A0001019B76DAA801762D8B0DB9939A7A1000000001005074686520636F6E76657273696F6E206030313962373664612D613830312D373632642D386230642D6239393339613761313030306020776173206D616465206279207468652073616D6520636C61696D0122746F206368616E67652069742C2073656E642060616374696F6E3D75706461746560');
INSERT INTO requests VALUES (NULL, X'019B76DAA803773BAD06C5436AC70000', 1, 1767225600003, 0, NULL, NULL, 'pcid=019b76da-a800-77d9-9939-c86027b71000&action=update&type=sale&result=approved', 1, 1, NULL, X'019B76DAA801762D8B0DB9939A7A1000', X'010600010305010107019B76DAA80077D99939C86027B7100000080E019B76DAA801762D8B0DB9939A7A10000217019B76DAA801762D8B0DB9939A7A200000010001019B76DAA801762D8B0DB9939A7A200000');
INSERT INTO pruned VALUES (X'');
