-- Schema version 3: rounds, in which files are imported anew.

-- The files of rounds that have not ended. A content is in one round at most.
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
