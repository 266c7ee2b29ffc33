//! Links from page to page lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::files;
use crate::support::source::package;

/// The pages.
fn pages() -> Vec<PathBuf> {
    let mut pages = files(&package().join("deploy"), &[".md"]);
    pages.push(package().join("README.md"));
    pages
}

/// What stands in parentheses after `]`, outside of blocks of code.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        for after in line.split("](").skip(1) {
            links.extend(after.split_once(')').map(|(link, _)| link.to_owned()));
        }
    }
    links
}

/// The lines outside of blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let fence = line.starts_with("```");
        is_code ^= fence;
        !is_code && !fence
    })
}

/// What headings may be linked to by: lower case, blanks as `-`, nothing else but letters, digits, `-` and `_`.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let lower = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = lower.replace(' ', "-");
        kept.chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
            .collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("text");
        for link in links(&text) {
            if link.contains("://") {
                continue;
            }
            count += 1;
            if !leads_somewhere(&page, &text, &link) {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(count > 5, "only {count} links were found");
}

fn leads_somewhere(page: &Path, text: &str, link: &str) -> bool {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = page.parent().expect("a folder").join(file);
    if file.is_empty() {
        return anchors(text).contains(anchor);
    }
    if anchor.is_empty() {
        return target.exists();
    }
    fs::read_to_string(target).is_ok_and(|text| anchors(&text).contains(anchor))
}

#[test]
fn every_page_is_reached_from_the_readme() {
    let mut reached = BTreeSet::new();
    let mut next = vec![package().join("README.md")];
    while let Some(page) = next.pop() {
        let page = page.canonicalize().expect("it is there");
        if !reached.insert(page.clone()) {
            continue;
        }
        let text = fs::read_to_string(&page).expect("text");
        for link in links(&text) {
            let file = link.split('#').next().expect("split yields one");
            let is_page = Path::new(file)
                .extension()
                .is_some_and(|ending| ending == "md");
            if is_page && !file.contains("://") {
                next.push(page.parent().expect("a folder").join(file));
            }
        }
    }
    for page in pages() {
        let page = page.canonicalize().expect("it is there");
        assert!(reached.contains(&page), "no way to {}", page.display());
    }
}
