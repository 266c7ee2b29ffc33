//! HTTP/1.1 as bytes, for both sides of a call: what a caller's connection and a model server's have in common.
//!
//! Here is how bodies are framed, read and written, and nothing of what heads mean: what a caller's may be is judged in
//! `server`, what a model server's may be in `upstream`.

mod body;
mod chunks;
mod fields;
mod framer;
mod read;
mod rewound;
mod tcp;

pub use body::{Body, BodyError, Feed, Wish, channel};
pub use chunks::{ChunkError, Chunks, Next};
pub use fields::{Persistence, announced, name, number, says, write_field, write_fields};
pub use framer::{ENOUGH, Framer, Framing, SMALL, WrongLength};
pub use read::ReadBuffer;
pub use rewound::Rewound;
pub use tcp::Tcp;

/// The most fields that an answer's head, or a message's trailers, may have: hyper's number.
pub const MOST_FIELDS: usize = 100;
