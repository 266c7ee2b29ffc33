//! The sources under `src/`, read as text: enough of Rust's grammar to see paths and calls, and no more.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One file under `src/`, its comments and literals blanked out, line for line.
pub struct Source {
    /// From `src/`, with `/`: `cache/follow.rs`.
    pub path: String,
    /// The first part of the path: `cache`; `clock` for `clock.rs`.
    pub room: String,
    /// Everything.
    pub code: String,
    /// Without what only the tests compile.
    pub live: String,
}

impl Source {
    /// Every file under `src/`, sorted by path.
    pub fn all() -> Vec<Self> {
        let root = package().join("src");
        let mut paths = Vec::new();
        collect(&root, &mut paths);
        paths.sort();
        let mut sources: Vec<Self> = paths.iter().map(|path| Self::read(&root, path)).collect();
        let of_tests: BTreeSet<String> = sources.iter().flat_map(Self::test_files).collect();
        for source in &mut sources {
            if of_tests.iter().any(|file| source.path.starts_with(file)) {
                source.live.clear();
            }
        }
        sources
    }

    fn read(root: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a source file is readable text");
        let path = path
            .strip_prefix(root)
            .expect("it was found below the root");
        Self::new(&path.to_string_lossy().replace('\\', "/"), &text)
    }

    /// A file as it would be read.
    pub fn new(path: &str, text: &str) -> Self {
        let first = path.split('/').next().expect("split yields at least one");
        let code = without_comments_and_literals(text);
        Self {
            path: path.to_owned(),
            room: first.trim_end_matches(".rs").to_owned(),
            live: without_tests(&code),
            code,
        }
    }

    /// `crate::room::…` wherever it stands, and from the top-level files of a room `super::other::…` too.
    pub fn rooms_named(&self) -> Vec<(usize, Vec<&str>)> {
        let mut named = Self::paths(&self.code, "crate");
        named.extend(Self::paths(&self.code, "keyward"));
        let is_top = self.path.ends_with("/mod.rs") && self.path.matches('/').count() == 1;
        if is_top || !self.path.contains('/') {
            named.extend(Self::paths(&self.live, "super"));
        }
        // Two steps up can leave the room; such a path is written from `crate`.
        named.extend(
            Self::paths(&self.live, "super")
                .into_iter()
                .filter(|(_, path)| path[0] == "super")
                .map(|(line, path)| (line, path[1..].to_vec()))
                .filter(|(_, path)| !path.is_empty()),
        );
        named
    }

    /// Whether it is the file `place`, or stands below the folder `place` (with a `/` at its end).
    pub fn is_at(&self, place: &str) -> bool {
        if place.ends_with('/') {
            self.path.starts_with(place)
        } else {
            self.path == place
        }
    }

    /// What follows `root::` wherever it stands, `use` trees taken apart: `(line, [segment, …])`.
    pub fn paths<'c>(code: &'c str, root: &str) -> Vec<(usize, Vec<&'c str>)> {
        let tokens = tokens(code);
        let mut found = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            let continues = at > 0 && tokens[at - 1].text == "::";
            if token.text == root && !continues && text_at(&tokens, at + 1) == "::" {
                let mut leaves = Vec::new();
                leaves_of_tree(&tokens, at + 2, &[], &mut leaves);
                found.extend(leaves.into_iter().map(|leaf| (token.line, leaf)));
            }
        }
        found
    }

    /// The lines of `code` on which `needle` stands as a whole word.
    pub fn lines_with(code: &str, needle: &str) -> Vec<usize> {
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        code.match_indices(needle)
            .filter(|(at, _)| {
                let starts_word = needle.starts_with(|c: char| c.is_alphanumeric());
                let ends_word = needle.ends_with(|c: char| c.is_alphanumeric());
                !(starts_word && word(code[..*at].chars().next_back())
                    || ends_word && word(code[at + needle.len()..].chars().next()))
            })
            .map(|(at, _)| line_of(code, at))
            .collect()
    }

    /// The `owner`s of every `owner::name` in `code`.
    pub fn owners_of<'c>(code: &'c str, name: &str) -> BTreeSet<&'c str> {
        let tokens = tokens(code);
        (2..tokens.len())
            .filter(|&at| tokens[at].text == name && tokens[at - 1].text == "::")
            .map(|at| tokens[at - 2].text)
            .collect()
    }

    /// The names that `code` declares for others: `pub struct Name`, `pub enum Name` and so on.
    pub fn declared(code: &str) -> BTreeSet<&str> {
        let tokens = tokens(code);
        let kinds = ["struct", "enum", "type", "trait", "fn", "const"];
        (2..tokens.len())
            .filter(|&at| tokens[at - 2].text == "pub" && kinds.contains(&tokens[at - 1].text))
            .map(|at| tokens[at].text)
            .collect()
    }

    /// The files that a `#[cfg(test)] mod name;` of this one names, as beginnings of paths.
    fn test_files(&self) -> Vec<String> {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let folder = match file {
            "mod.rs" => folder.to_owned(),
            "lib.rs" | "main.rs" => String::new(),
            _ => self.path.trim_end_matches(".rs").to_owned(),
        };
        self.code
            .match_indices(CFG_TEST)
            .filter_map(|(at, _)| {
                let item = self.code[at + CFG_TEST.len()..].trim_start();
                let name = item.strip_prefix("mod ")?.split_once(';')?.0;
                let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_');
                plain.then(|| {
                    format!("{folder}/{name}")
                        .trim_start_matches('/')
                        .to_owned()
                })
            })
            .flat_map(|module| [format!("{module}.rs"), format!("{module}/")])
            .collect()
    }
}

/// Where the package stands.
pub fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

const CFG_TEST: &str = "#[cfg(test)]";

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder is readable") {
        let path = entry.expect("a folder's entry is readable").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// The same text with blanks for comments and for what strings and characters hold; lines keep their numbers.
fn without_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word_before = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let (false, Some(length)) = (word_before, raw_string(rest)) {
            length
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' && is_character(rest) {
            quoted(rest, '\'')
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let blank = |c| if c == '\n' { '\n' } else { ' ' };
        code.extend(rest[..length].chars().map(blank));
        rest = &rest[length..];
    }
    code
}

/// The length of the comment that `rest` begins with; such comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let (step, change) = match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += step;
        depth = depth.saturating_add_signed(change);
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The length of the raw string (`r"…"`, `br#"…"#`) that `rest` begins with.
fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end)? + end.len();
    Some(rest.len() - body.len() + length)
}

/// Whether the `'` that `rest` begins with opens a character, not a lifetime.
fn is_character(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

/// The length of the literal between `quote` and the next one that is not escaped.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

/// The same code with blanks for every item under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut live = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(CFG_TEST) {
        live.push_str(&rest[..at]);
        let length = at + item(&rest[at..]);
        live.extend(rest[at..length].chars().filter(|&c| c == '\n'));
        rest = &rest[length..];
    }
    live + rest
}

/// The length of the item that `rest` begins with: to its `;`, or to the brace that closes it.
fn item(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in rest.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[derive(Clone, Copy)]
struct Token<'c> {
    text: &'c str,
    line: usize,
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if first == '\n' {
            line += 1;
        }
        if !first.is_whitespace() {
            tokens.push(Token {
                text: &rest[..length],
                line,
            });
        }
        rest = &rest[length..];
    }
    tokens
}

fn text_at<'c>(tokens: &[Token<'c>], at: usize) -> &'c str {
    tokens.get(at).map_or("", |token| token.text)
}

/// Reads `a::b`, `a::{b, c::d}`, `*` from `at`; returns where it ends.
fn leaves_of_tree<'c>(
    tokens: &[Token<'c>],
    mut at: usize,
    before: &[&'c str],
    leaves: &mut Vec<Vec<&'c str>>,
) -> usize {
    let mut path = before.to_vec();
    loop {
        if text_at(tokens, at) == "{" {
            at += 1;
            while !matches!(text_at(tokens, at), "}" | "") {
                match text_at(tokens, at) {
                    "," => at += 1,
                    _ => at = leaves_of_tree(tokens, at, &path, leaves),
                }
            }
            return at + 1;
        }
        path.push(text_at(tokens, at));
        at += 1;
        if text_at(tokens, at) != "::" || text_at(tokens, at + 1) == "<" {
            break;
        }
        at += 1;
    }
    if text_at(tokens, at) == "as" {
        at += 2;
    }
    leaves.push(path);
    at
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    //! The reader of sources sees what it must: else every rule above would hold by blindness.

    use super::*;

    #[test]
    fn sees_through_trees_of_imports() {
        let source = Source::new(
            "proxy/mod.rs",
            "use crate::{key::{Grant, Permit as P}, store::*};\nfn f() { crate::cache::get::<u8>() }",
        );
        let named = source.rooms_named();
        let rooms: Vec<_> = named
            .iter()
            .map(|(line, path)| (*line, path.join("::")))
            .collect();
        let expected = [
            (1, "key::Grant"),
            (1, "key::Permit"),
            (1, "store::*"),
            (2, "cache::get"),
        ];
        assert_eq!(rooms, expected.map(|(line, path)| (line, path.to_owned())));
    }

    #[test]
    fn sees_a_neighbour_reached_by_climbing() {
        let source = Source::new("proxy/mod.rs", "use super::store::KeyStore;");
        assert_eq!(source.rooms_named(), [(1, vec!["store", "KeyStore"])]);
        let source = Source::new("proxy/relay.rs", "use super::super::store::KeyStore;");
        assert_eq!(source.rooms_named(), [(1, vec!["store", "KeyStore"])]);
    }

    #[test]
    fn is_blind_to_comments_strings_and_lifetimes() {
        let source = Source::new(
            "key/mod.rs",
            "/* crate::store::A /* nested */ crate::store::B */ // crate::store::C\n\
             fn f<'a>(x: &'a str) { g('\"', \"crate::store::D\", r#\"crate::\"store\"#); crate::cache::E }",
        );
        assert_eq!(source.rooms_named(), [(2, vec!["cache", "E"])]);
    }

    #[test]
    fn tells_live_code_from_tests() {
        let source = Source::new(
            "usage/mod.rs",
            "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { tokio::spawn(x) }\n}\nfn c() { tokio::spawn(y) }",
        );
        assert_eq!(Source::lines_with(&source.live, "tokio::spawn"), [6]);
        assert_eq!(Source::lines_with(&source.code, "tokio::spawn"), [4, 6]);
    }

    #[test]
    fn takes_words_whole() {
        assert!(Source::lines_with("eprintln!(x); my_print!(x)", "print!").is_empty());
        assert_eq!(Source::lines_with("\nprint!(x)", "print!"), [2]);
    }
}
