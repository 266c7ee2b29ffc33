//! Every statement, named after the method that uses it. Binds only.

/// The columns that `row::key` reads.
macro_rules! select_keys {
    ($rest:literal) => {
        concat!(
            "SELECT k.id, k.prefix, k.digest, k.old_digest, k.old_until, k.name, k.category, k.operation, k.scope, \
             k.org_id, k.team_id, t.name AS team_name, k.owner, k.created_at, k.expires_at, k.disabled_at, \
             k.ends_calls, k.last_used_at ",
            $rest
        )
    };
}

/// What time it is, in milliseconds since 1970.
macro_rules! now_ms {
    () => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
}

/// The end of the change log. The sequence outlives the entries that were trimmed.
macro_rules! log_end {
    () => {
        "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'key_changes'), 0)"
    };
}

macro_rules! snapshot {
    () => {
        select_keys!(
            ", k.rowid AS place FROM api_keys k LEFT JOIN teams t ON t.id = k.team_id \
             WHERE k.deleted_at IS NULL AND k.rowid > $1 ORDER BY k.rowid LIMIT $2"
        )
    };
}

macro_rules! statements {
    ($($(#[$doc:meta])+ $name:ident = $text:expr;)+) => {
        $($(#[$doc])+ pub const $name: &str = $text;)+

        /// All of them with their names, for the test that prepares each.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}

statements! {
    /// Begins to read: everything up to the end is of one moment.
    BEGIN_READ = "BEGIN";

    /// Begins to write, and waits here and not later for another writer.
    BEGIN_WRITE = "BEGIN IMMEDIATE";

    /// Ends a transaction; what it wrote is on the disk.
    COMMIT = "COMMIT";

    /// Ends a transaction; it wrote nothing.
    ROLLBACK = "ROLLBACK";

    /// The end of the change log, what time it is, and whether somebody waits to hear how far every instance is.
    LOG_END = concat!(
        "SELECT ", log_end!(), " AS seq, ", now_ms!(), " AS now_ms, \
         EXISTS (SELECT 1 FROM positions_wanted WHERE until_ms > ", now_ms!(), ") AS positions_wanted"
    );

    /// At most $2 live keys, those stored after the place $1. Places hold still within one transaction.
    SNAPSHOT = snapshot!();

    /// The same as one text, how many they are, and the last one's place.
    SNAPSHOT_PACKED = concat!(
        "SELECT count(*) AS keys, max(place) AS last, json_group_array(json_array(id, prefix, hex(digest), \
         nullif(hex(old_digest), ''), old_until, name, category, operation, scope, org_id, team_id, team_name, owner, \
         created_at, expires_at, disabled_at, ends_calls, last_used_at)) AS packed FROM (", snapshot!(), ")"
    );

    /// At most $2 entries after $1, each with the live key that is known by its digest now.
    CHANGES = select_keys!(
        ", c.seq, c.digest AS changed_digest, c.at AS changed_at, c.at_ms AS changed_at_ms \
         FROM (SELECT seq, digest, at, at_ms FROM key_changes WHERE seq > $1 ORDER BY seq LIMIT $2) c \
         LEFT JOIN api_keys k ON k.deleted_at IS NULL \
           AND (k.digest = c.digest OR (k.old_digest = c.digest AND k.old_until > unixepoch())) \
         LEFT JOIN teams t ON t.id = k.team_id \
         ORDER BY c.seq"
    );

    /// The live key known by $1.
    FIND = select_keys!(
        "FROM api_keys k LEFT JOIN teams t ON t.id = k.team_id \
         WHERE k.deleted_at IS NULL AND (k.digest = $1 OR (k.old_digest = $1 AND k.old_until > unixepoch()))"
    );

    /// The live key with the id $1.
    GET_BY_ID = select_keys!(
        "FROM api_keys k LEFT JOIN teams t ON t.id = k.team_id WHERE k.deleted_at IS NULL AND k.id = $1"
    );

    /// The live key with the prefix $1.
    GET_BY_PREFIX = select_keys!(
        "FROM api_keys k LEFT JOIN teams t ON t.id = k.team_id WHERE k.deleted_at IS NULL AND k.prefix = $1"
    );

    /// Live keys, newest first, of the category $1, the owner $2 and the team $3, where those are given.
    LIST = select_keys!(
        "FROM api_keys k LEFT JOIN teams t ON t.id = k.team_id \
         WHERE k.deleted_at IS NULL AND ($1 IS NULL OR k.category = $1) AND ($2 IS NULL OR k.owner = $2) \
           AND ($3 IS NULL OR k.team_id = $3) \
         ORDER BY k.created_at DESC, k.id DESC"
    );

    /// At most $6 keys of the same list, those after the one made at $4 with the id $5.
    LIST_PAGE = select_keys!(
        "FROM api_keys k LEFT JOIN teams t ON t.id = k.team_id \
         WHERE k.deleted_at IS NULL AND ($1 IS NULL OR k.category = $1) AND ($2 IS NULL OR k.owner = $2) \
           AND ($3 IS NULL OR k.team_id = $3) AND (k.created_at, k.id) < ($4, $5) \
         ORDER BY k.created_at DESC, k.id DESC LIMIT $6"
    );

    /// A key of the team $8, or of the default team. No row when there is no such team.
    INSERT = "INSERT INTO api_keys (id, prefix, digest, name, category, operation, scope, owner, expires_at, \
                                    ends_calls, created_at, org_id, team_id) \
              SELECT $1, $2, $3, $4, $5, $6, $7, $9, $10, $11, unixepoch(), t.org_id, t.id FROM teams t \
              WHERE CASE WHEN $8 IS NULL THEN t.is_default = 1 ELSE t.id = $8 END \
              ORDER BY t.created_at, t.id LIMIT 1";

    /// The keys of $1, a JSON list of lists. The join makes one row of each whose team is there. The order of the
    /// tables is fixed, so that the list is read once; a row stays binary, so that its columns are not parsed one by one.
    IMPORT = "INSERT INTO api_keys (id, prefix, digest, old_digest, old_until, name, category, operation, scope, \
                                    owner, created_at, expires_at, disabled_at, last_used_at, ends_calls, org_id, team_id) \
              SELECT n.value ->> 0, n.value ->> 1, unhex(n.value ->> 2), unhex(n.value ->> 3), n.value ->> 4, \
                     n.value ->> 5, n.value ->> 6, n.value ->> 7, n.value ->> 8, n.value ->> 9, \
                     coalesce(n.value ->> 10, unixepoch()), n.value ->> 11, n.value ->> 12, n.value ->> 13, \
                     n.value ->> 15, t.org_id, t.id \
              FROM jsonb_each($1) n CROSS JOIN teams t WHERE t.id = n.value ->> 14";

    /// Keeps up to 64 MiB of pages: each key of an import goes into another page of the index by text.
    IMPORT_PAGES = "PRAGMA cache_size = -65536";

    /// Moves what was written into the file every 64 MiB: a page that several batches change is moved once.
    IMPORT_LOG = "PRAGMA wal_autocheckpoint = 16384";

    /// What stands in the way of each key of $1, the list of `IMPORT`, by its place in the list: 0 the key itself,
    /// 1 the same but deleted, 2 its text, 3 its prefix, 4 its id, 5 its name. Each is one look into an index.
    IMPORT_CLASHES =
        "WITH n AS MATERIALIZED (SELECT i.key AS place, i.value ->> 0 AS id, i.value ->> 1 AS prefix, \
             unhex(i.value ->> 2) AS digest, unhex(i.value ->> 3) AS old_digest, i.value ->> 5 AS name, \
             i.value ->> 6 AS category, i.value ->> 9 AS owner, t.id AS team_id, t.org_id \
           FROM jsonb_each($1) i CROSS JOIN teams t WHERE t.id = i.value ->> 14) \
         SELECT n.place, CASE WHEN k.prefix <> n.prefix THEN 2 WHEN k.deleted_at IS NULL THEN 0 ELSE 1 END AS clash \
           FROM n CROSS JOIN api_keys k WHERE k.digest = n.digest \
         UNION ALL SELECT n.place, 2 FROM n CROSS JOIN api_keys k WHERE k.old_digest = n.digest \
         UNION ALL SELECT n.place, 2 FROM n CROSS JOIN api_keys k WHERE k.digest = n.old_digest \
         UNION ALL SELECT n.place, 2 FROM n CROSS JOIN api_keys k WHERE k.old_digest = n.old_digest \
         UNION ALL SELECT n.place, 3 FROM n CROSS JOIN api_keys k WHERE k.prefix = n.prefix \
         UNION ALL SELECT n.place, 4 FROM n CROSS JOIN api_keys k WHERE k.id = n.id \
         UNION ALL SELECT n.place, 5 FROM n CROSS JOIN api_keys k \
           WHERE n.category <> 'PERSONAL' AND k.org_id = n.org_id AND coalesce(k.team_id, '') = coalesce(n.team_id, '') \
             AND k.name = n.name AND k.category <> 'PERSONAL' AND k.deleted_at IS NULL AND k.name IS NOT NULL \
         UNION ALL SELECT n.place, 5 FROM n CROSS JOIN api_keys k \
           WHERE n.category = 'PERSONAL' AND k.org_id = n.org_id AND coalesce(k.owner, '') = coalesce(n.owner, '') \
             AND k.name = n.name AND k.category = 'PERSONAL' AND k.deleted_at IS NULL AND k.name IS NOT NULL";

    /// At most $2 live keys, those with an id after $1.
    PAGE = select_keys!(
        "FROM api_keys k LEFT JOIN teams t ON t.id = k.team_id \
         WHERE k.deleted_at IS NULL AND k.id > $1 ORDER BY k.id LIMIT $2"
    );

    /// Turns the live key with the id $1 into a tombstone.
    DELETE = "UPDATE api_keys SET deleted_at = unixepoch() WHERE id = $1 AND deleted_at IS NULL";

    /// Changes the live key with the id $1: the name to $3 if $2, the scope to $5 if $4, the end to $7 if $6, on or
    /// off by $8, the digest and prefix to $9 and $10 where given, the present digest then working $11 seconds more; the
    /// category to $12, px0's word to $13, the team to $14 and whether calls end with it to $15 where given. No row when the
    /// organisation has no such team.
    UPDATE = "UPDATE api_keys SET \
                name = iif($2, $3, name), \
                scope = iif($4, $5, scope), \
                expires_at = iif($6, $7, expires_at), \
                disabled_at = CASE $8 WHEN 1 THEN NULL WHEN 0 THEN coalesce(disabled_at, unixepoch()) \
                                      ELSE disabled_at END, \
                old_digest = CASE WHEN $9 IS NULL THEN old_digest WHEN $11 > 0 THEN digest END, \
                old_until = CASE WHEN $9 IS NULL THEN old_until WHEN $11 > 0 THEN unixepoch() + $11 END, \
                digest = coalesce($9, digest), \
                prefix = coalesce($10, prefix), \
                category = coalesce($12, category), \
                operation = coalesce($13, operation), \
                team_id = coalesce($14, team_id), \
                ends_calls = coalesce($15, ends_calls) \
              WHERE id = $1 AND deleted_at IS NULL \
                AND ($14 IS NULL OR EXISTS (SELECT 1 FROM teams t WHERE t.id = $14 AND t.org_id = api_keys.org_id))";

    /// The moments of $1, a JSON list of `[id, seconds]`; never an earlier one than is stored.
    RECORD_LAST_USED = "UPDATE api_keys SET last_used_at = used.at \
                        FROM (SELECT value ->> 0 AS id, max(value ->> 1) AS at FROM json_each($1) GROUP BY 1) AS used \
                        WHERE api_keys.id = used.id AND coalesce(api_keys.last_used_at, -1) < used.at";

    /// Notes that $1 with the key $2, from $3, did $4 to the key $5 with the prefix $6, of which $7 changed.
    NOTE = "INSERT INTO audit_logs (at, actor, actor_prefix, source, action, key_id, key_prefix, changed) \
            VALUES (unixepoch(), $1, $2, $3, $4, $5, $6, $7)";

    /// Notes that $1 with the key $2, from $3, did $4, to the team with the name $5 if it was one.
    NOTE_OTHER = "INSERT INTO audit_logs (at, actor, actor_prefix, source, action, key_id, key_prefix, changed, team) \
                  VALUES (unixepoch(), $1, $2, $3, $4, '', '', '[]', $5)";

    /// Says that this transaction notes what it does itself.
    NOTES = "INSERT OR IGNORE INTO audit_writer (one) VALUES (1)";

    /// Says that what follows in this transaction is noted by triggers again.
    NOTED = "DELETE FROM audit_writer";

    /// Notes that $2 with the key $3, from $4, did $5 to each key of $1, the list of `IMPORT`.
    NOTE_IMPORT = "INSERT INTO audit_logs (at, actor, actor_prefix, source, action, key_id, key_prefix, changed) \
                   SELECT unixepoch(), $2, $3, $4, $5, n.value ->> 0, n.value ->> 1, '[]' FROM jsonb_each($1) n";

    /// At most $2 entries of the audit trail before the one numbered $1, newest first.
    AUDIT = "SELECT seq, at, actor, actor_prefix, source, action, key_id, key_prefix, changed, team FROM audit_logs \
             WHERE seq < $1 ORDER BY seq DESC LIMIT $2";

    /// The organisation: the first, should somebody have added one.
    ORG = "SELECT id FROM orgs ORDER BY created_at, id LIMIT 1";

    /// The organisation's teams.
    TEAMS = "SELECT id, org_id, name, is_default, created_at FROM teams ORDER BY is_default DESC, name, id";

    /// The team with the id $1.
    TEAM = "SELECT id, org_id, name, is_default, created_at FROM teams WHERE id = $1";

    /// A team with the id $1 and the name $2.
    INSERT_TEAM = "INSERT INTO teams (id, name, org_id, created_at) \
                   SELECT $1, $2, id, unixepoch() FROM orgs ORDER BY created_at, id LIMIT 1";

    /// The admin token's digest.
    ADMIN_TOKEN = "SELECT digest FROM admin_tokens";

    /// Keeps $1 unless one is kept.
    KEEP_ADMIN_TOKEN = "INSERT INTO admin_tokens (one, digest, created_at) VALUES (1, $1, unixepoch()) \
                        ON CONFLICT DO NOTHING";

    /// The instance $1 is called $2, has run for $3 seconds, has applied everything up to $4, and means what it says for
    /// $5 and $6 milliseconds.
    REPORT_INSTANCE = concat!(
        "INSERT INTO instances (id, name, started_at, seen_at_ms, applied, heard_ms, serves_ms) \
         VALUES ($1, $2, unixepoch() - $3, ", now_ms!(), ", $4, $5, $6) \
         ON CONFLICT (id) DO UPDATE SET seen_at_ms = excluded.seen_at_ms, applied = excluded.applied"
    );

    /// Takes away what instances have left behind that ended without a word.
    FORGET_INSTANCES = concat!("DELETE FROM instances WHERE seen_at_ms + serves_ms < ", now_ms!());

    /// Takes away the instance $1.
    REMOVE_INSTANCE = "DELETE FROM instances WHERE id = $1";

    /// The instances that may serve keys.
    INSTANCES = concat!(
        "SELECT name, started_at, seen_at_ms, applied, max(0, ", log_end!(), " - applied) AS behind_by, ",
        now_ms!(), " - seen_at_ms <= heard_ms AS is_heard \
         FROM instances WHERE seen_at_ms + serves_ms >= ", now_ms!(), " ORDER BY name, id"
    );

    /// Asks instances to report for $1 milliseconds, unless they are asked to for half of that already.
    WANT_POSITIONS = concat!(
        "INSERT INTO positions_wanted (one, until_ms) VALUES (1, ", now_ms!(), " + $1) \
         ON CONFLICT (one) DO UPDATE SET until_ms = excluded.until_ms \
         WHERE until_ms < ", now_ms!(), " + $1 / 2"
    );

    /// The organisation $1, unless there is one.
    FIRST_ORG = "INSERT INTO orgs (id, created_at) SELECT $1, unixepoch() WHERE NOT EXISTS (SELECT 1 FROM orgs)";

    /// The default team $1 with the name $2 for every organisation without one: there is one organisation.
    FIRST_TEAM = "INSERT INTO teams (id, name, org_id, is_default, created_at) \
                  SELECT $1, $2, o.id, 1, unixepoch() FROM orgs o \
                  WHERE NOT EXISTS (SELECT 1 FROM teams t WHERE t.org_id = o.id AND t.is_default = 1) \
                  ORDER BY o.created_at, o.id LIMIT 1";

    /// Moves when another connection, of whatever process, has committed.
    DATA_VERSION = "PRAGMA data_version";

    /// Whether the tables are there that make a key database, whoever put them back.
    IS_KEY_DATABASE = "SELECT count(*) = 3 FROM sqlite_schema \
                       WHERE type = 'table' AND name IN ('api_keys', 'key_changes', '_sqlx_migrations')";

    /// The newest migration that was applied.
    SCHEMA_VERSION = "SELECT max(version) FROM _sqlx_migrations";

    /// `ok`, or the first thing that is wrong with the file's pages.
    QUICK_CHECK = "PRAGMA quick_check(1)";

    /// How commits reach the file.
    JOURNAL_MODE = "PRAGMA journal_mode";

    /// Lets readers and the writer work at the same time; answers with the mode there is now.
    JOURNAL_MODE_WAL = "PRAGMA journal_mode = WAL";
}
