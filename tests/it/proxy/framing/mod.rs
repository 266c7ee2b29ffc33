//! How bytes become requests, and which bytes never do (SECURITY 2 and 3.1).

mod connection;
mod every_byte;
mod laws;
pub mod rows;
mod wire;

use keyward::server::Part;

use crate::fuzz::laws::head::{LIMITS, judge};

#[test]
fn the_guard_judges_every_row_as_it_says() {
    let mut wrong = Vec::new();
    for row in rows::all() {
        let judged = judge(&row.bytes("key"), &[]);
        let expected = match row.end {
            rows::End::Guard(reason) => reason.to_owned(),
            _ => "-".to_owned(),
        };
        let reason = judged.refused.map(|(error, _)| format!("{error:?}"));
        let answered = judged.heads + usize::from(matches!(judged.refused, Some((_, Part::Head))));
        // What follows a last request is read, and not answered.
        let may_be_more = row.end == rows::End::Last || row.end == rows::End::Open;
        let is_right_reason = reason.as_deref().unwrap_or("-") == expected || may_be_more;
        if !is_right_reason || (answered != row.answers.len() && !may_be_more) {
            wrong.push(format!("{}: {judged:?}, not {expected}", row.name));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_guard_judges_every_row_alike_in_whatever_pieces_it_comes() {
    for row in rows::all() {
        let bytes = row.bytes("key");
        let whole = judge(&bytes, &[]);
        for width in [1, 2, 3, 7, 24] {
            let cuts: Vec<usize> = (0..bytes.len()).step_by(width).collect();
            assert_eq!(judge(&bytes, &cuts), whole, "{} by {width}", row.name);
        }
        for at in 0..bytes.len().min(400) {
            assert_eq!(judge(&bytes, &[at]), whole, "{} at {at}", row.name);
        }
    }
}
