use http::StatusCode;

use super::Fields;

/// An answer: its head, and its body. Which version it came in is its connection's own matter (RFC 9110, 2.5).
#[derive(Debug)]
pub struct Response<B> {
    /// What became of the request.
    pub status: StatusCode,
    /// What is said of the status, in HTTP/1, where that is not the usual.
    pub reason: Option<Box<[u8]>>,
    /// Its fields.
    pub headers: Fields,
    /// Its body.
    pub body: B,
}

impl<B> Response<B> {
    /// A 200 without fields.
    #[must_use]
    pub fn new(body: B) -> Self {
        Self {
            status: StatusCode::OK,
            reason: None,
            headers: Fields::new(),
            body,
        }
    }

    /// Its head alone, and its body.
    pub fn split(self) -> (Response<()>, B) {
        let Self {
            status,
            reason,
            headers,
            body,
        } = self;
        let head = Response {
            status,
            reason,
            headers,
            body: (),
        };
        (head, body)
    }

    /// The same answer with another body, made of its own.
    pub fn map<T>(self, body: impl FnOnce(B) -> T) -> Response<T> {
        let (head, own) = self.split();
        Response {
            status: head.status,
            reason: head.reason,
            headers: head.headers,
            body: body(own),
        }
    }
}

impl<B> From<http::Response<B>> for Response<B> {
    fn from(response: http::Response<B>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            reason: None,
            headers: head.headers.into(),
            body,
        }
    }
}

impl<B> From<Response<B>> for http::Response<B> {
    fn from(response: Response<B>) -> Self {
        let mut turned = Self::new(response.body);
        *turned.status_mut() = response.status;
        *turned.headers_mut() = response.headers.into();
        turned
    }
}
