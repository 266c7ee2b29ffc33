//! What the kernel says of this process, under the names that Prometheus gives such metrics everywhere.

use std::fmt::Write as _;
use std::fs;

/// Ticks a second in `/proc`: fixed in the kernel's interface (`USER_HZ`), whatever it ticks at itself.
const TICKS: f64 = 100.0;

/// Writes what can be read of `/proc`; elsewhere, nothing.
pub fn write(text: &mut String) {
    let Some(process) = Process::read() else {
        return;
    };
    let mut metric = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
            );
        }
    };
    let open = fs::read_dir("/proc/self/fd")
        .ok()
        // Reading the directory opens one more.
        .map(|open| count(open.count().saturating_sub(1)));
    metric(
        "process_cpu_seconds_total",
        "counter",
        "Time on a processor, in user and system mode.",
        Some(process.cpu_seconds),
    );
    metric("process_open_fds", "gauge", "Open files.", open);
    metric(
        "process_max_fds",
        "gauge",
        "Files that may be open.",
        max_open_files(),
    );
    metric(
        "process_resident_memory_bytes",
        "gauge",
        "Memory in use.",
        Some(process.resident_bytes),
    );
    metric(
        "process_virtual_memory_bytes",
        "gauge",
        "Memory addressed.",
        Some(process.virtual_bytes),
    );
    metric(
        "process_threads",
        "gauge",
        "Threads.",
        Some(process.threads),
    );
    metric(
        "process_start_time_seconds",
        "gauge",
        "When the process began, in seconds since 1970.",
        process.start_seconds,
    );
}

struct Process {
    cpu_seconds: f64,
    threads: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
    start_seconds: Option<f64>,
}

impl Process {
    /// From `/proc/self/stat` and `/proc/self/status`, see `proc(5)`.
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the program's name, which may hold anything but ends with the last parenthesis.
        let (_, after_name) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        // Numbered as in the manual, where the first field after the name is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let boot = fs::read_to_string("/proc/stat")
            .ok()
            .and_then(|stat| number_after(&stat, "btime "));
        let status = fs::read_to_string("/proc/self/status").ok()?;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / TICKS,
            threads: field(20)?,
            virtual_bytes: field(23)?,
            resident_bytes: number_after(&status, "VmRSS:")? * 1024.0,
            start_seconds: boot
                .zip(field(22))
                .map(|(boot, ticks)| boot + ticks / TICKS),
        })
    }
}

/// The memory that this process takes now, in bytes; nothing where the kernel does not say.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The limit that is in force; infinity when there is none.
fn max_open_files() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        limit => limit.parse().ok(),
    }
}

/// The first number on the line that begins with `start`.
fn number_after(text: &str, start: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(start))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        let mut text = String::new();
        write(&mut text);
        let value = |name: &str| number_after(&text, &format!("{name} ")).unwrap_or(-1.0);
        assert!(value("process_open_fds") >= 3.0, "{text}");
        assert!(
            value("process_max_fds") >= value("process_open_fds"),
            "{text}"
        );
        assert!(value("process_resident_memory_bytes") > 1e6, "{text}");
        assert!(
            value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"),
            "{text}"
        );
        assert!(value("process_threads") >= 1.0, "{text}");
        assert!(value("process_cpu_seconds_total") >= 0.0, "{text}");
        assert!(value("process_start_time_seconds") > 1.5e9, "{text}");
    }
}
