use bytes::Bytes;
use http::StatusCode;

use crate::http1::write_fields;
use crate::message::{Fields, Response};

/// An answer that is given again and again: made once, for whoever writes lines and for whoever writes tables. To give it copies
/// nothing but what is written.
#[derive(Debug)]
pub struct Prepared {
    status: StatusCode,
    body: Bytes,
    fields: Fields,
    lines: Vec<u8>,
}

impl Prepared {
    pub(super) fn of(response: Response<Bytes>) -> Self {
        let mut lines = Vec::new();
        write_fields(response.headers.iter(), &mut lines);
        Self {
            status: response.status,
            // For as long as the process lasts, so that nobody counts who has it.
            body: Bytes::from_static(Vec::from(response.body).leak()),
            fields: response.headers,
            lines,
        }
    }

    /// The answer without its fields, which are still to be written on it.
    pub(super) fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(self.body.clone());
        response.status = self.status;
        response
    }

    /// Puts its fields on an answer.
    pub fn write(&self, headers: &mut Fields) {
        headers.extend(&self.fields);
    }

    /// The same in lines.
    pub fn write_lines(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.lines);
    }
}
