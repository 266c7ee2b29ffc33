-- What INSERT OR REPLACE would remove is gathered only where there is something to remove: every other row costs a look
-- into each index, and no sorted set.
DROP TRIGGER api_keys_insert_replaces;
CREATE TRIGGER api_keys_insert_replaces BEFORE INSERT ON api_keys
WHEN EXISTS (SELECT 1 FROM api_keys WHERE id = NEW.id)
  OR EXISTS (SELECT 1 FROM api_keys WHERE prefix = NEW.prefix)
  OR EXISTS (SELECT 1 FROM api_keys WHERE digest = NEW.digest)
  OR EXISTS (SELECT 1 FROM api_keys WHERE old_digest = NEW.old_digest)
  OR EXISTS (SELECT 1 FROM api_keys
       WHERE org_id = NEW.org_id AND coalesce(team_id, '') = coalesce(NEW.team_id, '') AND name = NEW.name
         AND category <> 'PERSONAL' AND deleted_at IS NULL AND name IS NOT NULL)
  OR EXISTS (SELECT 1 FROM api_keys
       WHERE org_id = NEW.org_id AND coalesce(owner, '') = coalesce(NEW.owner, '') AND name = NEW.name
         AND category = 'PERSONAL' AND deleted_at IS NULL AND name IS NOT NULL)
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

-- The two texts of a key differ (api_keys_insert_digest), so that nothing need be sorted to be told apart; and the moment
-- is written at once, not by another trigger.
DROP TRIGGER api_keys_inserted;
CREATE TRIGGER api_keys_inserted AFTER INSERT ON api_keys
BEGIN
  INSERT INTO key_changes (digest, at_ms)
    SELECT digest, CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)
    FROM (SELECT NEW.digest AS digest UNION ALL SELECT NEW.old_digest) WHERE digest IS NOT NULL;
END;
