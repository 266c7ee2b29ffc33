-- What is changed otherwise than through keyward leaves its trace, too: of a change by plain SQL nobody can say who made it,
-- so its `actor` is empty and its `source` is `sql`. And what is no key can be told: a team by its name, the admin token by
-- neither; `key_id` and `key_prefix` are empty then, so that the version before this one can go on reading.
ALTER TABLE audit_logs ADD COLUMN team text;

-- keyward notes its changes itself, and says so in its transaction: `keyward.notes` is `on`. A version that does not know
-- that is told of twice, once as nobody.
CREATE FUNCTION audit_is_by_others() RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT pg_catalog.current_setting('keyward.notes', true) IS DISTINCT FROM 'on'
$$;

-- The functions of the change log, with the owner's rights, and one statement more each.
CREATE OR REPLACE FUNCTION api_keys_inserted() RETURNS trigger
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
  IF audit_is_by_others() THEN
    INSERT INTO audit_logs (actor, source, action, key_id, key_prefix, changed)
      SELECT '', 'sql', 'create', n.id, n.prefix, '[]' FROM new_rows n;
  END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION api_keys_updated() RETURNS trigger
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
            o.team_id, o.owner, o.created_at, o.expires_at, o.disabled_at, o.ends_calls, o.deleted_at)
           IS DISTINCT FROM
           (n.id, n.prefix, n.digest, n.old_digest, n.old_until, n.name, n.category, n.operation, n.scope, n.org_id,
            n.team_id, n.owner, n.created_at, n.expires_at, n.disabled_at, n.ends_calls, n.deleted_at));
  IF cardinality(changed) = 0 THEN
    RETURN NULL;
  END IF;
  IF EXISTS (SELECT FROM new_rows n JOIN api_keys k ON k.old_digest = n.digest)
     OR EXISTS (SELECT FROM new_rows n JOIN api_keys k ON k.digest = n.old_digest) THEN
    RAISE EXCEPTION 'digest taken' USING ERRCODE = 'unique_violation', CONSTRAINT = 'api_keys_one_digest';
  END IF;
  PERFORM key_log_append(changed);
  IF audit_is_by_others() THEN
    -- A key whose id was changed is another one: all of it is new.
    INSERT INTO audit_logs (actor, source, action, key_id, key_prefix, changed)
      SELECT '', 'sql',
             CASE WHEN o.deleted_at IS NULL AND n.deleted_at IS NOT NULL THEN 'delete' ELSE 'update' END,
             n.id, n.prefix, d.names
        FROM new_rows n LEFT JOIN old_rows o ON o.id = n.id
        CROSS JOIN LATERAL (
          SELECT json_agg(v.name)::text AS names
            FROM (VALUES ('name', o.name IS DISTINCT FROM n.name),
                         ('type', o.category IS DISTINCT FROM n.category),
                         ('operation', o.operation IS DISTINCT FROM n.operation),
                         ('model_ids', o.scope IS DISTINCT FROM n.scope),
                         ('org', o.org_id IS DISTINCT FROM n.org_id),
                         ('team', o.team_id IS DISTINCT FROM n.team_id),
                         ('owner', o.owner IS DISTINCT FROM n.owner),
                         ('created_at', o.created_at IS DISTINCT FROM n.created_at),
                         ('expires_at', o.expires_at IS DISTINCT FROM n.expires_at),
                         ('enabled', o.disabled_at IS DISTINCT FROM n.disabled_at),
                         ('ends_calls', o.ends_calls IS DISTINCT FROM n.ends_calls),
                         ('deleted_at', o.deleted_at IS DISTINCT FROM n.deleted_at),
                         ('key', o.digest IS DISTINCT FROM n.digest),
                         ('grace', (o.old_digest, o.old_until) IS DISTINCT FROM (n.old_digest, n.old_until)),
                         ('prefix', o.prefix IS DISTINCT FROM n.prefix),
                         ('id', o.id IS DISTINCT FROM n.id)) AS v (name, differs)
           WHERE v.differs) AS d
       WHERE d.names IS NOT NULL;
  END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION api_keys_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM key_log_append(ARRAY(
    SELECT d.digest FROM old_rows o CROSS JOIN LATERAL (VALUES (o.digest), (o.old_digest)) AS d (digest)
     WHERE d.digest IS NOT NULL));
  IF audit_is_by_others() THEN
    INSERT INTO audit_logs (actor, source, action, key_id, key_prefix, changed)
      SELECT '', 'sql', 'delete', o.id, o.prefix, '[]' FROM old_rows o;
  END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION api_keys_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM key_log_append(ARRAY(
    SELECT d.digest FROM api_keys k CROSS JOIN LATERAL (VALUES (k.digest), (k.old_digest)) AS d (digest)
     WHERE k.deleted_at IS NULL AND d.digest IS NOT NULL));
  IF audit_is_by_others() THEN
    INSERT INTO audit_logs (actor, source, action, key_id, key_prefix, changed)
      SELECT '', 'sql', 'delete', k.id, k.prefix, '[]' FROM api_keys k;
  END IF;
  RETURN NULL;
END $$;
