//! The tables of known servers, the lists of models and the metrics: what a key for some models asks for, and what it is
//! shown.

mod lists;
mod metrics;
mod walk;

use crate::support::keyward::TestKey;

/// A request without a body; `lines` are further header lines, each with its end.
fn ask(method: &str, target: &str, key: &TestKey, lines: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n{lines}\r\n",
        key.text
    )
}
