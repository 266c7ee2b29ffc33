//! What single settings may be, and pairs of them.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use jiff::fmt::friendly::SpanPrinter;

use crate::admin::AdminConfig;
use crate::cache::CacheConfig;
use crate::key::Name;
use crate::proxy::LimitsConfig;
use crate::route::MAX_BODY_DEPTH;
use crate::server::ServerConfig;
use crate::store::StoreConfig;
use crate::tls::ListenerTlsConfig;
use crate::upstream::UpstreamLimits;
use crate::usage::UsageConfig;

use super::file::ConfigFile;
use super::mistake::{Mistakes, place_of};
use super::path::Path;
use super::tree::Node;

/// Looks at settings that have the right types, and notes what is wrong with them.
pub struct Checks<'c> {
    tree: &'c Node,
    mistakes: &'c mut Mistakes,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Any time that is no mistake is in here.
pub const TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);

impl<'c> Checks<'c> {
    /// Mistakes go to `mistakes`, with the places that `tree` knows.
    pub const fn new(tree: &'c Node, mistakes: &'c mut Mistakes) -> Self {
        Self { tree, mistakes }
    }

    /// Everything that needs no other room's knowledge.
    pub fn all(&mut self, file: &ConfigFile) {
        self.listeners(file);
        let workers = Path::dotted("proxy.workers");
        self.within(&workers, file.proxy.workers, 0..=1024, "threads");
        if let Some(tls) = &file.proxy.tls {
            self.listener_tls(tls);
        }
        if let Some(door) = &file.proxy.forward_auth
            && let Err(message) = door.check_path()
        {
            self.wrong(&Path::dotted("proxy.forward_auth.path"), message);
        }
        self.limits(&file.proxy.limits);
        for (name, upstream) in &file.upstreams {
            let path = Path::dotted("upstreams").key(name).key("limits");
            self.upstream_limits(&path, &upstream.limits);
        }
        self.store(&file.store);
        self.cache(&file.cache);
        self.usage(&file.usage);
        self.admin(&file.admin);
        self.server(&file.server);
        self.closing(file);
        if let Err(message) = file.log.filter() {
            self.wrong(&Path::dotted("log.level"), message);
        }
        let refusals = Path::dotted("access_log.refusals_per_second");
        let told = file.access_log.refusals_per_second;
        self.within(&refusals, told, 0..=1_000_000, "lines");
    }

    /// Notes what is wrong at `path`.
    pub fn wrong(&mut self, path: &Path, message: impl Into<String>) {
        let place = place_of(self.tree, path);
        self.mistakes.add(place, path.clone(), message);
    }

    /// Whether what stands at `path` is a mistake already, so that nothing can be said about it.
    pub fn is_mistaken(&self, path: &Path) -> bool {
        self.mistakes.touch(path)
    }

    /// Notes what is wrong at `path` in the light of `other`, unless one of them is a mistake already.
    fn wrong_beside(&mut self, path: &str, other: &str, message: impl Into<String>) {
        let (path, other) = (Path::dotted(path), Path::dotted(other));
        if !self.is_mistaken(&path) && !self.is_mistaken(&other) {
            self.wrong(&path, message);
        }
    }

    /// Notes a value at `path` that is out of its range.
    pub fn within<T: PartialOrd + Display + Copy>(
        &mut self,
        path: &Path,
        value: T,
        range: RangeInclusive<T>,
        unit: &str,
    ) {
        if !range.contains(&value) {
            let (least, most) = (grouped(range.start()), grouped(range.end()));
            self.wrong(path, format!("must be from {least} to {most} {unit}"));
        }
    }

    /// Notes a time at `path` that is out of its range.
    pub fn time(&mut self, path: &Path, value: Duration, range: RangeInclusive<Duration>) {
        if !range.contains(&value) {
            let (least, most) = range.into_inner();
            let message = format!("must be from {} to {}", in_words(least), in_words(most));
            self.wrong(path, message);
        }
    }

    fn listeners(&mut self, file: &ConfigFile) {
        let listeners = [
            ("proxy.listen", file.proxy.listen),
            ("probes.listen", file.probes.listen),
            ("admin.listen", file.admin.listen),
        ];
        for (place, (name, address)) in listeners.iter().enumerate() {
            for (other, taken) in &listeners[..place] {
                if collide(*address, *taken) {
                    self.wrong_beside(name, other, format!("is the address of `{other}`, too"));
                }
            }
        }
    }

    fn listener_tls(&mut self, tls: &ListenerTlsConfig) {
        let at = |key| Path::dotted("proxy.tls").key(key);
        self.time(&at("handshake_timeout"), tls.handshake_timeout, TIMES);
        let sessions = at("sessions");
        self.within(&sessions, tls.sessions, 0..=1_000_000, "sessions");
    }

    fn limits(&mut self, limits: &LimitsConfig) {
        let section = Path::dotted("proxy.limits");
        let at = |key| section.key(key);
        // Usual heads fit into no smaller one; a larger one may be held by every connection.
        self.within(&at("head_bytes"), limits.head_bytes, 8 * KIB..=MIB, "bytes");
        self.within(&at("head_fields"), limits.head_fields, 8..=4_096, "fields");
        let target = at("target_bytes");
        self.within(&target, limits.target_bytes, 64..=MIB, "bytes");
        if limits.target_bytes > limits.head_bytes {
            self.wrong_beside(
                "proxy.limits.target_bytes",
                "proxy.limits.head_bytes",
                "must not be larger than `proxy.limits.head_bytes`, which holds the target",
            );
        }
        for (key, time) in [
            ("head_timeout", limits.head_timeout),
            ("idle_timeout", limits.idle_timeout),
            ("stream_idle_timeout", limits.stream_idle_timeout),
            ("websocket_close_timeout", limits.websocket_close_timeout),
            ("body_stall_timeout", limits.body_stall_timeout),
        ] {
            self.time(&at(key), time, TIMES);
        }
        let drain = Duration::ZERO..=Duration::from_mins(1);
        self.time(&at("drain_timeout"), limits.drain_timeout, drain);
        self.within(
            &at("drain_bytes"),
            limits.drain_bytes,
            0..=64 * MIB,
            "bytes",
        );
        let many = 10_000_000;
        self.within(
            &at("connections"),
            limits.connections,
            0..=many,
            "connections",
        );
        self.within(&at("requests"), limits.requests, 1..=many, "requests");
        let memory = at("memory_bytes");
        self.within(&memory, limits.memory_bytes, 0..=1024 * 1024 * MIB, "bytes");
        self.body_limits(limits);
        let streams = limits.http2_streams;
        self.within(&at("http2_streams"), streams, 1..=100_000, "streams");
        // RFC 9113: a connection's window starts at 65,535, and no window is larger than 2^31 - 1.
        let windows = 65_535..=(1 << 31) - 1;
        for (key, bytes) in [
            (
                "http2_stream_window_bytes",
                limits.http2_stream_window_bytes,
            ),
            (
                "http2_connection_window_bytes",
                limits.http2_connection_window_bytes,
            ),
        ] {
            self.within(&at(key), bytes, windows.clone(), "bytes");
        }
    }

    fn body_limits(&mut self, limits: &LimitsConfig) {
        let at = |key| Path::dotted("proxy.limits").key(key);
        let whole = at("judged_whole_bytes");
        self.within(&whole, limits.judged_whole_bytes, 0..=64 * MIB, "bytes");
        for (key, bytes) in [
            ("held_body_bytes", limits.held_body_bytes),
            ("held_bodies_bytes", limits.held_bodies_bytes),
        ] {
            self.within(&at(key), bytes, KIB..=1024 * 1024 * MIB, "bytes");
        }
        for (smaller, larger, bytes, most) in [
            (
                "judged_whole_bytes",
                "held_body_bytes",
                limits.judged_whole_bytes,
                limits.held_body_bytes,
            ),
            (
                "held_body_bytes",
                "held_bodies_bytes",
                limits.held_body_bytes,
                limits.held_bodies_bytes,
            ),
        ] {
            if bytes > most {
                let [smaller, larger] = [smaller, larger].map(|key| format!("proxy.limits.{key}"));
                let message = format!("must not be larger than `{larger}`");
                self.wrong_beside(&smaller, &larger, message);
            }
        }
        let list = at("model_list_bytes");
        self.within(&list, limits.model_list_bytes, KIB..=64 * MIB, "bytes");
        let ratio = limits.decoded_ratio;
        self.within(&at("decoded_ratio"), ratio, 1..=10_000, "times");
        let depth = at("body_depth");
        self.within(&depth, limits.body_depth, 1..=MAX_BODY_DEPTH, "levels");
    }

    fn upstream_limits(&mut self, section: &Path, limits: &UpstreamLimits) {
        let at = |key| section.key(key);
        for (key, time) in [
            ("connect_timeout", limits.connect_timeout),
            ("head_timeout", limits.head_timeout),
            ("pool_idle_timeout", limits.pool_idle_timeout),
            ("http2_ping_interval", limits.http2_ping_interval),
            ("http2_ping_timeout", limits.http2_ping_timeout),
        ] {
            self.time(&at(key), time, TIMES);
        }
        let attempts = at("connect_attempts");
        self.within(&attempts, limits.connect_attempts, 1..=64, "servers");
        let idle = at("pool_idle_connections");
        self.within(
            &idle,
            limits.pool_idle_connections,
            0..=1_000_000,
            "connections",
        );
        let head = at("response_head_bytes");
        self.within(&head, limits.response_head_bytes, 8 * KIB..=MIB, "bytes");
        let streams = at("http2_streams");
        self.within(&streams, limits.http2_streams, 1..=100_000, "streams");
        // RFC 9113, 6.9.1.
        let window = at("http2_stream_window_bytes");
        let windows = 65_535..=(1 << 31) - 1;
        self.within(&window, limits.http2_stream_window_bytes, windows, "bytes");
    }

    /// What is said of the key database.
    pub fn store(&mut self, store: &StoreConfig) {
        let at = |key| Path::dotted("store").key(key);
        if let Err(message) = store.check_url() {
            self.wrong(&at("url"), message);
        } else if let Err(message) = store.check_bell_url() {
            self.wrong(&at("bell_url"), message);
        }
        self.time(&at("statement_timeout"), store.statement_timeout, TIMES);
        let bell = Duration::from_millis(1)..=Duration::from_mins(1);
        self.time(&at("bell_every"), store.bell_every, bell);
        self.within(&at("readers"), store.readers, 1..=64, "connections");
        let postgres = &store.postgres;
        let at = |key| Path::dotted("store.postgres").key(key);
        // Two, for one tries what the other holds when the server's locks are looked at.
        let connections = postgres.connections;
        self.within(&at("connections"), connections, 2..=1000, "connections");
        for (key, time) in [
            ("acquire_timeout", postgres.acquire_timeout),
            ("statement_timeout", postgres.statement_timeout),
            ("heartbeat", postgres.heartbeat),
        ] {
            self.time(&at(key), time, TIMES);
        }
    }

    fn cache(&mut self, cache: &CacheConfig) {
        let at = |key| Path::dotted("cache").key(key);
        self.within(&at("keys"), cache.keys, 1..=1_000_000_000, "keys");
        self.within(
            &at("unknown_keys"),
            cache.unknown_keys,
            1..=100_000_000,
            "texts",
        );
        let lookups = cache.lookups_per_second;
        self.within(
            &at("lookups_per_second"),
            lookups,
            1..=1_000_000,
            "look-ups",
        );
        let waiting = cache.lookups_waiting;
        self.within(&at("lookups_waiting"), waiting, 1..=1_000_000, "look-ups");
        for (key, time) in [
            ("unknown_for", cache.unknown_for),
            ("poll_every", cache.poll_every),
            ("max_lag", cache.max_lag),
            ("lookup_timeout", cache.lookup_timeout),
        ] {
            self.time(&at(key), time, TIMES);
        }
        let seal_every = Duration::from_secs(1)..=Duration::from_hours(24);
        self.time(&at("seal_every"), cache.seal_every, seal_every);
        if let Some(seal) = &cache.seal {
            if seal.file_name().is_none() {
                self.wrong(&at("seal"), "must name a file");
            }
            if cache.seal_every >= cache.max_stale {
                self.wrong_beside(
                    "cache.seal_every",
                    "cache.max_stale",
                    "must be less than `cache.max_stale`, or the sealed set would be too old whenever it is needed",
                );
            }
        }
        let stale = Duration::ZERO..=Duration::from_hours(24 * 366);
        self.time(&at("max_stale"), cache.max_stale, stale);
        if cache.max_lag < cache.poll_every {
            self.wrong_beside(
                "cache.max_lag",
                "cache.poll_every",
                "must not be shorter than `cache.poll_every`, or memory is never fresh",
            );
        }
        if cache.max_stale < cache.max_lag {
            self.wrong_beside(
                "cache.max_stale",
                "cache.max_lag",
                "must not be shorter than `cache.max_lag`, after which memory counts as stale",
            );
        }
    }

    fn usage(&mut self, usage: &UsageConfig) {
        let at = |key| Path::dotted("usage").key(key);
        self.time(&at("flush_every"), usage.flush_every, TIMES);
        self.time(&at("first_within"), usage.first_within, TIMES);
        self.within(&at("queue"), usage.queue, 1..=100_000_000, "keys");
        let rows = usage.rows_per_second;
        self.within(&at("rows_per_second"), rows, 1..=1_000_000, "rows");
        if usage.first_within > usage.flush_every {
            self.wrong_beside(
                "usage.first_within",
                "usage.flush_every",
                "must not be longer than `usage.flush_every`, which writes every use",
            );
        }
    }

    fn admin(&mut self, admin: &AdminConfig) {
        let at = |key| Path::dotted("admin").key(key);
        self.within(&at("body_bytes"), admin.body_bytes, KIB..=16 * MIB, "bytes");
        self.within(
            &at("connections"),
            admin.connections,
            1..=10_000,
            "connections",
        );
        self.time(&at("request_timeout"), admin.request_timeout, TIMES);
        let failures = admin.failures_per_minute;
        self.within(
            &at("failures_per_minute"),
            failures,
            1..=1_000_000,
            "attempts",
        );
        for (key, place, error) in admin.mistakes() {
            let path = place.map_or(at(key), |place| at(key).index(place));
            self.wrong(&path, error.to_string());
        }
    }

    fn server(&mut self, server: &ServerConfig) {
        let at = |key| Path::dotted("server").key(key);
        if let Some(Err(error)) = server.name.as_deref().map(Name::from_str) {
            self.wrong(&at("name"), error.to_string());
        }
        // Each report is a write; and whoever has not been heard of for three of them counts as gone.
        let times = Duration::from_millis(100)..=Duration::from_hours(1);
        self.time(&at("report_every"), server.report_every, times);
        self.time(&at("certificates_every"), server.certificates_every, TIMES);
    }

    fn closing(&mut self, file: &ConfigFile) {
        let at = |key| Path::dotted("shutdown").key(key);
        let delays = Duration::ZERO..=Duration::from_hours(1);
        self.time(&at("delay"), file.shutdown.delay, delays);
        self.time(&at("deadline"), file.shutdown.deadline, TIMES);
        if file.shutdown.deadline <= file.shutdown.delay {
            self.wrong_beside(
                "shutdown.deadline",
                "shutdown.delay",
                "must be longer than `shutdown.delay`, which is a part of it",
            );
        }
    }
}

/// Whether two listeners cannot both have their address.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let any = |address: IpAddr| address.is_unspecified();
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || any(one.ip()) || any(other.ip()))
}

/// `number` as the settings may write it: `1_000_000`.
fn grouped(number: &impl Display) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push('_');
        }
        grouped.push(digit);
    }
    grouped
}

/// `time` as the settings write it.
fn in_words(time: Duration) -> String {
    SpanPrinter::new().unsigned_duration_to_string(&time)
}
