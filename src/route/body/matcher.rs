/// Finds a pattern in bytes that come one by one, in one step each (Knuth, Morris and Pratt).
#[derive(Debug)]
pub(super) struct Matcher {
    pattern: Box<[u8]>,
    /// For each length of a beginning: how much of its end is a beginning again.
    again: Box<[usize]>,
    matched: usize,
}

impl Matcher {
    /// A matcher of `pattern`, which is not empty.
    pub fn new(pattern: Vec<u8>) -> Self {
        let mut matcher = Self {
            again: vec![0; pattern.len() + 1].into(),
            pattern: pattern.into(),
            matched: 0,
        };
        for end in 1..matcher.pattern.len() {
            matcher.step(matcher.pattern[end]);
            matcher.again[end + 1] = matcher.matched;
        }
        matcher.matched = 0;
        matcher
    }

    /// Takes a byte; whether the pattern ends with it.
    pub fn step(&mut self, byte: u8) -> bool {
        if self.matched == self.pattern.len() {
            self.matched = self.again[self.matched];
        }
        while self.matched > 0 && self.pattern[self.matched] != byte {
            self.matched = self.again[self.matched];
        }
        if self.pattern[self.matched] == byte {
            self.matched += 1;
        }
        self.matched == self.pattern.len()
    }

    /// Whether nothing of the pattern has come.
    pub const fn is_idle(&self) -> bool {
        self.matched == 0
    }

    /// Forgets what has come.
    pub const fn reset(&mut self) {
        self.matched = 0;
    }

    /// How long the pattern is, in bytes.
    pub const fn len(&self) -> usize {
        self.pattern.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_a_search_finds(pattern in "[ab]{1,6}", text in "[ab]{0,40}") {
            let mut matcher = Matcher::new(pattern.clone().into_bytes());
            for (at, byte) in text.bytes().enumerate() {
                let found = text.as_bytes()[..=at].ends_with(pattern.as_bytes());
                prop_assert_eq!(matcher.step(byte), found, "{}", at);
            }
        }
    }
}
