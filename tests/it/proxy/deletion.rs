//! What an administrator has been answered is in force on this instance (SECURITY D1, D2).

use crate::support::keyward::{TestKeyward, post};
use crate::support::stream::Stream;
use crate::support::upstream::Answer;

#[tokio::test]
async fn a_created_key_works_and_a_deleted_one_does_not_from_the_answer_on() {
    let keyward = TestKeyward::with("proxy.workers = 2\n").await;
    // One connection for each worker, so that both are asked.
    let mut callers = [keyward.raw().await, keyward.raw().await];
    for round in 0..50 {
        let key = keyward.key().await;
        let request = post("/models/m/predict", &key, "{}");
        for caller in &mut callers {
            assert_eq!(caller.call(&request).await.status(), 200, "round {round}");
        }
        keyward.delete_key(&key).await;
        for caller in &mut callers {
            assert_eq!(caller.call(&request).await.status(), 401, "round {round}");
        }
    }
    assert_eq!(keyward.upstream.requests().len(), 100);
}

#[tokio::test]
async fn a_key_deleted_in_the_middle_of_a_stream_ends_with_the_next_request() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::events(&stream));
    let mut caller = keyward.raw().await;
    let request = post("/models/m/predict", &key, "{}");
    caller.write(&request).await;
    let head = caller.read_head().await;
    keyward.delete_key(&key).await;
    stream.send("still ");
    stream.send("here");
    stream.finish();
    let body = caller.read_body(&head).await;
    assert_eq!(
        (&body.bytes[..], body.is_complete),
        (&b"still here"[..], true)
    );
    assert_eq!(caller.call(&request).await.status(), 401);
}
