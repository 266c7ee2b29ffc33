//! What a process and its children have cost so far, by `/proc`.

use std::fs;
use std::time::Duration;

/// The time on a core of all threads of `pid` and of every process below it. Threads that have ended do not count.
pub fn cpu(pid: u32) -> Duration {
    let times = tree(pid).into_iter().flat_map(|pid| {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"));
        tasks.into_iter().flatten().flatten()
    });
    times
        .filter_map(|task| {
            let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let ran = stat.split(' ').next()?.parse().ok()?;
            Some(Duration::from_nanos(ran))
        })
        .sum()
}

/// The memory of `pid` and of every process below it, in bytes.
pub fn memory(pid: u32) -> u64 {
    let sizes = tree(pid).into_iter().filter_map(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    sizes.sum::<u64>() * 1024
}

/// `pid` and every process below it.
pub fn tree(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        found.extend(
            children
                .split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
        next += 1;
    }
    found
}
