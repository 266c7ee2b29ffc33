//! A test that goes on in a process of its own: this binary again, running one ignored test.

use std::io::{IsTerminal, Read, Write};
use std::process::{Command, Output, Stdio};

/// What the other process is given: lines on its standard input. Nothing when the test was not started by another.
pub fn input() -> Option<Vec<String>> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        return None;
    }
    let mut input = String::new();
    stdin.read_to_string(&mut input).unwrap();
    let lines: Vec<String> = input.lines().map(str::to_owned).collect();
    (!lines.is_empty()).then_some(lines)
}

/// A running child.
pub struct Child(std::process::Child);

impl Child {
    /// Starts the ignored test `test` (its whole path) with `input`, through the command `wrapper` if that is not
    /// empty.
    pub fn start(test: &str, wrapper: &[&str], input: &[&str]) -> Self {
        let this = std::env::current_exe().unwrap();
        let mut words: Vec<&str> = wrapper.to_vec();
        words.push(this.to_str().unwrap());
        words.extend([test, "--exact", "--ignored", "--nocapture"]);
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.join("\n").as_bytes()).unwrap();
        Self(child)
    }

    /// Waits until it has passed.
    pub async fn passes(self) {
        let ended = tokio::task::spawn_blocking(|| self.0.wait_with_output());
        let ended: Output = ended.await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(
            ended.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&ended.stderr)
        );
    }
}
