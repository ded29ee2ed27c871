-- Schema version 7: conversions under their root rest in a middle table before they move into
-- `under_root` (under_root.rs).

CREATE TABLE under_root_young (
    root BLOB NOT NULL,
    type TEXT NOT NULL,
    id   BLOB NOT NULL,
    PRIMARY KEY (root, type, id)
) STRICT, WITHOUT ROWID;

-- How often it took rows since those that it held last moved on.
ALTER TABLE under_root_upto ADD COLUMN generations INTEGER NOT NULL DEFAULT 0;
