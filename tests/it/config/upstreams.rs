//! Upstreams, their servers, and what belongs to TLS.

use super::*;

/// The two files of a pair, in which no settings find anything.
const PAIR: &str = "certificate = \"crt\", key = \"key\"";

#[rstest]
#[case::half_a_pair("proxy.tls = { certificate = \"crt\" }", "proxy.tls: lacks `key`")]
#[case::no_such_file(
    "proxy.tls = { PAIR }",
    "proxy.tls.certificate: cannot read the file `crt`: No such file"
)]
#[case::no_authority(
    "proxy.tls = { PAIR, client_certificates = \"required\" }",
    "proxy.tls.client_ca: is missing"
)]
#[case::an_idle_authority(
    "proxy.tls = { PAIR, client_ca = \"ca\" }",
    "proxy.tls.client_ca: is for `client_certificates = \"optional\"` or `\"required\"`"
)]
#[case::an_old_version(
    "proxy.tls = { PAIR, min_version = \"1.1\" }",
    "proxy.tls.min_version: must be one of `1.2`, `1.3`"
)]
#[case::no_time(
    "proxy.tls = { PAIR, handshake_timeout = \"0s\" }",
    "proxy.tls.handshake_timeout: must be from"
)]
#[case::an_open_upstream(
    "upstreams.b = { url = \"http://h\", tls = {} }",
    "upstreams.b.tls: is for a url that begins with `https`"
)]
#[case::a_certificate_without_key(
    "upstreams.b = { url = \"https://h\", tls.certificate = \"crt\" }",
    "upstreams.b.tls.key: is missing: `certificate` needs it"
)]
#[case::a_key_without_certificate(
    "upstreams.b = { url = \"https://h\", tls.key = \"key\" }",
    "upstreams.b.tls.certificate: is missing"
)]
#[case::no_name(
    "upstreams.b = { url = \"https://h\", tls.server_name = \"a b\" }",
    "upstreams.b.tls.server_name: must be a host's name or address"
)]
#[case::nobody_to_trust(
    "upstreams.b = { url = \"https://h\", tls.ca = \"/dev/null\" }",
    "upstreams.b.tls.ca: the file `/dev/null` holds no certificate of an authority"
)]
#[case::trust_in_anybody(
    "upstreams.b = { url = \"https://h\", tls.verify = false }",
    "upstreams.b.tls.verify: is no setting"
)]
fn settings_of_tls_have_files_that_belong_together(#[case] text: &str, #[case] said: &str) {
    let settings = Settings::of(&text.replace("PAIR", PAIR)).upstream();
    let mistakes = settings.mistakes();
    assert!(mistakes.contains(said), "{mistakes}");
}

#[rstest]
#[case::both(
    "url = \"http://h\"\n[upstreams.u.servers.a]\nurl = \"http://h\"",
    "servers: stand beside `url`: say where they are in one way"
)]
#[case::neither("", "lacks `url`, or `servers`")]
#[case::none("servers = {}", "lacks `url`, or `servers`")]
#[case::no_url("[upstreams.u.servers.a]", "servers.a: lacks `url`")]
#[case::a_path(
    "[upstreams.u.servers.a]\nurl = \"http://h/v1\"",
    "servers.a.url: must end after the port; `forward` of a route says which path goes on"
)]
#[case::a_name(
    "[upstreams.u.servers.\"a b\"]\nurl = \"http://h\"",
    "servers.\"a b\": must be named by 1 to 64 letters, digits, `-`, `_` and `.`"
)]
#[case::a_weight(
    "[upstreams.u.servers.a]\nurl = \"http://h\"\nweight = 1001",
    "servers.a.weight: must be from 0 to 1_000 calls"
)]
#[case::no_failures(
    "url = \"http://h\"\nhealth = { failures = 0 }",
    "health.failures: must be from 1 to 1_000 failures"
)]
#[case::rests(
    "url = \"http://h\"\nhealth = { rest = \"1m\" }",
    "health.longest_rest: must not be shorter than `rest`, the first one"
)]
#[case::no_path("url = \"http://h\"\nhealth.probe = {}", "health.probe: lacks `path`")]
#[case::no_such_path(
    "url = \"http://h\"\nhealth.probe = { path = \"health\" }",
    "health.probe.path: must be a path, such as `/health`"
)]
#[case::late_probes(
    "url = \"http://h\"\nhealth.probe = { path = \"/\", every = \"1s\" }",
    "health.probe.timeout: must not be longer than `every`, or the next one is late"
)]
#[case::attempts(
    "url = \"http://h\"\nlimits.connect_attempts = 0",
    "limits.connect_attempts: must be from 1 to 64 servers"
)]
fn servers_are_said_in_one_way(#[case] text: &str, #[case] said: &str) {
    let told = Settings::of(&format!("[upstreams.u]\n{text}\n")).mistakes();
    let told: Vec<_> = told
        .lines()
        .filter_map(|line| line.split_once(": upstreams.u"))
        .collect();
    let told: Vec<_> = told
        .iter()
        .map(|(_, said)| said.trim_start_matches(['.', ':', ' ']))
        .collect();
    assert_eq!(told, [said]);
}

#[test]
fn more_servers_than_there_are_places_are_a_mistake() {
    let servers = |count: usize| -> String {
        let server = |name| format!("[upstreams.u.servers.s{name}]\nurl = \"http://h:1\"\n");
        (0..count).map(server).collect()
    };
    assert_eq!(
        Settings::of(&servers(64)).config().upstreams[0]
            .servers
            .len(),
        64
    );
    let told = Settings::of(&servers(65)).mistakes();
    assert!(
        told.ends_with("upstreams.u.servers: are more than 64"),
        "{told}"
    );
}

#[test]
fn an_upstream_that_somebody_names_and_no_route_leads_to_is_a_mistake() {
    let file = "upstreams.vllm.url = \"http://127.0.0.1:8000\"\n\
                proxy.routes = [{ path = \"/{rest}\", upstream = \"vllm\" }]\n";
    let by_flag = Settings::of(file).flag("--upstream", "upstreams.default.url", "http://x");
    assert_data_eq!(
        by_flag.mistakes(),
        str!["--upstream: upstreams.default.url: no route leads to `default`"]
    );
    let by_variable = Settings::of(file).environment(&[("KEYWARD_UPSTREAM", "http://x")]);
    assert_data_eq!(
        by_variable.mistakes(),
        str!["KEYWARD_UPSTREAM: upstreams.default.url: no route leads to `default`"]
    );
    let by_file = Settings::of(&format!("{file}upstreams.spare.url = \"http://x\"\n"));
    assert_eq!(by_file.config().upstreams.len(), 2);
}
