//! What `keyward config show` shows.

use super::examples::example;
use super::*;

/// A url that stands beside servers by default only is not shown, or what is shown would be a mistake.
#[test]
fn servers_are_shown_as_they_are() {
    let text = "[upstreams.u.servers.a]\nurl = \"http://h:1\"\n[upstreams.u.health.probe]\npath = \"/health\"\n";
    let settings = Settings::of(text);
    let shown = settings.load().expect("no mistake").settings.to_toml(true);
    assert!(shown.contains("[upstreams.u.servers.a]"), "{shown}");
    assert!(whole(&Settings::of(&shown)) == whole(&settings), "{shown}");
}

#[test]
fn secrets_are_in_no_debug_and_no_page() {
    let mut settings = Settings::of(
        r#"
[store]
url = "sqlite://canary-free.db"

[upstreams.vllm]
url = "http://127.0.0.1:8000"
credential = { kind = "fixed", secret = { inline = "canary" }, at = { in = "header", name = "x-key" } }
"#,
    );
    let file = settings.write("token", "canary");
    settings = settings.environment(&[("KEYWARD_ADMIN__TOKEN_FILE", file.to_str().expect("text"))]);
    let loaded = settings.load().expect("no mistake");
    let [toml, with_origins] = [false, true].map(|origins| loaded.settings.to_toml(origins));
    let json = loaded.settings.to_json(true).to_string();
    for text in [
        format!("{loaded:?}"),
        format!("{loaded:#?}"),
        toml,
        with_origins,
        json,
    ] {
        assert!(
            !text.replace("canary-free", "").contains("canary"),
            "{text}"
        );
        assert!(text.contains("***"), "{text}");
    }
}

#[test]
fn what_is_shown_loads_as_the_same_settings() {
    for name in ["keyward.toml", "keyward.minimal.toml"] {
        let settings = Settings::of(&example(name));
        let shown = settings.load().expect("no mistake").settings.to_toml(true);
        assert!(
            whole(&Settings::of(&shown)) == whole(&settings),
            "{name}: {shown}"
        );
    }
}

/// Routes that nobody wrote are shown as comments; with the marks taken off they make the same table.
#[test]
fn the_built_in_routes_are_shown_and_mean_what_they_are() {
    let upstream = "upstreams.a.url = \"http://127.0.0.1:1\"\n";
    let built_in = Settings::of(upstream).load().expect("no mistake");
    let shown = built_in.settings.to_toml(false);
    let rows = shown.lines().filter_map(|line| line.strip_prefix("# {"));
    let rows: Vec<String> = rows.map(|row| format!("{{{row}")).collect();
    assert_eq!(rows.len(), built_in.config.proxy.routes.len());
    let written = format!("{upstream}proxy.routes = [\n{}\n]\n", rows.join("\n"));
    let written = Settings::of(&written).load().expect("no mistake");
    assert_eq!(written.config.proxy.routes, built_in.config.proxy.routes);
    let shown = written.settings.to_toml(false);
    assert!(!shown.contains("built-in"), "{shown}");
}
