//! How figures look: whole lines, which whoever shows them cuts to the width that there is.

use std::collections::BTreeMap;
use std::time::Duration;

use super::figures::{Calls, Database, Figures, Keys, Process, Quantiles, Upstream};
use crate::cli::print;

/// One frame.
pub(super) fn lines(url: &str, figures: &Figures) -> Vec<String> {
    let up = figures.up_seconds.map(age);
    let up = up.map_or(String::new(), |up| format!("  up {up}"));
    let state = match figures.state.as_str() {
        "ok" => "ready",
        other => other,
    };
    let mut lines = vec![format!(
        "keyward {} at {url}  {}{up}",
        print::cell(&figures.version),
        print::cell(state)
    )];
    let troubles = figures.troubles.iter();
    lines.extend(troubles.map(|trouble| row("! trouble", &print::cell(trouble))));
    lines.extend(calls(&figures.calls));
    lines.extend(keys(&figures.keys));
    lines.extend(database(&figures.database));
    lines.extend(figures.upstreams.iter().flat_map(upstream));
    lines.push(process(&figures.process));
    lines
}

fn calls(calls: &Calls) -> Vec<String> {
    let decided = by_word(&calls.outcomes_per_second);
    let mut lines = vec![
        row("calls", &(per_second(calls.per_second) + &decided)),
        row(
            "under way",
            &format!(
                "{:.0} calls  {:.0} websockets  {:.0} connections",
                calls.in_flight, calls.websockets, calls.connections
            ),
        ),
        row("added", &quantiles(&calls.admission)),
        row("forwarded", &quantiles(&calls.forwarded)),
        row("refused", &quantiles(&calls.refused)),
    ];
    if let Some(lost) = calls.lines_lost_per_second.filter(|lost| *lost > 0.0) {
        lines.push(row("! access log", &format!("{} lines lost", rate(lost))));
    }
    lines
}

fn keys(keys: &Keys) -> Vec<String> {
    let completeness = match (keys.is_sealed, keys.is_complete) {
        (true, _) => "from the sealed set",
        (false, true) => "complete",
        (false, false) => "a part of them",
    };
    let bad = match keys.bad_rows {
        none if none <= 0.0 => String::new(),
        some => format!("  {some:.0} unreadable rows"),
    };
    vec![
        row(
            "keys",
            &format!(
                "{:.0} known  {:.0} unknown  {completeness}{bad}",
                keys.known, keys.unknown
            ),
        ),
        row("looked up", by_word(&keys.lookups_per_second).trim_start()),
        row(
            "change log",
            &format!(
                "read {} ago  {:.0} changes  {}",
                duration(keys.age_seconds),
                keys.changes,
                per_second(keys.changes_per_second)
            ),
        ),
        row("revoked in", &quantiles(&keys.revocation)),
    ]
}

fn database(database: &Database) -> Vec<String> {
    vec![
        row(
            "database",
            &format!(
                "{} queries  {} errors  {}",
                per_second(database.queries_per_second),
                per_second(database.errors_per_second),
                quantiles(&database.query)
            ),
        ),
        row(
            "last used",
            &format!(
                "{:.0} wait  {:.0} dropped",
                database.uses_waiting, database.uses_dropped
            ),
        ),
    ]
}

fn process(process: &Process) -> String {
    let shown = |number: Option<f64>, show: fn(f64) -> String| number.map_or("-".to_owned(), show);
    row(
        "process",
        &format!(
            "cpu {}  memory {}  files {} of {}",
            shown(process.cpu, |cpu| format!("{:.0} %", cpu * 100.0)),
            shown(process.resident_bytes, |bytes| {
                format!("{:.1} MiB", bytes / 1_048_576.0)
            }),
            shown(process.open_files, |files| format!("{files:.0}")),
            shown(process.most_files, |files| format!("{files:.0}"))
        ),
    )
}

/// What is shown while the server does not answer.
pub(super) fn gone(url: &str, error: &str, since: Option<Duration>) -> Vec<String> {
    let since = since.map_or(String::new(), |since| {
        format!(" for {}", age(since.as_secs_f64()))
    });
    vec![
        format!("keyward at {url}  no answer{since}; trying again"),
        row("! trouble", &print::cell(error)),
    ]
}

fn upstream(upstream: &Upstream) -> Vec<String> {
    let Upstream {
        name,
        per_second: calls,
        errors_per_second: errors,
        answer,
        servers,
        keys_resting,
    } = upstream;
    let resting = match *keys_resting {
        none if none <= 0.0 => String::new(),
        some => format!("  {some:.0} keys rest"),
    };
    let mut lines = vec![row(
        "upstream",
        &format!(
            "{}  {}  {} errors  {}{resting}",
            print::cell(name),
            per_second(*calls),
            per_second(*errors),
            quantiles(answer)
        ),
    )];
    let down = servers.iter().filter(|(_, is_healthy)| !**is_healthy);
    let down: Vec<_> = down.map(|(server, _)| print::cell(server)).collect();
    if down.is_empty() {
        let all = servers.len();
        lines.push(row("", &format!("{all} of {all} servers called")));
    } else {
        let called = servers.len() - down.len();
        let words = format!(
            "{called} of {} servers called; left alone: {}",
            servers.len(),
            down.join(", ")
        );
        lines.push(row("!", &words));
    }
    lines
}

/// A name and what there is to say of it.
fn row(name: &str, words: &str) -> String {
    format!("{name:<13}{words}").trim_end().to_owned()
}

fn by_word(rates: &BTreeMap<String, f64>) -> String {
    let mut rates: Vec<_> = rates.iter().collect();
    rates.sort_by(|one, other| other.1.total_cmp(one.1));
    let mut words = String::new();
    for (word, per_second) in rates {
        words.extend(["  ", &print::cell(word), " ", &rate(*per_second)]);
    }
    words
}

fn per_second(number: Option<f64>) -> String {
    number.map_or("-".to_owned(), rate)
}

fn rate(number: f64) -> String {
    format!("{number:.1}/s")
}

fn quantiles(quantiles: &Quantiles) -> String {
    let shown = |quantile: Option<f64>| quantile.map_or("-".to_owned(), duration);
    format!("p50 {}  p99 {}", shown(quantiles.p50), shown(quantiles.p99))
}

/// A short time, in the unit in which it is easily read.
fn duration(seconds: f64) -> String {
    if seconds < 1e-3 {
        format!("{:.1} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.1} s")
    }
}

/// A long time, in its two largest units.
fn age(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds)
        .unwrap_or_default()
        .as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0.000_002_5, "2.5 µs")]
    #[case(0.012, "12.0 ms")]
    #[case(1.25, "1.2 s")]
    fn a_short_time_has_its_unit(#[case] seconds: f64, #[case] words: &str) {
        assert_eq!(duration(seconds), words);
    }

    #[rstest]
    #[case(59.9, "59 s")]
    #[case(61.0, "1 min 1 s")]
    #[case(7_260.0, "2 h 1 min")]
    #[case(180_000.0, "2 d 2 h")]
    #[case(-1.0, "0 s")]
    fn a_long_time_has_two_units(#[case] seconds: f64, #[case] words: &str) {
        assert_eq!(age(seconds), words);
    }
}
