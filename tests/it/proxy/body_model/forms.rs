//! The part `model` of a multipart form.

use rstest::rstest;

use super::{CHUNKED, chunk, head, json, start};
use crate::support::keyward::{TestKey, TestKeyward};
use crate::support::upstream::BodyEnd;

/// One part of a form.
fn part(name: &str, more: &str, content: &str) -> String {
    format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{content}\r\n")
}

fn file(bytes: usize) -> String {
    let kind = "; filename=\"a.wav\"\r\nContent-Type: audio/wav";
    part("file", kind, &"-\r\n".repeat(bytes / 3))
}

/// The head of a `POST` of a form.
fn form_head(target: &str, key: &TestKey, framing: &str) -> String {
    let kind = "Content-Type: multipart/form-data; boundary=B";
    head(target, key, framing).replace("Content-Type: application/json", kind)
}

fn form(target: &str, key: &TestKey, parts: &[String]) -> String {
    let body = parts.concat() + "--B--\r\n";
    form_head(target, key, &format!("Content-Length: {}", body.len())) + &body
}

#[tokio::test]
async fn a_form_names_its_model_in_any_order() {
    let keyward = start("").await;
    let key = keyward.key_for(&["m1"]).await;
    let model = |name: &str| part("model", "", name);
    for (parts, status) in [
        (vec![model("m1"), file(1_000)], 200),
        (vec![file(1_000), model("m1")], 200),
        (
            vec![file(500_000), model("m1"), part("language", "", "en")],
            200,
        ),
        (vec![model("m2"), file(1_000)], 403),
        (vec![file(1_000), model("m2")], 403),
        (vec![file(1_000)], 400),
        (vec![model("m1"), model("m2")], 400),
        (vec![model("m1"), part("Model", "", "m2")], 400),
        (vec![part("model", "; filename=\"x\"", "m1")], 400),
        (vec!["x\r\n".to_owned(), model("m1")], 400),
        (vec![model("m1"), "--B--\r\n".to_owned(), model("m2")], 400),
    ] {
        let before = keyward.upstream.requests().len();
        let answer = keyward
            .raw()
            .await
            .call(form("/v1/audio", &key, &parts))
            .await;
        assert_eq!(answer.status(), status, "{}", answer.text());
        let sent = keyward.upstream.requests().len() - before;
        assert_eq!(sent, usize::from(status == 200));
        if sent == 1 {
            let seen = keyward.upstream.request(before).await;
            assert!(
                seen.body() == (parts.concat() + "--B--\r\n").as_bytes(),
                "it comes changed"
            );
        }
    }
}

#[tokio::test]
async fn the_kind_of_a_body_decides_how_it_is_read() {
    let keyward = start("").await;
    let key = keyward.key_for(&["m1"]).await;
    let by_json = json("/v1/audio", &key, r#"{"model":"m1"}"#);
    assert_eq!(keyward.raw().await.call(&by_json).await.status(), 200);
    let mislabelled = by_json.replace("application/json", "multipart/form-data; boundary=B");
    assert_eq!(keyward.raw().await.call(mislabelled).await.status(), 400);
    let parts = [part("model", "", "m1")];
    let not_read = form("/v1/chat", &key, &parts);
    assert_eq!(keyward.raw().await.call(not_read).await.status(), 415);
    for kind in [
        "multipart/form-data",
        "multipart/mixed; boundary=B",
        "application/x-www-form-urlencoded",
    ] {
        let request = form("/v1/audio", &key, &parts);
        let request = request.replace("multipart/form-data; boundary=B", kind);
        assert_eq!(
            keyward.raw().await.call(request).await.status(),
            415,
            "{kind}"
        );
    }
}

#[rstest]
#[case::second_model(part("model", "", "m2") + "--B--\r\n")]
#[case::respelled(part("model[]", "", "m2") + "--B--\r\n")]
#[case::after_the_end("--B--\r\n".to_owned() + &part("model", "", "m2"))]
#[case::another_line_end("\n--B\nx".to_owned())]
#[case::not_ended("--B\r\n".to_owned())]
#[tokio::test]
async fn no_upstream_has_a_whole_form_that_can_be_taken_apart_in_two_ways(#[case] end: String) {
    let keyward = start("judged_whole_bytes = 1000").await;
    let key = keyward.key_for(&["m1"]).await;
    let begun = part("model", "", "m1") + &file(3_000);
    let mut caller = keyward.raw().await;
    caller
        .write(form_head("/v1/audio", &key, CHUNKED) + &chunk(&begun))
        .await;
    let seen = keyward.upstream.request(0).await;
    seen.body_reaches(begun.len() - 1).await;
    // The refusal may come before all of it is written.
    drop(caller.try_write(chunk(&end) + "0\r\n\r\n").await);
    let answer = caller.read_answer().await;
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert_eq!(seen.body_end().await, BodyEnd::Broken);
    assert_eq!(keyward.counted.outcomes()["body_ambiguous"], 1);
}

#[tokio::test]
async fn the_built_in_table_reads_the_forms_of_audio_and_images() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key_for(&["m1"]).await;
    for call in [
        "audio/transcriptions",
        "audio/translations",
        "images/edits",
        "images/variations",
    ] {
        for (base, model, status) in [
            ("", "m1", 200),
            ("", "m2", 403),
            ("/models/m1", "m1", 200),
            ("/models/m1", "m2", 403),
        ] {
            let target = format!("{base}/v1/{call}");
            let request = form(&target, &key, &[file(1_000), part("model", "", model)]);
            assert_eq!(
                keyward.raw().await.call(request).await.status(),
                status,
                "{target} {model}"
            );
        }
    }
}
