//! Teams, and who may do what to whose keys.

use super::*;

#[tokio::test]
async fn a_key_is_made_in_the_team_of_the_path_or_of_the_body() {
    let admin = TestAdmin::start().await;
    let team = admin
        .post("/v1/teams", &json!({ "name": "research" }))
        .await
        .text("/id");
    let other = admin
        .get("/v1/teams?name=default")
        .await
        .text("/teams/0/id");
    let in_path = format!("/v1/teams/{team}/api_keys");
    let with = |team: &str| json!({ "type": "WORKSPACE_INVOKE", "team_id": team });
    for (path, body, status) in [
        (in_path.as_str(), json!({ "type": "WORKSPACE_INVOKE" }), 200),
        (in_path.as_str(), with(&team), 200),
        ("/v1/api_keys", with(&team), 200),
        (in_path.as_str(), with(&other), 400),
        (
            "/v1/teams/0198c0de-0000-7000-8000-000000000000/api_keys",
            json!({ "type": "PERSONAL" }),
            404,
        ),
        (
            "/v1/teams/research/api_keys",
            json!({ "type": "PERSONAL" }),
            404,
        ),
    ] {
        let answer = admin.post(path, &body).await;
        assert_eq!(answer.status, status, "{path} {body} {answer}");
    }
    let keys = admin.get("/v1/api_keys").await.json();
    let teams = keys["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["team_name"]);
    assert_eq!(teams.collect::<Vec<_>>(), ["research"; 3]);
}

#[tokio::test]
async fn teams_are_made_listed_and_found() {
    let admin = TestAdmin::start().await;
    let made = admin
        .post("/v1/teams", &json!({ "name": "research" }))
        .await;
    assert_data_eq!(
        fixed(&made),
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "created_at": "<time>",
  "default": false,
  "id": "<id>",
  "name": "research"
}
"#]]
    );
    assert_data_eq!(
        fixed(&admin.get("/v1/teams").await),
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "teams": [
    {
      "created_at": "<time>",
      "default": true,
      "id": "<id>",
      "name": "default"
    },
    {
      "created_at": "<time>",
      "default": false,
      "id": "<id>",
      "name": "research"
    }
  ]
}
"#]]
    );
    let id = made.text("/id");
    assert_eq!(
        admin.get(&format!("/v1/teams/{id}")).await.json(),
        made.json()
    );
    assert_eq!(
        admin.get("/v1/teams?name=research").await.json(),
        json!({ "teams": [made.json()] })
    );
    assert_eq!(
        admin.get("/v1/teams?name=Research").await.json(),
        json!({ "teams": [] })
    );
    assert_eq!(admin.get("/v1/teams/research").await.status, 404);
    let again = admin
        .post("/v1/teams", &json!({ "name": "research" }))
        .await;
    assert_eq!(
        (again.status.as_u16(), again.code()),
        (409, "CONFLICT".to_owned())
    );
    let nameless = admin.post("/v1/teams", &json!({ "name": "" })).await;
    assert_eq!(nameless.status, 400);
}

#[tokio::test]
async fn the_operator_is_told_who_it_is() {
    let admin = TestAdmin::start().await;
    assert_data_eq!(
        fixed(&admin.get("/v1/users/me").await),
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "email": null,
  "name": "admin",
  "user_id": "admin",
  "workspace_name": "<id>"
}
"#]]
    );
}

/// `users/me`, `owner` and `created_by_me` tell of the same person, whichever of its keys it calls with.
#[tokio::test]
async fn a_key_acts_for_its_owner() {
    let admin = TestAdmin::start().await;
    let imported = admin.key(KeyCategory::Personal).await;
    admin
        .database
        .by_hand("UPDATE api_keys SET owner = NULL")
        .await;
    let body = json!({ "type": "PERSONAL", "name": "second" });
    let ask = admin
        .ask(Method::POST, "/v1/api_keys")
        .credential(&imported);
    let second = ask.json(&body).send().await.text("/api_key");
    for key in [&imported, &second] {
        let me = admin
            .ask(Method::GET, "/v1/users/me")
            .credential(key)
            .send()
            .await;
        assert_eq!(me.text("/user_id"), imported[..11]);
        let mine = admin
            .ask(Method::GET, "/v1/api_keys?created_by_me=true")
            .credential(key);
        let mine = mine.send().await;
        assert_eq!(mine.text("/keys/0/name"), "second");
        assert_eq!(mine.text("/keys/0/owner/user_id"), imported[..11]);
        assert_eq!(mine.json()["keys"].as_array().unwrap().len(), 1);
    }
}

/// CONTRACTS 2: what each category may do to which.
#[rstest]
#[case(KeyCategory::Personal, [200, 200, 200, 200])]
#[case(KeyCategory::WorkspaceManageAll, [403, 200, 200, 200])]
#[tokio::test]
async fn a_caller_manages_what_its_category_may(
    #[case] caller: KeyCategory,
    #[case] may: [u16; 4],
) {
    let admin = TestAdmin::start().await;
    let caller = admin.key(caller).await;
    for (category, status) in KeyCategory::ALL.into_iter().zip(may) {
        let as_caller = |method, path: &str| admin.ask(method, path).credential(&caller);
        let wanted = json!({ "type": category.as_str() });
        let made = as_caller(Method::POST, "/v1/api_keys")
            .json(&wanted)
            .send()
            .await;
        assert_eq!(made.status, status, "{made}");
        let theirs = admin.key(category.clone()).await;
        let prefix = &theirs[..11];
        let listed = as_caller(Method::GET, "/v1/api_keys").send().await;
        assert_eq!(listed.body.contains(prefix), status == 200, "{category:?}");
        let deleted = as_caller(Method::DELETE, &format!("/v1/api_keys/{prefix}"))
            .send()
            .await;
        assert_eq!(deleted.status, status, "{deleted}");
    }
    let team = admin
        .ask(Method::POST, "/v1/teams")
        .credential(&caller)
        .json(&json!({ "name": "t" }));
    assert_eq!(team.send().await.status, may[0]);
    let teams = admin.ask(Method::GET, "/v1/teams").credential(&caller);
    assert_eq!(teams.send().await.status, 200);
}
