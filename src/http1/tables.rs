//! Tables of fields: one that nobody needs any more is the next that is needed.

use std::cell::RefCell;

use http::HeaderMap;
use http::header::MaxSizeReached;

/// As many fields a table has room for without growing: those of most heads, and some of ours that join them.
const USUAL_FIELDS: usize = 24;
/// A table with room for more than this is not kept, nor one that holds more: of fields that repeat a name its room says nothing.
const MOST_FIELDS_KEPT: usize = 64;
/// So many are kept by each thread: a head is read and written between two waits, so that few are on their way back at once.
const MOST_KEPT: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty table with room for so many fields, and for some that join them.
///
/// # Errors
///
/// When no table holds so many.
pub fn table(fields: usize) -> Result<HeaderMap, MaxSizeReached> {
    let spare = SPARE.with_borrow_mut(Vec::pop);
    let mut table = spare.unwrap_or_default();
    table.try_reserve(USUAL_FIELDS.max(fields))?;
    Ok(table)
}

/// Takes back a table that nobody needs any more.
pub fn give_back(mut table: HeaderMap) {
    let is_usual = (1..=MOST_FIELDS_KEPT).contains(&table.capacity());
    if is_usual && table.len() <= MOST_FIELDS_KEPT {
        table.clear();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MOST_KEPT {
                spare.push(table);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::HOST;

    use super::*;

    #[test]
    fn a_table_is_used_again_and_holds_nothing_of_what_it_held() {
        let mut first = table(3).unwrap();
        let room = first.capacity();
        assert!(room >= USUAL_FIELDS);
        first.insert(HOST, HeaderValue::from_static("h"));
        give_back(first);
        let second = table(1).unwrap();
        assert!(second.is_empty() && second.capacity() == room);
    }

    #[test]
    fn neither_a_large_one_nor_too_many_are_kept() {
        for _ in 0..=MOST_KEPT {
            give_back(HeaderMap::with_capacity(USUAL_FIELDS));
        }
        SPARE.with_borrow(|spare| assert_eq!(spare.len(), MOST_KEPT));
        SPARE.take();
        give_back(HeaderMap::with_capacity(MOST_FIELDS_KEPT + 1));
        give_back(HeaderMap::new());
        let mut repeated = HeaderMap::new();
        for _ in 0..=MOST_FIELDS_KEPT {
            repeated.append(HOST, HeaderValue::from_static("h"));
        }
        assert!(repeated.capacity() <= MOST_FIELDS_KEPT);
        give_back(repeated);
        SPARE.with_borrow(|spare| assert!(spare.is_empty()));
    }

    #[test]
    fn no_table_holds_more_than_a_table_can() {
        assert!(table(100_000).is_err());
        assert!(table(100).unwrap().capacity() >= 100);
    }
}
