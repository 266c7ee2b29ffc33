-- Who changed which key, when, from where and in what: one row for each change that is made through keyward, written in
-- its transaction. Never a text of a key nor a digest. A version that does not know the table writes none.
CREATE TABLE audit_logs (
  seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- drawn under the lock of the change log
  at           bigint NOT NULL DEFAULT floor(extract(epoch FROM clock_timestamp())),
  actor        text   NOT NULL,                             -- in whose name; `admin` is the operator
  actor_prefix text,                                        -- of the key that was presented, if it was one
  source       text   NOT NULL,                             -- an address, or `database`
  action       text   NOT NULL,                             -- create, import, update, rotate, delete
  key_id       text   COLLATE "C" NOT NULL,
  key_prefix   text   COLLATE "C" NOT NULL,                 -- as it is after the change
  changed      text   NOT NULL                              -- JSON list of the names of what changed
);

-- It is only added to, also by sessions that take no part in replication.
CREATE FUNCTION audit_logs_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit trail is only added to' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_logs_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_logs
  FOR EACH STATEMENT EXECUTE FUNCTION audit_logs_kept();
ALTER TABLE audit_logs ENABLE ALWAYS TRIGGER audit_logs_kept;
