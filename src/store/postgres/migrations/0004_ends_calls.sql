-- Whether calls under way end with the key, even where the settings let them go on. A version that does not know the
-- column makes keys that do not ask for it, and leaves it as it is in those it changes.
ALTER TABLE api_keys ADD COLUMN ends_calls boolean NOT NULL DEFAULT false;

-- The same as before, for one column more.
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
  RETURN NULL;
END $$;

DROP TRIGGER api_keys_update_lock ON api_keys;
CREATE TRIGGER api_keys_update_lock BEFORE UPDATE OF
  id, prefix, digest, old_digest, old_until, name, category, operation, scope, org_id, team_id, owner, created_at,
  expires_at, disabled_at, ends_calls, deleted_at ON api_keys
  FOR EACH STATEMENT EXECUTE FUNCTION key_log_lock();
ALTER TABLE api_keys ENABLE ALWAYS TRIGGER api_keys_update_lock;
