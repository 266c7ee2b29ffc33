//! What the system lets this process have, and what it must not leave behind.

use std::fs;
use std::path::Path;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// Takes all the open files that the system lets this process have. The usual soft limit of 1024 is there for programs
/// that still call select(2).
pub(super) fn take_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        tracing::warn!(%error, "the number of open files could not be raised");
    }
}

/// The most connections when the settings leave it open: a third of the open files this process may have, since a call
/// needs two and the database, the log and the listeners a few (SECURITY 4).
pub(super) fn connections(configured: usize) -> usize {
    const MOST: usize = 10_000;

    if configured > 0 {
        return configured;
    }
    let files = getrlimit(Resource::Nofile).current;
    let third = files.map_or(MOST, |files| usize::try_from(files / 3).unwrap_or(MOST));
    third.clamp(1, MOST)
}

/// The most memory this process should take, in bytes. When the settings leave it open, nine tenths of what its control
/// group may have, since the kernel ends whoever takes more; nothing where there is no such limit.
pub(super) fn memory(configured: usize) -> Option<u64> {
    if configured > 0 {
        return u64::try_from(configured).ok();
    }
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = Path::new("/sys/fs/cgroup").join(own_group(&groups)?);
    // Those around it count as well.
    let limits = group.ancestors().filter_map(|group| {
        let most = fs::read_to_string(group.join("memory.max")).ok()?;
        most.trim().parse::<u64>().ok()
    });
    limits.min().map(|most| most / 10 * 9)
}

/// The path of our control group (cgroups(7), version 2), relative to where they are mounted.
fn own_group(groups: &str) -> Option<&str> {
    let line = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(line.trim_start_matches('/'))
}

/// Lets no core be dumped and no other process of the same user read this one's memory: keys pass through it
/// (SECURITY X7). What the system refuses is no reason not to serve.
pub(super) fn leave_no_dumps() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let refused = setrlimit(Resource::Core, none).err();
    let refused = set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .err()
        .or(refused);
    if let Some(error) = refused {
        tracing::warn!(%error, "core dumps could not be switched off");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_open_files_are_taken() {
        take_open_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }

    #[test]
    fn a_control_group_is_found_where_it_is_mounted() {
        assert_eq!(own_group("1:name=x:/a\n0::/b/c\n"), Some("b/c"));
        assert_eq!(own_group("0::/\n"), Some(""));
        assert_eq!(own_group("2:memory:/a\n"), None);
        assert_eq!(memory(7), Some(7));
    }

    #[test]
    fn a_configured_number_is_taken_as_it_is() {
        assert_eq!(connections(7), 7);
        assert!((1..=10_000).contains(&connections(0)));
    }
}
