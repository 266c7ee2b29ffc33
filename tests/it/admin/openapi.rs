//! The served OpenAPI document: kept as a snapshot, so that a change of contract is seen in review.
//!
//! That every route is documented and every documented operation has a route needs no test: both are made from the
//! same handler. That each answers as documented is seen here by calling it, and at length by `tests/schemathesis.sh`.

use http::Method;
use serde_json::Value;
use snapbox::{assert_data_eq, file};

use crate::support::admin::{Ask, TestAdmin};

#[tokio::test]
async fn the_document_is_as_it_was() {
    let admin = TestAdmin::start().await;
    let document = admin.get("/openapi.json").await.json();
    assert_data_eq!(
        format!("{document:#}\n"),
        file!["snapshots/openapi.json"].raw()
    );
}

#[tokio::test]
async fn anyone_may_read_the_document() {
    let admin = TestAdmin::start().await;
    let answer = Ask::new(admin.address, Method::GET, "/openapi.json")
        .send()
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["openapi"], "3.1.0");
}

#[tokio::test]
async fn every_documented_operation_answers_with_a_documented_status() {
    let admin = TestAdmin::start().await;
    let document = admin.get("/openapi.json").await.json();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let in_path = path.replace("{api_key_prefix}", "kw_00000000");
        let in_path = in_path.replace("{team_id}", "0198c0de-0000-7000-8000-000000000000");
        let in_path = in_path.replace("{id}", "0198c0de-0000-7000-8000-000000000000");
        let in_path = in_path.replace("{provider}", "nobody");
        assert!(!in_path.contains('{'), "give {path} a value");
        for (method, operation) in operations.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = admin.ask(method.clone(), &in_path).send().await;
            let documented = operation["responses"].as_object().unwrap();
            let status = answer.status.as_u16();
            assert!(
                documented.contains_key(&status.to_string()),
                "{method} {path} {status}"
            );
            assert_ne!(status, 405);
            let says_more = operation["summary"].as_str().map(str::len);
            assert!(says_more > Some(10), "{method} {path} says what it does");
        }
    }
}

/// A reference that leads nowhere breaks every client generator.
#[tokio::test]
async fn every_reference_leads_somewhere() {
    fn walk(document: &Value, place: &Value) {
        match place {
            Value::Object(members) => {
                if let Some(Value::String(to)) = members.get("$ref") {
                    let pointer = to.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{to}");
                }
                members.values().for_each(|member| walk(document, member));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(document, item)),
            _ => {}
        }
    }
    let admin = TestAdmin::start().await;
    let document = admin.get("/openapi.json").await.json();
    walk(&document, &document);
}
