//! Answers as they are written.

use super::*;

/// Polls of an answer are counted: one that is polled for nothing, again and again, would never end.
#[tokio::test(start_paused = true)]
async fn an_answer_is_polled_when_there_is_something_new() {
    let (mut connection, mut caller) = connection(ROOM);
    let chunked = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    write(&mut caller, chunked).await;
    let (_, mut body) = request(&mut connection).await;
    let mut polls = 0;
    let mut answer = pin!(poll_fn(|cx| {
        polls += 1;
        // It asks once, and never looks again.
        if polls == 1 {
            assert!(Pin::new(&mut body).poll_frame(cx).is_pending());
        }
        assert!(polls < 100);
        Poll::<()>::Pending
    }));
    assert!(now(connection.wait_for(answer.as_mut())).await.is_none());
    write(&mut caller, "1\r\na\r\n1\r\nb\r\n").await;
    assert!(now(connection.wait_for(answer.as_mut())).await.is_none());
    write(&mut caller, "0\r\n\r\n").await;
    assert!(now(connection.wait_for(answer.as_mut())).await.is_none());
    assert!(polls <= 10, "{polls}");
}

/// An answer that is not as long as it says, or breaks off, in whatever part.
#[rstest]
#[case::short("3", &[Ok("ab")])]
#[case::nothing("3", &[])]
#[case::long("3", &[Ok("ab"), Ok("cd")])]
#[case::broken("3", &[Ok("ab"), Err("gone")])]
#[case::broken_chunks("", &[Ok("ab"), Err("gone")])]
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_whole_is_not_taken_for_whole(
    #[case] length: &str,
    #[case] steps: &[Result<&'static str, &'static str>],
) {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, GET).await;
    let (head, _) = request(&mut connection).await;
    let steps: Vec<_> = steps.iter().map(|step| step.map(data)).collect();
    let mut response = Response::new(StreamBody::new(stream::iter(steps)));
    if !length.is_empty() {
        let headers = &mut response.headers;
        headers.append(http::header::CONTENT_LENGTH, length.parse().unwrap());
    }
    let answered = connection.answer(response, head.terms, second).await;
    assert!(matches!(answered, Err(Gone)));
    drop(connection);
    let said = said(&mut caller).await;
    assert!(
        !said.ends_with("abc") && !said.ends_with("0\r\n\r\n"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_as_it_is_there() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, GET).await;
    let (head, _) = request(&mut connection).await;
    let (give, parts) = tokio::sync::mpsc::channel::<Frame<Bytes>>(1);
    let parts = stream::unfold(parts, async |mut parts| {
        let next = parts.recv().await?;
        Some((Ok::<_, Infallible>(next), parts))
    });
    let response = Response::new(StreamBody::new(Box::pin(parts)));
    let mut answering = Box::pin(connection.answer(response, head.terms, second));
    assert!(now(answering.as_mut()).await.is_none());
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(said(&mut caller).await, head);
    for _ in 0..2 {
        give.send(data("abc")).await.unwrap();
        assert!(now(answering.as_mut()).await.is_none());
        assert_eq!(said(&mut caller).await, "3\r\nabc\r\n");
    }
    // What comes meanwhile is the next request.
    write(&mut caller, GET).await;
    assert!(now(answering.as_mut()).await.is_none());
    drop(give);
    assert!(matches!(now(answering.as_mut()).await, Some(Ok(true))));
    drop(answering);
    assert_eq!(said(&mut caller).await, "0\r\n\r\n");
    assert_eq!(name(&next(&mut connection).await), "/");
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_is_written_whatever_room_there_is() {
    let text: Vec<u8> = (b'a'..=b'z').cycle().take(200_000).collect();
    for room in [7, 1_000, ROOM] {
        let (mut connection, mut caller) = connection(room);
        let (head, _) = tokio::join!(request(&mut connection), write(&mut caller, GET)).0;
        let answer = answer_of(text.clone());
        let (kept, said) = tokio::join!(
            connection.answer(answer, head.terms, second),
            said(&mut caller)
        );
        assert!(matches!(kept, Ok(true)));
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n";
        assert!(said.strip_prefix(head).unwrap().as_bytes() == text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_takes_little_memory() {
    let (mut connection, mut caller) = connection(1024 * 1024);
    let head = format!(
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n",
        600_000
    );
    write(&mut caller, &format!("{head}{}", "x".repeat(600_000))).await;
    let (head, body) = request(&mut connection).await;
    let read = connection.wait_for(pin!(body.collect())).await;
    drop(read);
    let parts = stream::iter(
        (0..50).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'a'; 4_000])))),
    );
    let answer = Response::new(StreamBody::new(parts));
    let kept = connection.answer(answer, head.terms, second).await;
    assert!(matches!(kept, Ok(true)));
    assert!(connection.out.capacity() > MOST_ROOM);
    connection.rest();
    assert!(connection.out.capacity() <= MOST_ROOM);
    assert!(connection.read.capacity() <= 2 * 8 * 1024);
}

/// It is a part of what was read of the upstream, whose room is to be read into again while the body comes.
#[tokio::test(start_paused = true)]
async fn a_head_that_is_written_is_let_go() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, GET).await;
    let (head, _) = request(&mut connection).await;
    let read = Bytes::from(b"x: 1".to_vec());
    let mut places = Places::new();
    places.note(HeaderName::from_static("x"), 3..4);
    let mut response = parts(&["a"]);
    response.headers = places.within(read.clone());
    assert!(!read.is_unique());
    let mut answering = pin!(connection.answer(response, head.terms, second));
    assert!(now(answering.as_mut()).await.is_none());
    assert!(read.is_unique());
}
