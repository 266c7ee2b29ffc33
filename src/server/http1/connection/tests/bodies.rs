//! Bodies as they are wished, in whatever pieces they come.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_body_is_read_as_it_is_wished_and_no_further() {
    let (mut connection, mut caller) = connection(8);
    let head = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 20\r\n\r\n";
    let ((), (_, mut body)) = tokio::join!(write(&mut caller, head), request(&mut connection));
    let (first, second, last) = ("01234567", "89abcdef", "ghij");
    write(&mut caller, first).await;
    // Nobody wishes anything.
    assert!(looked_after(&mut connection).await);
    assert!(connection.read.is_empty());
    assert_eq!(body.size_hint().exact(), Some(20));

    assert_eq!(part(&mut body), "nothing yet");
    assert!(looked_after(&mut connection).await);
    write(&mut caller, second).await;
    assert!(looked_after(&mut connection).await);
    // What was wished is given, and nothing more is read.
    assert!(connection.read.is_empty());
    assert_eq!(body.size_hint().exact(), Some(20));
    assert_eq!(part(&mut body), first);
    assert_eq!(body.size_hint().exact(), Some(12));
    assert!(looked_after(&mut connection).await);
    assert!(connection.read.is_empty());

    assert_eq!(part(&mut body), "nothing yet");
    assert!(looked_after(&mut connection).await);
    assert_eq!(part(&mut body), second);
    write(&mut caller, last).await;
    assert_eq!(part(&mut body), "nothing yet");
    assert!(looked_after(&mut connection).await);
    assert!(matches!(connection.receiving, Receiving::Nothing));
    assert_eq!(part(&mut body), last);
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn of_a_body_and_a_request_behind_it_each_has_its_own_bytes() {
    let (mut connection, mut caller) = connection(ROOM);
    write(
        &mut caller,
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 20\r\n\r\n01234",
    )
    .await;
    let (head, mut body) = request(&mut connection).await;
    let rest = "GET /x HTTP/1.1";
    write(
        &mut caller,
        &format!("{rest}GET /b HTTP/1.1\r\nhost: h\r\n\r\n"),
    )
    .await;
    let mut read = String::new();
    while !body.is_end_stream() {
        let part = part(&mut body);
        if part == "nothing yet" {
            assert!(looked_after(&mut connection).await);
        } else {
            read.push_str(&part);
        }
    }
    assert_eq!(read, format!("01234{rest}"));
    let kept = connection.answer(answer_of(""), head.terms, second).await;
    assert!(matches!(kept, Ok(true)));
    assert_eq!(request(&mut connection).await.0.request.uri, "/b");
}

#[rstest]
#[case::size("5\r\nhello\r\nx", "hello")]
#[case::end("5\r\nhello!", "hello")]
#[case::extension("5\r\nhello\r\n1;\x01\r\na", "hello")]
#[case::line_feed("5\r\nhello\r\n1\n", "hello")]
#[case::trailer("5\r\nhello\r\n0\r\nhost: x\r\n\r\n", "hello")]
#[case::at_once("x", "")]
#[tokio::test(start_paused = true)]
async fn chunks_that_are_refused_break_off_behind_the_good_ones(
    #[case] chunks: &str,
    #[case] good: &str,
) {
    for cut in 0..=chunks.len() {
        let (mut connection, mut caller) = connection(ROOM);
        let head = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
        let (begun, rest) = chunks.split_at(cut);
        write(&mut caller, &format!("{head}{begun}")).await;
        let (head, mut body) = request(&mut connection).await;
        let mut read = String::new();
        let mut collecting = pin!(async {
            loop {
                match body.frame().await {
                    Some(Ok(frame)) => {
                        read.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
                    }
                    other => return other,
                }
            }
        });
        let early = now(connection.wait_for(collecting.as_mut())).await;
        write(&mut caller, &format!("{rest}{GET}")).await;
        let ended = match early {
            Some(ended) => ended,
            None => connection.wait_for(collecting).await,
        };
        let ended = ended.unwrap_or_else(|Gone| panic!("gone"));
        assert!(matches!(ended, Some(Err(BodyError::Malformed(_)))), "{cut}");
        assert_eq!(read, good, "{cut}");
        // Nobody knows where a next request would begin.
        let kept = connection.answer(answer_of(""), head.terms, second).await;
        assert!(matches!(kept, Ok(false)));
        assert!(!connection.is_read().await);
        assert!(
            said(&mut caller)
                .await
                .contains("\r\nconnection: close\r\n")
        );
    }
}

/// Under TLS, what is written waits to be sent while the caller takes nothing.
#[tokio::test(start_paused = true)]
async fn a_body_is_read_though_the_caller_takes_nothing_of_its_answer() {
    let (mut caller, ours) = duplex(64);
    let (mut connection, _load) = over(BufStream::new(ours));
    let (head, mut body) = tokio::join!(write(&mut caller, COUNTED), request(&mut connection)).1;
    let mut answering = pin!(connection.answer(answer_of(vec![b'a'; 100]), head.terms, second));
    assert!(now(answering.as_mut()).await.is_none());
    write(&mut caller, "123456789").await;
    assert_eq!(part(&mut body), "nothing yet");
    assert!(now(answering.as_mut()).await.is_none());
    assert_eq!(part(&mut body), "123456789");
    let (kept, answer) = tokio::join!(answering, said(&mut caller));
    assert!(matches!(kept, Ok(true)));
    assert!(answer.ends_with("aaa"));
}

/// Nobody waits for what will never be told: whoever is not ready has said who wakes it.
#[tokio::test(start_paused = true)]
async fn a_body_that_another_task_wishes_later_is_read() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, COUNTED).await;
    let (head, mut body) = request(&mut connection).await;
    assert_eq!(head.request.method, Method::POST);
    write(&mut caller, "123456789").await;
    let mut cx = Context::from_waker(Waker::noop());
    let answer = pin!(pending::<()>());
    let looking = pin!(connection.wait_for(answer));
    let wishing = async {
        // By now the connection waits, and nobody else.
        assert!(now(pending::<()>()).await.is_none());
        assert!(Pin::new(&mut body).poll_frame(&mut cx).is_pending());
        assert!(now(pending::<()>()).await.is_none());
        part(&mut body)
    };
    tokio::select! {
        biased;
        _ = looking => panic!("nothing is answered"),
        read = wishing => assert_eq!(read, "123456789"),
    }
}

/// What chunks are made of, and what looks like it.
fn chunked_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "0\r\n",
        "\r\n",
        "\r\n",
        "0\r\n\r\n",
        "5\r\nhello\r\n",
        "2;a=b\r\nab\r\n",
        "A\r\n0123456789\r\n",
        "1;\"\r\n",
        "x: y\r\n",
        "3",
        "00",
        ";",
        " ",
        "\t",
        "\r",
        "\n",
        "é",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes())
}

/// Where the end of the chunks that stand in `text` was read, if it was.
fn end_of_chunks(text: &[u8]) -> Option<usize> {
    let (mut chunks, mut read) = (Chunks::default(), BytesMut::from(text));
    loop {
        match chunks.next(&mut read) {
            Ok(Next::Data(_)) => {}
            Ok(Next::Trailers(_) | Next::End) => return Some(text.len() - read.len()),
            Ok(Next::More) | Err(_) => return None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Nobody takes a byte of the next message for one of this, nor the other way round.
    #[test]
    fn a_body_in_chunks_ends_where_the_guard_says(text in chunked_bytes()) {
        let mut guard = Guard::http1(LIMITS);
        guard.scan(CHUNKED.as_bytes());
        // A byte that begins no head is refused as one where a head may begin, and there only.
        let end = (0..=text.len()).find(|at| {
            let mut guard = guard.clone();
            guard.scan(&text[..*at]);
            guard.scan(b"\0");
            matches!(guard.refused(), Some((_, Part::Head)))
        });
        let safe = guard.scan(&text);
        prop_assert_eq!(end_of_chunks(&text[..safe]), end);
    }
}
