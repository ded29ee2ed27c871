-- Schema version 2: imports, and what is kept of retention, erasure and administrative changes.

-- Files that were imported, each with how far it came. What became of its rows and which were
-- refused is kept with them; the rows themselves are requests.
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

-- Administrative changes, each hashed with the one before it (audit.rs). Append only.
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

-- One row: requests, messages and clicks up to this id may be gone.
CREATE TABLE pruned (upto BLOB NOT NULL) STRICT;
INSERT INTO pruned VALUES (x'');

-- Roots whose personal content was erased, with all that is under them.
CREATE TABLE erased (
    root BLOB PRIMARY KEY NOT NULL,
    at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
