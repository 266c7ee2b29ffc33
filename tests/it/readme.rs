//! The commands of the README, and of pages beside it, are run, in their order, and answer as it says.
//!
//! Every line of a `console` block that begins with `$` is a command; what follows is its output. `[..]` stands for
//! anything, `?` begins a line of standard error or the exit code when it is not 0. A server runs beside them on free
//! ports, which take the places of the default ones.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rstest::rstest;
use snapbox::assert_data_eq;

use crate::support::raw::RawConnection;
use crate::support::source::package;
use crate::support::upstream::{Answer, FakeUpstream};
use crate::support::within;

const KEYWARD: &str = env!("CARGO_BIN_EXE_keyward");
const TOKEN: &str = "kwadmin_the-token-of-the-readme";
/// Where the README finds the listeners.
const DEFAULTS: [&str; 3] = ["127.0.0.1:8080", "127.0.0.1:9090", "127.0.0.1:9091"];

#[rstest]
#[case::readme("README.md", 12)]
#[case::migrating("deploy/migrating.md", 4)]
#[tokio::test]
async fn every_command_of_a_page_answers_as_it_says(#[case] page: &str, #[case] least: usize) {
    let upstream = FakeUpstream::start();
    let answer = r#"{"answered":"/v1/chat/completions"}"#;
    upstream.on("/v1/chat/completions", Answer::new(200, answer));
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("admin-token"), TOKEN).unwrap();
    let served = Served::start(directory.path(), &upstream.url());
    served.ready().await;

    let readme = fs::read_to_string(package().join(page)).unwrap();
    let mut exports = String::new();
    let mut commands = 0;
    for (command, expected) in transcripts(&readme) {
        if command.starts_with("export ") {
            writeln!(exports, "{}", served.placed(&command)).unwrap();
            continue;
        }
        let said = served.run(
            directory.path(),
            &format!("{exports}{}", served.placed(&command)),
        );
        assert_data_eq!(
            format!("$ {command}\n{said}"),
            format!("$ {command}\n{expected}")
        );
        commands += 1;
    }
    assert!(commands > least, "only {commands} commands were found");
}

/// The commands of all `console` blocks, each with what the README says it prints.
fn transcripts(readme: &str) -> Vec<(String, String)> {
    let mut transcripts: Vec<(String, String)> = Vec::new();
    let mut is_console = false;
    for line in readme.lines() {
        match line {
            "```console" => is_console = true,
            _ if line.starts_with("```") => is_console = false,
            _ if !is_console => {}
            _ => match (line.strip_prefix("$ "), transcripts.last_mut()) {
                (Some(command), _) => transcripts.push((command.to_owned(), String::new())),
                (None, Some((_, output))) => writeln!(output, "{line}").unwrap(),
                (None, None) => panic!("output before any command: {line}"),
            },
        }
    }
    transcripts
}

/// `keyward serve` on free ports; ended when dropped.
struct Served {
    process: Child,
    places: [SocketAddr; 3],
}

impl Served {
    fn start(directory: &Path, upstream: &str) -> Self {
        let places = [(); 3].map(|()| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        });
        let process = Command::new(KEYWARD)
            .current_dir(directory)
            .args(["serve", "--upstream", upstream])
            .args(["--listen", &places[0].to_string()])
            .args(["--admin-listen", &places[1].to_string()])
            .env("KEYWARD_PROBES__LISTEN", places[2].to_string())
            .env("KEYWARD_ADMIN__TOKEN_FILE", "admin-token")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, places }
    }

    async fn ready(&self) {
        let probes = self.places[2];
        within("keyward becomes ready", async {
            loop {
                if tokio::net::TcpStream::connect(probes).await.is_ok() {
                    let mut connection = RawConnection::connect(probes).await;
                    let request = "GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n";
                    if connection.call(request).await.status() == 200 {
                        return;
                    }
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// A command of the README, with our addresses in place of the default ones.
    fn placed(&self, command: &str) -> String {
        DEFAULTS
            .iter()
            .zip(self.places)
            .fold(command.to_owned(), |command, (default, place)| {
                command.replace(default, &place.to_string())
            })
    }

    fn run(&self, directory: &Path, script: &str) -> String {
        let programs = Path::new(KEYWARD).parent().unwrap();
        let script = format!("PATH='{}':$PATH\n{script}", programs.display());
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(directory)
            .env("KEYWARD_PROBES__LISTEN", self.places[2].to_string())
            .env("KEYWARD_CONFIG_DIR", directory)
            .output()
            .unwrap();
        let mut said = String::from_utf8(output.stdout).unwrap();
        if !said.is_empty() && !said.ends_with('\n') {
            said.push('\n');
        }
        for line in String::from_utf8(output.stderr).unwrap().lines() {
            writeln!(said, "? {line}").unwrap();
        }
        if !output.status.success() {
            writeln!(said, "? exit {}", output.status.code().unwrap_or(-1)).unwrap();
        }
        said
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
