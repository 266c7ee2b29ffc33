//! What is wrong with an expression, and where: the line it stands on, and a caret below the place.

use jaq_core::{compile, load};
use unicode_width::UnicodeWidthStr as _;

/// Why an expression cannot be read.
pub(super) fn unreadable(errors: &load::Errors<&str, ()>) -> String {
    let Some((file, error)) = errors.first() else {
        return sentence("it cannot be read");
    };
    let found = match error {
        load::Error::Lex(errors) => errors
            .first()
            .map(|(expected, at)| (expected.as_str(), *at)),
        load::Error::Parse(errors) => errors
            .first()
            .map(|(expected, at)| (expected.as_str(), *at)),
        load::Error::Io(errors) => {
            let at = errors.first().map_or("", |(at, _)| *at);
            return show("modules cannot be loaded", file.code, at);
        }
    };
    match found {
        Some(("nothing", at)) => show("unexpected text", file.code, at),
        Some((expected, at)) => show(&format!("expected {expected}"), file.code, at),
        None => sentence("it cannot be read"),
    }
}

/// What an expression names that does not exist.
pub(super) fn undefined(errors: &compile::Errors<&str, ()>) -> String {
    let first = errors
        .iter()
        .find_map(|(file, errors)| errors.first().map(|(name, kind)| (file, name, kind)));
    let Some((file, name, kind)) = first else {
        return sentence("it cannot be compiled");
    };
    let mut what = format!("there is no {} `{name}`", kind.as_str());
    if let compile::Undefined::Filter(arity @ 1..) = kind {
        what = format!("{what} with {arity} argument{}", plural(*arity));
    }
    show(&what, file.code, name)
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn sentence(what: &str) -> String {
    format!("invalid jq expression: {what}")
}

/// `what`, the line of `code` where `at` begins, and a caret below.
fn show(what: &str, code: &str, at: &str) -> String {
    // A name from a definition of jaq's own stands nowhere in the expression.
    let start = (at.as_ptr() as usize).wrapping_sub(code.as_ptr() as usize);
    let Some((before, after)) = code.split_at_checked(start) else {
        return sentence(what);
    };
    let before = before.rsplit('\n').next().unwrap_or_default();
    let after = after.split('\n').next().unwrap_or_default();
    let blank = |part: &str| part.replace(char::is_control, " ");
    let (before, after) = (blank(before), blank(after));
    let indent = " ".repeat(before.width());
    format!("{}\n  {before}{after}\n  {indent}^", sentence(what))
}
