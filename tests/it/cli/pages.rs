//! `org api-key list` of more keys than one answer holds: page after page, and the same bytes as the whole at once.

use rstest::rstest;
use serde_json::{Value, json};

use super::shell::{Ran, Server, Shell, response};

/// `limit` of the command line.
const PAGE: usize = 1000;

fn page(keys: &[&str], next: Option<&str>) -> Vec<u8> {
    let keys: Vec<Value> = keys
        .iter()
        .map(
            |prefix| json!({ "prefix": prefix, "type": "PERSONAL", "name": format!("n {prefix}") }),
        )
        .collect();
    response(
        200,
        &json!({ "keys": keys, "next_cursor": next }).to_string(),
    )
}

/// Two pages with keys, and an empty one between them.
fn three_pages() -> Server {
    Server::new(|line| match line {
        "GET /v1/api_keys?limit=1000" => page(&["kw_1", "kw_2"], Some("7.a&b")),
        "GET /v1/api_keys?limit=1000&cursor=7.a%26b" => page(&[], Some("6.c")),
        "GET /v1/api_keys?limit=1000&cursor=6.c" => page(&["kw_a_long_one"], None),
        _ => page(&["kw_1"], None),
    })
}

#[rstest]
#[case::json(
    "-o json",
    "{\n  \"keys\": [\n    {\n      \"name\": \"n kw_1\",\n      \"prefix\": \"kw_1\",\n      \"type\": \"PERSONAL\"\n    },\n    {\n      \"name\": \"n kw_2\",\n      \"prefix\": \"kw_2\",\n      \"type\": \"PERSONAL\"\n    },\n    {\n      \"name\": \"n kw_a_long_one\",\n      \"prefix\": \"kw_a_long_one\",\n      \"type\": \"PERSONAL\"\n    }\n  ]\n}\n"
)]
#[case::jsonl(
    "-o jsonl",
    "{\"keys\":[{\"name\":\"n kw_1\",\"prefix\":\"kw_1\",\"type\":\"PERSONAL\"},{\"name\":\"n kw_2\",\"prefix\":\"kw_2\",\"type\":\"PERSONAL\"},{\"name\":\"n kw_a_long_one\",\"prefix\":\"kw_a_long_one\",\"type\":\"PERSONAL\"}]}\n"
)]
#[case::text(
    "",
    "NAME             KEY                TYPE      TEAM  \nn kw_1           kw_1****           personal        \nn kw_2           kw_2****           personal        \nn kw_a_long_one  kw_a_long_one****  personal        \n"
)]
#[case::jq("-rq .keys[].prefix", "kw_1\nkw_2\nkw_a_long_one\n")]
#[case::none("-o none", "")]
fn every_page_is_told(#[case] flags: &str, #[case] out: &str) {
    let server = three_pages();
    let ran = Shell::at(&server).line(&format!("org api-key list {flags}"));
    assert_eq!(ran, Ran::new(0, out, ""));
    assert_eq!(server.lines().len(), 3);
}

#[test]
fn a_key_is_found_by_its_name_on_any_page() {
    let server = three_pages();
    let args = ["org", "api-key", "delete", "--name", "n kw_a_long_one"];
    let ran = Shell::at(&server).run(args);
    // What the server tells of the deletion is no tombstone, but has a prefix.
    assert_eq!(ran.code, Some(1), "{ran}");
    let last = server.lines().pop();
    assert_eq!(last.as_deref(), Some("DELETE /v1/api_keys/kw_a_long_one"));
}

/// What has been written is no JSON, so that nobody takes it for the whole list.
#[test]
fn a_list_that_fails_on_the_way_is_cut_off() {
    let server = Server::new(|line| match line {
        "GET /v1/api_keys?limit=1000" => page(&["kw_1"], Some("next")),
        _ => response(503, "{}"),
    });
    let error = "listing API keys: keyward API error (HTTP 503): {}\n";
    for (form, out) in [
        (
            "jsonl",
            "{\"keys\":[{\"name\":\"n kw_1\",\"prefix\":\"kw_1\",\"type\":\"PERSONAL\"}",
        ),
        ("text", ""),
    ] {
        let ran = Shell::at(&server).line(&format!("org api-key list -o {form}"));
        assert_eq!(ran, Ran::new(6, out, error));
        assert!(serde_json::from_str::<Value>(&ran.out).is_err());
    }
}

#[test]
fn a_server_that_goes_round_in_a_circle_is_left() {
    let server = Server::new(|_| page(&["kw_1"], Some("same")));
    let ran = Shell::at(&server).line("org api-key list");
    let error = "listing API keys: the server tells the same page again and again\n";
    assert_eq!(ran, Ran::new(1, "", error));
}

/// More keys than a page straight from the database, the same as through the listener: see `both_ways` for fewer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_keys_are_the_same_by_both_ways() {
    let admin = crate::support::admin::TestAdmin::start().await;
    let count = 2 * PAGE + 345;
    admin.database.insert_many(count).await;
    let remote = Shell::new()
        .with("KEYWARD_URL", &format!("http://{}", admin.address))
        .with("KEYWARD_API_KEY", crate::support::admin::TOKEN);
    let url = &admin.database.config.url;
    for form in ["json", "jsonl", "text"] {
        let args = ["org", "api-key", "list", "-o", form];
        let one = tokio::task::block_in_place(|| remote.run(args));
        let args = [&args[..], &["--database", url]].concat();
        let other = tokio::task::block_in_place(|| Shell::new().run(args));
        assert_eq!((one.code, one.err.as_str()), (Some(0), ""));
        assert!(one == other, "as {form} they differ");
        if form == "text" {
            assert_eq!(one.out.lines().count(), count + 1);
        } else {
            // The whole at once would be the same bytes.
            let whole: Value = serde_json::from_str(&one.out).expect("one document");
            assert_eq!(whole["keys"].as_array().map(Vec::len), Some(count));
            let written = if form == "json" {
                format!("{whole:#}\n")
            } else {
                format!("{whole}\n")
            };
            assert!(written == one.out, "as {form}");
        }
    }
}
