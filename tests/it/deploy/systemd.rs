//! The unit for systemd: as closed as it says, and its settings are keyward's.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::read;
use crate::support::source::package;
use crate::support::tools::tool;

const UNIT: &str = "systemd/keyward.service";
/// The most that `systemd-analyze security` may hold against it, in tenths.
const EXPOSURE: u32 = 15;

fn unit() -> PathBuf {
    package().join("deploy").join(UNIT)
}

/// What stands after `key` in the unit.
fn values<'u>(unit: &'u str, key: &str) -> Vec<&'u str> {
    let lines = unit.lines();
    lines.filter_map(|line| line.strip_prefix(key)).collect()
}

#[test]
fn the_unit_exposes_as_little_as_it_says() {
    let Some(analyze) = tool("systemd-analyze", "systemd") else {
        return;
    };
    let judge = |threshold: u32| {
        let output = Command::new(&analyze)
            .args(["security", "--offline=true", "--no-pager"])
            .arg(format!("--threshold={threshold}"))
            .arg(unit())
            .output();
        output.expect("systemd-analyze runs")
    };
    let judged = judge(EXPOSURE);
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success(), "{said}");
    assert!(said.contains("Overall exposure level"), "{said}");
    // It does judge.
    assert!(!judge(1).status.success());
}

#[test]
fn systemd_finds_no_fault_with_the_unit() {
    let Some(analyze) = tool("systemd-analyze", "systemd") else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("keyward.service");
    let verify = |unit: &str| {
        fs::write(&file, unit).expect("the directory is ours");
        let output = Command::new(&analyze)
            .args(["verify", "--man=no"])
            .arg(&file)
            .output()
            .expect("systemd-analyze runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        // What it says of other units of this machine is not ours.
        let ours = said.lines().filter(|line| line.contains("keyward"));
        ours.map(str::to_owned).collect::<Vec<_>>()
    };
    let here = read(UNIT).replace("/usr/bin/keyward", env!("CARGO_BIN_EXE_keyward"));
    assert_eq!(verify(&here), Vec::<String>::new());
    assert_ne!(
        verify(&here.replace("PrivateTmp=yes", "PrivateTemp=yes")),
        Vec::<String>::new()
    );
    assert_ne!(
        verify(&here.replace("ExecStart=", "ExecStart=relative/")),
        Vec::<String>::new()
    );
}

#[test]
fn the_credentials_are_settings_that_load() {
    let unit = read(UNIT);
    let directory = tempfile::tempdir().expect("a directory");
    let credentials = directory.path().to_str().expect("text");
    let loaded: Vec<&str> = values(&unit, "LoadCredential=")
        .iter()
        .filter_map(|credential| credential.split(':').next())
        .collect();
    assert_eq!(loaded, ["admin-token", "database-url"]);
    let secrets = [
        "kwadmin_a-token-of-systemd",
        "postgres://u:of-systemd@db.internal/keyward",
    ];
    for (name, secret) in loaded.iter().zip(secrets) {
        fs::write(directory.path().join(name), format!("{secret}\n")).expect("it is ours");
    }
    let environment: Vec<(&str, String)> = values(&unit, "Environment=")
        .iter()
        .map(|variable| variable.split_once('=').expect("a value"))
        .map(|(name, value)| (name, value.replace("%d", credentials)))
        .collect();
    assert_eq!(environment.len(), loaded.len());

    let command = values(&unit, "ExecStart=");
    assert_eq!(
        command,
        ["/usr/bin/keyward serve --config /etc/keyward/keyward.toml"]
    );
    let check = |environment: &[(&str, String)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_keyward"))
            .args(["config", "check", "--config"])
            .arg(package().join("config/keyward.postgres.toml"))
            .env_clear()
            .envs(environment.iter().cloned())
            .output()
            .expect("the binary runs");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (is_well, said) = check(&environment);
    assert!(is_well, "{said}");
    assert!(!said.contains("of-systemd"), "{said}");
    // They are read: without them something is missing.
    fs::remove_file(directory.path().join("admin-token")).expect("it is there");
    let (is_well, said) = check(&environment);
    assert!(!is_well && said.contains("admin.token"), "{said}");
}

/// Only what the program says is waited for by `Type=notify`; `notify.rs` shows that it says so.
#[test]
fn the_unit_waits_until_memory_is_filled_and_as_long_as_closing_takes() {
    let unit = read(UNIT);
    assert_eq!(values(&unit, "Type="), ["notify"]);
    assert_eq!(values(&unit, "TimeoutStartSec="), ["infinity"]);
    let settings = fs::read_to_string(package().join("config/keyward.toml")).expect("text");
    let deadline = values(&settings, "deadline = ").concat();
    let seconds = |text: &str| -> u32 {
        let digits = text.trim_matches(|c: char| !c.is_ascii_digit());
        digits.parse().expect("a number of seconds")
    };
    let stop = values(&unit, "TimeoutStopSec=").concat();
    assert!(seconds(&stop) > seconds(&deadline), "{stop} {deadline}");
}
