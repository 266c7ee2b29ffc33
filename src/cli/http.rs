//! Asking over HTTP: one request, one bounded answer, within one bounded time.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::print;

/// The longest answer that is read. A list of a hundred thousand keys is a third of it.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// As much of a refusal as is shown.
const MAX_REFUSAL_BYTES: usize = 16 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a server is reached: scheme, host, port, and perhaps the beginning of every path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Reads a URL such as `http://127.0.0.1:9090`.
    ///
    /// # Errors
    ///
    /// When it is not one of `http` or `https`, or holds a user, a query or a fragment: the first would be a secret
    /// in a log, the others mean nothing here.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let wrong = || {
            anyhow!(
                "a url is `http://HOST[:PORT]` or `https://HOST[:PORT]`, with no user, query or fragment"
            )
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().ok_or_else(wrong)?;
        if !is_http || authority.host().is_empty() || text.contains(['@', '?', '#']) {
            return Err(wrong());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// The address of `path`, which begins with `/`.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The URL as it was given, without a final `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The body: whole when `status` is a success, else its first 16 KiB.
    pub body: Bytes,
}

impl Reply {
    /// The body for people: without line ends around it, cut when it was.
    #[must_use]
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let cut = if self.body.len() == MAX_REFUSAL_BYTES {
            "…"
        } else {
            ""
        };
        format!("{}{cut}", text.trim())
    }
}

/// A client for a few requests to one server.
pub struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    headers: HeaderMap,
    timeout: Duration,
    verbose: bool,
}

impl Http {
    /// A client that sends `headers` with every request and waits no longer than `timeout` for a whole answer. With
    /// `verbose`, requests and statuses are told on standard error; headers and bodies never are.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn new(mut headers: HeaderMap, timeout: Duration, verbose: bool) -> anyhow::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT.min(timeout)));
        // Never the process' default: with two providers compiled in, that panics.
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(provider)
            .context("setting up TLS")?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("keyward/", env!("CARGO_PKG_VERSION"))),
        );
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            headers,
            timeout,
            verbose,
        })
    }

    /// Sends one request, with `body` as JSON when there is one, and reads the answer. Redirections are not followed:
    /// a credential goes nowhere but where it was meant to.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached, breaks off, answers too late or too much. Not because of a status.
    pub async fn ask(
        &self,
        method: Method,
        url: &str,
        body: Option<Vec<u8>>,
    ) -> anyhow::Result<Reply> {
        let start = Instant::now();
        if self.verbose {
            print::words(&format!("> {method} {url}"));
        }
        let mut request = Request::builder().method(method).uri(url);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let mut request = request.body(Full::from(body.unwrap_or_default()))?;
        request.headers_mut().extend(self.headers.clone());
        let reply = tokio::time::timeout(self.timeout, self.exchange(request, url))
            .await
            .map_err(|_| anyhow!("no answer from {url} within {:?}", self.timeout))??;
        if self.verbose {
            let Reply { status, body } = &reply;
            let took = start.elapsed().as_millis();
            print::words(&format!("< {status}, {} bytes in {took} ms", body.len()));
        }
        Ok(reply)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, url: &str) -> anyhow::Result<Reply> {
        let answer = self
            .client
            .request(request)
            .await
            .map_err(|error| anyhow!("cannot reach {url}: {}", root_cause(&error)))?;
        let status = answer.status();
        if !status.is_success() {
            // Whatever has come is enough: the status alone decides.
            let (body, _) = read(answer.into_body(), MAX_REFUSAL_BYTES).await;
            return Ok(Reply { status, body });
        }
        match read(answer.into_body(), MAX_ANSWER_BYTES).await {
            (body, End::Reached) => Ok(Reply { status, body }),
            (_, End::TooFar) => {
                bail!("the answer of {url} is longer than {MAX_ANSWER_BYTES} bytes")
            }
            (_, End::Broken(error)) => bail!("{url} broke off its answer: {}", root_cause(&error)),
        }
    }
}

enum End {
    Reached,
    TooFar,
    Broken(hyper::Error),
}

/// Reads up to `limit` bytes; says how it ended.
async fn read(mut body: Incoming, limit: usize) -> (Bytes, End) {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => return (bytes.into(), End::Broken(error)),
        };
        let room = limit - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return (bytes.into(), End::TooFar);
        }
    }
    (bytes.into(), End::Reached)
}

/// The innermost reason: what a person can act on ("Connection refused").
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// `text` as one segment of a path.
#[must_use]
pub fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            let _ = write!(segment, "%{byte:02X}");
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://127.0.0.1:9090", Some("http://127.0.0.1:9090"))]
    #[case(
        "https://keyward.internal/admin/",
        Some("https://keyward.internal/admin")
    )]
    #[case("http://[::1]:9090", Some("http://[::1]:9090"))]
    #[case("127.0.0.1:9090", None)]
    #[case("ftp://host", None)]
    #[case("http://user:secret@host", None)]
    #[case("http://host/?a=b", None)]
    #[case("http://host/#here", None)]
    #[case("http://", None)]
    #[case("", None)]
    fn a_base_url_names_a_server_and_nothing_more(#[case] text: &str, #[case] base: Option<&str>) {
        let parsed = BaseUrl::parse(text).ok();
        assert_eq!(parsed.as_ref().map(BaseUrl::as_str), base);
    }

    #[rstest]
    #[case("kw_8fJ2mQ4x", "kw_8fJ2mQ4x")]
    #[case("a/b?c#d e%f", "a%2Fb%3Fc%23d%20e%25f")]
    #[case("東", "%E6%9D%B1")]
    fn a_segment_cannot_become_two(#[case] text: &str, #[case] encoded: &str) {
        assert_eq!(segment(text), encoded);
    }
}
