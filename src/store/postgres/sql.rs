//! Every statement, named after the method that uses it. Binds only, each with its type, so that a statement can be
//! prepared without being run.

/// Whole seconds since 1970, by the clock and not by the beginning of the transaction.
macro_rules! now {
    () => {
        "floor(extract(epoch FROM clock_timestamp()))::bigint"
    };
}

/// The same in milliseconds.
macro_rules! now_ms {
    () => {
        "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}

/// The end of the change log, what time it is, and whether somebody waits to hear how far every instance is.
macro_rules! log_end {
    () => {
        concat!(
            "l.last_seq, ",
            now_ms!(),
            " AS now_ms, EXISTS (SELECT 1 FROM positions_wanted WHERE until_ms > ",
            now_ms!(),
            ") AS positions_wanted "
        )
    };
}

/// The columns that `row::key` reads.
macro_rules! select_keys {
    ($($rest:expr),+ $(,)?) => {
        concat!(
            "SELECT k.id, k.prefix, k.digest, k.old_digest, k.old_until, k.name, k.category, k.operation, k.scope, \
             k.org_id, k.team_id, t.name AS team_name, k.owner, k.created_at, k.expires_at, k.disabled_at, \
             k.ends_calls, k.last_used_at ",
            $($rest),+
        )
    };
}

/// The keys of an import as rows, column by column in $1 to $16, each with its place.
macro_rules! imported {
    () => {
        "unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::bigint[], $6::text[], $7::text[], $8::text[], \
                $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::text[], \
                $16::boolean[]) \
         WITH ORDINALITY AS n (id, prefix, digest, old_digest, old_until, name, category, operation, scope, owner, \
                               created_at, expires_at, disabled_at, last_used_at, team_id, ends_calls, place) "
    };
}

macro_rules! statements {
    ($($(#[$doc:meta])+ $name:ident = $text:expr;)+) => {
        $($(#[$doc])+ pub const $name: &str = $text;)+

        /// All of them with their names, for the test that prepares each.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}

/// Begins a transaction, whatever the isolation level of others. In the level above this one a change fails when
/// another one was committed after it began.
pub const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Waits for the turn to change keys, as the triggers do, and says that this transaction notes what it does itself. In one
/// message with [`BEGIN`]: it answers nothing that matters.
pub const LOCK_LOG: &str =
    "SELECT pg_advisory_xact_lock(1801812343, 1), set_config('keyward.notes', 'on', true)";

/// Waits for the turn to migrate.
pub const LOCK_MIGRATIONS: &str = "SELECT pg_advisory_xact_lock(1801812343, 2)";

/// What was migrated, and which programs can live with it. A statement for each migration that is due follows it.
pub const MAKE_MIGRATIONS: &str = "CREATE TABLE IF NOT EXISTS keyward_migrations ( \
     version    bigint NOT NULL PRIMARY KEY, \
     name       text   NOT NULL, \
     min_reader bigint NOT NULL, \
     applied_at bigint NOT NULL DEFAULT floor(extract(epoch FROM clock_timestamp())))";

/// Ends a transaction; what it wrote is there for everybody.
pub const COMMIT: &str = "COMMIT";

/// Ends a transaction; it wrote nothing.
pub const ROLLBACK: &str = "ROLLBACK";

/// Marks a place in a transaction, for [`ROLLBACK_TO_MARK`].
pub const MARK: &str = "SAVEPOINT mark";

/// Undoes what was done since [`MARK`], settings too.
pub const ROLLBACK_TO_MARK: &str = "ROLLBACK TO SAVEPOINT mark";

statements! {
    /// The end of the change log, and what goes with it.
    LOG_END = concat!("SELECT ", log_end!(), "FROM key_log l");

    /// At most $2 keys and tombstones, those with an id after $1. A key that is made or deleted between two pages of a
    /// fill is in the log after the place that was read first.
    ///
    /// Tombstones are passed over by who reads: a planner that knows nothing of the table yet takes live keys for few,
    /// and then gathers and sorts all of them for each page (223 ms instead of 2 ms at 300,000 keys).
    PAGE = select_keys!(
        ", k.deleted_at IS NOT NULL AS is_deleted \
         FROM (SELECT * FROM api_keys p WHERE p.id > $1::text ORDER BY p.id LIMIT $2::bigint) k \
         LEFT JOIN teams t ON t.id = k.team_id ORDER BY k.id"
    );

    /// The end of the log with what goes with it, and at most $2 entries after $1, each with the live key that is known by
    /// its digest now. One row without an entry when there is none. One statement, so that all is of one moment.
    ///
    /// Planned once (`place.rs`), maybe while there was no key yet: that a key is live is asked in a way that fits no
    /// partial index, so that only the indexes by digest are left to go by.
    CHANGES = select_keys!(
        ", c.seq, c.digest AS changed_digest, c.at AS changed_at, c.at_ms AS changed_at_ms, ",
        log_end!(),
        "FROM (SELECT last_seq FROM key_log LIMIT 1) l \
         LEFT JOIN (SELECT seq, digest, at, at_ms FROM key_changes WHERE seq > $1::bigint ORDER BY seq \
                    LIMIT $2::bigint) c \
           ON true \
         LEFT JOIN LATERAL ( \
           SELECT * FROM api_keys p WHERE p.digest = c.digest AND coalesce(p.deleted_at, -1) < 0 \
           UNION ALL \
           SELECT * FROM api_keys o WHERE o.old_digest = c.digest AND coalesce(o.deleted_at, -1) < 0 AND o.old_until > ",
        now!(),
        ") k ON true \
         LEFT JOIN teams t ON t.id = k.team_id \
         ORDER BY c.seq"
    );

    /// The live key known by $1.
    FIND = select_keys!(
        "FROM api_keys k LEFT JOIN teams t ON t.id = k.team_id \
         WHERE k.deleted_at IS NULL AND (k.digest = $1::bytea OR (k.old_digest = $1::bytea AND k.old_until > ",
        now!(),
        "))"
    );

    /// The live key with the id $1.
    GET_BY_ID = select_keys!(
        "FROM api_keys k LEFT JOIN teams t ON t.id = k.team_id WHERE k.deleted_at IS NULL AND k.id = $1::text"
    );

    /// The live key with the prefix $1.
    GET_BY_PREFIX = select_keys!(
        "FROM api_keys k LEFT JOIN teams t ON t.id = k.team_id WHERE k.deleted_at IS NULL AND k.prefix = $1::text"
    );

    /// Live keys, newest first, of the category $1, the owner $2 and the team $3, where those are given.
    LIST = select_keys!(
        "FROM api_keys k LEFT JOIN teams t ON t.id = k.team_id \
         WHERE k.deleted_at IS NULL AND ($1::text IS NULL OR k.category = $1::text) \
           AND ($2::text IS NULL OR k.owner = $2::text) AND ($3::text IS NULL OR k.team_id = $3::text) \
         ORDER BY k.created_at DESC, k.id DESC"
    );

    /// At most $6 keys of the same list, those after the one made at $4 with the id $5.
    LIST_PAGE = select_keys!(
        "FROM api_keys k LEFT JOIN teams t ON t.id = k.team_id \
         WHERE k.deleted_at IS NULL AND ($1::text IS NULL OR k.category = $1::text) \
           AND ($2::text IS NULL OR k.owner = $2::text) AND ($3::text IS NULL OR k.team_id = $3::text) \
           AND (k.created_at, k.id) < ($4::bigint, $5::text) \
         ORDER BY k.created_at DESC, k.id DESC LIMIT $6::bigint"
    );

    /// A key of the team $8, or of the default team. No row when there is no such team.
    INSERT = concat!(
        "INSERT INTO api_keys (id, prefix, digest, name, category, operation, scope, owner, expires_at, ends_calls, \
                               created_at, org_id, team_id) \
         SELECT $1::text, $2::text, $3::bytea, $4::text, $5::text, $6::text, $7::text, $9::text, $10::bigint, \
                $11::boolean, ",
        now!(),
        ", t.org_id, t.id FROM teams t \
         WHERE CASE WHEN $8::text IS NULL THEN t.is_default ELSE t.id = $8::text END \
         ORDER BY t.created_at, t.id LIMIT 1"
    );

    /// The keys of an import. The join makes one row of each whose team is there.
    IMPORT = concat!(
        "INSERT INTO api_keys (id, prefix, digest, old_digest, old_until, name, category, operation, scope, owner, \
                               created_at, expires_at, disabled_at, last_used_at, ends_calls, org_id, team_id) \
         SELECT n.id, n.prefix, n.digest, n.old_digest, n.old_until, n.name, n.category, n.operation, n.scope, n.owner, \
                coalesce(n.created_at, ", now!(), "), n.expires_at, n.disabled_at, n.last_used_at, n.ends_calls, \
                t.org_id, t.id \
         FROM ", imported!(), "JOIN teams t ON t.id = n.team_id"
    );

    /// Has the rest of the transaction plan what it asks for each row once: with the session's own setting, the checks
    /// that a key's organisation and team are there are planned anew for every row, which takes half of an import's time.
    /// What the triggers ask is then planned once as well, and goes by an index, however young the table is.
    IMPORT_PLANS = "SELECT set_config('plan_cache_mode', 'auto', true), set_config('enable_seqscan', 'off', true), \
                           set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)";

    /// What stands in the way of each key of an import, by its place from 1: 0 the key itself, 1 the same but deleted,
    /// 2 its text, 3 its prefix, 4 its id, 5 its name. Each is one look into an index: `OFFSET 0` keeps the looks from
    /// being turned into joins, which on a table that has grown since it was last analyzed read all of it for each batch.
    IMPORT_CLASHES = concat!(
        "SELECT n.place, c.clash::bigint AS clash \
         FROM ", imported!(), "JOIN teams t ON t.id = n.team_id CROSS JOIN LATERAL ( \
           SELECT CASE WHEN k.prefix <> n.prefix THEN 2 WHEN k.deleted_at IS NULL THEN 0 ELSE 1 END AS clash \
             FROM api_keys k WHERE k.digest = n.digest \
           UNION ALL SELECT 2 FROM api_keys k WHERE k.old_digest = n.digest \
           UNION ALL SELECT 2 FROM api_keys k WHERE k.digest = n.old_digest \
           UNION ALL SELECT 2 FROM api_keys k WHERE k.old_digest = n.old_digest \
           UNION ALL SELECT 3 FROM api_keys k WHERE k.prefix = n.prefix \
           UNION ALL SELECT 4 FROM api_keys k WHERE k.id = n.id \
           UNION ALL SELECT 5 FROM api_keys k \
             WHERE n.category <> 'PERSONAL' AND k.org_id = t.org_id AND coalesce(k.team_id, '') = n.team_id \
               AND k.name = n.name AND k.category <> 'PERSONAL' AND k.deleted_at IS NULL AND k.name IS NOT NULL \
           UNION ALL SELECT 5 FROM api_keys k \
             WHERE n.category = 'PERSONAL' AND k.org_id = t.org_id AND coalesce(k.owner, '') = coalesce(n.owner, '') \
               AND k.name = n.name AND k.category = 'PERSONAL' AND k.deleted_at IS NULL AND k.name IS NOT NULL \
           OFFSET 0) c"
    );

    /// Turns the live key with the id $1 into a tombstone.
    DELETE = concat!(
        "UPDATE api_keys SET deleted_at = ", now!(), " WHERE id = $1::text AND deleted_at IS NULL"
    );

    /// Changes the live key with the id $1: the name to $3 if $2, the scope to $5 if $4, the end to $7 if $6, on or
    /// off by $8, the digest and prefix to $9 and $10 where given, the present digest then working $11 seconds more; the
    /// category to $12, px0's word to $13, the team to $14 and whether calls end with it to $15 where given. No row when the
    /// organisation has no such team.
    UPDATE = concat!(
        "UPDATE api_keys SET \
           name = CASE WHEN $2::boolean THEN $3::text ELSE name END, \
           scope = CASE WHEN $4::boolean THEN $5::text ELSE scope END, \
           expires_at = CASE WHEN $6::boolean THEN $7::bigint ELSE expires_at END, \
           disabled_at = CASE $8::boolean WHEN true THEN NULL WHEN false THEN coalesce(disabled_at, ", now!(), ") \
                                          ELSE disabled_at END, \
           old_digest = CASE WHEN $9::bytea IS NULL THEN old_digest WHEN $11::bigint > 0 THEN digest END, \
           old_until = CASE WHEN $9::bytea IS NULL THEN old_until WHEN $11::bigint > 0 THEN ", now!(), " + $11::bigint \
                       END, \
           digest = coalesce($9::bytea, digest), \
           prefix = coalesce($10::text, prefix), \
           category = coalesce($12::text, category), \
           operation = coalesce($13::text, operation), \
           team_id = coalesce($14::text, team_id), \
           ends_calls = coalesce($15::boolean, ends_calls) \
         WHERE id = $1::text AND deleted_at IS NULL \
           AND ($14::text IS NULL \
                OR EXISTS (SELECT FROM teams t WHERE t.id = $14::text AND t.org_id = api_keys.org_id))"
    );

    /// The moments $2 of the keys $1; never an earlier one than is stored.
    ///
    /// The rows are locked in the order of their ids before the first is written: two instances that write the same
    /// keys wait for each other and never in a circle, whatever way the join goes. Planned once (`place.rs`): no other
    /// index than that of the ids fits.
    RECORD_LAST_USED = "UPDATE api_keys k SET last_used_at = greatest(k.last_used_at, locked.at) \
         FROM (SELECT l.id, used.at \
                 FROM (SELECT u.id, max(u.at) AS at FROM unnest($1::text[], $2::bigint[]) AS u (id, at) GROUP BY u.id) \
                      AS used \
                 JOIN api_keys l ON l.id = used.id \
                WHERE coalesce(l.last_used_at, -1) < used.at \
                ORDER BY l.id FOR NO KEY UPDATE OF l) AS locked \
         WHERE k.id = locked.id";

    /// Notes that $1 with the key $2, from $3, did $4 to the key $5 with the prefix $6, of which $7 changed.
    NOTE = "INSERT INTO audit_logs (actor, actor_prefix, source, action, key_id, key_prefix, changed) \
            VALUES ($1::text, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text)";

    /// Notes that $1 with the key $2, from $3, did $4, to the team with the name $5 if it was one.
    NOTE_OTHER = "INSERT INTO audit_logs (actor, actor_prefix, source, action, key_id, key_prefix, changed, team) \
                  VALUES ($1::text, $2::text, $3::text, $4::text, '', '', '[]', $5::text)";

    /// Notes that $1 with the key $2, from $3, did $4 to each of the keys $5 with the prefixes $6.
    NOTE_IMPORT = "INSERT INTO audit_logs (actor, actor_prefix, source, action, key_id, key_prefix, changed) \
                   SELECT $1::text, $2::text, $3::text, $4::text, n.id, n.prefix, '[]' \
                   FROM unnest($5::text[], $6::text[]) WITH ORDINALITY AS n (id, prefix, place) ORDER BY n.place";

    /// At most $2 entries of the audit trail before the one numbered $1, newest first.
    AUDIT = "SELECT seq, at, actor, actor_prefix, source, action, key_id, key_prefix, changed, team FROM audit_logs \
             WHERE seq < $1::bigint ORDER BY seq DESC LIMIT $2::bigint";

    /// The organisation: the first, should somebody have added one.
    ORG = "SELECT id FROM orgs ORDER BY created_at, id LIMIT 1";

    /// The organisation's teams.
    TEAMS = "SELECT id, org_id, name, is_default, created_at FROM teams ORDER BY is_default DESC, name, id";

    /// The team with the id $1.
    TEAM = "SELECT id, org_id, name, is_default, created_at FROM teams WHERE id = $1::text";

    /// A team with the id $1 and the name $2.
    INSERT_TEAM = concat!(
        "INSERT INTO teams (id, name, org_id, created_at) SELECT $1::text, $2::text, id, ",
        now!(),
        " FROM orgs ORDER BY created_at, id LIMIT 1"
    );

    /// The admin token's digest.
    ADMIN_TOKEN = "SELECT digest FROM admin_tokens";

    /// Keeps $1 unless one is kept.
    KEEP_ADMIN_TOKEN = "INSERT INTO admin_tokens (one, digest) VALUES (1, $1::bytea) ON CONFLICT DO NOTHING";

    /// The instance $1 is called $2, has run for $3 seconds, has applied everything up to $4, and means what it says for
    /// $5 and $6 milliseconds. Takes away what others have left behind that ended without a word, but for what somebody
    /// else is just taking away: two never wait for each other.
    REPORT_INSTANCE = concat!(
        "WITH gone AS ( \
           DELETE FROM instances WHERE id IN ( \
             SELECT id FROM instances WHERE seen_at_ms + serves_ms < ", now_ms!(), " AND id <> $1::text \
             FOR UPDATE SKIP LOCKED)) \
         INSERT INTO instances (id, name, started_at, seen_at_ms, applied, heard_ms, serves_ms) \
         VALUES ($1::text, $2::text, ", now!(), " - $3::bigint, ", now_ms!(), ", $4::bigint, $5::bigint, $6::bigint) \
         ON CONFLICT (id) DO UPDATE SET seen_at_ms = excluded.seen_at_ms, applied = excluded.applied"
    );

    /// Takes away the instance $1.
    REMOVE_INSTANCE = "DELETE FROM instances WHERE id = $1::text";

    /// The instances that may serve keys.
    INSTANCES = concat!(
        "SELECT i.name, i.started_at, i.seen_at_ms, i.applied, greatest(0, l.last_seq - i.applied) AS behind_by, ",
        now_ms!(), " - i.seen_at_ms <= i.heard_ms AS is_heard \
         FROM instances i CROSS JOIN key_log l WHERE i.seen_at_ms + i.serves_ms >= ", now_ms!(),
        " ORDER BY i.name, i.id"
    );

    /// Asks instances to report for $1 milliseconds, unless they are asked to for half of that already, and rings the
    /// bell if that had to be written.
    WANT_POSITIONS = concat!(
        "WITH asked AS ( \
           INSERT INTO positions_wanted AS w (one, until_ms) VALUES (1, ", now_ms!(), " + $1::bigint) \
           ON CONFLICT (one) DO UPDATE SET until_ms = excluded.until_ms \
           WHERE w.until_ms < ", now_ms!(), " + $1::bigint / 2 RETURNING 1) \
         SELECT pg_notify('keyward', '')::text FROM asked"
    );

    /// The organisation $1, unless there is one.
    FIRST_ORG = "INSERT INTO orgs (id) SELECT $1::text WHERE NOT EXISTS (SELECT 1 FROM orgs)";

    /// The default team $1 with the name $2 for the first organisation without one: there is one organisation.
    FIRST_TEAM = "INSERT INTO teams (id, name, org_id, is_default) \
         SELECT $1::text, $2::text, o.id, true FROM orgs o \
         WHERE NOT EXISTS (SELECT 1 FROM teams t WHERE t.org_id = o.id AND t.is_default) \
         ORDER BY o.created_at, o.id LIMIT 1";

    /// The newest migration that was applied, and the oldest program that can live with it, both by the number of
    /// a migration.
    SCHEMA_VERSION = "SELECT coalesce(max(version), 0) AS version, coalesce(max(min_reader), 0) AS min_reader \
                      FROM keyward_migrations";

    /// Notes that the migration $1 with the name $2 was applied; programs older than $3 cannot live with it.
    MIGRATED = "INSERT INTO keyward_migrations (version, name, min_reader) VALUES ($1::bigint, $2::text, $3::bigint)";

    /// The triggers that are there and not switched off.
    TRIGGERS = "SELECT tgname::text AS name FROM pg_trigger \
                WHERE tgrelid IN ('api_keys'::regclass, 'teams'::regclass) AND tgenabled IN ('O', 'A')";

    /// Everything after this in the transaction makes and finds its tables where a table without a schema is made.
    PIN_SCHEMA = "SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)";

    /// Takes the lock $1 for this transaction.
    PROBE_LOCK = "SELECT pg_advisory_xact_lock(1801812344, $1::integer)";

    /// Whether another transaction could have the lock $1 now. In this one's hands until it ends, if so.
    PROBE_LOCK_IS_FREE = "SELECT pg_try_advisory_xact_lock(1801812344, $1::integer)";

    /// Changes nothing, but as a statement that would.
    PROBE_CHANGE = "UPDATE api_keys SET name = name WHERE false";

    /// Whether the lock of the change log is free.
    PROBE_LOG_IS_FREE = "SELECT pg_try_advisory_xact_lock(1801812343, 1)";

    /// Whether the connection lives.
    HEARTBEAT = "SELECT 1";
}
