//! The table through the data listener: what is refused reaches no upstream whole, what is let through arrives as it was.

use rstest::rstest;

use super::table::rows;
use crate::support::keyward::TestKeyward;
use crate::support::upstream::BodyEnd;

const ROUTE: &str = "
[[proxy.routes]]
path = \"/chat\"
upstream = \"default\"
model_in = [\"body\"]
";

/// Judged whole before anything is sent, and judged while it streams.
#[rstest]
#[case::whole("")]
#[case::streaming("judged_whole_bytes = 0")]
#[tokio::test]
async fn no_body_reaches_an_upstream_whole_that_a_reader_could_read_otherwise(#[case] limit: &str) {
    let keyward = TestKeyward::with(&format!("[proxy.limits]\n{limit}\n{ROUTE}")).await;
    // It may call whatever is named, and yet is a key for some models only: its bodies are judged.
    let key = keyward.key_for(&["*"]).await;
    for row in rows() {
        let before = keyward.upstream.requests().len();
        let head = format!(
            "POST /chat HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            key.text,
            row.body.len()
        );
        let mut caller = keyward.raw().await;
        caller.write([head.as_bytes(), &row.body].concat()).await;
        let answer = caller.read_answer().await;
        let shown = row.body.escape_ascii();
        let expected = if row.is_named() { 200 } else { 400 };
        assert_eq!(answer.status(), expected, "{shown}: {}", answer.text());
        let mut whole = Vec::new();
        for seen in keyward.upstream.requests().into_iter().skip(before) {
            if seen.body_end().await == BodyEnd::Complete {
                whole.push(seen.body());
            }
        }
        let wanted = if row.is_named() {
            vec![row.body.clone()]
        } else {
            Vec::new()
        };
        assert_eq!(whole, wanted, "{shown}");
    }
}
