use http::{Method, StatusCode};
use keyward::server::Addresses;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::admin::{Answer as AdminAnswer, Ask, TOKEN};
use crate::support::http2::Http2Caller;
use crate::support::raw::{RawAnswer, RawConnection};
use crate::support::within;

/// A key as whoever made it knows it.
#[derive(Debug, Clone)]
pub struct TestKey {
    /// The whole text.
    pub text: String,
    /// What names it: the text before the dot.
    pub prefix: String,
}

/// The listeners of a running keyward, reached from outside.
#[derive(Debug, Clone, Copy)]
pub struct Doors {
    pub addresses: Addresses,
}

impl Doors {
    pub fn at(addresses: Addresses) -> Self {
        Self { addresses }
    }

    /// Waits until `/readyz` says yes.
    pub async fn ready(&self) {
        within("keyward is ready", async {
            while self.readiness().await != 200 {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    /// The status of `/readyz`.
    pub async fn readiness(&self) -> u16 {
        let ask = Ask::new(self.addresses.probes, Method::GET, "/readyz");
        ask.send().await.status.as_u16()
    }

    /// Whether `/readyz` says yes; nobody there says no.
    pub async fn is_ready_now(&self) -> bool {
        let Ok(stream) = TcpStream::connect(self.addresses.probes).await else {
            return false;
        };
        let mut connection = RawConnection::over(stream);
        let question = "GET /readyz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        connection.try_write(question).await.is_ok()
            && connection
                .try_read_head()
                .await
                .is_some_and(|head| head.status() == 200)
    }

    /// What `/readyz?verbose` says.
    pub async fn troubles(&self) -> String {
        let ask = Ask::new(self.addresses.probes, Method::GET, "/readyz?verbose");
        ask.send().await.body
    }

    /// The value of one series of `/metrics`, such as `keyward_connections`.
    pub async fn metric(&self, series: &str) -> f64 {
        let ask = Ask::new(self.addresses.probes, Method::GET, "/metrics");
        let text = ask.send().await.body;
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no {series} in {text}"));
        value.parse().expect("a metric is a number")
    }

    /// A connection to the data listener.
    pub async fn raw(&self) -> RawConnection {
        RawConnection::connect(self.addresses.proxy).await
    }

    /// An HTTP/2 connection to the data listener.
    pub async fn http2(&self) -> Http2Caller {
        Http2Caller::connect(self.addresses.proxy).await
    }

    /// `POST /models/{model}/predict` with `key`, on a connection of its own.
    pub async fn call(&self, key: &TestKey, model: &str) -> RawAnswer {
        let request = post(&format!("/models/{model}/predict"), key, "{}");
        self.raw().await.call(request).await
    }

    /// A key that may call every model.
    pub async fn key(&self) -> TestKey {
        self.create_key("WORKSPACE_INVOKE", None).await
    }

    /// A key that may call these models.
    pub async fn key_for(&self, models: &[&str]) -> TestKey {
        self.create_key("WORKSPACE_INVOKE", Some(models)).await
    }

    /// A key of `category`; no list is every model.
    pub async fn create_key(&self, category: &str, models: Option<&[&str]>) -> TestKey {
        let mut wish = json!({ "type": category });
        if let Some(models) = models {
            wish["model_ids"] = json!(models);
        }
        self.create(&wish).await
    }

    /// A key as the Baseten dialect asks for it.
    pub async fn create(&self, wish: &Value) -> TestKey {
        let ask = self.administer(Method::POST, "/v1/api_keys").json(wish);
        let text = done(ask.send().await).text("/api_key");
        let prefix = text.split('.').next().expect("split yields at least one");
        TestKey {
            prefix: prefix.to_owned(),
            text,
        }
    }

    /// Deletes a key; it is refused here from the answer on.
    pub async fn delete_key(&self, key: &TestKey) {
        let path = format!("/v1/api_keys/{}", key.prefix);
        done(self.administer(Method::DELETE, &path).send().await);
    }

    /// What the list says about a key.
    pub async fn listed(&self, key: &TestKey) -> Value {
        let ask = self.administer(Method::GET, "/v1/api_keys");
        let list = done(ask.send().await).json();
        let keys = list["keys"].as_array().expect("a list of keys");
        let found = keys.iter().find(|each| each["prefix"] == *key.prefix);
        found
            .unwrap_or_else(|| panic!("not listed: {key:?}"))
            .clone()
    }

    /// A request to the admin listener with the admin token.
    pub fn administer(&self, method: Method, path: &str) -> Ask {
        Ask::new(self.addresses.admin, method, path).credential(TOKEN)
    }
}

/// A `POST` with a counted body.
pub fn post(target: &str, key: &TestKey, body: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
        key.text,
        body.len(),
    )
}

fn done(answer: AdminAnswer) -> AdminAnswer {
    assert_eq!(answer.status, StatusCode::OK, "{answer}");
    answer
}
