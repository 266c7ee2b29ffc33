-- Every moment is whole seconds since 1970, UTC. Ids and names compare byte by byte, whatever the database's locale.
--
-- A migration runs in one transaction with the others that are due, with `search_path` set to the schema that the
-- tables are in, so that `SET search_path FROM CURRENT` makes a function find them whoever calls it. A column added to
-- api_keys also goes into the two lists of columns of the triggers below, unless its changes matter to nobody's memory.

CREATE TABLE orgs (
  id         text    COLLATE "C" NOT NULL PRIMARY KEY,      -- UUID v7
  created_at bigint  NOT NULL DEFAULT floor(extract(epoch FROM clock_timestamp()))
);

CREATE TABLE teams (
  id         text    COLLATE "C" NOT NULL PRIMARY KEY,      -- UUID v7
  org_id     text    COLLATE "C" NOT NULL REFERENCES orgs (id),
  name       text    COLLATE "C" NOT NULL,
  is_default boolean NOT NULL DEFAULT false,
  created_at bigint  NOT NULL DEFAULT floor(extract(epoch FROM clock_timestamp()))
);
CREATE UNIQUE INDEX teams_name ON teams (org_id, name);
CREATE UNIQUE INDEX teams_default ON teams (org_id) WHERE is_default;

CREATE TABLE api_keys (
  id           text   COLLATE "C" NOT NULL PRIMARY KEY,     -- UUID v7, lower case
  prefix       text   COLLATE "C" NOT NULL UNIQUE,          -- public name of the key; safe to show
  digest       bytea  NOT NULL UNIQUE CHECK (octet_length(digest) = 32), -- SHA-256 of the whole text
  old_digest   bytea  UNIQUE CHECK (octet_length(old_digest) = 32),      -- the text before the last rotation,
  old_until    bigint CHECK ((old_until IS NULL) = (old_digest IS NULL)), -- and until when it still works
  name         text   COLLATE "C",
  category     text   COLLATE "C" NOT NULL,                 -- PERSONAL, WORKSPACE_…; an unknown one permits nothing
  operation    text   COLLATE "C",                          -- px0's word, where it says more than the category
  scope        text,                                        -- JSON list of model patterns; NULL = every model
  org_id       text   COLLATE "C" NOT NULL REFERENCES orgs (id),
  team_id      text   COLLATE "C" REFERENCES teams (id),
  owner        text   COLLATE "C",
  created_at   bigint NOT NULL DEFAULT floor(extract(epoch FROM clock_timestamp())),
  expires_at   bigint,
  disabled_at  bigint,
  deleted_at   bigint,                                      -- a tombstone: never listed, never works
  last_used_at bigint                                       -- the one column whose changes are not logged
) WITH (fillfactor = 80);                                   -- room beside a row, so that noting a use moves no index

-- A name is taken once among the live keys of a team, of an owner for personal keys. Keys without one are exempt.
CREATE UNIQUE INDEX api_keys_name ON api_keys (org_id, coalesce(team_id, ''), name)
  WHERE category <> 'PERSONAL' AND deleted_at IS NULL AND name IS NOT NULL;
CREATE UNIQUE INDEX api_keys_personal_name ON api_keys (org_id, coalesce(owner, ''), name)
  WHERE category = 'PERSONAL' AND deleted_at IS NULL AND name IS NOT NULL;
CREATE INDEX api_keys_newest ON api_keys (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX api_keys_team ON api_keys (team_id) WHERE deleted_at IS NULL;

-- The change log: what may have changed, in order, whoever changed it. Its numbers follow one another without a gap,
-- in the order of commits: they are counted in a row and not drawn from a sequence, whose numbers survive a rollback,
-- and the lock below is held from before the first row is touched until the commit.
CREATE TABLE key_log (
  one      integer PRIMARY KEY CHECK (one = 1),
  last_seq bigint  NOT NULL                                 -- the last number given; outlives the entries
);
INSERT INTO key_log VALUES (1, 0);

CREATE TABLE key_changes (
  seq    bigint NOT NULL PRIMARY KEY,
  digest bytea  NOT NULL,
  at     bigint NOT NULL,
  at_ms  bigint                                             -- the same in milliseconds: what propagation is measured by
);

-- One change of keys at a time. Taken by a statement before it touches a row, so that two never wait for each other.
CREATE FUNCTION key_log_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_catalog.pg_advisory_xact_lock(1801812343, 1);
  RETURN NULL;
END $$;

-- Writes the log, rings the bell once for the transaction (Postgres tells equal notices of one transaction once), and
-- takes what is a week old from the old end: few at a time, so that nobody waits for it. Entries are only ever taken
-- from the old end: a gap would be a change that nobody follows.
CREATE FUNCTION key_log_append(digests bytea[]) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  added    bigint := coalesce(cardinality(digests), 0);
  now_ms   bigint := floor(extract(epoch FROM clock_timestamp()) * 1000);
  now_secs bigint := now_ms / 1000;
  last     bigint;
BEGIN
  IF added = 0 THEN
    RETURN;
  END IF;
  -- Held already, but where somebody's own trigger changes what the statement did not name.
  PERFORM pg_advisory_xact_lock(1801812343, 1);
  UPDATE key_log SET last_seq = last_seq + added RETURNING last_seq INTO STRICT last;
  INSERT INTO key_changes (seq, digest, at, at_ms)
    SELECT last - added + d.place, d.digest, now_secs, now_ms FROM unnest(digests) WITH ORDINALITY AS d (digest, place);
  PERFORM pg_notify('keyward', '');
  IF (SELECT c.at FROM key_changes c ORDER BY c.seq LIMIT 1) < now_secs - 604800 THEN
    DELETE FROM key_changes WHERE seq < coalesce(
      (SELECT min(oldest.seq) FROM (SELECT c.seq, c.at FROM key_changes c ORDER BY c.seq LIMIT 64 + added) AS oldest
        WHERE oldest.at >= now_secs - 604800),
      (SELECT c.seq FROM key_changes c ORDER BY c.seq LIMIT 1 OFFSET 64 + added));
  END IF;
END $$;

-- The owner's rights: whoever may change a key need not be able to write the log.
CREATE FUNCTION api_keys_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  -- One text is never the text of two keys, nor the present and the old one of the same key.
  IF EXISTS (SELECT FROM new_rows n JOIN api_keys k ON k.old_digest = n.digest)
     OR EXISTS (SELECT FROM new_rows n JOIN api_keys k ON k.digest = n.old_digest) THEN
    RAISE EXCEPTION 'digest taken' USING ERRCODE = 'unique_violation', CONSTRAINT = 'api_keys_one_digest';
  END IF;
  PERFORM key_log_append(ARRAY(
    SELECT d.digest FROM new_rows n CROSS JOIN LATERAL (VALUES (n.digest), (n.old_digest)) AS d (digest)
     WHERE d.digest IS NOT NULL));
  RETURN NULL;
END $$;

CREATE FUNCTION api_keys_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  changed bytea[];
BEGIN
  changed := ARRAY(
    SELECT DISTINCT d.digest
      FROM old_rows o FULL JOIN new_rows n ON n.id = o.id
      CROSS JOIN LATERAL (VALUES (o.digest), (o.old_digest), (n.digest), (n.old_digest)) AS d (digest)
     WHERE d.digest IS NOT NULL
       AND (o.id, o.prefix, o.digest, o.old_digest, o.old_until, o.name, o.category, o.operation, o.scope, o.org_id,
            o.team_id, o.owner, o.created_at, o.expires_at, o.disabled_at, o.deleted_at)
           IS DISTINCT FROM
           (n.id, n.prefix, n.digest, n.old_digest, n.old_until, n.name, n.category, n.operation, n.scope, n.org_id,
            n.team_id, n.owner, n.created_at, n.expires_at, n.disabled_at, n.deleted_at));
  IF cardinality(changed) = 0 THEN
    RETURN NULL;
  END IF;
  IF EXISTS (SELECT FROM new_rows n JOIN api_keys k ON k.old_digest = n.digest)
     OR EXISTS (SELECT FROM new_rows n JOIN api_keys k ON k.digest = n.old_digest) THEN
    RAISE EXCEPTION 'digest taken' USING ERRCODE = 'unique_violation', CONSTRAINT = 'api_keys_one_digest';
  END IF;
  PERFORM key_log_append(changed);
  RETURN NULL;
END $$;

CREATE FUNCTION api_keys_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM key_log_append(ARRAY(
    SELECT d.digest FROM old_rows o CROSS JOIN LATERAL (VALUES (o.digest), (o.old_digest)) AS d (digest)
     WHERE d.digest IS NOT NULL));
  RETURN NULL;
END $$;

CREATE FUNCTION api_keys_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM key_log_append(ARRAY(
    SELECT d.digest FROM api_keys k CROSS JOIN LATERAL (VALUES (k.digest), (k.old_digest)) AS d (digest)
     WHERE k.deleted_at IS NULL AND d.digest IS NOT NULL));
  RETURN NULL;
END $$;

-- A key says the name of its team wherever it is shown.
CREATE FUNCTION teams_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM key_log_append(ARRAY(
    SELECT d.digest
      FROM api_keys k CROSS JOIN LATERAL (VALUES (k.digest), (k.old_digest)) AS d (digest)
     WHERE k.deleted_at IS NULL AND d.digest IS NOT NULL
       AND k.team_id IN (
         SELECT t.id FROM old_rows o FULL JOIN new_rows n ON n.id = o.id
           CROSS JOIN LATERAL (VALUES (o.id), (n.id)) AS t (id)
          WHERE (o.id, o.name, o.org_id) IS DISTINCT FROM (n.id, n.name, n.org_id))));
  RETURN NULL;
END $$;

CREATE FUNCTION teams_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM key_log_append(ARRAY(
    SELECT d.digest
      FROM api_keys k CROSS JOIN LATERAL (VALUES (k.digest), (k.old_digest)) AS d (digest)
     WHERE k.deleted_at IS NULL AND d.digest IS NOT NULL AND k.team_id IN (SELECT o.id FROM old_rows o)));
  RETURN NULL;
END $$;

CREATE TRIGGER api_keys_lock BEFORE INSERT OR DELETE OR TRUNCATE ON api_keys
  FOR EACH STATEMENT EXECUTE FUNCTION key_log_lock();
CREATE TRIGGER api_keys_update_lock BEFORE UPDATE OF
  id, prefix, digest, old_digest, old_until, name, category, operation, scope, org_id, team_id, owner, created_at,
  expires_at, disabled_at, deleted_at ON api_keys
  FOR EACH STATEMENT EXECUTE FUNCTION key_log_lock();
CREATE TRIGGER api_keys_inserted AFTER INSERT ON api_keys REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION api_keys_inserted();
CREATE TRIGGER api_keys_updated AFTER UPDATE ON api_keys REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION api_keys_updated();
CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys REFERENCING OLD TABLE AS old_rows
  FOR EACH STATEMENT EXECUTE FUNCTION api_keys_deleted();
CREATE TRIGGER api_keys_truncated BEFORE TRUNCATE ON api_keys
  FOR EACH STATEMENT EXECUTE FUNCTION api_keys_truncated();
CREATE TRIGGER teams_lock BEFORE UPDATE OF id, name, org_id OR DELETE ON teams
  FOR EACH STATEMENT EXECUTE FUNCTION key_log_lock();
CREATE TRIGGER teams_updated AFTER UPDATE ON teams REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION teams_updated();
CREATE TRIGGER teams_deleted AFTER DELETE ON teams REFERENCING OLD TABLE AS old_rows
  FOR EACH STATEMENT EXECUTE FUNCTION teams_deleted();

-- Also for sessions that take no part in replication (`session_replication_role = replica`).
ALTER TABLE api_keys
  ENABLE ALWAYS TRIGGER api_keys_lock,
  ENABLE ALWAYS TRIGGER api_keys_update_lock,
  ENABLE ALWAYS TRIGGER api_keys_inserted,
  ENABLE ALWAYS TRIGGER api_keys_updated,
  ENABLE ALWAYS TRIGGER api_keys_deleted,
  ENABLE ALWAYS TRIGGER api_keys_truncated;
ALTER TABLE teams
  ENABLE ALWAYS TRIGGER teams_lock,
  ENABLE ALWAYS TRIGGER teams_updated,
  ENABLE ALWAYS TRIGGER teams_deleted;

CREATE TABLE admin_tokens (
  one        integer PRIMARY KEY CHECK (one = 1),           -- there is one, or none
  digest     bytea   NOT NULL CHECK (octet_length(digest) = 32), -- SHA-256 of it
  created_at bigint  NOT NULL DEFAULT floor(extract(epoch FROM clock_timestamp()))
);
