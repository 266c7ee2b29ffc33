/// What every model server calls it.
const MODEL: [u8; 5] = *b"model";

/// The name of a member, judged character by character: is it `model`, or could some reader take it for that?
///
/// Readers are known to compare without case (Go's `encoding/json`), to end a text at its first NUL (C), and to drop or
/// replace half a surrogate pair. No letter beyond ASCII folds to one of `model` (Unicode, `CaseFolding.txt`). What
/// nobody sees is ignored too: no API names a member so, and whoever sends it means to deceive.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemberName {
    /// How many characters of `model` have come; past its end once it can be nothing of the kind.
    matched: usize,
    is_exact: bool,
    /// It was `model` up to here for a reader who cuts here.
    was_cut: bool,
}

/// What a name comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemberKind {
    Model,
    /// `model` to some readers.
    LikeModel,
    Other,
}

const OTHER: usize = MODEL.len() + 1;

impl MemberName {
    pub const fn new() -> Self {
        Self {
            matched: 0,
            is_exact: true,
            was_cut: false,
        }
    }

    /// Takes a part of the name in which nothing is escaped.
    pub fn push_text(&mut self, text: &[u8]) {
        if self.matched == 0 && text == MODEL {
            self.matched = MODEL.len();
        } else if self.matched != OTHER {
            // The gate lets whole characters through only.
            String::from_utf8_lossy(text)
                .chars()
                .for_each(|char| self.push(char));
        }
    }

    /// Takes one character.
    pub fn push(&mut self, char: char) {
        if char == '\0' {
            self.cut();
        } else if is_unseen(char) {
            self.is_exact = false;
        } else if let Some(&expected) = MODEL.get(self.matched)
            && char.eq_ignore_ascii_case(&char::from(expected))
        {
            self.is_exact &= char == char::from(expected);
            self.matched += 1;
        } else {
            self.matched = OTHER;
        }
    }

    /// Takes half a surrogate pair, or what else ends a text for some readers.
    pub fn cut(&mut self) {
        self.is_exact = false;
        self.was_cut |= self.matched == MODEL.len();
    }

    pub fn kind(self) -> MemberKind {
        match self {
            Self { was_cut: true, .. } => MemberKind::LikeModel,
            Self {
                matched: 5,
                is_exact: true,
                ..
            } => MemberKind::Model,
            Self { matched: 5, .. } => MemberKind::LikeModel,
            _ => MemberKind::Other,
        }
    }
}

/// Whether a character leaves no mark: spaces, control characters, those that Unicode says may be ignored
/// (`Default_Ignorable_Code_Point`), and what stands for none.
fn is_unseen(char: char) -> bool {
    char.is_whitespace()
        || char.is_control()
        || matches!(
            char,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{ffff}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}
