//! The rules themselves: what a room may know, what has one place, where secrets leave their wrapping.

/// A room: which rooms and crates its code may name.
pub struct Room {
    pub name: &'static str,
    /// The rooms it may use. `config` may take what stands in a room's `config.rs` from every room.
    pub may_use: &'static [&'static str],
    /// The crates (or modules of `std`) it must not name.
    pub never: &'static [&'static str],
    pub why: &'static str,
}

/// Who may know whom. It holds for unit tests too: what crosses a room is tested in `tests/it`.
pub const ROOMS: &[Room] = &[
    Room {
        name: "key",
        may_use: &[],
        never: &[
            "tokio", "http", "hyper", "axum", "sqlx", "tracing", "metrics",
        ],
        why: "a fact: no I/O, no clock, no async; everybody builds on it",
    },
    Room {
        name: "route",
        may_use: &["key", "message"],
        never: &["tokio", "hyper", "axum", "sqlx", "tracing", "metrics"],
        why: "a fact: it knows requests, and nothing that knows a socket",
    },
    Room {
        name: "credential",
        may_use: &["key", "message"],
        never: &["tokio", "hyper", "axum", "sqlx", "tracing", "metrics"],
        why: "a fact: it says where a secret is; files and the environment are read in config",
    },
    Room {
        name: "telemetry",
        may_use: &[],
        never: &["sqlx", "axum"],
        why: "the cellar: every room may stand on it, so it stands on none",
    },
    Room {
        name: "clock",
        may_use: &["key"],
        never: &["http", "hyper", "axum", "sqlx"],
        why: "the cellar: it tells UnixTime, and the facts stay without a clock; of tokio it has the time, which tests can hold still",
    },
    Room {
        name: "tls",
        may_use: &[],
        never: &[
            "tokio", "http", "hyper", "axum", "sqlx", "tracing", "metrics",
        ],
        why: "the cellar: certificates in files; it tells what it found, and others log, count and wait",
    },
    Room {
        name: "message",
        may_use: &[],
        never: &["tokio", "hyper", "axum", "sqlx", "tracing", "metrics"],
        why: "the cellar: heads of messages as they stand where they were read; it decides nothing about them",
    },
    Room {
        name: "http1",
        may_use: &["message"],
        never: &["hyper", "axum", "sqlx", "tracing", "metrics"],
        why: "the cellar: bytes of messages, for whoever speaks with callers and with model servers; it judges no head",
    },
    Room {
        name: "store",
        may_use: &["key", "telemetry"],
        never: &["http", "hyper", "axum"],
        why: "a database; it knows neither HTTP nor what is remembered of it",
    },
    Room {
        name: "cache",
        may_use: &["key", "store", "telemetry", "clock"],
        never: &["http", "hyper", "axum", "sqlx"],
        why: "it asks the store; SQL stays there",
    },
    Room {
        name: "usage",
        may_use: &["key", "store", "telemetry", "clock"],
        never: &["http", "hyper", "axum", "sqlx"],
        why: "the mark hangs on the grant; it needs no cache",
    },
    Room {
        name: "registry",
        may_use: &["key", "store", "telemetry", "clock"],
        never: &["http", "hyper", "axum", "sqlx"],
        why: "not the cache: our own deletions take the road of everybody's",
    },
    Room {
        name: "upstream",
        may_use: &[
            "key",
            "route",
            "credential",
            "telemetry",
            "clock",
            "tls",
            "message",
            "http1",
        ],
        never: &["axum", "sqlx"],
        why: "it never sees the caller's key",
    },
    Room {
        name: "proxy",
        may_use: &[
            "key",
            "route",
            "credential",
            "cache",
            "usage",
            "upstream",
            "telemetry",
            "clock",
            "tls",
            "message",
            "http1",
        ],
        never: &["axum", "sqlx"],
        why: "not the store: no request can wait for a database except through a miss",
    },
    Room {
        name: "admin",
        may_use: &[
            "key",
            "credential",
            "registry",
            "upstream",
            "telemetry",
            "clock",
        ],
        never: &["sqlx"],
        why: "not the cache, no SQL: a dialect translates; credential is for its settings",
    },
    Room {
        name: "config",
        may_use: &["key", "route", "credential", "clock", "telemetry", "tls"],
        never: &["tokio", "hyper", "axum", "sqlx"],
        why: "settings of every room, behaviour of none but the facts",
    },
    Room {
        name: "server",
        may_use: &[
            "key",
            "route",
            "credential",
            "telemetry",
            "clock",
            "tls",
            "message",
            "http1",
            "store",
            "cache",
            "usage",
            "registry",
            "upstream",
            "proxy",
            "admin",
            "config",
        ],
        never: &["sqlx"],
        why: "it wires every room but the command line, and decides nothing",
    },
    Room {
        name: "cli",
        may_use: &[
            "key",
            "credential",
            "registry",
            "store",
            "upstream",
            "config",
            "server",
            "telemetry",
            "clock",
        ],
        never: &["sqlx"],
        why: "one more translator, and the door to the server; the demo's model server is axum's; of upstream the doctor reads \
              the plan",
    },
    Room {
        name: "main",
        may_use: &["cli"],
        never: &["tokio", "http", "hyper", "axum", "sqlx"],
        why: "parse, hand over, turn the result into an exit code",
    },
];

/// Words that stand in some files only.
pub struct Place {
    pub words: &'static [&'static str],
    /// Files, or folders when they end in `/`.
    pub only_in: &'static [&'static str],
    pub why: &'static str,
}

/// What stands where. Unit tests are free of these.
pub const PLACES: &[Place] = &[
    Place {
        words: &["counter!", "gauge!", "histogram!"],
        only_in: &["telemetry/metrics.rs", "telemetry/metrics/"],
        why: "rooms use the handles of telemetry::metrics",
    },
    Place {
        words: &[
            "tokio::spawn",
            "task::spawn",
            "spawn_local",
            "thread::spawn",
            "thread::Builder",
            "JoinSet",
            "TaskTracker",
        ],
        only_in: &["server/"],
        why: "rooms return futures; server spawns, so that shutdown can wait for all of them",
    },
    Place {
        words: &["anyhow"],
        only_in: &["main.rs", "cli/"],
        why: "a room's errors are types of its own",
    },
    Place {
        words: &["println!", "eprintln!", "print!", "eprint!", "dbg!"],
        only_in: &["cli/print.rs"],
        why: "one file writes to the terminal",
    },
    Place {
        words: &["stdout()"],
        only_in: &["cli/print.rs", "telemetry/access/writer.rs"],
        why: "one file writes to the terminal; the log of calls may go to stdout",
    },
    Place {
        words: &["io::stderr", "stderr()"],
        only_in: &[
            "cli/print.rs",
            "telemetry/logging.rs",
            "telemetry/access/writer.rs",
        ],
        why: "one file writes to the terminal; the logs go to stderr",
    },
    Place {
        words: &["SystemTime::now"],
        only_in: &["clock.rs"],
        why: "time comes in as a Clock",
    },
    Place {
        words: &["papaya"],
        only_in: &["cache/memory/"],
        why: "one file knows where a grant is, and changes it there under one lock",
    },
    Place {
        words: &["AssertSqlSafe"],
        only_in: &["store/"],
        why: "statements are constants",
    },
    Place {
        words: &["client::legacy", "client::conn"],
        only_in: &["upstream/connect.rs", "upstream/pool.rs", "cli/"],
        why: "two files name the HTTP client of the proxy: one makes connections, one keeps them; the command line calls the \
              admin listener",
    },
];

/// How often live code may call `reveal()`, at most: the places where a secret leaves its wrapping.
pub const REVEALS: &[(&str, usize, &str)] = &[
    (
        "admin/dialect/baseten.rs",
        1,
        "the one answer that holds a new key",
    ),
    (
        "admin/dialect/baseten/life.rs",
        1,
        "the one answer that holds a rotated key's new text",
    ),
    (
        "admin/dialect/px0.rs",
        2,
        "the two answers that hold a new key",
    ),
    (
        "admin/token.rs",
        1,
        "a configured admin token becomes its digest",
    ),
    ("cli/api_key.rs", 1, "the one answer that holds a new key"),
    (
        "cli/key_life.rs",
        1,
        "the one answer that holds a rotated key's new text",
    ),
    (
        "cli/answer.rs",
        1,
        "to take a new key out of a complaint that quotes it",
    ),
    (
        "cli/direct.rs",
        2,
        "a new key, on its way to that answer: it looks like one that came over HTTP",
    ),
    ("cli/profiles.rs", 1, "the file of profiles"),
    ("cli/remote.rs", 1, "the header of every request"),
    (
        "cli/demo.rs",
        2,
        "the demo administers with its token, and shows it to who stays",
    ),
    (
        "cli/serve.rs",
        1,
        "the admin token, once, at the first start",
    ),
    (
        "credential/location.rs",
        4,
        "one for each place where our own credential can stand",
    ),
    (
        "config/secret.rs",
        2,
        "a secret is checked before it is used",
    ),
    (
        "config/keys.rs",
        2,
        "the endpoint of Azure is compared with the upstream's url, and a service account is checked before it is used",
    ),
    (
        "upstream/keys/shown.rs",
        1,
        "a key is masked before anybody is shown it",
    ),
    (
        "upstream/keys/mod.rs",
        5,
        "the fingerprint by which a key is known that has got another text, and what requests are signed with",
    ),
    (
        "upstream/keys/fetch.rs",
        1,
        "what tokens are asked for with",
    ),
    (
        "upstream/keys/place.rs",
        1,
        "projects, regions and versions stand in paths, and are no secrets",
    ),
];
