use std::io;

use crate::http1::{ChunkError, WrongLength};

/// Why a call over HTTP/1.1 was not answered, or its answer broke off.
#[derive(Debug, thiserror::Error)]
pub enum Http1Error {
    /// The connection failed.
    #[error("the connection to the upstream failed")]
    Io(#[source] io::Error),
    /// It ended where an answer should begin, or inside of one's head.
    #[error("the upstream closed the connection before it answered")]
    Closed,
    /// It ended before the answer's body did (RFC 9112, 8).
    #[error("the upstream closed the connection in the middle of its answer")]
    Incomplete,
    /// It was closed, or spoke unasked, while nobody used it.
    #[error("the upstream closed a connection that was kept")]
    Gone,
    /// What should be an answer's head is none.
    #[error("the upstream's answer is no HTTP")]
    Head(#[source] httparse::Error),
    /// The head is larger than the settings allow.
    #[error("the head of the upstream's answer is larger than {limit} bytes")]
    HeadTooLarge {
        /// How much that is, in bytes.
        limit: usize,
    },
    /// How long the body is cannot be read (RFC 9112, 6.3).
    #[error("the upstream did not say clearly where its answer ends")]
    Framing,
    /// The body's chunks are none (RFC 9112, 7.1).
    #[error("the chunks of the upstream's answer are malformed: {0}")]
    Chunks(#[from] ChunkError),
    /// The request's body broke off.
    #[error("the request body broke off")]
    RequestBody(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The request's body is not as long as its head says.
    #[error("the request body is not as long as it says")]
    RequestLength(#[from] WrongLength),
}
