-- Who changed which key, when, from where and in what: one row for each change that is made through keyward, written in
-- its transaction. Never a text of a key nor a digest. A version that does not know the table writes none.
CREATE TABLE audit_logs (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT,   -- numbers are never given twice
  at           INTEGER NOT NULL,
  actor        TEXT    NOT NULL,                    -- in whose name; `admin` is the operator
  actor_prefix TEXT,                                -- of the key that was presented, if it was one
  source       TEXT    NOT NULL,                    -- an address, or `database`
  action       TEXT    NOT NULL,                    -- create, import, update, rotate, delete
  key_id       TEXT    NOT NULL,
  key_prefix   TEXT    NOT NULL,                    -- as it is after the change
  changed      TEXT    NOT NULL                     -- JSON list of the names of what changed
) STRICT;

-- It is only added to. INSERT OR REPLACE would remove a row without asking the trigger of a deletion.
CREATE TRIGGER audit_logs_not_changed BEFORE UPDATE ON audit_logs
BEGIN
  SELECT RAISE(ABORT, 'the audit trail is only added to');
END;
CREATE TRIGGER audit_logs_not_deleted BEFORE DELETE ON audit_logs
BEGIN
  SELECT RAISE(ABORT, 'the audit trail is only added to');
END;
CREATE TRIGGER audit_logs_not_replaced BEFORE INSERT ON audit_logs
WHEN EXISTS (SELECT 1 FROM audit_logs WHERE seq = NEW.seq)
BEGIN
  SELECT RAISE(ABORT, 'the audit trail is only added to');
END;
