-- When an entry was written, in milliseconds since 1970: what propagation is measured by. `at` stays, and old entries
-- have nothing else. By a trigger, because a column that is added cannot have such a default; with julianday and not
-- with unixepoch('subsec'), so that it works in an operator's sqlite3 of 2021.
ALTER TABLE key_changes ADD COLUMN at_ms INTEGER;
CREATE TRIGGER key_changes_at_ms AFTER INSERT ON key_changes WHEN NEW.at_ms IS NULL
BEGIN
  UPDATE key_changes SET at_ms = CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)
  WHERE seq = NEW.seq;
END;

-- Every running server, and how far it has followed the log. Each writes its own row and takes it away when it ends;
-- what is left of one that ended otherwise goes when another writes.
CREATE TABLE instances (
  id         TEXT    NOT NULL PRIMARY KEY,          -- UUID v7, made at each start
  name       TEXT    NOT NULL,                      -- what people call it; not unique
  started_at INTEGER NOT NULL,
  seen_at_ms INTEGER NOT NULL,                      -- when it last wrote this row, in milliseconds
  applied    INTEGER NOT NULL,                      -- every entry of key_changes up to this one is in force there
  heard_ms   INTEGER NOT NULL,                      -- silent for longer, it has ended or is cut off from here;
  serves_ms  INTEGER NOT NULL                       -- silent for longer, it serves no key in any case
) STRICT;

-- Until when every instance is asked to write its row whenever it has applied a change: while somebody waits for it.
CREATE TABLE positions_wanted (
  one        INTEGER PRIMARY KEY CHECK (one = 1),   -- there is one, or none
  until_ms   INTEGER NOT NULL                       -- in milliseconds since 1970
) STRICT;
