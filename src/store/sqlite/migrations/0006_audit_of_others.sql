-- What is changed otherwise than through keyward leaves its trace, too: of a change by plain SQL nobody can say who made it,
-- so its `actor` is empty and its `source` is `sql`. And what is no key can be told: a team by its name, the admin token by
-- neither; `key_id` and `key_prefix` are empty then, so that the version before this one can go on reading.
ALTER TABLE audit_logs ADD COLUMN team TEXT;

-- While keyward changes a key it holds the one row here, within its transaction, and notes the change itself: outside of
-- that transaction there is never a row. A version that does not know the table is told of twice, once as nobody.
CREATE TABLE audit_writer (
  one INTEGER PRIMARY KEY CHECK (one = 1)
) STRICT;

CREATE TRIGGER api_keys_insert_noted AFTER INSERT ON api_keys WHEN NOT EXISTS (SELECT 1 FROM audit_writer)
BEGIN
  INSERT INTO audit_logs (at, actor, source, action, key_id, key_prefix, changed)
    VALUES (CAST(strftime('%s', 'now') AS INTEGER), '', 'sql', 'create', NEW.id, NEW.prefix, '[]');
END;

-- Without JSON functions, which an operator's sqlite3 of 2021 may lack.
CREATE TRIGGER api_keys_update_noted AFTER UPDATE OF
  id, prefix, digest, old_digest, old_until, name, category, operation, scope, org_id, team_id, owner, created_at,
  expires_at, disabled_at, ends_calls, deleted_at ON api_keys WHEN NOT EXISTS (SELECT 1 FROM audit_writer)
BEGIN
  INSERT INTO audit_logs (at, actor, source, action, key_id, key_prefix, changed)
    SELECT CAST(strftime('%s', 'now') AS INTEGER), '', 'sql',
           CASE WHEN OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL THEN 'delete' ELSE 'update' END,
           NEW.id, NEW.prefix, '[' || substr(names, 2) || ']'
    FROM (SELECT
      CASE WHEN OLD.name        IS NOT NEW.name        THEN ',"name"'        ELSE '' END ||
      CASE WHEN OLD.category    IS NOT NEW.category    THEN ',"type"'        ELSE '' END ||
      CASE WHEN OLD.operation   IS NOT NEW.operation   THEN ',"operation"'   ELSE '' END ||
      CASE WHEN OLD.scope       IS NOT NEW.scope       THEN ',"model_ids"'   ELSE '' END ||
      CASE WHEN OLD.org_id      IS NOT NEW.org_id      THEN ',"org"'         ELSE '' END ||
      CASE WHEN OLD.team_id     IS NOT NEW.team_id     THEN ',"team"'        ELSE '' END ||
      CASE WHEN OLD.owner       IS NOT NEW.owner       THEN ',"owner"'       ELSE '' END ||
      CASE WHEN OLD.created_at  IS NOT NEW.created_at  THEN ',"created_at"'  ELSE '' END ||
      CASE WHEN OLD.expires_at  IS NOT NEW.expires_at  THEN ',"expires_at"'  ELSE '' END ||
      CASE WHEN OLD.disabled_at IS NOT NEW.disabled_at THEN ',"enabled"'     ELSE '' END ||
      CASE WHEN OLD.ends_calls  IS NOT NEW.ends_calls  THEN ',"ends_calls"'  ELSE '' END ||
      CASE WHEN OLD.deleted_at  IS NOT NEW.deleted_at  THEN ',"deleted_at"'  ELSE '' END ||
      CASE WHEN OLD.digest      IS NOT NEW.digest      THEN ',"key"'         ELSE '' END ||
      CASE WHEN OLD.old_digest  IS NOT NEW.old_digest
             OR OLD.old_until   IS NOT NEW.old_until   THEN ',"grace"'       ELSE '' END ||
      CASE WHEN OLD.prefix      IS NOT NEW.prefix      THEN ',"prefix"'      ELSE '' END ||
      CASE WHEN OLD.id          IS NOT NEW.id          THEN ',"id"'          ELSE '' END AS names)
    WHERE names <> '';
END;

CREATE TRIGGER api_keys_delete_noted AFTER DELETE ON api_keys WHEN NOT EXISTS (SELECT 1 FROM audit_writer)
BEGIN
  INSERT INTO audit_logs (at, actor, source, action, key_id, key_prefix, changed)
    VALUES (CAST(strftime('%s', 'now') AS INTEGER), '', 'sql', 'delete', OLD.id, OLD.prefix, '[]');
END;
