//! A body that goes on when it is told to.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::sync::mpsc;

/// The bodies of the tests.
pub type TestBody = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;

/// The whole of a body at once.
pub fn whole(bytes: impl Into<Bytes>) -> TestBody {
    Full::new(bytes.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// No body.
pub fn empty() -> TestBody {
    whole(Bytes::new())
}

/// The telling end of a body; copies tell the same body.
#[derive(Debug, Clone)]
pub struct Stream {
    told: mpsc::UnboundedSender<Step>,
    body: Arc<Mutex<Option<StreamBody>>>,
}

#[derive(Debug)]
enum Step {
    Frame(Frame<Bytes>),
    Finish,
    BreakOff,
}

impl Stream {
    /// A body of which nothing has been told yet.
    pub fn new() -> Self {
        let (told, steps) = mpsc::unbounded_channel();
        let body = Arc::new(Mutex::new(Some(StreamBody { steps, over: false })));
        Self { told, body }
    }

    /// The body itself; it can be taken once.
    pub fn body(&self) -> TestBody {
        let body = self.body.lock().expect("no test panics with it").take();
        body.expect("the body of a stream is used once")
            .boxed_unsync()
    }

    /// Goes on with one chunk. Whoever sends the body writes it at once.
    pub fn send(&self, chunk: impl Into<Bytes>) {
        self.tell(Step::Frame(Frame::data(chunk.into())));
    }

    /// Ends the body well.
    pub fn finish(&self) {
        self.tell(Step::Finish);
    }

    /// Ends the body well, with trailers. Over HTTP/1 the head must have named them in `Trailer`, and a server sends
    /// them only to who asked with `TE: trailers`; hyper leaves them out otherwise.
    pub fn finish_with(&self, trailers: &[(&'static str, &'static str)]) {
        let fields = trailers.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        self.tell(Step::Frame(Frame::trailers(fields.collect::<HeaderMap>())));
        self.tell(Step::Finish);
    }

    /// Breaks the body off: its connection is closed, or its stream reset, before the end was said.
    pub fn break_off(&self) {
        self.tell(Step::BreakOff);
    }

    /// Waits until nobody wants the body any more.
    pub async fn dropped(&self) {
        super::within("the body is dropped", self.told.closed()).await;
    }

    /// What is told to a body that nobody wants any more is lost; the test looks at what arrived.
    fn tell(&self, step: Step) {
        drop(self.told.send(step));
    }
}

#[derive(Debug)]
struct StreamBody {
    steps: mpsc::UnboundedReceiver<Step>,
    over: bool,
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        self.steps.poll_recv(context).map(|step| match step {
            Some(Step::Frame(frame)) => Some(Ok(frame)),
            Some(Step::Finish) => {
                self.over = true;
                None
            }
            Some(Step::BreakOff) | None => {
                self.over = true;
                Some(Err(io::Error::other("the script breaks the body off")))
            }
        })
    }
}
