//! Which server, and how its sessions are to be.

use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::store::{BellKind, StoreConfig, StoreError};

/// How sessions show themselves in `pg_stat_activity`, unless the url says otherwise.
const APPLICATION: &str = "keyward";

/// The user that sqlx falls back to when nobody names one.
const NOBODY: [&str; 2] = ["anonymous", "unknown"];

/// What sqlx reads from a url. It passes over the others, and writes their values to the log.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// A server and a database on it.
#[derive(Clone)]
pub struct Place {
    options: PgConnectOptions,
    /// Where it is, without user and password.
    address: String,
    /// How long a statement may take.
    pub limit: Duration,
    /// Whether something stands between that gives each transaction another session.
    pub is_pooled: bool,
}

impl Place {
    /// The server of `config.url`, where keys are read and written.
    ///
    /// # Errors
    ///
    /// When it is no url of a server, or names no user. The message holds nothing that may be secret.
    pub fn of_keys(config: &StoreConfig) -> Result<Self, StoreError> {
        let is_pooled = config.bell_url.is_some() || config.bell == BellKind::Poll;
        Self::parse(&config.url, config, is_pooled)
    }

    /// The server where the bell is; none when there is only the poll.
    ///
    /// # Errors
    ///
    /// As [`Place::of_keys`].
    pub fn of_bell(config: &StoreConfig) -> Result<Option<Self>, StoreError> {
        if config.bell == BellKind::Poll {
            return Ok(None);
        }
        let url = config.bell_url.as_deref().unwrap_or(&config.url);
        Self::parse(url, config, false).map(Some)
    }

    fn parse(url: &str, config: &StoreConfig, is_pooled: bool) -> Result<Self, StoreError> {
        let limit = config.postgres.statement_timeout;
        let refusal = |advice: String| StoreError::Open {
            address: "the configured url".to_owned(),
            advice,
            cause: None,
        };
        check_parameters(url).map_err(refusal)?;
        let parsed = PgConnectOptions::from_str(url);
        // The cause is not told: it might quote a part of the url.
        let options = parsed.map_err(|_| refusal(FORM.to_owned()))?;
        if !names_user(url) && NOBODY.contains(&options.get_username()) {
            return Err(refusal(
                "the url names no user; write `postgres://USER@HOST/DATABASE`, or set PGUSER"
                    .to_owned(),
            ));
        }
        let address = address(&options);
        Ok(Self {
            options: session(options, limit, is_pooled),
            address,
            limit,
            is_pooled,
        })
    }

    /// Options for a session.
    pub const fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Options for the session that listens.
    pub fn listening_options(&self) -> PgConnectOptions {
        self.options.clone().options(PLANNED_ONCE)
    }

    /// The error of a database that is not opened, and what to do about it.
    pub fn refusal(&self, advice: impl Into<String>, cause: Option<sqlx::Error>) -> StoreError {
        StoreError::Open {
            address: self.address.clone(),
            advice: advice.into(),
            cause,
        }
    }

    /// The error of a database that is not there now and may be later.
    pub fn away(&self, advice: impl Into<String>, cause: Option<sqlx::Error>) -> StoreError {
        StoreError::Away {
            address: self.address.clone(),
            advice: advice.into(),
            cause,
        }
    }

    /// What a session must be told at the beginning of each transaction, because the last one it was told in is not
    /// ours; nothing otherwise.
    pub fn transaction_settings(&self) -> String {
        if !self.is_pooled {
            return String::new();
        }
        let settings =
            limits(self.limit).map(|(name, value)| format!("; SET LOCAL {name} = {value}"));
        settings.concat()
    }
}

const FORM: &str = "it is no url of a database; write `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or \
                    `postgres://USER@%2Fvar%2Frun%2Fpostgresql/DATABASE` for a socket, with what is not a letter or a \
                    digit in user and password written `%xx`";

/// The limits of a session, in milliseconds, and no compiling of statements: what the planner guesses of young tables
/// makes it take the look at the log for a large question, and compiling takes longer (700 ms) than any of ours. The
/// server ends what we no longer wait for: a statement, a wait for a lock, and a transaction of a process that was
/// stopped in its middle and keeps others waiting.
fn limits(limit: Duration) -> [(&'static str, u128); 4] {
    let millis = limit.as_millis().max(1);
    [
        ("statement_timeout", millis),
        ("lock_timeout", (millis * 9 / 10).max(1)),
        ("idle_in_transaction_session_timeout", millis * 2),
        ("jit", 0),
    ]
}

fn session(options: PgConnectOptions, limit: Duration, is_pooled: bool) -> PgConnectOptions {
    let options = match options.get_application_name() {
        Some(_) => options,
        None => options.application_name(APPLICATION),
    };
    // We store no floating-point numbers, and a pooler refuses a session that asks for what it does not know.
    let options = options.extra_float_digits(None).disable_statement_logging();
    if is_pooled {
        return options.statement_cache_capacity(0);
    }
    options.options(limits(limit)).options([
        ("default_transaction_isolation", "read committed"),
        ("client_min_messages", "warning"),
        // A session otherwise keeps a plan after five runs of a statement: one made while the tables were nearly empty
        // may read a whole index for each row it wants, and an import fills them long before anything makes the
        // server plan anew (a look at the log after 200,000 keys: 88 s instead of 11 ms).
        ("plan_cache_mode", "force_custom_plan"),
        // sqlx offers no keepalive of ours (0.9.0), so that it is the server's that finds a client which is gone, while
        // every wait here has a limit of its own. Neither counts on a Unix socket.
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "2"),
        ("tcp_user_timeout", "15000"),
    ])
}

/// Settings of the session that listens, which is asked a few statements again and again (`sql.rs` says which). They are
/// planned once, for planning a look takes three times as long as looking (pgbench: 0.49 and 0.13 ms), and hundreds look
/// at the same moment. What the planner knows of young tables must not matter then: it may only go by an index, row by
/// row, and those statements leave it one index to go by.
pub const PLANNED_ONCE: [(&str, &str); 4] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// Host, port and database, or the socket's directory and the database.
fn address(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_default();
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    format!("postgres://{host}/{database}")
        .escape_debug()
        .to_string()
}

/// The names of the parameters after the `?`.
fn parameters(url: &str) -> impl Iterator<Item = &str> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name))
}

fn check_parameters(url: &str) -> Result<(), String> {
    let is_known = |name: &str| {
        // `options[search_path]`, percent-encoded or not.
        let name = name.split(['[', '%']).next().unwrap_or(name);
        PARAMETERS.contains(&name)
    };
    match parameters(url).find(|name| !is_known(name)) {
        None => Ok(()),
        // A password with a `?` in it would come here: only what looks like a name is told.
        Some(name)
            if name.len() <= 32
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_') =>
        {
            Err(format!(
                "the url holds the parameter `{name}`, which is not known here"
            ))
        }
        Some(_) => Err("the url holds a parameter that is not known here".to_owned()),
    }
}

/// Whether the url itself says who we are.
fn names_user(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = rest
        .split_at_checked(end)
        .map_or("", |(authority, _)| authority);
    let user = authority.rsplit_once('@').map_or("", |(who, _)| who);
    !user.is_empty() && !user.starts_with(':') || parameters(url).any(|name| name == "user")
}
