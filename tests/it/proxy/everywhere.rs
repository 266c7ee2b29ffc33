//! `wait=all`: what an administrator has been answered is in force on every instance, or the answer says where it is
//! not. Several whole keywards on one key database.

use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::keyward::{Doors, KeywardProcess, TestKey, TestKeyward, post};
use crate::support::raw::RawConnection;
use crate::support::within;

/// Reports that nobody asks for come once an hour: those that come are asked for.
const AT_REST: &str = "server.report_every = \"1h\"\n";

fn named(name: &str, further: &str) -> String {
    format!("server.name = \"{name}\"\n{further}")
}

/// Deletes a key with `query`; the whole answer.
async fn delete(doors: &Doors, key: &TestKey, query: &str) -> Value {
    let path = format!("/v1/api_keys/{}{query}", key.prefix);
    let answer = doors.administer(Method::DELETE, &path).send().await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

/// What an answer says about where it is in force, without how long that took.
fn in_force(answer: &Value) -> Value {
    let mut said = answer["in_force"].clone();
    let after = said
        .as_object_mut()
        .and_then(|said| said.remove("after_ms"));
    assert!(after.is_some_and(|after| after.is_u64()), "{answer}");
    said
}

/// Makes a key that works everywhere when this returns.
async fn create(doors: &Doors) -> TestKey {
    let ask = doors.administer(Method::POST, "/v1/api_keys?wait=all");
    let answer = ask
        .json(&json!({ "type": "WORKSPACE_INVOKE" }))
        .send()
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    let everywhere = json!({ "everywhere": true, "behind": [] });
    assert_eq!(in_force(&answer.json()), everywhere);
    let text = answer.text("/api_key");
    let prefix = text.split('.').next().expect("there is a first part");
    TestKey {
        prefix: prefix.to_owned(),
        text,
    }
}

/// Deletions through one of three instances, each with two workers that have just served the key. That the next call is
/// refused by all six is no matter of time: without `wait=all` some would still accept it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_waited_for_all_is_refused_by_every_worker_of_every_instance() {
    let workers = "proxy.workers = 2\n";
    let first = TestKeyward::with(workers).await;
    let others = [first.beside(workers).await, first.beside(workers).await];
    let all = [&first, &others[0], &others[1]];
    // Connections go to the workers in turn.
    let mut callers: Vec<RawConnection> = Vec::new();
    for keyward in all {
        callers.push(keyward.raw().await);
        callers.push(keyward.raw().await);
    }
    for round in 0..30 {
        let asked = all[round % 3];
        let key = create(asked).await;
        let request = post("/models/m/predict", &key, "{}");
        for caller in &mut callers {
            assert_eq!(caller.call(&request).await.status(), 200, "round {round}");
        }
        let answer = delete(asked, &key, "?wait=all").await;
        for caller in &mut callers {
            assert_eq!(caller.call(&request).await.status(), 401, "round {round}");
        }
        assert_eq!(answer["prefix"], *key.prefix);
        assert_eq!(
            in_force(&answer),
            json!({ "everywhere": true, "behind": [] })
        );
    }
}

#[tokio::test]
async fn without_wait_the_answer_is_as_it_was() {
    let keyward = TestKeyward::start().await;
    for query in ["", "?wait=instance"] {
        let key = keyward.key().await;
        let answer = delete(&keyward, &key, query).await;
        assert_eq!(answer, json!({ "prefix": *key.prefix }));
    }
    let made = keyward
        .administer(Method::POST, "/v1/api_keys?wait=instance")
        .json(&json!({ "type": "PERSONAL" }))
        .send()
        .await;
    let made = made.json();
    let members: Vec<_> = made.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["api_key"]);
}

#[tokio::test]
async fn an_instance_that_does_not_run_is_named_and_the_deletion_is_made_all_the_same() {
    let keyward = TestKeyward::with(&named("asked", AT_REST)).await;
    // Nothing that it could be stopped in the middle of.
    let quiet = format!("{AT_REST}usage.first_within = \"1h\"\nusage.flush_every = \"1h\"\n");
    let frozen = keyward.same_database(&named("frozen", &quiet));
    let frozen = KeywardProcess::start(&frozen).await;
    let key = create(&keyward).await;
    assert_eq!(frozen.call(&key, "m").await.status(), 200);
    frozen.signal(Signal::STOP);
    let answer = delete(&keyward, &key, "?wait=all").await;
    let expected = json!({ "everywhere": false, "behind": ["frozen"] });
    assert_eq!(in_force(&answer), expected);
    assert!(
        answer["in_force"]["after_ms"].as_u64() >= Some(1_900),
        "{answer}"
    );
    assert_eq!(keyward.call(&key, "m").await.status(), 401);
    frozen.signal(Signal::CONT);
    // It has the next one, and with it this one.
    let next = create(&keyward).await;
    assert_eq!(frozen.call(&key, "m").await.status(), 401);
    assert_eq!(frozen.call(&next, "m").await.status(), 200);
}

#[tokio::test]
async fn an_instance_that_was_killed_is_not_waited_for_once_it_is_silent_but_named() {
    let keyward = TestKeyward::with(&named("asked", AT_REST)).await;
    let often = "server.report_every = \"100ms\"\n";
    let killed = keyward.same_database(&named("killed", often));
    let mut killed = KeywardProcess::start(&killed).await;
    killed.kill();
    let silent = "SELECT count(*) FROM instances WHERE name = 'killed' \
                  AND unixepoch('subsec') * 1000 - seen_at_ms > heard_ms";
    within("the killed instance is silent", async {
        while keyward.number(silent).await == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let key = keyward.key().await;
    let answer = delete(&keyward, &key, "?wait=all").await;
    let expected = json!({ "everywhere": true, "behind": [], "silent": ["killed"] });
    assert_eq!(in_force(&answer), expected);

    // Past the time in which it could have served, the next start takes away what it left.
    keyward
        .by_hand("UPDATE instances SET seen_at_ms = 0 WHERE name = 'killed'")
        .await;
    let key = keyward.key().await;
    let answer = delete(&keyward, &key, "?wait=all").await;
    assert_eq!(
        in_force(&answer),
        json!({ "everywhere": true, "behind": [] })
    );
    let _third = keyward.beside(&named("third", AT_REST)).await;
    let left = "SELECT count(*) FROM instances WHERE name = 'killed'";
    assert_eq!(keyward.number(left).await, 0);
}

#[tokio::test]
async fn an_instance_that_ends_takes_its_row_away() {
    let keyward = TestKeyward::with(&named("asked", AT_REST)).await;
    let other = format!("{AT_REST}shutdown.delay = \"0s\"\n");
    let other = keyward.same_database(&named("other", &other));
    let mut other = KeywardProcess::start(&other).await;
    let there = "SELECT count(*) FROM instances WHERE name = 'other'";
    assert_eq!(keyward.number(there).await, 1);
    other.signal(Signal::TERM);
    assert_eq!(other.exit_code().await, Some(0));
    assert_eq!(keyward.number(there).await, 0);
}

/// With 300 sidecars and 10 deletions a second nobody may write for each of them, nor look again and again because
/// somebody else has written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_nobody_waits_for_make_no_instance_write() {
    let first = TestKeyward::with(AT_REST).await;
    let other = first.beside(AT_REST).await;
    let written = |keyward: &TestKeyward| keyward.counted.queries()["instances"];
    let before = [written(&first), written(&other)];
    for _ in 0..20 {
        let key = first.key().await;
        delete(&first, &key, "").await;
    }
    // The other one has seen the last of them.
    let key = first.key().await;
    within("the other instance follows", async {
        while other.call(&key, "m").await.status() != 200 {}
    })
    .await;
    assert_eq!([written(&first), written(&other)], before);

    for _ in 0..20 {
        let key = first.key().await;
        delete(&first, &key, "?wait=all").await;
    }
    // At most one for each change, made or deleted, while somebody waits.
    let for_these = written(&other) - before[1];
    assert!((1..=40).contains(&for_these), "{for_these} reports");
}

/// A report moves the file's version, which rings every bell: each instance looks once, finds nothing, and writes
/// nothing. It must not go on from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_makes_each_instance_look_once_at_most() {
    // Nothing looks or writes unasked but the reports.
    let quiet = "server.report_every = \"100ms\"\ncache.poll_every = \"1h\"\ncache.max_lag = \"1h\"\n\
                 usage.flush_every = \"1h\"\nusage.first_within = \"1h\"\n";
    let first = TestKeyward::with(quiet).await;
    let other = first.beside(quiet).await;
    let count = |query: &str| [&first, &other].map(|keyward| keyward.counted.queries()[query]);
    // Reports first: what is written between the two readings must not be missing among the reports.
    let (reports_before, looks_before) = (count("instances"), count("changes"));
    within("both report again and again", async {
        while count("instances")
            .iter()
            .zip(reports_before)
            .any(|(now, before)| *now < before + 10)
        {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    let looks = count("changes");
    let reports: u64 = count("instances").iter().sum::<u64>() - reports_before.iter().sum::<u64>();
    for (now, before) in looks.iter().zip(looks_before) {
        let looked = now - before;
        // One more for a report that was written before and is heard now.
        assert!(
            looked <= reports + 2,
            "{looked} looks after {reports} reports"
        );
    }
}

#[tokio::test]
async fn every_instance_counts_how_long_a_revocation_took_to_it() {
    let first = TestKeyward::with(AT_REST).await;
    let other = first.beside(AT_REST).await;
    for count in 1..=3 {
        let key = first.key().await;
        delete(&first, &key, "?wait=all").await;
        for keyward in [&first, &other] {
            assert_eq!(keyward.counted.revocations_within("+Inf"), count);
        }
    }
}
