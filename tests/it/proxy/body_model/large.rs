//! What a very large body costs the real program, in memory of the whole process.
//!
//! `KEYWARD_TEST_UPLOAD_MIB=1024 cargo test --test it body_model::large` sends a gibibyte.

use keyward::config::environment;

use super::head;
use crate::support::keyward::KeywardProcess;
use crate::support::raw::RawConnection;
use crate::support::raw_upstream::RawUpstream;

const MIB: usize = 1024 * 1024;

const ROUTE: &str = "
[[proxy.routes]]
path = \"/v1/chat\"
upstream = \"default\"
model_in = [\"body\"]
";

fn upload_bytes() -> usize {
    let wanted = environment::variable("KEYWARD_TEST_UPLOAD_MIB");
    wanted.and_then(|mib| mib.parse().ok()).unwrap_or(48) * MIB
}

/// An upstream that reads whatever is sent to it, keeps nothing and answers with the number of bytes.
fn sink() -> RawUpstream {
    RawUpstream::start(async |mut connection: RawConnection| {
        while let Some(head) = connection.try_read_head().await {
            let length: usize = head
                .field("content-length")
                .expect("a length")
                .parse()
                .expect("a number");
            let mut left = length;
            while left > 0 {
                let here = left.min(64 * 1024);
                if connection.try_read_exactly(here).await.is_none() {
                    return;
                }
                left -= here;
            }
            let number = length.to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{number}",
                number.len()
            );
            if connection.try_write(answer).await.is_err() {
                return;
            }
        }
    })
}

/// The most memory that the process has had, in bytes.
fn peak(keyward: &KeywardProcess) -> usize {
    let path = format!("/proc/{}/status", keyward.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(path).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<usize>().ok())
        .expect("a peak")
        * 1024
}

/// Sends a body of `bytes` that begins so and ends so, in pieces of 64 KiB; the answer's status, and how much was written
/// when the other side had enough.
async fn upload(
    keyward: &KeywardProcess,
    key: &crate::support::keyward::TestKey,
    (begin, end): (&str, &str),
    bytes: usize,
) -> (u16, usize) {
    let mut caller = keyward.raw().await;
    let framing = format!("Content-Length: {bytes}");
    caller.write(head("/v1/chat", key, &framing) + begin).await;
    let piece = vec![b'x'; 64 * 1024];
    let mut written = begin.len();
    while written + end.len() < bytes {
        let here = piece.len().min(bytes - end.len() - written);
        if caller.try_write(&piece[..here]).await.is_err() {
            break;
        }
        written += here;
    }
    if written + end.len() == bytes && caller.try_write(end).await.is_ok() {
        written = bytes;
    }
    (caller.read_answer().await.status(), written)
}

#[tokio::test]
async fn a_body_that_names_its_model_first_costs_no_memory() {
    let upstream = sink();
    let settings = format!("upstreams.default.url = \"{}\"\n{ROUTE}", upstream.url());
    let keyward = KeywardProcess::start(&settings).await;
    let key = keyward.key_for(&["m1"]).await;
    // The name comes at the end of the first 64 KiB; the rest is judged while it flows.
    let begin = format!(r#"{{"a":"{}","model":"m1","text":""#, "x".repeat(63 * 1024));
    let body = (begin.as_str(), r#""}"#);
    // Twice what is held, so that all that a call needs was needed once.
    assert_eq!(upload(&keyward, &key, body, 4 * MIB).await.0, 200);
    let before = peak(&keyward);
    let bytes = upload_bytes();
    assert_eq!(upload(&keyward, &key, body, bytes).await, (200, bytes));
    let grown = peak(&keyward) - before;
    println!(
        "{} MiB came through; the process grew by {} KiB",
        bytes / MIB,
        grown / 1024
    );
    assert!(grown < MIB, "{grown} bytes");
}

#[tokio::test]
async fn a_body_that_names_its_model_last_is_refused_at_the_limit() {
    let keyward = KeywardProcess::start(ROUTE).await;
    let key = keyward.key_for(&["m1"]).await;
    let before = peak(&keyward);
    let bytes = upload_bytes();
    let (status, written) = upload(
        &keyward,
        &key,
        (r#"{"text":""#, r#"","model":"m1"}"#),
        bytes,
    )
    .await;
    let grown = peak(&keyward) - before;
    println!(
        "refused after {} KiB were written; the process grew by {} KiB",
        written / 1024,
        grown / 1024
    );
    assert_eq!(status, 413);
    assert!(keyward.upstream.requests().is_empty());
    // The limit is 16 MiB; beside what is held, the sockets hold some.
    assert!(written < 32 * MIB, "{written} bytes");
    assert!(grown < 24 * MIB, "{grown} bytes");
}
