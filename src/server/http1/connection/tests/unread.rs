//! Bodies that nobody reads to their end.

use super::*;

/// What came with the head, and what behind it before the answer; whether another request is served behind a body that nobody
/// reads.
#[rstest]
#[case::whole(COUNTED, "123456789", "", true)]
#[case::in_two(COUNTED, "1234", "56789", true)]
#[case::all_behind(COUNTED, "", "123456789", true)]
#[case::not_all(COUNTED, "1234", "5678", false)]
#[case::nothing(COUNTED, "", "", false)]
#[case::chunks(CHUNKED, "1\r\na\r\n1\r\nb\r\n0\r\n\r\n", "", true)]
#[case::chunks_in_two(CHUNKED, "1\r\na\r\n1\r", "\nb\r\n0\r\nx: y\r\n\r\n", true)]
#[case::chunks_behind(CHUNKED, "", "1\r\na\r\n0\r\n\r\n", true)]
#[case::no_last_chunk(CHUNKED, "1\r\na\r\n", "1\r\nb\r\n", false)]
#[case::no_end(CHUNKED, "1\r\na\r\n0\r\n", "\r", false)]
#[case::no_chunks(CHUNKED, "", "", false)]
#[case::bad_chunks(CHUNKED, "1\r\na\r\nx\r\n", "", false)]
#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_is_passed_over_if_it_is_there(
    #[case] head: &str,
    #[case] with_head: &str,
    #[case] behind: &str,
    #[case] is_kept: bool,
    #[values(false, true)] is_looked_after: bool,
) {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, &format!("{head}{with_head}")).await;
    let (head, body) = request(&mut connection).await;
    let next = if is_kept {
        "GET /b HTTP/1.1\r\nhost: h\r\n\r\n"
    } else {
        ""
    };
    write(&mut caller, &format!("{behind}{next}")).await;
    drop(body);
    if is_looked_after {
        assert!(looked_after(&mut connection).await);
    }
    let kept = connection.answer(answer_of(""), head.terms, second).await;
    assert_eq!(kept.ok(), Some(is_kept));
    assert_eq!(now(connection.is_read()).await, Some(is_kept));
    let close = if is_kept { "" } else { "connection: close\r\n" };
    let expected = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{close}\r\n");
    assert_eq!(said(&mut caller).await, expected);
    if is_kept {
        assert_eq!(request(&mut connection).await.0.request.uri, "/b");
    }
}

/// A connection whose request was answered while nothing of its body had come.
async fn answered_before_its_body() -> (Connection<DuplexStream>, DuplexStream, Body) {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, COUNTED).await;
    let (head, mut body) = request(&mut connection).await;
    assert_eq!(part(&mut body), "nothing yet");
    let kept = connection.answer(answer_of("a"), head.terms, second).await;
    assert!(matches!(kept, Ok(true)));
    (connection, caller, body)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_let_go_while_it_is_answered_ends_the_connection_behind_the_answer() {
    let (mut connection, mut caller, body) = answered_before_its_body().await;
    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na";
    assert_eq!(said(&mut caller).await, expected);
    drop(body);
    assert_eq!(now(connection.is_read()).await, Some(false));
}

/// The rest of a request may be read by another task, for so long, behind its answer.
#[tokio::test(start_paused = true)]
async fn a_connection_whose_body_is_let_go_by_another_task_waits_for_nothing() {
    let (mut connection, _caller, body) = answered_before_its_body().await;
    let letting_go = async {
        // By now the connection waits for the caller.
        assert!(now(pending::<()>()).await.is_none());
        drop(body);
        Instant::now()
    };
    let (is_read, let_go) = tokio::join!(biased; connection.is_read(), letting_go);
    assert!(!is_read);
    assert_eq!(let_go.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_read_behind_its_answer_is_followed_by_the_next_request() {
    let (mut connection, mut caller, mut body) = answered_before_its_body().await;
    let mut reading = Box::pin(connection.is_read());
    write(&mut caller, "1234").await;
    assert_eq!(now(reading.as_mut()).await, None);
    assert_eq!(part(&mut body), "1234");
    write(&mut caller, &format!("56789{GET}")).await;
    assert_eq!(now(reading.as_mut()).await, None);
    assert_eq!(part(&mut body), "nothing yet");
    assert_eq!(now(reading.as_mut()).await, Some(true));
    drop(reading);
    assert_eq!(part(&mut body), "56789");
    assert_eq!(name(&next(&mut connection).await), "/");
}
