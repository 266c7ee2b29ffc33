//! Floods of refusals, in the log of calls and in the log.

use std::fs;
use std::time::Instant;

use serde_json::Value;

use super::PREDICT;
use crate::support::eventually;
use crate::support::keyward::{KeywardProcess, post};

const SETTINGS: &str = "access_log = { to = \"./access.log\", refusals_per_second = 10 }\n\
    log.level = \"info,keyward::proxy=debug\"\n";
const FLOOD: usize = 20_000;
/// What a worker says in the log in a second.
const IN_THE_LOG: usize = 100;

fn lines(keyward: &KeywardProcess, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(keyward.path(name)).expect("it is there");
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    whole
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[tokio::test]
async fn a_flood_of_refusals_leaves_few_lines_and_says_how_many_it_left_out() {
    let keyward = KeywardProcess::start(SETTINGS).await;
    let key = keyward.key().await;
    let begun = Instant::now();
    let mut caller = keyward.raw().await;
    let refused =
        format!("POST {PREDICT} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").repeat(50);
    for _ in 0..FLOOD / 50 {
        caller.write(&refused).await;
        for _ in 0..50 {
            assert_eq!(caller.read_answer().await.status(), 401);
        }
    }
    // Whoever has a key is told of in the middle of it.
    assert_eq!(caller.call(post(PREDICT, &key, "{}")).await.status(), 200);

    let left_out = |lines: &[Value], name: &str| -> u64 {
        lines.iter().filter_map(|line| line[name].as_u64()).sum()
    };
    let told = eventually("what was left out is told", || {
        let told = lines(&keyward, "access.log");
        let refused = told.iter().filter(|line| line["status"] == 401).count();
        let all = u64::try_from(refused).ok()? + left_out(&told, "left_out");
        (all == FLOOD as u64).then_some(told)
    })
    .await;
    // One second more than it took, for the one in which it began and the one in which it ended.
    let seconds = usize::try_from(begun.elapsed().as_secs()).expect("few") + 2;
    let refused = told.iter().filter(|line| line["status"] == 401).count();
    assert!(refused <= 10 * seconds, "{refused} lines in {seconds} s");
    let summaries = told.iter().filter(|line| line["left_out"].is_u64()).count();
    assert!(summaries <= seconds, "{summaries} summaries in {seconds} s");
    assert_eq!(told.iter().filter(|line| line["status"] == 200).count(), 1);
    let counted = keyward
        .metric("keyward_access_log_lines_total{result=\"left_out\"}")
        .await;
    let left = u32::try_from(left_out(&told, "left_out")).expect("few enough");
    assert!((counted - f64::from(left)).abs() < 0.5, "{counted}");

    let message = "more requests were refused than are told of";
    let log = eventually("the log tells the same", || {
        let log = lines(&keyward, "keyward.log");
        let refused = log
            .iter()
            .filter(|line| line["message"] == "request refused")
            .count();
        let all = u64::try_from(refused).ok()? + left_out(&log, "count");
        (all == FLOOD as u64).then_some(log)
    })
    .await;
    let refused = log
        .iter()
        .filter(|line| line["message"] == "request refused")
        .count();
    assert!(
        refused <= IN_THE_LOG * seconds,
        "{refused} lines in {seconds} s"
    );
    assert!(log.iter().any(|line| line["message"] == message));
}
