use http::HeaderValue;
use http::header::CONTENT_LENGTH;

use super::keys::{Ring, hash};
use super::payload::{BodyCopy, Memory, Payload, Whole};
use super::{RequestBody, UpstreamError};
use crate::message::RequestHead;

/// The bodies of a call's attempts: the caller's own and its copies, or one that was read whole.
pub(super) struct Bodies {
    first: Option<Payload>,
    copy: Option<BodyCopy>,
    whole: Option<(Whole, String)>,
}

impl Bodies {
    /// What is sent of `body`. One that must be signed is read whole, and `head` then says how long it is.
    pub(super) async fn of(
        ring: &Ring,
        body: RequestBody,
        memory: Option<Memory>,
        head: &mut RequestHead,
    ) -> Result<Self, UpstreamError> {
        let (most, memory) = match (ring.signed_bytes(), memory) {
            (Some(most), Some(memory)) => (most, memory),
            (_, memory) => {
                let copy = memory.map(|memory| BodyCopy::new(ring.sent_again_bytes(), memory));
                let first = Payload::Caller {
                    body,
                    copy: copy.clone(),
                };
                return Ok(Self {
                    first: Some(first),
                    copy,
                    whole: None,
                });
            }
        };
        let whole = Whole::read(body, most, memory).await?;
        if whole.bytes() > 0 {
            let length = HeaderValue::from(whole.bytes());
            head.headers.insert(&CONTENT_LENGTH, length);
        }
        let hash = hash(whole.parts());
        Ok(Self {
            first: None,
            copy: None,
            whole: Some((whole, hash)),
        })
    }

    /// The hash of what is sent, where that is read whole.
    pub(super) fn hash(&self) -> Option<&str> {
        self.whole.as_ref().map(|(_, hash)| &**hash)
    }

    /// Whether there is a body for another attempt.
    pub(super) fn is_there(&self) -> bool {
        let copied = || self.copy.as_ref().is_some_and(BodyCopy::is_whole);
        self.first.is_some() || self.whole.is_some() || copied()
    }

    /// The body of the next attempt.
    pub(super) fn next(&mut self) -> Option<Payload> {
        if let Some((whole, _)) = &self.whole {
            return Some(whole.again());
        }
        let again = || self.copy.as_ref().and_then(BodyCopy::again);
        self.first.take().or_else(again)
    }
}
