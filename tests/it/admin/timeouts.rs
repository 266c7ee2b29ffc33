//! A request takes as long as it may, and no longer, whoever is slow.

use std::time::Duration;

use keyward::key::KeyCategory;
use sqlx::{Connection, Executor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::admin::{TOKEN, TestAdmin};
use crate::support::store::in_time;

const SHORT: Duration = Duration::from_millis(100);

async fn impatient() -> TestAdmin {
    TestAdmin::with(|config| config.request_timeout = SHORT).await
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let admin = impatient().await;
    let mut stream = TcpStream::connect(admin.address).await.unwrap();
    let head = format!(
        "POST /v1/api_keys HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"type\":"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    in_time(stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("VALIDATION_ERROR"), "{answer}");
}

#[tokio::test]
async fn a_body_that_breaks_off_makes_no_key() {
    let admin = TestAdmin::start().await;
    let mut stream = TcpStream::connect(admin.address).await.unwrap();
    let whole = r#"{"type":"PERSONAL"}"#;
    let head = format!(
        "POST /v1/api_keys HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{whole}\r\nZZ\r\n",
        whole.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    in_time(stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(admin.database.fill().await.is_empty());
}

/// Another process writes for longer than a request may take.
#[tokio::test]
async fn a_database_that_takes_too_long_is_503() {
    let admin = impatient().await;
    let key = admin.key(KeyCategory::WorkspaceInvoke).await;
    let mut writer = admin.database.plain_connection().await;
    writer.execute("BEGIN IMMEDIATE").await.unwrap();
    let deleted = admin.delete(&format!("/v1/api_keys/{}", &key[..11])).await;
    assert_eq!(deleted.status, 503, "{deleted}");
    assert_eq!(deleted.headers["retry-after"], "1");
    writer.execute("ROLLBACK").await.unwrap();
    writer.close().await.unwrap();
}
