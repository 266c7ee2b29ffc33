//! Where the frames of a WebSocket begin and end (RFC 6455, 5.2): as much of it as saying one more word needs.

/// How far the bytes that one side was sent have come in their frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The head of the frame that has begun, as far as it has come: two bytes, a length of up to eight, a mask of four.
    head: [u8; 14],
    came: usize,
    /// What is missing of the frame's payload.
    missing: u64,
    is_closed: bool,
}

/// A frame is the last of its message.
const FINAL: u8 = 0x80;
const CLOSE: u8 = 0x8;
const MASKED: u8 = 0x80;
/// The most that a control frame may hold (5.5).
const CONTROL_BYTES: usize = 125;

impl Frames {
    /// Takes note of what was sent. Costs nothing for what a frame holds.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.missing > 0 {
                let skipped =
                    usize::try_from(self.missing).map_or(bytes.len(), |all| all.min(bytes.len()));
                self.missing -= skipped as u64;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            self.head[self.came] = *first;
            self.came += 1;
            bytes = rest;
            self.begin();
        }
    }

    /// Begins with what a frame holds, when its head is whole.
    fn begin(&mut self) {
        let [kind, length, ..] = self.head;
        let more = match length & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if length & MASKED == 0 { 0 } else { 4 };
        if self.came < 2 + more + mask {
            return;
        }
        self.missing = match more {
            0 => u64::from(length & !MASKED),
            more => self.head[2..2 + more]
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        self.came = 0;
        self.is_closed |= kind & 0xf == CLOSE;
    }

    /// Whether one more frame may be sent now: none is half sent, and none has said that it is the last.
    pub(super) const fn may_begin(&self) -> bool {
        self.came == 0 && self.missing == 0 && !self.is_closed
    }
}

/// A server's close frame with this code and reason (5.5.1); what is too long of the reason is left out.
pub(super) fn close(code: u16, reason: &str) -> Vec<u8> {
    let reason = reason.get(..CONTROL_BYTES - 2).unwrap_or(reason);
    let length = u8::try_from(2 + reason.len()).unwrap_or(2);
    let mut frame = vec![FINAL | CLOSE, length];
    frame.extend(code.to_be_bytes());
    frame.extend(reason.bytes());
    frame
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// A text frame with so many bytes, each of which could begin a close frame.
    fn text(length: usize) -> Vec<u8> {
        let mut frame = match length {
            0..126 => vec![0x81, u8::try_from(length).unwrap()],
            126..65_536 => vec![0x81, 126],
            _ => vec![0x81, 127],
        };
        match length {
            0..126 => {}
            126..65_536 => frame.extend(u16::try_from(length).unwrap().to_be_bytes()),
            _ => frame.extend((length as u64).to_be_bytes()),
        }
        frame.resize(frame.len() + length, 0x88);
        frame
    }

    #[rstest]
    #[case(0)]
    #[case(1)]
    #[case(125)]
    #[case(126)]
    #[case(65_535)]
    #[case(65_536)]
    fn a_frame_may_begin_where_another_ends_and_nowhere_else(
        #[case] length: usize,
        #[values(1, 3, 8192)] piece: usize,
    ) {
        let mut frames = Frames::default();
        assert!(frames.may_begin());
        for frame in [text(length), text(2)] {
            let mut sent = 0;
            for piece in frame.chunks(piece) {
                frames.pass(piece);
                sent += piece.len();
                assert_eq!(frames.may_begin(), sent == frame.len(), "after {sent}");
            }
        }
        // Two at once.
        frames.pass(&[text(length), text(length)].concat());
        assert!(frames.may_begin());
    }

    #[rstest]
    #[case::a_part_of_a_message(&[0x01, 1, b'x'], true)]
    #[case::a_ping(&[0x89, 0], true)]
    #[case::masked(&[0x81, 0x81, 1, 2, 3, 4, 0x88], true)]
    #[case::masked_and_not_whole(&[0x81, 0x81, 1, 2, 3, 4], false)]
    #[case::a_close(&[0x88, 2, 3, 0xe8], false)]
    #[case::a_close_and_more(&[0x88, 0, 0x81, 0], false)]
    fn nothing_is_said_after_a_close(#[case] bytes: &[u8], #[case] may_begin: bool) {
        let mut frames = Frames::default();
        frames.pass(bytes);
        assert_eq!(frames.may_begin(), may_begin);
    }

    #[test]
    fn a_close_frame_holds_a_code_and_a_reason() {
        assert_eq!(close(1008, "no"), [0x88, 4, 0x03, 0xf0, b'n', b'o']);
        let long = close(1008, &"x".repeat(200));
        assert_eq!((long.len(), long[1]), (127, 125));
        let mut frames = Frames::default();
        frames.pass(&long);
        assert!(frames.is_closed && frames.missing == 0);
    }
}
