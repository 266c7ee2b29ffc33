//! What is wanted of keyward, and what came of it in this run: a table of its own.

use std::fmt;

use crate::peers::Kind;
use crate::row;
use crate::sets::{self, MILLION};
use crate::table::{Table, short};

/// What keyward alone was asked; nothing where it could not be measured.
#[derive(Default)]
pub struct Ours {
    /// Of a forwarded call.
    pub instructions: Option<f64>,
    /// Of a refusal of an unknown key.
    pub refusal_instructions: Option<f64>,
    /// In nanoseconds: hot keys, the median; Zipf traffic, the 99th percentile.
    pub verification: (Option<f64>, Option<f64>),
    /// In seconds, with a million keys: from `SQLite`, from Postgres.
    pub starts: (Option<f64>, Option<f64>),
    /// What a call costs with a million keys, of what it costs with a thousand: the median of the rounds.
    pub growth: Option<f64>,
}

/// Every aim, in its order.
pub struct Aims(Vec<Aim>);

/// What is wanted, how much of it, and what was seen.
type Aim = (&'static str, Limit, Option<f64>);

enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

use Limit::{AtLeast, AtMost};

impl Aims {
    pub fn of(table: &Table, ours: &Ours) -> Self {
        let mut aims = beside_others(table);
        aims.extend(alone(table, ours));
        Self(aims)
    }
}

fn beside_others(table: &Table) -> Vec<Aim> {
    let to = |what: &str, kind| table.ratio((what, Kind::Keyward), (what, kind));
    let nginx = |what: &str| to(what, Kind::Nginx);
    let relay = |what: &str| to(what, Kind::Relay);
    let refuse = (row::REFUSE, Kind::Keyward);
    let of_a_forward = table.ratio(refuse, (row::FORWARD, Kind::Keyward));
    let one = "CPU of a forwarded call ÷ nginx's, one worker";
    let straight = "CPU of a forwarded call ÷ a TCP relay's";
    let event = "p50 of an event of a stream ÷ nginx's";
    let handshake = "CPU of a TLS handshake ÷ nginx's";
    let answers = "CPU of 1 MiB answers ÷ a TCP relay's";
    vec![
        (one, AtMost(0.9), nginx(row::FORWARD)),
        ("the same on two workers", AtMost(0.8), nginx(row::WIDE)),
        (straight, AtMost(1.5), relay(row::FORWARD)),
        (
            "CPU of an unknown key refused ÷ nginx's",
            AtMost(1.0),
            nginx(row::REFUSE),
        ),
        ("the same ÷ a forward of ours", AtMost(0.45), of_a_forward),
        (
            "p50 at a fixed rate ÷ nginx's",
            AtMost(1.0),
            nginx(row::P50),
        ),
        (
            "p99 at a fixed rate ÷ nginx's",
            AtMost(1.0),
            nginx(row::P99),
        ),
        (
            "calls/s on one connection ÷ nginx's",
            AtLeast(1.0),
            nginx(row::ONE_CALLS),
        ),
        (event, AtMost(1.0), nginx(row::EVENT)),
        (answers, AtMost(1.0), relay(row::BIG)),
        (
            "CPU of TLS kept alive ÷ nginx's",
            AtMost(0.75),
            nginx(row::TLS),
        ),
        (handshake, AtMost(0.75), nginx(row::HANDSHAKE)),
        ("CPU of HTTP/2 ÷ nginx's", AtMost(0.75), nginx(row::HTTP2)),
    ]
}

fn alone(table: &Table, ours: &Ours) -> Vec<Aim> {
    let of = |what: &str| table.of(what, Kind::Keyward);
    let memory = |keys| of(&sets::memory(keys));
    let calls = of(row::SYSTEM_CALLS);
    let (hot, zipf) = ours.verification;
    let (sqlite, postgres) = ours.starts;
    // Nothing in the program lets a call pass without a key: of a call's time the verification's is taken.
    let both = of(row::FORWARD).zip(hot);
    let verified = both.map(|(call, verification)| 1.0 - verification / 1e3 / call);
    let each = memory(MILLION).zip(memory(1_000));
    let each = each.map(|(all, few)| (all - few) * f64::from(1 << 20) / 999e3);
    let instructions = "instructions of the whole program a forwarded call";
    let without = "calls/s with verification ÷ without, by the time that it takes";
    let often = "a verification with 512 hot keys of 100 k, median ns";
    let seldom = "a verification with Zipf traffic over 100 k keys, p99 ns";
    let start = "a start with 1 M keys until it is ready, from SQLite, s";
    let growth = "CPU of a call with 1 M keys ÷ with 1 k";
    vec![
        (instructions, AtMost(30_000.0), ours.instructions),
        ("system calls a forwarded call", AtMost(4.2), calls),
        (without, AtLeast(0.97), verified),
        (often, AtMost(250.0), hot),
        (seldom, AtMost(1000.0), zipf),
        ("memory with 10 k keys, MiB", AtMost(25.0), memory(10_000)),
        ("memory of each of 1 M keys, bytes", AtMost(450.0), each),
        (start, AtMost(3.0), sqlite),
        ("the same, from Postgres", AtMost(3.0), postgres),
        (growth, AtMost(1.15), ours.growth),
    ]
}

impl fmt::Display for Aims {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\n| keyward | wanted | seen | |\n|---|---|---|---|")?;
        for (wanted, limit, seen) in &self.0 {
            let (limit, is_met) = match limit {
                AtMost(most) => (
                    format!("at most {}", short(*most)),
                    seen.map(|seen| seen <= *most),
                ),
                AtLeast(least) => (
                    format!("at least {}", short(*least)),
                    seen.map(|seen| seen >= *least),
                ),
            };
            let seen = seen.map_or_else(|| "–".to_owned(), short);
            let is_met = match is_met {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not measured here",
            };
            write!(out, "\n| {wanted} | {limit} | {seen} | {is_met} |")?;
        }
        writeln!(out)
    }
}
