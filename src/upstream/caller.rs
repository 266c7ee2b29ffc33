use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::http1;

/// The body of a caller's request, as its connection gives it.
#[derive(Debug)]
pub enum CallerBody {
    /// Over HTTP/1.
    Http1(http1::Body),
    /// Over HTTP/2.
    Http2(Incoming),
}

/// Why a caller's body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BrokenBody {
    /// Over HTTP/1.
    #[error(transparent)]
    Http1(#[from] http1::BodyError),
    /// Over HTTP/2.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

impl BrokenBody {
    /// Whether it did because its bytes are not framed as its head said. Of HTTP/2 whoever reads the frames judges that.
    pub(super) const fn is_malformed(&self) -> bool {
        matches!(self, Self::Http1(http1::BodyError::Malformed(_)))
    }
}

impl Body for CallerBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Http2(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}
