use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use http_body::Body;

use super::held::{HeldBodies, Share};
use super::{AnswerBody, Patience, UpstreamError};

/// How much is held of an answer that must be read whole.
#[derive(Debug, Clone, Copy)]
pub struct WholeLimits {
    /// The most of one answer, in bytes.
    pub most_bytes: usize,
    /// The most of all bodies together, in bytes.
    pub all_bytes: usize,
    /// How long the upstream may be silent.
    pub idle: Duration,
}

/// An answer's body, whole.
pub struct WholeAnswer {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What they take of the memory for all; to be kept as long as they are.
    pub share: Share,
}

/// Why an answer could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum UnknownAnswer {
    /// It is larger than what may be held of one.
    #[error("the answer is larger than what may be held of one")]
    TooLarge,
    /// All requests together hold as much as they may.
    #[error("too much of others is held")]
    NoRoom,
    /// It broke off, or stalled.
    #[error("the answer could not be read")]
    Broken(#[source] UpstreamError),
}

/// The upstream sent no byte of its answer for too long.
#[derive(Debug, thiserror::Error)]
#[error("the upstream's answer stalled")]
struct Stalled;

/// Reads an answer's body to its end. Its trailers are left out.
///
/// Dropping the future ends the call at the upstream.
///
/// # Errors
///
/// When there is more of it than the limits allow, and when it breaks off. What was said to be too long is not read.
pub async fn read_whole(
    mut body: AnswerBody,
    limits: WholeLimits,
    all: &HeldBodies,
) -> Result<WholeAnswer, UnknownAnswer> {
    let broken = |cause: Box<dyn std::error::Error + Send + Sync>| {
        UnknownAnswer::Broken(UpstreamError::Broken(cause))
    };
    if body.size_hint().lower() > limits.most_bytes as u64 {
        return Err(UnknownAnswer::TooLarge);
    }
    let mut patience = Patience::of(limits.idle);
    let mut bytes = Vec::new();
    let mut share = all.share();
    loop {
        let frame = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending => patience.poll_over(cx).map(|()| Err(Stalled)),
        });
        let frame = match frame.await {
            Err(stalled) => return Err(broken(Box::new(stalled))),
            Ok(None) => return Ok(WholeAnswer { bytes, share }),
            Ok(Some(Err(error))) => return Err(broken(Box::new(error))),
            Ok(Some(Ok(frame))) => frame,
        };
        patience.renew();
        let Ok(part) = frame.into_data() else {
            continue;
        };
        if part.len() > limits.most_bytes - bytes.len() {
            return Err(UnknownAnswer::TooLarge);
        }
        if !share.grow(part.len(), limits.all_bytes) {
            return Err(UnknownAnswer::NoRoom);
        }
        bytes.extend_from_slice(&part);
    }
}
