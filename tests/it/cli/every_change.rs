//! Every way in which a key, a team or the admin token can change, and what each leaves in the audit trail: one table.

use std::fmt::Write as _;
use std::sync::Arc;

use http::Method;
use keyward::admin::{DIALECTS, ensure_token};
use keyward::clock::Clock;
use keyward::registry::KeyRegistry;
use keyward::store::AuditEntry;
use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};

use super::shell::Shell;
use crate::support::admin::{TOKEN, TestAdmin};

/// A trail that grows, and the table of what grew.
struct Trail {
    admin: TestAdmin,
    /// The key of somebody who may do everything.
    ada: String,
    told: usize,
    table: String,
}

impl Trail {
    /// Notes what the change called `how` has left.
    async fn after(&mut self, how: &str) {
        let trail = self.admin.database.store.audit(None, 1000).await.unwrap();
        let new = trail.len() - self.told;
        self.told = trail.len();
        assert!(new > 0, "{how} leaves nothing");
        for entry in trail[..new].iter().rev() {
            let line = self.line(how, entry);
            writeln!(self.table, "{}", line.trim_end()).unwrap();
        }
    }

    fn line(&self, how: &str, entry: &AuditEntry) -> String {
        let actor = match (&entry.actor, &entry.actor_prefix) {
            (None, None) => "(unknown)".to_owned(),
            (Some(actor), None) => actor.clone(),
            (Some(actor), Some(prefix)) if self.ada.starts_with(prefix) => format!("{actor} (ada)"),
            other => panic!("{other:?}"),
        };
        let of = match (&entry.key_id, &entry.key_prefix, &entry.team) {
            (Some(_), Some(_), None) => "key",
            (None, None, Some(team)) => &format!("team {team}"),
            (None, None, None) => "",
            other => panic!("{other:?}"),
        };
        assert!(entry.at.as_secs() > 1_700_000_000, "{entry:?}");
        let (from, action, changed) = (&entry.source, &entry.action, entry.changed.join(" "));
        format!("{how:35} {actor:12} {from:9} {action:18} {of:12} {changed}")
    }

    /// A call of a dialect, by ada.
    async fn call(&mut self, method: Method, path: &str, body: Value) -> Value {
        let ask = self.admin.ask(method.clone(), path).credential(&self.ada);
        let ask = if body.is_null() { ask } else { ask.json(&body) };
        let answer = ask.send().await;
        assert!(answer.status.is_success(), "{answer}");
        let path = path.split('?').next().unwrap();
        let named = path.split('/').map(|part| match part.len() {
            36 => "{id}",
            11 if part.starts_with("kw_") => "{prefix}",
            _ => part,
        });
        let how = format!("{method} {}", named.collect::<Vec<_>>().join("/"));
        self.after(&how).await;
        serde_json::from_str(&answer.body).unwrap_or_default()
    }

    /// A command, by the holder of the admin token or of the database: what it printed.
    async fn command(&mut self, line: &str, on_database: bool) -> String {
        let mut shell = Shell::new()
            .with("KEYWARD_URL", &format!("http://{}", self.admin.address))
            .with("KEYWARD_API_KEY", TOKEN);
        let url = self.admin.database.config.url.clone();
        let mut args: Vec<&str> = line.split(' ').collect();
        if on_database {
            shell = Shell::new();
            args.extend(["--database", &url]);
        }
        let digest =
            "digest,prefix,type,team\n".to_owned() + &"7".repeat(64) + ",from_file,PERSONAL,new\n";
        let ran = tokio::task::block_in_place(|| shell.feed(&args, digest.as_bytes()));
        assert_eq!(ran.code, Some(0), "{line}: {ran}");
        let verbs: Vec<&str> = line.split(' ').take(3).collect();
        let by = if on_database { " --database" } else { "" };
        self.after(&format!("{}{by}", verbs.join(" "))).await;
        ran.out.trim_end().to_owned()
    }

    /// Plain SQL.
    async fn sql(&mut self, sql: &str) {
        self.admin.database.by_hand(sql).await;
        let verbs: Vec<&str> = sql.split(' ').take(2).collect();
        self.after(&format!("plain SQL: {}", verbs.join(" "))).await;
    }
}

/// Baseten's and px0's. Bifrost's shows what we present to upstreams: nothing there changes a key.
async fn by_dialects(trail: &mut Trail) {
    let key = json!({ "type": "WORKSPACE_INVOKE", "name": "ci", "model_ids": ["m"] });
    let made = trail.call(Method::POST, "/v1/api_keys", key).await;
    let prefix = made["api_key"].as_str().unwrap()[..11].to_owned();
    let team = trail
        .call(Method::POST, "/v1/teams", json!({ "name": "ops" }))
        .await;
    let team = team["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/teams/{team}/api_keys");
    trail
        .call(Method::POST, &path, json!({ "type": "PERSONAL" }))
        .await;
    let path = format!("/v1/api_keys/{prefix}");
    let change = json!({ "name": "cd", "model_ids": null, "team_id": team, "expires_in": 60, "enabled": false });
    trail.call(Method::PATCH, &path, change).await;
    let rotated = trail
        .call(Method::POST, &format!("{path}/rotate"), Value::Null)
        .await;
    let path = format!("/v1/api_keys/{}", rotated["prefix"].as_str().unwrap());
    trail.call(Method::DELETE, &path, Value::Null).await;

    // px0's.
    let me = trail
        .admin
        .get("/v1/users/me")
        .await
        .text("/workspace_name");
    let key = json!({ "name": "px0", "org_id": me });
    let made = trail.call(Method::POST, "/v1/api-keys", key).await;
    let path = format!("/v1/api-keys/{}", made["id"].as_str().unwrap());
    trail
        .call(Method::PUT, &path, json!({ "operation": "all" }))
        .await;
    trail
        .call(Method::POST, &format!("{path}/regenerate"), Value::Null)
        .await;
    trail.call(Method::DELETE, &path, Value::Null).await;
}

/// The command line, by both ways.
async fn by_commands(trail: &mut Trail) {
    for on_database in [false, true] {
        let create = "api-key create --type personal --name cli";
        let made = trail.command(&format!("org {create}"), on_database).await;
        let prefix = &made[..11];
        trail
            .command(&format!("org api-key disable {prefix}"), on_database)
            .await;
        trail
            .command(&format!("org api-key enable {prefix}"), on_database)
            .await;
        let rotated = trail
            .command(&format!("org api-key rotate {prefix}"), on_database)
            .await;
        let delete = format!("org api-key delete --prefix {}", &rotated[..11]);
        trail.command(&delete, on_database).await;
        let team = format!("org team create --name team-{on_database}");
        trail.command(&team, on_database).await;
    }
    let digest = "5".repeat(64);
    let one = format!("org api-key import --digest {digest} --prefix one --type personal");
    trail.command(&one, true).await;
    trail
        .command("org api-key import --format csv --create-teams", true)
        .await;
}

/// Whoever opens the database with something else.
async fn by_others(trail: &mut Trail) {
    trail
        .sql("UPDATE api_keys SET disabled_at = 1 WHERE prefix = 'one'")
        .await;
    trail.sql("DELETE FROM api_keys WHERE prefix = 'one'").await;
    trail
        .sql(
            "INSERT INTO api_keys (id, prefix, digest, category, org_id, team_id)
             SELECT 'x', 'by_hand', randomblob(32), 'PERSONAL', org_id, id FROM teams WHERE is_default",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_leaves_who_from_where_and_what() {
    // A dialect that comes has its calls below, too.
    let dialects: Vec<&str> = DIALECTS.iter().map(|dialect| dialect.name).collect();
    assert_eq!(dialects, ["baseten", "px0", "bifrost"]);

    let admin = TestAdmin::start().await;
    let registry = KeyRegistry::new(Arc::clone(&admin.database.store), Clock::system(), None);
    ensure_token(&registry, None).await.unwrap();
    let ada = admin
        .post("/v1/api_keys", &json!({ "type": "PERSONAL" }))
        .await
        .text("/api_key");
    let mut trail = Trail {
        admin,
        ada,
        told: 0,
        table: String::new(),
    };
    trail.after("the first start; POST /v1/api_keys").await;

    by_dialects(&mut trail).await;
    by_commands(&mut trail).await;
    by_others(&mut trail).await;
    assert_data_eq!(
        trail.table,
        str![[r#"
the first start; POST /v1/api_keys  keyward      start     create_admin_token
the first start; POST /v1/api_keys  admin        127.0.0.1 create             key
POST /v1/api_keys                   admin (ada)  127.0.0.1 create             key
POST /v1/teams                      admin (ada)  127.0.0.1 create_team        team ops
POST /v1/teams/{id}/api_keys        admin (ada)  127.0.0.1 create             key
PATCH /v1/api_keys/{prefix}         admin (ada)  127.0.0.1 update             key          name model_ids team expires_at enabled
POST /v1/api_keys/{prefix}/rotate   admin (ada)  127.0.0.1 rotate             key          key prefix
DELETE /v1/api_keys/{prefix}        admin (ada)  127.0.0.1 delete             key
POST /v1/api-keys                   admin (ada)  127.0.0.1 create             key
PUT /v1/api-keys/{id}               admin (ada)  127.0.0.1 update             key          type
POST /v1/api-keys/{id}/regenerate   admin (ada)  127.0.0.1 rotate             key          key prefix
DELETE /v1/api-keys/{id}            admin (ada)  127.0.0.1 delete             key
org api-key create                  admin        127.0.0.1 create             key
org api-key disable                 admin        127.0.0.1 update             key          enabled
org api-key enable                  admin        127.0.0.1 update             key          enabled
org api-key rotate                  admin        127.0.0.1 rotate             key          key prefix
org api-key delete                  admin        127.0.0.1 delete             key
org team create                     admin        127.0.0.1 create_team        team team-false
org api-key create --database       admin        database  create             key
org api-key disable --database      admin        database  update             key          enabled
org api-key enable --database       admin        database  update             key          enabled
org api-key rotate --database       admin        database  rotate             key          key prefix
org api-key delete --database       admin        database  delete             key
org team create --database          admin        database  create_team        team team-true
org api-key import --database       admin        database  import             key
org api-key import --database       admin        database  create_team        team new
org api-key import --database       admin        database  import             key
plain SQL: UPDATE api_keys          (unknown)    sql       update             key          enabled
plain SQL: DELETE FROM              (unknown)    sql       delete             key
plain SQL: INSERT INTO              (unknown)    sql       create             key

"#]]
    );
}
