//! Heads: what begins on a connection, and in what order.

use super::*;

const REQUESTS: &str = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n\
    POST /b HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello\
    \r\nPOST /c HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nGET\r\n2\r\n /\r\n0\r\nx-a: 1\r\n\r\n\
    HEAD /d HTTP/1.1\r\nhost: h\r\n\r\n\
    POST /e HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\nconnection: close\r\n\r\n\n";

const ANSWERS: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nGET /a{}\
    HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\nPOST /bhello{}\
    HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\nPOST /cGET /{\"x-a\": \"1\"}\
    HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n\
    HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nPOST /e\n{}";

#[tokio::test(start_paused = true)]
async fn requests_are_the_same_wherever_they_are_cut() {
    for cut in 0..=REQUESTS.len() {
        let (mut connection, mut caller) = connection(ROOM);
        let (begins, rest) = REQUESTS.split_at(cut);
        let calling = async {
            write(&mut caller, begins).await;
            let mut all = said(&mut caller).await;
            write(&mut caller, rest).await;
            all.push_str(&said(&mut caller).await);
            all
        };
        let (served, all) = tokio::join!(serve(&mut connection), calling);
        assert_eq!(served, (5, "last"), "{cut}");
        assert_eq!(all, ANSWERS, "{cut}");
        assert!(
            connection.read.is_empty() && connection.judged == 0,
            "{cut}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_the_same_byte_for_byte() {
    let (mut connection, mut caller) = connection(1);
    let (mut reads, mut writes) = tokio::io::split(&mut caller);
    let mut all = Vec::new();
    let all_of_it = async {
        tokio::join!(
            async { writes.write_all(REQUESTS.as_bytes()).await.unwrap() },
            async {
                let date = DATE.len() * 5;
                while all.len() < ANSWERS.len() + date {
                    reads.read_buf(&mut all).await.unwrap();
                }
            },
            serve(&mut connection),
        )
        .2
    };
    let served = timeout(Duration::from_mins(1), all_of_it).await;
    assert_eq!(served, Ok((5, "last")));
    assert_eq!(String::from_utf8(all).unwrap().replace(DATE, ""), ANSWERS);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_refused_comes_behind_the_requests_before_it() {
    let (mut connection, mut caller) = connection(ROOM);
    write(
        &mut caller,
        &format!("{GET}{GET}GET  / HTTP/1.1\r\n\r\n{GET}"),
    )
    .await;
    for _ in 0..2 {
        let (head, _) = request(&mut connection).await;
        let kept = connection.answer(answer_of(""), head.terms, second).await;
        assert!(matches!(kept, Ok(true)));
    }
    for _ in 0..2 {
        let next = name(&next(&mut connection).await);
        assert_eq!(next, format!("refused: {}", FramingError::RequestLine));
    }
    let refused = connection
        .answer(answer_of(""), Terms::REFUSED, second)
        .await;
    assert!(matches!(refused, Ok(false)));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_no_uri_is_refused() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, "GET http:// HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let next = name(&next(&mut connection).await);
    assert_eq!(next, format!("refused: {}", FramingError::Target));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_whole_is_refused_in_time() {
    for begun in ["P", "PRI * HTTP", "GET / HTTP/1.1\r\nhost", "\r\nG"] {
        let (mut connection, mut caller) = connection(ROOM);
        write(&mut caller, begun).await;
        let start = Instant::now();
        let next = name(&next(&mut connection).await);
        assert_eq!(next, format!("refused: {}", FramingError::HeadTooSlow));
        let limit = LimitsConfig::default().head_timeout;
        assert_eq!(start.elapsed().as_secs(), limit.as_secs());
        let told = connection
            .answer(answer_of(""), Terms::REFUSED, second)
            .await;
        assert!(matches!(told, Ok(false)));
        assert!(said(&mut caller).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_says_nothing_is_told_nothing() {
    for begun in ["", "\r", "\r\n"] {
        let (mut connection, mut caller) = connection(ROOM);
        write(&mut caller, begun).await;
        assert_eq!(name(&next(&mut connection).await), "gone");
    }
}

#[tokio::test(start_paused = true)]
async fn when_leaving_only_what_has_begun_is_served() {
    for (begun, rest, expected) in [
        ("", GET, "nothing"),
        ("\r\n", GET, "nothing"),
        ("\r", "\n", "nothing"),
        ("G", GET_REST, "/"),
        ("\r\nG", GET_REST, "/"),
        (GET, "", "/"),
        ("GET  ", "", "refused: the request line is not valid"),
    ] {
        let (mut connection, mut caller) = connection(ROOM);
        write(&mut caller, &format!("{GET}{begun}")).await;
        let (head, _) = request(&mut connection).await;
        let kept = connection.answer(answer_of(""), head.terms, second).await;
        assert!(matches!(kept, Ok(true)));
        let (next, ()) = tokio::join!(next_when_leaving(&mut connection), async {
            // We hear of what has begun before the rest comes.
            let _ = said(&mut caller).await;
            write(&mut caller, rest).await;
        });
        assert_eq!(name(&next), expected, "{begun:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_idle_is_left_when_leaving_begins() {
    let (mut connection, _caller) = connection(ROOM);
    let is_leaving = std::cell::Cell::new(false);
    let mut next = pin!(poll_fn(|cx| connection.poll_next(is_leaving.get(), cx)));
    assert!(now(next.as_mut()).await.is_none());
    is_leaving.set(true);
    assert_eq!(
        now(next).await.map(|next| name(&next)).as_deref(),
        Some("nothing")
    );
}
