//! Whether a connection begins as HTTP/2 does, whatever pieces its first bytes come in.

/// What an HTTP/2 connection begins with (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much of the preface has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Preface {
    matched: usize,
}

impl Preface {
    /// Looks at the next bytes: `Some(true)` when the preface is whole, `Some(false)` when this is none, and `None`
    /// while it can still become one.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<bool> {
        let wanted = PREFACE.get(self.matched..)?;
        let both = bytes.iter().zip(wanted);
        let same = both.take_while(|(byte, wanted)| byte == wanted).count();
        if same == wanted.len() {
            return Some(true);
        }
        if same < bytes.len() {
            return Some(false);
        }
        self.matched += same;
        None
    }

    /// What earlier pieces brought, all of it as in the preface.
    pub(super) fn begun(self) -> &'static [u8] {
        PREFACE.get(..self.matched).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `bytes` in two pieces, the first of them `at` long.
    fn in_two(bytes: &[u8], at: usize) -> Option<bool> {
        let mut preface = Preface::default();
        let (first, second) = bytes.split_at(at);
        preface.take(first).or_else(|| {
            assert_eq!(preface.begun(), first);
            preface.take(second)
        })
    }

    #[test]
    fn a_preface_is_known_however_it_is_cut() {
        let with_a_frame = [&PREFACE[..], b"\0\0\0\x04\0"].concat();
        for at in 0..=PREFACE.len() {
            assert_eq!(in_two(PREFACE, at), Some(true), "{at}");
            assert_eq!(in_two(&with_a_frame, at), Some(true), "{at}");
        }
    }

    #[test]
    fn what_only_begins_like_one_is_none() {
        let request = b"PRI * HTTP/1.1\r\nhost: h\r\n\r\n";
        for at in 0..=request.len() {
            assert_eq!(in_two(request, at), Some(false), "{at}");
        }
        assert_eq!(in_two(b"PRI * HT", 3), None);
        assert_eq!(in_two(b"POST / HTTP/1.1", 1), Some(false));
    }
}
