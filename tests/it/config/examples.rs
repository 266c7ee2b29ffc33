//! The files of `config/`.

use super::*;

/// A file of `config/`.
pub fn example(name: &str) -> String {
    let path = source::package().join("config").join(name);
    fs::read_to_string(path).expect("a file in config/")
}

/// What an example may take from the environment.
const ADMIN_TOKEN: [(&str, &str); 1] = [("ADMIN_TOKEN", "a token of sixteen letters or more")];

#[test]
fn the_example_for_postgres_loads_with_a_bell_of_its_own_or_without() {
    let text = example("keyward.postgres.toml");
    let direct = Settings::of(&text).environment(&ADMIN_TOKEN).config().store;
    assert!(direct.url.starts_with("postgres://"));
    assert_eq!(direct.bell_url, None);
    let pooled = text.replace("# bell_url = ", "bell_url = ");
    let pooled = Settings::of(&pooled)
        .environment(&ADMIN_TOKEN)
        .config()
        .store;
    assert!(pooled.bell_url.is_some_and(|url| url != direct.url));
}

#[test]
fn every_example_loads() {
    let folder = source::package().join("config");
    let names = fs::read_dir(folder)
        .expect("config/")
        .map(|entry| entry.expect("an entry").file_name());
    let names: Vec<_> = names
        .map(|name| name.into_string().expect("text"))
        .collect();
    assert!(names.contains(&"keyward.toml".to_owned()), "{names:?}");
    for name in names {
        let loaded = Settings::of(&example(&name))
            .environment(&ADMIN_TOKEN)
            .load();
        assert!(loaded.is_ok(), "{name}: {}", loaded.expect_err("an error"));
    }
}

#[test]
fn the_annotated_example_is_what_serve_does_without_a_file() {
    let bare = Settings::none().flag(
        "--upstream",
        "upstreams.default.url",
        "http://127.0.0.1:8000",
    );
    assert_data_eq!(whole(&Settings::of(&example("keyward.toml"))), whole(&bare));
}

/// The annotated example with the settings that have no default.
pub fn uncommented() -> String {
    let example = example("keyward.toml");
    let lines = example.lines().map(|line| {
        let setting = line.strip_prefix("# ").unwrap_or_default();
        let is_setting = setting.starts_with('[') && setting != "[reload]"
            || setting.split_once(" = ").is_some_and(|(key, _)| {
                key.chars()
                    .all(|letter| letter.is_ascii_lowercase() || letter == '_')
            });
        if is_setting { setting } else { line }
    });
    // The second of two credentials.
    let lines = lines.map(|line| {
        if line.starts_with("credential = ") {
            ""
        } else {
            line
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_annotated_example_has_every_setting() {
    let text = uncommented();
    // The kinds of credentials have settings of their own; the example shows them in a comment.
    let is_header = |line: &&str| line.starts_with('[') && !line.ends_with(".credential]");
    let headers = text.lines().filter(is_header);
    let mut places: Vec<String> = headers.map(str::to_owned).collect();
    places.push(String::new());
    assert!(places.len() > 12, "{places:?}");
    for header in places {
        // What a table may hold is told when it holds something else.
        let (before, table) = match header.as_str() {
            "" => ("", text.as_str()),
            header => {
                let (before, after) = text.split_once(&format!("{header}\n")).expect("a header");
                (before, after)
            }
        };
        let strange = format!("{before}{header}\nzzzzzzzzzzzz = 1\n{table}");
        let mistakes = Settings::of(&strange).mistakes();
        let told = mistakes
            .lines()
            .find_map(|line| line.split_once("zzzzzzzzzzzz: is no setting; here are "))
            .unwrap_or_else(|| panic!("{header}: {mistakes}"));
        let table = table.split("\n[").next().unwrap_or_default();
        let name = header.trim_matches(['[', ']']);
        for setting in told.1.split(", ").map(|setting| setting.trim_matches('`')) {
            let has_line = table
                .lines()
                .any(|line| line.starts_with(&format!("{setting} = ")));
            let path = format!("{name}.{setting}");
            let path = path.trim_start_matches('.');
            let tables = [
                format!("[{path}]"),
                format!("[[{path}]]"),
                format!("[{path}."),
            ];
            let has_table = tables.iter().any(|table| text.contains(table.as_str()));
            assert!(has_line || has_table, "{path} is missing");
        }
    }
}
