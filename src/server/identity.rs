//! Who this instance is.

use uuid::Uuid;

use super::ServerConfig;
use crate::cache::Identity;
use crate::key::Name;
use crate::store::InstanceId;

/// A new instance, with the name of the settings or the host's.
pub(super) fn of(config: &ServerConfig) -> Identity {
    Identity {
        id: InstanceId::new(Uuid::now_v7()),
        name: name(config.name.as_deref(), &host()),
        report_every: config.report_every,
    }
}

fn name(configured: Option<&str>, host: &str) -> Name {
    let candidates = [configured.unwrap_or_default(), host];
    let name = candidates.iter().find_map(|name| name.parse().ok());
    name.unwrap_or_else(|| "keyward".parse().expect("seven letters are a name"))
}

/// What the kernel calls this machine: in a container, the pod's name. Nothing where there is no `/proc`.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::configured(Some("edge-1"), "pod-7", "edge-1")]
    #[case::host(None, "pod-7", "pod-7")]
    #[case::nameless_host(None, "", "keyward")]
    fn an_instance_has_a_name(
        #[case] configured: Option<&str>,
        #[case] host: &str,
        #[case] is: &str,
    ) {
        assert_eq!(name(configured, host).as_str(), is);
    }

    #[test]
    fn every_start_is_another_instance() {
        let config = ServerConfig::default();
        assert_ne!(of(&config).id, of(&config).id);
    }
}
