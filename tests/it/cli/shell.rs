//! What the tests of the command line stand on: the real binary in an environment of its own, and servers that give
//! canned answers.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

/// A home directory, and an environment with nothing else in it.
pub struct Shell {
    home: TempDir,
    variables: Vec<(String, String)>,
}

/// What a command did: its exit code and both streams, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Shell {
    pub fn new() -> Self {
        Self {
            home: tempfile::tempdir().expect("a directory"),
            variables: Vec::new(),
        }
    }

    /// A shell that speaks to `server` with the key `kw_test`.
    pub fn at(server: &Server) -> Self {
        Self::new()
            .with("KEYWARD_URL", &server.url)
            .with("KEYWARD_API_KEY", "kw_test")
    }

    /// A shell, and the URL of a database that is not there yet.
    pub fn with_database() -> (Self, String) {
        let shell = Self::new();
        let url = format!("sqlite://{}", shell.path("keys.db").display());
        (shell, url)
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
        command.args(args);
        self.prepare(command)
    }

    /// `script` for `sh`, which finds the binary as `keyward`, and is ended after a minute.
    pub fn script(&self, script: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_keyward"));
        let programs = binary.parent().expect("a file is in a directory");
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", "60", "sh", "-c", script]);
        let mut command = self.prepare(command);
        command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
        command
    }

    fn prepare(&self, mut command: Command) -> Command {
        command
            .env_clear()
            .env("HOME", self.home.path())
            .envs(self.variables.iter().cloned())
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        self.command(args).output().expect("the binary runs").into()
    }

    /// Runs a command line, split at spaces.
    pub fn line(&self, line: &str) -> Ran {
        self.run(line.split_whitespace())
    }

    /// Runs `args` with `input` on standard input.
    pub fn feed(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("it runs");
        // A command that does not read its input has ended before we wrote it.
        let _ = child.stdin.take().expect("piped").write_all(input);
        child.wait_with_output().expect("it ends").into()
    }
}

impl Ran {
    pub fn new(code: i32, out: &str, err: &str) -> Self {
        Self {
            code: Some(code),
            out: out.to_owned(),
            err: err.to_owned(),
        }
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, out, err } = self;
        write!(f, "exit {code:?}\n--- out\n{out}--- err\n{err}")
    }
}

/// One request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `GET /v1/api_keys`
    pub line: String,
    pub head: String,
    pub body: String,
}

/// A server that gives the same kinds of answer to whoever asks, one connection a request.
pub struct Server {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// A server whose whole answers are the bytes that `answer` makes of a request line such as `GET /v1/api_keys`.
    /// No bytes: the connection stays open and silent.
    pub fn new(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Some(request) = read_request(&stream) else {
                    continue;
                };
                let bytes = answer(&request.line);
                noted.lock().expect("no test panics with it").push(request);
                if bytes.is_empty() {
                    silent.push(stream);
                } else {
                    // Whoever has heard enough hangs up.
                    let _ = stream.write_all(&bytes);
                }
            }
        });
        Self { url, asked }
    }

    /// A server that answers `status` and `body`, whatever is asked.
    pub fn always(status: u16, body: &str) -> Self {
        let bytes = response(status, body);
        Self::new(move |_| bytes.clone())
    }

    /// A server that answers 200 and `body`, whatever is asked.
    pub fn ok(body: &str) -> Self {
        Self::always(200, body)
    }

    /// What was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics with it").clone()
    }

    /// The request lines, in order.
    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

pub fn response(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Reads one request; nothing when there is none.
pub fn read_request(stream: &TcpStream) -> Option<Asked> {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<u64>().ok())?
    });
    let mut body = String::new();
    reader
        .take(length.unwrap_or(0))
        .read_to_string(&mut body)
        .ok()?;
    let line = head.lines().next()?.rsplit_once(' ')?.0.to_owned();
    Some(Asked { line, head, body })
}
