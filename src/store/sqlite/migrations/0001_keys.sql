-- Every moment is whole seconds since 1970, UTC. Moments are made by strftime and not by unixepoch, so that the
-- triggers also work in an operator's sqlite3 of 2021.

CREATE TABLE orgs (
  id         TEXT    NOT NULL PRIMARY KEY,          -- UUID v7
  created_at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
) STRICT;

CREATE TABLE teams (
  id         TEXT    NOT NULL PRIMARY KEY,          -- UUID v7
  org_id     TEXT    NOT NULL REFERENCES orgs (id),
  name       TEXT    NOT NULL,
  is_default INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1)),
  created_at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
) STRICT;
CREATE UNIQUE INDEX teams_name ON teams (org_id, name);
CREATE UNIQUE INDEX teams_default ON teams (org_id) WHERE is_default = 1;

CREATE TABLE api_keys (
  id           TEXT    NOT NULL PRIMARY KEY,        -- UUID v7, lower case
  prefix       TEXT    NOT NULL UNIQUE,             -- public name of the key; safe to show
  digest       BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32), -- SHA-256 of the whole text
  old_digest   BLOB    UNIQUE CHECK (length(old_digest) = 32),      -- the text before the last rotation,
  old_until    INTEGER CHECK ((old_until IS NULL) = (old_digest IS NULL)), -- and until when it still works
  name         TEXT,
  category     TEXT    NOT NULL,                    -- PERSONAL, WORKSPACE_…; an unknown one permits nothing
  operation    TEXT,                                -- px0's word, where it says more than the category
  scope        TEXT,                                -- JSON list of model patterns; NULL = every model
  org_id       TEXT    NOT NULL REFERENCES orgs (id),
  team_id      TEXT    REFERENCES teams (id),
  owner        TEXT,
  created_at   INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)),
  expires_at   INTEGER,
  disabled_at  INTEGER,
  deleted_at   INTEGER,                             -- a tombstone: never listed, never works
  last_used_at INTEGER                              -- the one column whose changes are not logged
) STRICT;

-- A name is taken once among the live keys of a team, of an owner for personal keys. Keys without one are exempt.
CREATE UNIQUE INDEX api_keys_name ON api_keys (org_id, coalesce(team_id, ''), name)
  WHERE category <> 'PERSONAL' AND deleted_at IS NULL AND name IS NOT NULL;
CREATE UNIQUE INDEX api_keys_personal_name ON api_keys (org_id, coalesce(owner, ''), name)
  WHERE category = 'PERSONAL' AND deleted_at IS NULL AND name IS NOT NULL;
CREATE INDEX api_keys_newest ON api_keys (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX api_keys_team ON api_keys (team_id) WHERE deleted_at IS NULL;

-- One text is never the text of two keys, nor the present and the old one of the same key.
CREATE TRIGGER api_keys_insert_digest BEFORE INSERT ON api_keys
WHEN NEW.digest = NEW.old_digest
  OR EXISTS (SELECT 1 FROM api_keys WHERE old_digest = NEW.digest OR digest = NEW.old_digest)
BEGIN SELECT RAISE(ABORT, 'digest taken'); END;
CREATE TRIGGER api_keys_update_digest BEFORE UPDATE OF digest, old_digest ON api_keys
WHEN NEW.digest = NEW.old_digest
  OR EXISTS (SELECT 1 FROM api_keys WHERE id <> OLD.id AND (old_digest = NEW.digest OR digest = NEW.old_digest))
BEGIN SELECT RAISE(ABORT, 'digest taken'); END;

-- The change log: what may have changed, in order, whoever changed it. AUTOINCREMENT: a number is never given twice,
-- even after everything has been trimmed.
CREATE TABLE key_changes (
  seq    INTEGER PRIMARY KEY AUTOINCREMENT,
  digest BLOB    NOT NULL,
  at     INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
) STRICT;

-- Whatever is a week old goes when something is written: always the oldest, and few at a time, so that nobody waits
-- for it. Entries are only ever taken from the old end: a gap would be a change that nobody follows.
CREATE TRIGGER key_changes_trim AFTER INSERT ON key_changes
WHEN (SELECT at FROM key_changes ORDER BY seq LIMIT 1) < CAST(strftime('%s', 'now') AS INTEGER) - 604800
BEGIN
  DELETE FROM key_changes WHERE seq < coalesce(
    (SELECT min(seq) FROM (SELECT seq, at FROM key_changes ORDER BY seq LIMIT 64)
      WHERE at >= CAST(strftime('%s', 'now') AS INTEGER) - 604800),
    (SELECT seq FROM key_changes ORDER BY seq LIMIT 1 OFFSET 64));
END;

CREATE TRIGGER api_keys_inserted AFTER INSERT ON api_keys
BEGIN
  INSERT INTO key_changes (digest)
    SELECT NEW.digest UNION SELECT NEW.old_digest WHERE NEW.old_digest IS NOT NULL;
END;

CREATE TRIGGER api_keys_updated AFTER UPDATE OF
  id, prefix, digest, old_digest, old_until, name, category, operation, scope, org_id, team_id, owner, created_at,
  expires_at, disabled_at, deleted_at ON api_keys
BEGIN
  INSERT INTO key_changes (digest)
    SELECT digest FROM (SELECT OLD.digest AS digest UNION SELECT OLD.old_digest
                        UNION SELECT NEW.digest UNION SELECT NEW.old_digest)
    WHERE digest IS NOT NULL;
END;

CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys
BEGIN
  INSERT INTO key_changes (digest)
    SELECT OLD.digest UNION SELECT OLD.old_digest WHERE OLD.old_digest IS NOT NULL;
END;

-- INSERT OR REPLACE and UPDATE OR REPLACE remove the rows in their way without firing the trigger above, so those are
-- logged first. A statement without REPLACE fails on such a row, and these entries are undone with it.
CREATE TRIGGER api_keys_insert_replaces BEFORE INSERT ON api_keys
BEGIN
  INSERT INTO key_changes (digest)
    WITH replaced (id, digest, old_digest) AS (
      SELECT id, digest, old_digest FROM api_keys WHERE id = NEW.id
      UNION SELECT id, digest, old_digest FROM api_keys WHERE prefix = NEW.prefix
      UNION SELECT id, digest, old_digest FROM api_keys WHERE digest = NEW.digest
      UNION SELECT id, digest, old_digest FROM api_keys WHERE old_digest = NEW.old_digest
      UNION SELECT id, digest, old_digest FROM api_keys
        WHERE org_id = NEW.org_id AND coalesce(team_id, '') = coalesce(NEW.team_id, '') AND name = NEW.name
          AND category <> 'PERSONAL' AND deleted_at IS NULL AND name IS NOT NULL
      UNION SELECT id, digest, old_digest FROM api_keys
        WHERE org_id = NEW.org_id AND coalesce(owner, '') = coalesce(NEW.owner, '') AND name = NEW.name
          AND category = 'PERSONAL' AND deleted_at IS NULL AND name IS NOT NULL)
    SELECT digest FROM replaced
    UNION SELECT old_digest FROM replaced WHERE old_digest IS NOT NULL;
END;
CREATE TRIGGER api_keys_update_replaces BEFORE UPDATE OF
  id, prefix, digest, old_digest, name, category, org_id, team_id, owner, deleted_at ON api_keys
BEGIN
  INSERT INTO key_changes (digest)
    WITH replaced (id, digest, old_digest) AS (
      SELECT id, digest, old_digest FROM api_keys WHERE id = NEW.id
      UNION SELECT id, digest, old_digest FROM api_keys WHERE prefix = NEW.prefix
      UNION SELECT id, digest, old_digest FROM api_keys WHERE digest = NEW.digest
      UNION SELECT id, digest, old_digest FROM api_keys WHERE old_digest = NEW.old_digest
      UNION SELECT id, digest, old_digest FROM api_keys
        WHERE org_id = NEW.org_id AND coalesce(team_id, '') = coalesce(NEW.team_id, '') AND name = NEW.name
          AND category <> 'PERSONAL' AND deleted_at IS NULL AND name IS NOT NULL
      UNION SELECT id, digest, old_digest FROM api_keys
        WHERE org_id = NEW.org_id AND coalesce(owner, '') = coalesce(NEW.owner, '') AND name = NEW.name
          AND category = 'PERSONAL' AND deleted_at IS NULL AND name IS NOT NULL)
    SELECT digest FROM replaced WHERE id <> OLD.id
    UNION SELECT old_digest FROM replaced WHERE old_digest IS NOT NULL AND id <> OLD.id;
END;

-- A key says the name of its team wherever it is shown.
CREATE TRIGGER teams_updated AFTER UPDATE OF id, name, org_id ON teams
BEGIN
  INSERT INTO key_changes (digest)
    SELECT digest FROM api_keys WHERE team_id IN (OLD.id, NEW.id) AND deleted_at IS NULL
    UNION ALL
    SELECT old_digest FROM api_keys
      WHERE team_id IN (OLD.id, NEW.id) AND deleted_at IS NULL AND old_digest IS NOT NULL;
END;
CREATE TRIGGER teams_deleted AFTER DELETE ON teams
BEGIN
  INSERT INTO key_changes (digest)
    SELECT digest FROM api_keys WHERE team_id = OLD.id AND deleted_at IS NULL
    UNION ALL
    SELECT old_digest FROM api_keys WHERE team_id = OLD.id AND deleted_at IS NULL AND old_digest IS NOT NULL;
END;

CREATE TABLE admin_tokens (
  one        INTEGER PRIMARY KEY CHECK (one = 1),   -- there is one, or none
  digest     BLOB    NOT NULL CHECK (length(digest) = 32), -- SHA-256 of it
  created_at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
) STRICT;
