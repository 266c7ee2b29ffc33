use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use http::HeaderMap;
use http_body::Body as _;

use super::*;

/// A task, as far as it is woken.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    fn new() -> (Arc<Self>, Waker) {
        let task = Arc::new(Self::default());
        (Arc::clone(&task), task.into())
    }

    /// How often it was woken since it was last asked.
    fn woken(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

fn poll(body: &mut Body, waker: &Waker) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    pin!(body).poll_frame(&mut Context::from_waker(waker))
}

/// What comes of a body now, in words.
fn next(body: &mut Body, waker: &Waker) -> String {
    match poll(body, waker) {
        Poll::Pending => "nothing yet".to_owned(),
        Poll::Ready(None) => "the end".to_owned(),
        Poll::Ready(Some(Err(error))) => error.to_string(),
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(part) => String::from_utf8(part.to_vec()).unwrap(),
            Err(frame) => format!("{:?}", frame.into_trailers().unwrap()),
        },
    }
}

/// What a body says of itself: the least and the most that is to come, and whether nothing is.
fn hint(body: &Body) -> (u64, Option<u64>, bool) {
    let hint = body.size_hint();
    (hint.lower(), hint.upper(), body.is_end_stream())
}

fn data(part: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(part.as_bytes()))
}

const INCOMPLETE: &str = "the connection closed before the request body's end";

#[test]
fn a_whole_body_is_one_part() {
    let waker = Waker::noop();
    let mut body = Body::whole(Bytes::from_static(b"hello"));
    assert_eq!(hint(&body), (5, Some(5), false));
    assert_eq!(next(&mut body, waker), "hello");
    assert_eq!(hint(&body), (0, Some(0), true));
    assert_eq!(next(&mut body, waker), "the end");
    assert_eq!(next(&mut body, waker), "the end");
}

#[test]
fn a_whole_body_of_nothing_is_none() {
    let mut body = Body::whole(Bytes::new());
    assert_eq!(hint(&body), (0, Some(0), true));
    assert_eq!(next(&mut body, Waker::noop()), "the end");
}

#[test]
fn a_body_of_so_many_bytes_comes_part_by_part() {
    let waker = Waker::noop();
    let (feed, mut body) = channel(Some(5));
    assert_eq!(hint(&body), (5, Some(5), false));
    assert_eq!(feed.wish(waker), Wish::Nothing);
    assert_eq!(next(&mut body, waker), "nothing yet");
    assert_eq!(feed.wish(waker), Wish::Next);
    let _ = feed.give(data("he"), false, waker);
    assert_eq!(hint(&body), (5, Some(5), false));
    assert_eq!(feed.wish(waker), Wish::Nothing);
    assert_eq!(next(&mut body, waker), "he");
    // What was given is not wished again before somebody asks.
    assert_eq!(feed.wish(waker), Wish::Nothing);
    assert_eq!(hint(&body), (3, Some(3), false));
    assert_eq!(next(&mut body, waker), "nothing yet");
    assert_eq!(feed.wish(waker), Wish::Next);
    let _ = feed.give(data("llo"), true, waker);
    assert_eq!(hint(&body), (3, Some(3), false));
    drop(feed);
    assert_eq!(next(&mut body, waker), "llo");
    assert_eq!(hint(&body), (0, Some(0), true));
    assert_eq!(next(&mut body, waker), "the end");
    assert_eq!(next(&mut body, waker), "the end");
}

#[test]
fn a_body_in_chunks_ends_when_it_is_said() {
    let waker = Waker::noop();
    let (feed, mut body) = channel(None);
    assert_eq!(hint(&body), (0, None, false));
    assert_eq!(next(&mut body, waker), "nothing yet");
    let _ = feed.give(data("abc"), false, waker);
    assert_eq!(hint(&body), (3, None, false));
    assert_eq!(next(&mut body, waker), "abc");
    assert_eq!(hint(&body), (0, None, false));
    assert_eq!(next(&mut body, waker), "nothing yet");
    let _ = feed.end(Ok(()), waker);
    assert!(body.is_end_stream());
    assert_eq!(next(&mut body, waker), "the end");
}

#[test]
fn trailers_are_the_last_part() {
    let waker = Waker::noop();
    let (feed, mut body) = channel(None);
    assert_eq!(next(&mut body, waker), "nothing yet");
    let trailers = HeaderMap::from_iter([(http::header::ETAG, "e".parse().unwrap())]);
    let _ = feed.give(Frame::trailers(trailers.clone()), true, waker);
    assert_eq!(hint(&body), (0, None, false));
    assert_eq!(next(&mut body, waker), format!("{trailers:?}"));
    assert!(body.is_end_stream());
    assert_eq!(next(&mut body, waker), "the end");
}

#[test]
fn an_error_comes_once_and_then_the_end() {
    let waker = Waker::noop();
    let (feed, mut body) = channel(Some(9));
    assert_eq!(next(&mut body, waker), "nothing yet");
    let _ = feed.end(Err(BodyError::Malformed("x".into())), waker);
    assert!(!body.is_end_stream());
    drop(feed);
    assert_eq!(next(&mut body, waker), "the request body is malformed");
    assert_eq!(next(&mut body, waker), "the end");
    assert_eq!(next(&mut body, waker), "the end");
    assert!(body.is_end_stream());
}

#[test]
fn a_feed_that_is_dropped_leaves_what_was_given_and_then_an_error() {
    let (task, waker) = Task::new();
    let (feed, mut body) = channel(Some(9));
    assert_eq!(next(&mut body, &waker), "nothing yet");
    let _ = feed.give(data("some"), false, Waker::noop());
    assert_eq!(next(&mut body, &waker), "some");
    assert_eq!(next(&mut body, &waker), "nothing yet");
    assert_eq!(task.woken(), 1);
    drop(feed);
    assert_eq!(task.woken(), 1);
    assert!(!body.is_end_stream());
    assert_eq!(next(&mut body, &waker), INCOMPLETE);
    assert_eq!(next(&mut body, &waker), "the end");

    let (feed, mut body) = channel(Some(9));
    let _ = feed.give(data("some"), false, &waker);
    drop(feed);
    assert_eq!(next(&mut body, &waker), "some");
    assert_eq!(next(&mut body, &waker), INCOMPLETE);
}

#[test]
fn a_reader_in_another_task_is_woken() {
    let ((feeder, feeding), (reader, reading)) = (Task::new(), Task::new());
    let (feed, mut body) = channel(None);
    // Nobody reads yet.
    assert!(!feed.give(data("a"), false, &feeding));
    assert_eq!(next(&mut body, &reading), "a");

    assert_eq!(next(&mut body, &reading), "nothing yet");
    assert_eq!(reader.woken(), 0);
    assert!(!feed.give(data("b"), false, &feeding));
    assert_eq!(reader.woken(), 1);
    assert_eq!(next(&mut body, &reading), "b");

    assert_eq!(next(&mut body, &reading), "nothing yet");
    assert!(!feed.end(Ok(()), &feeding));
    assert_eq!((reader.woken(), feeder.woken()), (1, 0));
    drop(feed);
    assert_eq!(reader.woken(), 0);
    assert_eq!(next(&mut body, &reading), "the end");
}

#[test]
fn a_reader_in_the_same_task_is_to_be_polled_and_not_woken() {
    let (task, waker) = Task::new();
    let (feed, mut body) = channel(None);
    assert_eq!(feed.wish(&waker), Wish::Nothing);
    assert_eq!(next(&mut body, &waker), "nothing yet");
    assert!(feed.give(data("a"), false, &waker));
    assert_eq!(next(&mut body, &waker), "a");
    assert_eq!(feed.wish(&waker), Wish::Nothing);
    assert_eq!(next(&mut body, &waker), "nothing yet");
    assert!(feed.end(Ok(()), &waker));
    assert_eq!(next(&mut body, &waker), "the end");
    assert_eq!(task.woken(), 0);
    // Whoever is done has nothing to be told.
    drop(feed);
    drop(body);
    assert_eq!(task.woken(), 0);
}

#[test]
fn whoever_reads_last_is_woken() {
    let ((before, reading_before), (reader, reading)) = (Task::new(), Task::new());
    let (feed, mut body) = channel(None);
    assert_eq!(next(&mut body, &reading_before), "nothing yet");
    assert_eq!(next(&mut body, &reading), "nothing yet");
    let _ = feed.give(data("a"), false, Waker::noop());
    assert_eq!((before.woken(), reader.woken()), (0, 1));
}

#[test]
fn a_feeder_in_another_task_is_woken_by_a_wish() {
    let ((feeder, feeding), (_, reading)) = (Task::new(), Task::new());
    let (feed, mut body) = channel(None);
    assert_eq!(feed.wish(&feeding), Wish::Nothing);
    assert_eq!(feeder.woken(), 0);
    assert_eq!(next(&mut body, &reading), "nothing yet");
    assert_eq!(feeder.woken(), 1);
    assert_eq!(feed.wish(&feeding), Wish::Next);
    // Nothing new is wished.
    let _ = feed.give(data("a"), false, &feeding);
    assert_eq!(feed.wish(&feeding), Wish::Nothing);
    assert_eq!(next(&mut body, &reading), "a");
    assert_eq!(feeder.woken(), 0);
    assert_eq!(next(&mut body, &reading), "nothing yet");
    assert_eq!(feeder.woken(), 1);
}

#[test]
fn the_feeder_that_asked_last_is_woken() {
    let ((before, feeding_before), (feeder, feeding)) = (Task::new(), Task::new());
    let (feed, mut body) = channel(None);
    assert_eq!(feed.wish(&feeding_before), Wish::Nothing);
    assert_eq!(feed.wish(&feeding), Wish::Nothing);
    assert_eq!(next(&mut body, Waker::noop()), "nothing yet");
    assert_eq!((before.woken(), feeder.woken()), (0, 1));
}

#[test]
fn a_feeder_is_woken_when_nobody_reads_any_more() {
    let (feeder, feeding) = Task::new();
    let (feed, body) = channel(Some(3));
    assert_eq!(feed.wish(&feeding), Wish::Nothing);
    drop(body);
    assert_eq!(feeder.woken(), 1);
    assert_eq!(feed.wish(&feeding), Wish::Gone);
}

#[test]
fn a_feeder_that_waits_for_what_was_wished_is_woken_when_nobody_reads_any_more() {
    let (feeder, feeding) = Task::new();
    let (feed, mut body) = channel(Some(3));
    assert_eq!(next(&mut body, Waker::noop()), "nothing yet");
    // Now it waits for the caller.
    assert_eq!(feed.wish(&feeding), Wish::Next);
    drop(body);
    assert_eq!(feeder.woken(), 1);
    assert_eq!(feed.wish(&feeding), Wish::Gone);
}

#[test]
fn what_was_given_and_not_read_is_no_wish() {
    let (feed, mut body) = channel(None);
    assert_eq!(next(&mut body, Waker::noop()), "nothing yet");
    let _ = feed.give(data("a"), false, Waker::noop());
    assert_eq!(feed.wish(Waker::noop()), Wish::Nothing);
    drop(body);
    assert_eq!(feed.wish(Waker::noop()), Wish::Gone);
}
