//! Callers that go, or fall silent.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_behind_its_last_answer_has_no_more_to_say() {
    for (begun, expected) in [("", "nothing"), ("\r\n", "nothing"), ("GE", "nothing")] {
        let (mut connection, mut caller) = connection(ROOM);
        write(&mut caller, &format!("{GET}{begun}")).await;
        caller.shutdown().await.unwrap();
        let served = serve(&mut connection).await;
        // It is gone already while it is answered, if nothing is left to be read before its end.
        let expected = if begun.is_empty() {
            (1, "nothing")
        } else {
            (1, expected)
        };
        assert_eq!(served, expected, "{begun:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_while_its_answer_is_awaited_is_missed() {
    // Some send an empty line behind a body (RFC 9112, 2.2).
    for behind in ["", "\r\n"] {
        let (mut connection, mut caller) = connection(ROOM);
        write(&mut caller, &format!("{GET}{behind}")).await;
        let _request = request(&mut connection).await;
        assert!(looked_after(&mut connection).await);
        drop(caller);
        assert!(!looked_after(&mut connection).await, "{behind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_behind_a_line_end_in_pieces_is_missed_at_once() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, GET).await;
    let _request = request(&mut connection).await;
    let going = async {
        for piece in ["\r", "\n"] {
            write(&mut caller, piece).await;
            assert!(now(pending::<()>()).await.is_none());
        }
        drop(caller);
    };
    let answer = pin!(pending::<()>());
    let waiting = timeout(Duration::from_secs(1), connection.wait_for(answer));
    let waited = tokio::join!(biased; waiting, going).0;
    assert!(matches!(waited, Ok(Err(Gone))));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_while_its_answer_comes_is_missed() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, GET).await;
    let (head, _) = request(&mut connection).await;
    let mut answering = pin!(connection.answer(parts(&["a"]), head.terms, second));
    assert!(now(answering.as_mut()).await.is_none());
    assert!(said(&mut caller).await.ends_with("1\r\na\r\n"));
    drop(caller);
    assert!(matches!(now(answering).await, Some(Err(Gone))));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_while_it_takes_nothing_is_missed() {
    for closes in [false, true] {
        let (mut connection, mut caller) = connection(40);
        write(&mut caller, GET).await;
        let (head, _) = request(&mut connection).await;
        let mut answering = pin!(connection.answer(answer_of("abc"), head.terms, second));
        assert!(now(answering.as_mut()).await.is_none());
        // It takes no more of the answer, and either is gone or says that it will say no more.
        let _caller = if closes {
            drop(caller);
            None
        } else {
            caller.shutdown().await.unwrap();
            Some(caller)
        };
        assert!(matches!(now(answering).await, Some(Err(Gone))), "{closes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_within_its_body_breaks_it_off() {
    let (mut connection, mut caller) = connection(ROOM);
    write(
        &mut caller,
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nab",
    )
    .await;
    let (_, body) = request(&mut connection).await;
    drop(caller);
    let collected = connection.wait_for(pin!(body.collect())).await;
    let collected = collected.unwrap_or_else(|Gone| panic!("gone"));
    assert!(matches!(collected, Err(BodyError::Incomplete)));
    assert!(!connection.is_read().await);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_silent_within_its_body_breaks_it_off() {
    let (caller, ours) = duplex(ROOM);
    let (mut caller, (mut connection, load)) = (caller, over(ours));
    write(
        &mut caller,
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nab",
    )
    .await;
    let (_, body) = request(&mut connection).await;
    let (_busy, begun) = (load.begin(), Instant::now());
    let collected = connection.wait_for(pin!(body.collect())).await;
    let collected = collected.unwrap_or_else(|Gone| panic!("gone"));
    let Err(BodyError::Io(error)) = collected else {
        panic!("it came to its end");
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let limit = LimitsConfig::default().stream_idle_timeout;
    assert_eq!(begun.elapsed().as_secs(), limit.as_secs());
}
