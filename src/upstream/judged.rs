//! A request body that is judged on its way: held until its model is known, then sent as it comes, its last byte only
//! once all of it was judged.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;

use super::held::Share;
use crate::route::{BodyFault, BodyScanner};

/// Frames smaller than this are held together: each alone would cost more than it holds.
const SMALL: usize = 4 * 1024;
/// How much of small frames is held together.
const TOGETHER: usize = 32 * 1024;

/// What was read of a body and may go on, and what judges the rest.
///
/// The end of a body is never given before [`Judged::end`] found it good. With a counted body the last byte is the end,
/// so while more may come that byte is kept back; whatever came before it is the beginning of a body that was judged, and
/// of no other.
pub(super) struct Judged {
    scanner: BodyScanner,
    held: VecDeque<Bytes>,
    /// Small frames, which come after what is held.
    small: BytesMut,
    kept: Option<Bytes>,
    trailers: Option<HeaderMap>,
    is_whole: bool,
    is_flowing: bool,
    pub share: Share,
    /// What the decoder of a compressed body may take, as long as it judges.
    _decoder: Share,
}

impl Judged {
    pub fn new(scanner: BodyScanner, share: Share, decoder: Share) -> Self {
        Self {
            scanner,
            held: VecDeque::new(),
            small: BytesMut::new(),
            kept: None,
            trailers: None,
            is_whole: false,
            is_flowing: false,
            share,
            _decoder: decoder,
        }
    }

    /// The model, once it is known.
    pub fn model(&self) -> Option<&str> {
        self.scanner.model()
    }

    /// Whether it is decided that what is held goes on: the body is whole, or it was let go.
    pub const fn is_flowing(&self) -> bool {
        self.is_flowing
    }

    /// Judges a part of the body and holds it.
    ///
    /// # Errors
    ///
    /// What is wrong with it; it is not held then.
    pub fn hold(&mut self, part: Bytes) -> Result<(), BodyFault> {
        self.scanner.push(&part)?;
        if part.len() >= SMALL {
            self.put_together();
            self.held.push_back(part);
        } else {
            self.small.extend_from_slice(&part);
            if self.small.len() >= TOGETHER {
                self.put_together();
            }
        }
        Ok(())
    }

    /// Judges a part of the body that is to go on at once.
    ///
    /// # Errors
    ///
    /// What is wrong with it; nothing of it goes on then.
    pub fn pass(&mut self, mut part: Bytes) -> Result<(), BodyFault> {
        self.scanner.push(&part)?;
        if !part.is_empty() {
            let last = part.split_off(part.len() - 1);
            self.held.extend(self.kept.replace(last));
            if !part.is_empty() {
                self.held.push_back(part);
            }
        }
        Ok(())
    }

    /// Judges that the body ends here; its trailers go on after it.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), BodyFault> {
        self.scanner.finish()?;
        self.put_together();
        self.held.extend(self.kept.take());
        self.trailers = trailers;
        self.is_whole = true;
        self.is_flowing = true;
        Ok(())
    }

    /// Makes what is held ready to go on, though more will come.
    pub fn let_go(&mut self) {
        if self.is_flowing {
            return;
        }
        self.is_flowing = true;
        self.put_together();
        if let Some(mut part) = self.held.pop_back() {
            self.kept = Some(part.split_off(part.len() - 1));
            // An empty chunk would end the body.
            self.held.extend(Some(part).filter(|part| !part.is_empty()));
        }
    }

    /// The next frame that may go on.
    pub fn next(&mut self) -> Option<Frame<Bytes>> {
        if let Some(part) = self.held.pop_front() {
            self.share.shrink(part.len());
            return Some(Frame::data(part));
        }
        self.trailers.take().map(Frame::trailers)
    }

    /// Whether everything was given.
    pub fn is_over(&self) -> bool {
        self.is_whole && self.held.is_empty() && self.trailers.is_none()
    }

    /// How many bytes are yet to be given.
    pub fn bytes(&self) -> u64 {
        let held: usize = self.held.iter().chain(&self.kept).map(Bytes::len).sum();
        (held + self.small.len()) as u64
    }

    fn put_together(&mut self) {
        if !self.small.is_empty() {
            self.held.push_back(self.small.split().freeze());
        }
    }
}
