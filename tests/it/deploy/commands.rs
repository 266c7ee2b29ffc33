//! Commands that the pages name are ones that the program takes. What it answers to those in transcripts, `readme.rs` shows.

use std::fs;
use std::process::Command;

use super::files;
use crate::support::source::package;

/// What begins with `keyward ` in code, in a block or in a sentence.
fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut block = None;
    let page = page.replace("\\\n", " ");
    for line in page.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            block = block.is_none().then_some(kind);
            continue;
        }
        let line = match block {
            Some("console") => line.strip_prefix("$ ").unwrap_or_default(),
            _ => line,
        };
        let pieces: Vec<&str> = if block.is_some() {
            let command = line.split("  #").next().unwrap_or_default();
            command.split(['|', ';', '>']).collect()
        } else {
            line.split('`').skip(1).step_by(2).collect()
        };
        let of_ours = pieces
            .into_iter()
            .map(str::trim)
            .filter(|piece| piece.starts_with("keyward "));
        commands.extend(of_ours.map(str::to_owned));
    }
    commands
}

#[test]
fn the_program_takes_every_command_that_a_page_names() {
    let mut pages = files(&package().join("deploy"), &[".md"]);
    pages.push(package().join("README.md"));
    let mut refused = Vec::new();
    let mut count = 0;
    for page in pages {
        for command in commands(&fs::read_to_string(&page).expect("text")) {
            let words = command.split_whitespace().skip(1);
            // Everything before it is judged, and nothing is done.
            let output = Command::new(env!("CARGO_BIN_EXE_keyward"))
                .args(words.map(|word| word.trim_matches(['\'', '"'])))
                .arg("--help")
                .env_clear()
                .output()
                .expect("the binary runs");
            count += 1;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                refused.push(format!("{}: {command}: {said}", page.display()));
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(count > 30, "only {count} were found");
}
