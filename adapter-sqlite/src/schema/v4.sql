-- Schema version 4: log rows are numbered.

-- A table keyed by numbers that rise writes half the pages of one keyed by ids that rise. Ids rise
-- with the numbers, and are found by halving (numbers.rs).
ALTER TABLE requests RENAME TO requests_by_id;

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

INSERT INTO requests (id, tenant, received_at, method, dialect, remote_addr, query, ruleset,
    outcome, reason, conversion, more)
SELECT id, tenant, received_at, method, dialect, remote_addr, query, ruleset, outcome, reason,
    conversion, more
FROM requests_by_id ORDER BY id;

DROP TABLE requests_by_id;
