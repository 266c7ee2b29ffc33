//! What depends on who reads: a terminal, nobody, a full disk; and Ctrl-C.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::shell::{Ran, Server, Shell};

const KEYS: &str = r#"{"keys":[{"prefix":"kw_1","name":"\u001b[31mred","type":"PERSONAL"}]}"#;

/// A terminal: the end we hold, and the end a program gets.
pub struct Terminal {
    ours: File,
    pub theirs: File,
}

impl Terminal {
    pub fn new() -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = rustix::fs::open(
            name,
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY,
            rustix::fs::Mode::empty(),
        );
        Self {
            ours: File::from(ours),
            theirs: File::from(theirs.unwrap()),
        }
    }

    /// The same, so many columns wide.
    pub fn of_columns(columns: u16) -> Self {
        let terminal = Self::new();
        let size = Winsize {
            ws_row: 50,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal.ours, size).unwrap();
        terminal
    }

    pub fn end(&self) -> Stdio {
        OwnedFd::from(self.theirs.try_clone().unwrap()).into()
    }

    fn echoes(&self) -> bool {
        let modes = tcgetattr(&self.theirs).unwrap().local_modes;
        modes.contains(LocalModes::ECHO)
    }

    /// Everything that was shown, once every program has let go.
    pub fn shown(self) -> String {
        let Self { mut ours, theirs } = self;
        drop(theirs);
        let mut shown = Vec::new();
        let mut block = [0; 4096];
        // Linux says EIO when nobody holds the other end any more.
        while let Ok(count @ 1..) = ours.read(&mut block) {
            shown.extend_from_slice(&block[..count]);
        }
        String::from_utf8(shown).unwrap()
    }
}

/// Waits until `is_so`, for at most ten seconds.
pub(super) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// How `child` ends, soon; it is killed if it does not.
pub(super) fn end_of(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::yield_now();
    }
}

fn list_on_terminal(shell: &Shell, flags: &[&str]) -> String {
    let terminal = Terminal::new();
    let mut command = shell.command(["org", "api-key", "list"].iter().chain(flags));
    command.stdout(terminal.end()).stderr(terminal.end());
    let code = command.spawn().unwrap().wait().unwrap().code();
    drop(command);
    assert_eq!(code, Some(0));
    terminal.shown()
}

#[test]
fn a_header_is_bold_on_a_terminal() {
    let server = Server::ok(KEYS);
    let shell = Shell::at(&server).with("TERM", "xterm");
    let shown = list_on_terminal(&shell, &[]);
    let expected = "\u{1b}[1mNAME           KEY       TYPE      TEAM  \u{1b}[0m\r\n\
                    \\u{1b}[31mred  kw_1****  personal        \r\n";
    assert_eq!(shown, expected);
}

#[rstest]
#[case("NO_COLOR", "1")]
#[case("TERM", "dumb")]
#[case("CLICOLOR", "0")]
fn a_header_is_plain_where_colour_is_not_wanted(#[case] name: &str, #[case] value: &str) {
    let server = Server::ok(KEYS);
    let shell = Shell::at(&server).with("TERM", "xterm").with(name, value);
    let shown = list_on_terminal(&shell, &[]);
    assert!(shown.starts_with("NAME "), "{shown:?}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn raw_strings_are_made_visible_on_a_terminal_and_only_there() {
    let server = Server::ok(KEYS);
    let shell = Shell::at(&server).with("TERM", "xterm");
    let flags = ["-rq", ".keys[].name"];
    assert_eq!(list_on_terminal(&shell, &flags), "\\u{1b}[31mred\r\n");
    let ran = shell.run(["org", "api-key", "list"].iter().chain(&flags));
    assert_eq!(ran, Ran::new(0, "\u{1b}[31mred\n", ""));
}

/// `command | head -0`: nobody reads standard output.
fn unread(mut command: Command) -> Ran {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer);
    command.output().unwrap().into()
}

#[rstest]
#[case("org api-key list", "")]
#[case("org api-key list -o json", "")]
#[case("org api-key list -q range(100000)", "")]
#[case("--help", "")]
#[case("man", "")]
#[case("completions bash", "")]
fn a_reader_that_went_away_is_no_error(#[case] line: &str, #[case] err: &str) {
    let server = Server::ok(KEYS);
    let ran = unread(Shell::at(&server).command(line.split(' ')));
    assert_eq!(ran, Ran::new(0, "", err));
}

#[test]
fn a_key_that_nobody_read_is_told_of() {
    let server = Server::ok(r#"{"api_key":"kw_new.secret"}"#);
    let shell = Shell::at(&server);
    let ran = unread(shell.command("org api-key create --type personal".split(' ')));
    let err = "Save this key now. It will not be shown again.\n\
               The key kw_new was made all the same. Delete it unless its text stands above.\n";
    assert_eq!(ran, Ran::new(0, "", err));
}

#[test]
fn a_full_disk_is_an_error() {
    let server = Server::ok(KEYS);
    let shell = Shell::at(&server);
    for line in ["org api-key list", "org api-key list -o json", "--help"] {
        let mut command = shell.command(line.split(' '));
        command.stdout(File::options().write(true).open("/dev/full").unwrap());
        let ran = Ran::from(command.output().unwrap());
        let err = "cannot write to standard output: No space left on device (os error 28)\n";
        assert_eq!(ran, Ran::new(1, "", err), "{line}");
    }
}

pub(super) fn interrupt(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
}

#[rstest]
#[case(Signal::INT)]
#[case(Signal::TERM)]
fn an_interruption_while_a_server_thinks_ends_with_130(#[case] signal: Signal) {
    let server = Server::new(|_| Vec::new());
    let shell = Shell::at(&server);
    let mut child = shell.command(["org", "api-key", "list"]).spawn().unwrap();
    wait_until("the request", || !server.lines().is_empty());
    interrupt(&child, signal);
    end_of(&mut child);
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran, Ran::new(130, "", "Canceled.\n"));
}

#[test]
fn an_expression_without_end_can_be_interrupted() {
    let server = Server::ok(KEYS);
    let shell = Shell::at(&server);
    let mut command = shell.command(["org", "api-key", "list", "-q", "repeat(1)"]);
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut first = [0; 2];
    out.read_exact(&mut first).unwrap();
    interrupt(&child, Signal::INT);
    // A full pipe must not keep it.
    assert_eq!(end_of(&mut child), Some(130));
    assert_eq!(&first, b"1\n");
}

#[test]
fn a_key_is_typed_unseen() {
    let server = Server::ok(r#"{"user_id":"admin"}"#);
    let shell = Shell::new();
    let mut terminal = Terminal::new();
    let mut command = shell.command(["profile", "login", "--url", &server.url]);
    command.stdin(terminal.end()).stderr(terminal.end());
    let mut child = command.spawn().unwrap();
    drop(command);
    wait_until("no echo", || !terminal.echoes());
    terminal.ours.write_all(b"kw_typed\n").unwrap();
    assert_eq!(end_of(&mut child), Some(0));
    assert!(terminal.echoes());
    let url = &server.url;
    let shown = terminal.shown();
    let expected =
        format!("API key or admin token for {url}: \r\nLogged in to {url} as profile default\r\n");
    assert_eq!(shown, expected);
    assert!(server.asked()[0].head.contains("Api-Key kw_typed\r\n"));
}

#[test]
fn an_interrupted_prompt_gives_the_echo_back() {
    let shell = Shell::new();
    let terminal = Terminal::new();
    let mut command = shell.command(["profile", "login", "--url", "http://127.0.0.1:1"]);
    command.stdin(terminal.end());
    let mut child = command.spawn().unwrap();
    wait_until("no echo", || !terminal.echoes());
    interrupt(&child, Signal::INT);
    end_of(&mut child);
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130));
    assert!(ran.err.ends_with("Canceled.\n"), "{ran}");
    assert!(terminal.echoes());
}
