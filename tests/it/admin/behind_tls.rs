//! The admin page behind `deploy/nginx/admin.conf`, with a real nginx.

use std::sync::Arc;

use crate::support::admin::{TOKEN, TestAdmin};
use crate::support::nginx::Nginx;
use crate::support::tls::{Authority, Folder, TlsCaller};

const PASSED_ON: &str = "proxy_set_header Host $http_host;";

/// What a browser would be answered that has opened the page at `https://keys.example.com:8443/admin`: the status of the
/// page, and of the key that its button makes.
async fn answers(admin: &TestAdmin, host: &str) -> Option<(u16, u16)> {
    let authority = Authority::called("the tests");
    let tls = Folder::with(&authority.server());
    let nginx = Nginx::before_admin(admin.address, &tls, |settings| {
        settings.replace(PASSED_ON, host)
    })?;
    let trusting = Arc::new(authority.trusted().with_no_client_auth());
    let ask = async |head: &str, body: &str| {
        let mut connection = TlsCaller::connect(nginx.address(), &trusting).await;
        let request = format!(
            "{head}\r\nhost: keys.example.com:8443\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let connection = connection.as_mut().expect("the certificate fits");
        let answer = connection.exchange(request, "").await;
        let answer = answer.expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
        status.unwrap_or_else(|| panic!("no status: {answer}"))
    };
    let make = format!(
        "POST /v1/api_keys HTTP/1.1\r\norigin: https://keys.example.com:8443\r\nauthorization: Api-Key {TOKEN}\r\n\
         content-type: application/json"
    );
    Some((
        ask("GET /admin HTTP/1.1", "").await,
        ask(&make, r#"{"type":"PERSONAL"}"#).await,
    ))
}

#[tokio::test]
async fn the_page_works_when_the_host_is_passed_on_and_named() {
    let admin = TestAdmin::with(|config| config.hosts = vec!["keys.example.com".to_owned()]).await;
    let Some(answers) = answers(&admin, PASSED_ON).await else {
        return;
    };
    assert_eq!(answers, (200, 200));
    assert_eq!(admin.database.fill().await.len(), 1);
}

/// As deploy/admin.md says what is seen then.
#[tokio::test]
async fn the_page_shows_and_does_nothing_when_the_host_is_not_passed_on() {
    let admin = TestAdmin::with(|config| config.hosts = vec!["keys.example.com".to_owned()]).await;
    for host in ["", "proxy_set_header Host $host;"] {
        let Some(answers) = answers(&admin, host).await else {
            return;
        };
        // Without a port, or another's: not where the page came from.
        assert_eq!(answers, (200, 403), "{host}");
    }
    assert_eq!(admin.database.fill().await.len(), 0);
}

#[tokio::test]
async fn nothing_is_shown_when_the_host_is_not_named() {
    let admin = TestAdmin::start().await;
    let Some(answers) = answers(&admin, PASSED_ON).await else {
        return;
    };
    assert_eq!(answers, (421, 421));
}
