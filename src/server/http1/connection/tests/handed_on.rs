//! Connections that go on as something else.

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What is there to be read behind a hand-over.
async fn read_on(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(Ok(1..)) = now(stream.read_buf(&mut all)).await {}
    all
}

#[tokio::test(start_paused = true)]
async fn http2_has_all_that_was_read() {
    // A frame's head follows that is not whole yet.
    let all = [PREFACE, b"\0\0\x02\x06\0\0"].concat();
    let rest = b"\0\0\0ab";
    for cut in 0..=all.len() {
        let (mut connection, mut caller) = connection(ROOM);
        caller.write_all(&all[..cut]).await.unwrap();
        let early = now(next(&mut connection)).await;
        caller.write_all(&all[cut..]).await.unwrap();
        let begins = match early {
            Some(begins) => begins,
            None => next(&mut connection).await,
        };
        assert_eq!(name(&begins), "HTTP/2", "{cut}");
        let mut http2 = connection.into_http2();
        assert_eq!(read_on(&mut http2).await, PREFACE, "{cut}");
        caller.write_all(rest).await.unwrap();
        let expected = [&all[PREFACE.len()..], rest].concat();
        assert_eq!(read_on(&mut http2).await, expected, "{cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn http2_with_too_many_frames_from_the_first_is_http2_all_the_same() {
    let (mut connection, mut caller) = connection(ROOM);
    let resets = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8].repeat(600);
    caller
        .write_all(&[PREFACE, &resets].concat())
        .await
        .unwrap();
    assert_eq!(name(&next(&mut connection).await), "HTTP/2");
    let read = read_on(connection.into_http2()).await;
    let last = too_many(LIMITS.bytes);
    let good = read.strip_suffix(&last[..]).unwrap();
    let good = good.strip_prefix(PREFACE).unwrap();
    assert!(resets.starts_with(good) && good.len() % 13 == 0 && good.len() < resets.len());
}

#[tokio::test(start_paused = true)]
async fn another_protocol_has_what_came_behind_the_head_that_asked_for_it() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, GET).await;
    let (head, _) = request(&mut connection).await;
    let mut answer = Response::new(Empty::<Bytes>::new());
    answer.status = StatusCode::SWITCHING_PROTOCOLS;
    let kept = connection.answer(answer, head.terms, second).await;
    assert!(matches!(kept, Ok(true)));
    write(&mut caller, "early").await;
    let mut rewound = connection.into_rewound().unwrap();
    write(&mut caller, " late").await;
    assert_eq!(read_on(&mut rewound).await, b"early late");
    rewound.write_all(b"back").await.unwrap();
    assert!(said(&mut caller).await.ends_with("\r\n\r\nback"));
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_the_protocol_changed_is_read_first() {
    for early in ["\r\n", "GET / HTTP/1.1\r\nhost: h\r\n\r\nGET"] {
        let (mut connection, mut caller) = connection(ROOM);
        write(&mut caller, &format!("{GET}{early}")).await;
        let _request = request(&mut connection).await;
        let mut rewound = connection.into_rewound().unwrap();
        write(&mut caller, " late").await;
        let mut byte = [0];
        rewound.read_exact(&mut byte).await.unwrap();
        assert_eq!(byte, early.as_bytes()[..1]);
        let rest = [&early.as_bytes()[1..], b" late"].concat();
        assert_eq!(read_on(rewound).await, rest);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_speaks_another_protocol_before_it_is_agreed_on_is_not_heard() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, GET).await;
    let _request = request(&mut connection).await;
    caller.write_all(b"\x81\x05hello").await.unwrap();
    assert!(looked_after(&mut connection).await);
    assert!(connection.into_rewound().is_none());
}
