//! Pages of a list, for a million keys: each goes on where the last one ended, whatever was made or deleted meanwhile.

use std::fmt;
use std::str::FromStr;

use super::BadRow;
use crate::key::ApiKey;

/// The longest id that a mark holds.
const MAX_ID_BYTES: usize = 64;

/// Where a list goes on: after the key that was made at this second and has this id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListMark {
    pub(super) created_at: i64,
    pub(super) id: Box<str>,
}

impl ListMark {
    /// After the row with this moment and this id, whatever the id looks like.
    pub(super) fn after(created_at: i64, id: &str) -> Self {
        let id = id.into();
        Self { created_at, id }
    }
}

/// The moment and the id, with a dot between them.
impl fmt::Display for ListMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at, self.id)
    }
}

/// The text is no [`ListMark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no mark of a list")]
pub struct InvalidMark;

impl FromStr for ListMark {
    type Err = InvalidMark;

    fn from_str(text: &str) -> Result<Self, InvalidMark> {
        let (created_at, id) = text.split_once('.').ok_or(InvalidMark)?;
        let is_digits = !created_at.is_empty() && created_at.bytes().all(|c| c.is_ascii_digit());
        let is_id = id.len() <= MAX_ID_BYTES && id.bytes().all(|c| c.is_ascii_graphic());
        if !is_digits || !is_id {
            return Err(InvalidMark);
        }
        let created_at = created_at.parse().map_err(|_| InvalidMark)?;
        Ok(Self::after(created_at, id))
    }
}

/// Some of the keys of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// The keys.
    pub keys: Vec<ApiKey>,
    /// Where to go on, while there may be more.
    pub next: Option<ListMark>,
    /// Rows that could not be read.
    pub set_aside: Vec<BadRow>,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1700000000.0198c0de-0000-7000-8000-000000000000", true)]
    #[case("0.", true)]
    #[case("", false)]
    #[case("1700000000", false)]
    #[case("-1.a", false)]
    #[case("+1.a", false)]
    #[case("99999999999999999999.a", false)]
    #[case("1.a b", false)]
    fn a_mark_is_a_moment_and_an_id(#[case] text: &str, #[case] is_mark: bool) {
        let mark = text.parse::<ListMark>();
        assert_eq!(mark.is_ok(), is_mark);
        assert!(mark.is_err() || mark.is_ok_and(|mark| mark.to_string() == text));
    }
}
