-- Whether calls under way end with the key, even where the settings let them go on. A version that does not know the
-- column makes keys that do not ask for it, and leaves it as it is in those it changes.
ALTER TABLE api_keys ADD COLUMN ends_calls INTEGER NOT NULL DEFAULT 0 CHECK (ends_calls IN (0, 1));

-- The same as before, for one column more.
DROP TRIGGER api_keys_updated;
CREATE TRIGGER api_keys_updated AFTER UPDATE OF
  id, prefix, digest, old_digest, old_until, name, category, operation, scope, org_id, team_id, owner, created_at,
  expires_at, disabled_at, ends_calls, deleted_at ON api_keys
BEGIN
  INSERT INTO key_changes (digest)
    SELECT digest FROM (SELECT OLD.digest AS digest UNION SELECT OLD.old_digest
                        UNION SELECT NEW.digest UNION SELECT NEW.old_digest)
    WHERE digest IS NOT NULL;
END;
