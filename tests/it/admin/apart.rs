//! The three listeners have nothing in common: no door opens another's room (SECURITY A2).

use http::Method;

use crate::support::admin::{Ask, TOKEN};
use crate::support::keyward::TestKeyward;

/// What is asked of the data listener.
const INFERENCE: [(Method, &str); 4] = [
    (Method::POST, "/models/llama/predict"),
    (Method::POST, "/v1/chat/completions"),
    (Method::GET, "/v1/models"),
    (Method::POST, "/v1/embeddings"),
];
const PROBES: [(Method, &str); 4] = [
    (Method::GET, "/livez"),
    (Method::GET, "/readyz"),
    (Method::GET, "/startupz"),
    (Method::GET, "/metrics"),
];

/// Every documented method and path of the admin listener.
async fn administration(keyward: &TestKeyward) -> Vec<(Method, String)> {
    let document = keyward.administer(Method::GET, "/openapi.json");
    let document = document.send().await.json();
    let mut found = vec![(Method::GET, "/openapi.json".to_owned())];
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let path = path.replace(['{', '}'], "");
            found.push((method.to_uppercase().parse().unwrap(), path));
        }
    }
    assert!(found.len() >= 8, "{found:?}");
    found
}

#[tokio::test]
async fn the_data_listener_administers_nothing() {
    let keyward = TestKeyward::start().await;
    let managing = keyward.create_key("WORKSPACE_MANAGE_ALL", None).await;
    let calling = keyward.key().await;
    let mut asked = administration(&keyward).await;
    asked.extend(PROBES.map(|(method, path)| (method, path.to_owned())));
    for (method, path) in asked {
        for credential in [TOKEN, managing.text.as_str(), &calling.text] {
            let ask = Ask::new(keyward.addresses.proxy, method.clone(), &path);
            let answer = ask.credential(credential).json(&serde_json::json!({}));
            assert_eq!(answer.send().await.status, 404, "{method} {path}");
        }
    }
    assert_eq!(keyward.upstream.requests().len(), 0);
    let keys = keyward.number("SELECT count(*) FROM api_keys").await;
    assert_eq!(keys, 2);
    // Nor is the admin token a key where there is something to call.
    let ask = Ask::new(
        keyward.addresses.proxy,
        Method::POST,
        "/models/llama/predict",
    );
    assert_eq!(ask.credential(TOKEN).send().await.status, 401);
    assert_eq!(keyward.upstream.requests().len(), 0);
}

#[tokio::test]
async fn the_admin_listener_and_the_probes_forward_nothing() {
    let keyward = TestKeyward::start().await;
    let managing = keyward.create_key("WORKSPACE_MANAGE_ALL", None).await;
    let administration = administration(&keyward).await;
    for (method, path) in INFERENCE {
        for credential in [TOKEN, &managing.text] {
            for listener in [keyward.addresses.admin, keyward.addresses.probes] {
                let ask = Ask::new(listener, method.clone(), path).credential(credential);
                let answer = ask.json(&serde_json::json!({ "model": "llama" }));
                assert_eq!(answer.send().await.status, 404, "{method} {path}");
            }
        }
    }
    for (method, path) in administration {
        let ask = Ask::new(keyward.addresses.probes, method.clone(), &path);
        let answer = ask.credential(TOKEN).send().await;
        assert_eq!(answer.status, 404, "{method} {path} at the probes");
    }
    for (method, path) in PROBES {
        let answer = keyward.administer(method, path).send().await;
        assert_eq!(answer.status, 404, "{path} at the admin listener");
    }
    assert_eq!(keyward.upstream.requests().len(), 0);
}
