-- Who may do what in a key database on Postgres, each no more than it needs:
--
--   keyward_sidecar  `keyward serve`: reads keys and the change log, notes when keys were used, and tells in a row of its
--                    own how far it is. Its admin listener needs `admin.token`, and can change nothing.
--   keyward_admin    the same, and makes, changes and deletes keys and teams: a keyward that people administer keys by.
--
-- Both are groups without a login: `CREATE ROLE sidecar_1 LOGIN PASSWORD '…' IN ROLE keyward_sidecar`. The tables belong
-- to whoever runs `keyward database migrate`. Run this file in the same database after each migration, as the same user,
-- who must be allowed to make roles the first time: `psql -v ON_ERROR_STOP=1 -f roles.sql`. It may be run again, and
-- takes away what else was granted to the two.

DO $$
DECLARE
  named text;
BEGIN
  FOREACH named IN ARRAY ARRAY['keyward_sidecar', 'keyward_admin'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = named) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', named);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- somebody else has just made it
      END;
    END IF;
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', current_schema(), named);
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', current_schema(), named);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), named);
  END LOOP;
  -- As it is from PostgreSQL 15 on.
  EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', current_schema());
END $$;

GRANT SELECT ON api_keys, teams, orgs, key_log, key_changes, instances, positions_wanted, keyward_migrations
  TO keyward_sidecar, keyward_admin;
GRANT UPDATE (last_used_at) ON api_keys TO keyward_sidecar;
GRANT INSERT, UPDATE, DELETE ON instances TO keyward_sidecar, keyward_admin;

-- A deleted key stays as a tombstone: nobody needs DELETE.
GRANT INSERT, UPDATE ON api_keys TO keyward_admin;
GRANT INSERT ON teams TO keyward_admin;
-- The audit trail is only added to.
GRANT SELECT, INSERT ON admin_tokens, audit_logs TO keyward_admin;
GRANT INSERT, UPDATE ON positions_wanted TO keyward_admin;
