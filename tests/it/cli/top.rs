//! `top`: one frame or many, on a terminal and elsewhere, of a server that is there and of one that is not.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use rstest::rstest;
use rustix::process::Signal;
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;

use super::shell::{Ran, Server, Shell, response};
use super::terminal::{Terminal, end_of, interrupt};
use crate::support::keyward::KeywardProcess;

/// What a server says that has served `forwarded` calls.
fn page(forwarded: u32) -> String {
    format!(
        "process_start_time_seconds 1\nkeyward_ready 1\nkeyward_build_info{{version=\"1.2.3\",revision=\"r\"}} 1\n\
         keyward_requests_total{{outcome=\"forwarded\"}} {forwarded}\n\
         keyward_upstream_healthy{{upstream=\"vllm\",server=\"a\"}} 1\n\
         keyward_upstream_healthy{{upstream=\"vllm\",server=\"b\"}} 0\n"
    )
}

/// A server that has served ten calls more at each look.
fn counting() -> Server {
    let looks = std::sync::atomic::AtomicU32::new(0);
    Server::new(move |line| {
        if line == "GET /metrics" {
            let look = looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            response(200, &page(look * 10))
        } else {
            response(200, "ok\nkeys: the database does not answer\n")
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_frame_of_a_real_server_tells_what_it_does() {
    let keyward = KeywardProcess::start("").await;
    let key = keyward.key().await;
    let url = format!("http://{}", keyward.addresses.probes);
    let calling = async {
        loop {
            assert_eq!(keyward.call(&key, "m").await.status(), 200);
            assert_eq!(keyward.call(&key, "..").await.status(), 400);
        }
    };
    let run = |flags: &'static str| {
        let line = format!("top --once --interval 300ms --url {url} {flags}");
        tokio::task::spawn_blocking(move || Shell::new().line(&line))
    };
    let looking = async {
        let text = run("").await.expect("it ends");
        let json = run("-o json").await.expect("it ends");
        (text, json)
    };
    let (text, json) = tokio::select! {
        biased;
        ran = looking => ran,
        () = calling => unreachable!("it goes on"),
    };
    assert_eq!((text.code, text.err.as_str()), (Some(0), ""), "{text}");
    assert!(!text.out.contains('\u{1b}'), "{text}");
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        text.out
            .starts_with(&format!("keyward {version} at {url}  ready  up ")),
        "{text}"
    );
    for word in [
        "\ncalls        ",
        " forwarded ",
        " ambiguous ",
        "1 known",
        "complete",
        "upstream     default",
    ] {
        assert!(text.out.contains(word), "{word}: {text}");
    }
    let figures: Value = serde_json::from_str(&json.out).expect("JSON");
    assert!(
        figures["calls"]["outcomes_per_second"]["forwarded"].as_f64() > Some(0.0),
        "{json}"
    );
    for quantile in ["p50", "p99"] {
        assert!(
            figures["calls"]["admission"][quantile].as_f64() > Some(0.0),
            "{json}"
        );
        assert!(
            figures["upstreams"][0]["answer"][quantile].as_f64() > Some(0.0),
            "{json}"
        );
    }
    assert_eq!(figures["keys"]["known"], 1.0, "{json}");
    assert_eq!(figures["keys"]["is_complete"], true, "{json}");
    assert!(
        figures["keys"]["age_seconds"].as_f64() < Some(5.0),
        "{json}"
    );
    assert_eq!(
        figures["upstreams"][0]["servers"]
            .as_object()
            .map(serde_json::Map::len),
        Some(1)
    );
}

#[test]
fn a_frame_names_troubles_and_servers_that_are_left_alone() {
    let server = counting();
    let ran = Shell::new().line(&format!("top --once --interval 10ms --url {}", server.url));
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(
        ran.out
            .contains("\n! trouble    keys: the database does not answer\n"),
        "{ran}"
    );
    assert!(
        ran.out
            .contains("\n!            1 of 2 servers called; left alone: b\n"),
        "{ran}"
    );
    let asked = ["GET /metrics", "GET /readyz?verbose"];
    assert_eq!(server.lines(), [asked, asked].concat());
}

#[rstest]
#[case::nobody(
    "http://127.0.0.1:1",
    "looking: cannot reach http://127.0.0.1:1/metrics: Connection refused (os error 111)\n"
)]
#[case::no_url(
    "127.0.0.1:1",
    "a url is `http://HOST[:PORT]` or `https://HOST[:PORT]`, with no user, query or fragment\n"
)]
fn one_frame_of_nothing_is_a_failure(#[case] url: &str, #[case] error: &str) {
    let ran = Shell::new().line(&format!("top --once --url {url}"));
    assert_eq!(ran, Ran::new(1, "", error));
}

#[test]
fn another_server_is_no_keyward() {
    let server = Server::ok("up 1\n");
    let ran = Shell::new().line(&format!("top --once --url {}", server.url));
    let error = format!("looking: {} is no keyward\n", server.url);
    assert_eq!(ran, Ran::new(1, "", &error));
}

#[rstest]
#[case("-o json")]
#[case("-q .calls")]
fn a_form_without_an_end_is_a_mistake(#[case] flags: &str) {
    let ran = Shell::new().line(&format!("top {flags}"));
    let error = "--output and --jq are for --once: without it there is no end\n";
    assert_eq!((ran.code, ran.err.as_str()), (Some(2), error), "{ran}");
}

/// Frames follow each other where nobody looks; a server that goes is told, and one that comes back is shown again.
#[test]
fn elsewhere_frames_follow_each_other_and_a_server_that_goes_is_told() {
    let looks = std::sync::atomic::AtomicU32::new(0);
    let server = Server::new(move |line| {
        let look = looks.fetch_add(
            u32::from(line == "GET /metrics"),
            std::sync::atomic::Ordering::Relaxed,
        );
        match (line, look) {
            ("GET /metrics", 2) => response(500, ""),
            ("GET /metrics", look) => response(200, &page(look * 10)),
            _ => response(200, "ok\n"),
        }
    });
    let shell = Shell::new();
    let mut command = shell.command(["top", "--interval", "20ms", "--url", &server.url]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut frame = || -> Vec<String> {
        let lines = lines.by_ref().map(|line| line.expect("text"));
        lines.take_while(|line| !line.is_empty()).collect()
    };
    let first = frame();
    assert!(
        first[0].contains(&format!("at {}  ready  up ", server.url)),
        "{first:?}"
    );
    assert!(first.contains(&"calls        -".to_owned()), "{first:?}");
    let second = frame();
    assert!(
        second
            .iter()
            .any(|line| line.starts_with("calls") && line.contains("forwarded")),
        "{second:?}"
    );
    let third = frame();
    assert!(
        third[0].contains("no answer for 0 s; trying again"),
        "{third:?}"
    );
    assert_eq!(third[1], "! trouble    looking: HTTP 500");
    let fourth = frame();
    assert!(fourth[0].contains("ready"), "{fourth:?}");
    assert!(
        fourth
            .iter()
            .chain(&first)
            .all(|line| !line.contains('\u{1b}'))
    );
    interrupt(&child, Signal::INT);
    assert_eq!(end_of(&mut child), Some(130));
}

#[test]
fn a_reader_that_goes_ends_it_quietly() {
    let server = counting();
    let shell = Shell::new();
    let mut command = shell.command(["top", "--interval", "10ms", "--url", &server.url]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
    let mut first = [0; 7];
    let mut out = child.stdout.take().expect("piped");
    out.read_exact(&mut first).expect("a frame");
    drop(out);
    assert_eq!(end_of(&mut child), Some(0));
}

/// On a terminal frames take each other's place, no line is wider than it, and it is given back.
#[rstest]
#[case(Signal::INT)]
#[case(Signal::TERM)]
fn a_terminal_is_taken_filled_and_given_back(#[case] signal: Signal) {
    const TAKEN: &str = "\u{1b}[?1049h\u{1b}[?25l";
    const GIVEN_BACK: &str = "\u{1b}[?25h\u{1b}[?1049l";
    let server = counting();
    let terminal = Terminal::new();
    let size = Winsize {
        ws_row: 5,
        ws_col: 20,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal.theirs, size).expect("a terminal has a size");
    let shell = Shell::new();
    let mut command = shell.command(["top", "--interval", "10ms", "--url", &server.url]);
    let mut child = command.stdout(terminal.end()).spawn().expect("it runs");
    drop(command);
    super::terminal::wait_until("three looks", || server.lines().len() >= 6);
    interrupt(&child, signal);
    assert_eq!(end_of(&mut child), Some(130));
    let shown = terminal.shown();
    assert!(
        shown.starts_with(TAKEN) && shown.ends_with(GIVEN_BACK),
        "{shown:?}"
    );
    let frames = shown
        .strip_prefix(TAKEN)
        .and_then(|rest| rest.strip_suffix(GIVEN_BACK));
    let frames: Vec<&str> = frames.expect("both").split("\u{1b}[H").skip(1).collect();
    assert!(frames.len() >= 2, "{shown:?}");
    for frame in frames {
        let frame = frame.strip_suffix("\u{1b}[J").expect("the rest is cleared");
        let lines: Vec<&str> = frame.split("\r\n").collect();
        assert_eq!(lines.len(), 5, "{frame:?}");
        for line in lines {
            let line = line.strip_suffix("\u{1b}[K").expect("the rest is cleared");
            assert!(
                line.chars().count() <= 20 && !line.contains('\u{1b}'),
                "{line:?}"
            );
        }
    }
}
