//! Bodies that are kept back until they are asked for (RFC 9110, 10.1.1).

use super::*;

const EXPECTING: &str = "POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\n";
const OLD: &str = "POST / HTTP/1.0\r\nexpect: 100-continue\r\n";
const ASKED_FOR: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[rstest]
#[case::counted(EXPECTING, "content-length: 2\r\n\r\n", ASKED_FOR)]
#[case::chunked(EXPECTING, "transfer-encoding: chunked\r\n\r\n", ASKED_FOR)]
#[case::there(EXPECTING, "content-length: 2\r\n\r\nab", "")]
#[case::chunks_that_are_there(
    EXPECTING,
    "transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ""
)]
#[case::begun(EXPECTING, "transfer-encoding: chunked\r\n\r\n2", "")]
#[case::none(EXPECTING, "\r\n", "")]
#[case::empty(EXPECTING, "content-length: 0\r\n\r\n", "")]
#[case::not_expected("POST / HTTP/1.1\r\nhost: h\r\n", "content-length: 2\r\n\r\n", "")]
#[case::old(OLD, "content-length: 2\r\n\r\n", "")]
#[tokio::test(start_paused = true)]
async fn a_body_that_is_kept_back_is_asked_for_once(
    #[case] head: &str,
    #[case] rest: &str,
    #[case] expected: &str,
) {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, &format!("{head}{rest}")).await;
    let (_, mut body) = request(&mut connection).await;
    assert!(looked_after(&mut connection).await);
    assert_eq!(said(&mut caller).await, "");
    let _ = part(&mut body);
    assert!(looked_after(&mut connection).await);
    assert_eq!(said(&mut caller).await, expected);
    let _ = part(&mut body);
    assert!(looked_after(&mut connection).await);
    assert_eq!(said(&mut caller).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_asked_for_is_read() {
    let (mut connection, mut caller) = connection(ROOM);
    write(
        &mut caller,
        &format!("{EXPECTING}content-length: 2\r\n\r\n"),
    )
    .await;
    let (served, ()) = tokio::join!(serve(&mut connection), async {
        assert_eq!(said(&mut caller).await, ASKED_FOR);
        write(&mut caller, "ab").await;
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nPOST /ab{}";
        assert_eq!(said(&mut caller).await, answer);
        caller.shutdown().await.unwrap();
    });
    assert_eq!(served, (1, "nothing"));
}

#[tokio::test(start_paused = true)]
async fn behind_the_beginning_of_an_answer_no_body_is_asked_for() {
    let (mut connection, mut caller) = connection(ROOM);
    write(
        &mut caller,
        &format!("{EXPECTING}content-length: 2\r\n\r\n"),
    )
    .await;
    let (head, mut body) = request(&mut connection).await;
    assert_eq!(part(&mut body), "nothing yet");
    let mut answering = pin!(connection.answer(parts(&["a"]), head.terms, second));
    assert!(now(answering.as_mut()).await.is_none());
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n";
    assert_eq!(said(&mut caller).await, answer);
    // Whoever sends it all the same is read.
    write(&mut caller, "ab").await;
    assert!(now(answering.as_mut()).await.is_none());
    assert_eq!(part(&mut body), "ab");
    assert_eq!(said(&mut caller).await, "");
}

#[tokio::test(start_paused = true)]
async fn what_asks_for_a_body_is_written_whole_before_an_answer() {
    let (mut connection, mut caller) = connection(100);
    let head = format!("{EXPECTING}content-length: 2\r\n\r\n");
    write(&mut caller, &head).await;
    // So much of the room for what we say is taken.
    connection.io.write_all(&[b'x'; 90]).await.unwrap();
    let (head, mut body) = request(&mut connection).await;
    assert_eq!(part(&mut body), "nothing yet");
    assert!(looked_after(&mut connection).await);
    let mut begins = [0; 100];
    caller.read_exact(&mut begins).await.unwrap();
    let (begun, rest) = ASKED_FOR.split_at(10);
    assert_eq!(&begins[90..], begun.as_bytes());
    drop(body);
    let answer = answer_of("a");
    let answer = tokio::join!(
        connection.answer(answer, head.terms, second),
        said(&mut caller)
    );
    assert!(matches!(answer.0, Ok(false)));
    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\na";
    assert_eq!(answer.1, format!("{rest}{expected}"));
}
