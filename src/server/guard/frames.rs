/// Bytes of a frame before its payload (RFC 9113, 4.1).
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;

/// What a connection may spend at once: a thousand frames that are no requests.
pub(super) const MOST_CREDIT: u64 = 1_000;
/// What it costs to take a request back: that may have cost us a call to an upstream.
const RESET_COST: u64 = 5;
/// What a frame that brings bytes earns: gRPC's clients widen a window and ask for an echo with every message of a stream
/// that goes both ways, and a message may be small.
const DATA_EARNS: u64 = 2;

/// DATA frames with fewer bytes than this count as small: h2 holds it against a connection when many of them wait to be read.
const SMALL: usize = 256;
/// So many of them are handed on in one turn: with a full read of 32 KiB behind them, fewer than h2 lets wait.
const SMALL_AT_ONCE: usize = 256;

/// Frames of a caller's that make hyper end a connection as one that asks too much: what was begun is reset, and a GOAWAY
/// says `ENHANCE_YOUR_CALM` and which call was the last. They are a head that never ends, in more pieces than h2 takes for
/// lists of fields of so many bytes (a quarter more than those need, at least five), and hold nothing. They may stand wherever
/// a frame may; within a head that has begun they break a rule, and the connection ends by that one's code.
pub(in crate::server) fn too_many(head_bytes: usize) -> Vec<u8> {
    const LARGEST: usize = 16 * 1024;
    let needed = head_bytes / LARGEST;
    let pieces = (needed + needed / 4).max(5) + 1;
    let empty = |kind| [0, 0, 0, kind, 0, 0, 0, 0, 1];
    let more = std::iter::repeat_n(empty(CONTINUATION), pieces);
    std::iter::once(empty(HEADERS))
        .chain(more)
        .flatten()
        .collect()
}

/// How far a piece was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) read: usize,
    /// How much of it may be handed on, with all that came before; the rest is a part of a frame's head.
    pub(super) safe: usize,
    /// Whether the credit was enough for all of it.
    pub(super) is_paid: bool,
}

/// The frames of an HTTP/2 connection, counted where they bring neither a request nor a byte of one.
///
/// Each such frame costs us about what it costs its sender, or more, and nothing in the protocol bounds them
/// (CVE-2019-9512, -9515 and their kin; CVE-2023-44487). So a connection has credit for them: it spends one for each, and
/// five for a reset; it earns by time, by what we send and by frames that bring bytes, so that whoever is answered, or
/// streams, may ask and acknowledge as often as it needs.
#[derive(Debug, Clone)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// How many bytes of the head have come.
    begun: usize,
    /// How many bytes of the payload are left.
    left: usize,
    credit: u64,
    /// How many small frames came in this turn.
    small: usize,
}

impl Frames {
    /// Those of a connection whose first frame comes behind so many bytes.
    pub(super) const fn behind(bytes: usize) -> Self {
        Self {
            head: [0; HEAD],
            begun: 0,
            left: bytes,
            credit: MOST_CREDIT,
            small: 0,
        }
    }

    /// Reads on. Of a frame that is not paid for no byte may be handed on.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Taken {
        let (mut read, mut safe) = (0, 0);
        while let Some(rest) = bytes.get(read..)
            && !rest.is_empty()
        {
            if self.left > 0 {
                let here = self.left.min(rest.len());
                self.left -= here;
                read += here;
                safe = read;
                continue;
            }
            let wanted = self.head.iter_mut().skip(self.begun);
            let came = wanted.zip(rest).map(|(place, byte)| *place = *byte).count();
            self.begun += came;
            read += came;
            if self.begun == HEAD {
                if !self.spend() {
                    let is_paid = false;
                    return Taken {
                        read,
                        safe,
                        is_paid,
                    };
                }
                self.begun = 0;
                safe = read;
            }
        }
        let is_paid = true;
        Taken {
            read,
            safe,
            is_paid,
        }
    }

    /// Pays for the frame whose head is whole.
    fn spend(&mut self) -> bool {
        let [large, middle, small, kind, flags, ..] = self.head;
        self.left = usize::from(large) << 16 | usize::from(middle) << 8 | usize::from(small);
        let cost = match kind {
            HEADERS => 0,
            DATA if self.left > 0 => {
                self.earn(DATA_EARNS);
                self.small += usize::from(self.left < SMALL);
                0
            }
            DATA if flags & END_STREAM != 0 => 0,
            RST_STREAM => RESET_COST,
            _ => 1,
        };
        let left = self.credit.checked_sub(cost);
        self.credit = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether whoever waits for what came should have its turn before more comes; once said, a turn is over.
    ///
    /// hyper reads for as long as there is something to read, and many small frames that nobody could read yet look to h2 as
    /// if nobody wanted to: it ends the connection then.
    pub(super) fn is_turn_over(&mut self) -> bool {
        let is_over = self.small >= SMALL_AT_ONCE;
        if is_over {
            self.small = 0;
        }
        is_over
    }

    /// Earns credit.
    pub(super) fn earn(&mut self, credit: u64) {
        self.credit = self.credit.saturating_add(credit).min(MOST_CREDIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, payload, kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD + usize::from(payload), b'x');
        frame
    }

    /// How many whole frames like this one are let through, with no more credit than at first.
    fn paid(bytes: &[u8]) -> usize {
        let mut frames = Frames::behind(3);
        let mut left = [b"abc", bytes].concat();
        (0..5_000)
            .take_while(|_| {
                let taken = frames.take(&left);
                assert!(!taken.is_paid || taken.safe == left.len());
                left = bytes.to_vec();
                taken.is_paid
            })
            .count()
    }

    #[test]
    fn frames_that_bring_nothing_cost_and_others_do_not() {
        for (bytes, expected) in [
            (frame(6, 0, 8), 1_000),
            (frame(4, 0, 0), 1_000),
            (frame(2, 0, 5), 1_000),
            (frame(8, 0, 4), 1_000),
            (frame(9, 0, 7), 1_000),
            (frame(0x77, 0, 1), 1_000),
            (frame(DATA, 0, 0), 1_000),
            (frame(RST_STREAM, 0, 4), 200),
            (frame(DATA, END_STREAM, 0), 5_000),
            (frame(DATA, 0, 1), 5_000),
            (frame(HEADERS, 4, 200), 5_000),
        ] {
            assert_eq!(paid(&bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_earned_can_be_spent_and_no_more_is_kept() {
        let mut frames = Frames::behind(0);
        let ping = frame(6, 0, 8);
        for _ in 0..MOST_CREDIT {
            assert!(frames.take(&ping).is_paid);
        }
        frames.earn(2);
        assert!(frames.take(&ping).is_paid && frames.take(&ping).is_paid);
        let refused = frames.take(&ping);
        assert!(!refused.is_paid && refused.safe == 0);
        frames.earn(u64::MAX);
        assert_eq!(frames.credit, MOST_CREDIT);
    }

    #[test]
    fn small_frames_come_so_many_in_a_turn() {
        let mut frames = Frames::behind(0);
        for (payload, is_over) in [(1, true), (255, true), (0, false)] {
            for _ in 0..SMALL_AT_ONCE {
                assert!(!frames.is_turn_over());
                frames.take(&frame(DATA, END_STREAM, payload));
            }
            assert_eq!(frames.is_turn_over(), is_over, "of {payload} bytes");
        }
    }

    #[test]
    fn whoever_sends_messages_may_acknowledge_each() {
        let turn = [frame(DATA, 0, 8), frame(8, 0, 4), frame(6, 1, 8)].concat();
        assert_eq!(paid(&turn), 5_000);
    }

    #[test]
    fn how_frames_are_cut_changes_nothing() {
        let bytes: Vec<u8> = [
            frame(HEADERS, 4, 30),
            frame(DATA, 0, 0),
            frame(DATA, END_STREAM, 0),
            frame(6, 0, 8),
        ]
        .concat()
        .repeat(700);
        let mut whole = Frames::behind(0);
        let end = whole.take(&bytes);
        assert!(!end.is_paid);
        for width in [1, 2, 8, 9, 10, 24] {
            let mut frames = Frames::behind(0);
            let (mut read, mut safe) = (0, 0);
            for piece in bytes.chunks(width) {
                let taken = frames.take(piece);
                if taken.safe > 0 {
                    safe = read + taken.safe;
                }
                read += taken.read;
                if !taken.is_paid {
                    break;
                }
            }
            assert_eq!(safe, end.safe, "in pieces of {width}");
        }
    }
}
