//! Profiles of known servers in the settings.

use snapbox::{assert_data_eq, str};

use super::Settings;

const A: &str = "upstreams.a.url = \"http://127.0.0.1:1\"\n";
const B: &str = "upstreams.b.url = \"http://127.0.0.1:2\"\n";

/// A route as it is told: host, methods, path, upstream.
fn routes(settings: &str) -> Vec<String> {
    let config = Settings::of(settings).config();
    let routes = config.proxy.routes.iter();
    let routes = routes.map(|route| {
        let host = route.host.as_deref().unwrap_or_default();
        format!(
            "{} {host}{} {}",
            route.methods.join(","),
            route.path,
            route.upstream
        )
    });
    routes.collect()
}

#[test]
fn a_profile_takes_the_place_of_the_built_in_table() {
    let routes = routes(&format!(
        "{A}proxy.profiles = [{{ profile = \"anthropic\" }}]\n"
    ));
    assert_eq!(
        routes,
        [
            "POST /v1/messages a",
            "POST /v1/messages/count_tokens a",
            "GET /v1/models a",
            "GET /v1/models/{model} a",
        ]
    );
}

#[test]
fn the_built_in_table_is_a_profile() {
    let built_in = Settings::of(A).config().proxy.routes;
    let profile = format!("{A}proxy.profiles = [{{ profile = \"baseten\" }}]\n");
    assert_eq!(Settings::of(&profile).config().proxy.routes, built_in);
}

#[test]
fn ones_own_route_stands_in_place_of_a_profiles() {
    let settings = format!(
        "{A}{B}proxy.profiles = [{{ profile = \"anthropic\", upstream = \"a\" }}]\n\
         proxy.routes = [{{ path = \"/v1/models\", upstream = \"b\" }}, {{ path = \"/x\", upstream = \"b\" }}]\n"
    );
    assert_eq!(
        routes(&settings),
        [
            " /v1/models b",
            " /x b",
            "POST /v1/messages a",
            "POST /v1/messages/count_tokens a",
            "GET /v1/models/{model} a",
        ]
    );
}

#[test]
fn two_servers_are_told_apart_by_their_hosts() {
    let settings = format!(
        "{A}{B}proxy.profiles = [{{ profile = \"anthropic\", upstream = \"a\", host = \"a.example.com\" }}, \
         {{ profile = \"anthropic\", upstream = \"b\", host = \"model-{{model}}.example.com\" }}]\n"
    );
    let routes = routes(&settings);
    assert_eq!(routes.len(), 8);
    assert_eq!(routes[0], "POST a.example.com/v1/messages a");
    assert_eq!(routes[4], "POST model-{model}.example.com/v1/messages b");
}

#[test]
fn what_is_wrong_with_a_profile_is_told_once_and_at_its_place() {
    let settings = Settings::of(&format!(
        "{A}{B}[[proxy.profiles]]\nprofile = \"vllm\"\n\
         [[proxy.profiles]]\nprofile = \"vlm\"\n\
         [[proxy.profiles]]\nprofile = \"tgi\"\nupstream = \"c\"\n\
         [[proxy.profiles]]\nprofile = \"ollama\"\nupstream = \"a\"\nhost = \"a b\"\n\
         [[proxy.profiles]]\nprofile = \"baseten\"\nupstream = \"a\"\nhost = \"c\"\n"
    ));
    assert_data_eq!(
        settings.mistakes(),
        str![[r#"
keyward.toml:3: proxy.profiles[0].upstream: is missing: only it can say which call goes to which of `a`, `b`
keyward.toml:5: proxy.profiles[1]: lacks `profile`
keyward.toml:6: proxy.profiles[1].profile: must be one of `anthropic`, `baseten`, `llama-cpp`, `ollama`, `openai`, `sglang`, `tgi`, `triton`, `vllm`; did you mean `vllm`?
keyward.toml:9: proxy.profiles[2].upstream: no upstream is called `c`; did you mean `a`?
keyward.toml:13: proxy.profiles[3].host: `a b` is no part of a host
keyward.toml:17: proxy.profiles[4].host: is not for `baseten`, whose routes have hosts of their own
"#]]
    );
    let twice = Settings::of(&format!(
        "{A}proxy.profiles = [{{ profile = \"anthropic\" }}, {{ profile = \"openai\" }}]\n"
    ));
    assert_data_eq!(
        twice.mistakes(),
        str![
            "keyward.toml:2: proxy.profiles[1]: takes requests that other routes take with equal right, such as `/v1/models`; a `host` of its own tells them apart"
        ]
    );
}

/// Routes that a profile adds are shown as comments; with the marks taken off they make the same table.
#[test]
fn the_routes_of_profiles_are_shown_and_mean_what_they_are() {
    for profile in [
        "anthropic",
        "baseten",
        "llama-cpp",
        "ollama",
        "openai",
        "sglang",
        "tgi",
        "triton",
        "vllm",
    ] {
        let own = "{ path = \"/own\", upstream = \"a\" }";
        let settings = format!(
            "{A}proxy.profiles = [{{ profile = \"{profile}\", model = \"m\" }}]\nproxy.routes = [{own}]\n"
        );
        let loaded = Settings::of(&settings).load().expect("no mistake");
        let shown = loaded.settings.to_toml(false);
        assert!(shown.contains("# The routes of proxy.profiles"), "{shown}");
        let rows = shown.lines().filter_map(|line| line.strip_prefix("# {"));
        let rows: Vec<String> = rows.map(|row| format!("{{{row}")).collect();
        let written = format!("{A}proxy.routes = [{own},\n{}\n]\n", rows.join("\n"));
        let written = Settings::of(&written).load().expect("no mistake");
        assert_eq!(written.config.proxy.routes, loaded.config.proxy.routes);
        assert!(!written.settings.to_toml(false).contains("\n# "));
    }
}

#[test]
fn a_list_may_be_so_long_and_no_longer() {
    for (bytes, is_right) in [
        (1_023, false),
        (1_024, true),
        (67_108_864, true),
        (67_108_865, false),
    ] {
        let settings = Settings::of(&format!("{A}proxy.limits.model_list_bytes = {bytes}\n"));
        assert_eq!(settings.load().is_ok(), is_right, "{bytes}");
    }
    assert_eq!(
        Settings::of(A).config().proxy.limits.model_list_bytes,
        1_048_576
    );
}
