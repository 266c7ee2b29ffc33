//! Whether an upstream answers, and keeps unused connections for longer than we do.

use std::io;
use std::time::Duration;

use http::uri::Scheme;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::Finding;
use crate::upstream::{UpstreamPlan, UpstreamProtocol, UpstreamServer};

/// How long the answer to a question may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Closed sooner than this, a connection was not meant to be kept.
const AT_ONCE: Duration = Duration::from_millis(20);

/// Connects, asks for `/`, and watches the unused connection for as long as keyward would keep it, `watch` at most.
pub(super) async fn look(
    plan: &UpstreamPlan,
    server: &UpstreamServer,
    watch: Duration,
) -> Vec<Finding> {
    let name = format!("{} at {}", plan.name, server.authority);
    let is_tls = server.scheme == Scheme::HTTPS;
    let host = server.authority.host().trim_matches(['[', ']']);
    let port = if is_tls { 443 } else { 80 };
    let address = (host, server.authority.port_u16().unwrap_or(port));
    let limit = plan.limits.connect_timeout;
    let stream = match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return vec![unreachable(plan, &format!("{name}: {error}"))],
        Err(_) => {
            return vec![unreachable(
                plan,
                &format!("{name}: no answer within {limit:?}"),
            )];
        }
    };
    if is_tls || plan.protocol != UpstreamProtocol::Http1 {
        let what = if is_tls { "TLS" } else { "HTTP/2" };
        return vec![Finding::ok(
            "upstream",
            format!("{name}: it can be reached; {what} was not tried"),
        )];
    }
    let idle = plan.limits.pool_idle_timeout;
    let request = format!(
        "GET / HTTP/1.1\r\nhost: {}\r\nuser-agent: keyward-doctor\r\n\r\n",
        server.authority
    );
    let kept = match kept_for(stream, &request, idle.min(watch)).await {
        Ok(kept) => kept,
        Err(error) => {
            let found = format!("{name}: it did not answer a question for `/`: {error}");
            let remedy = "see whether it serves HTTP/1.1 there";
            return vec![Finding::warn("upstream", found, remedy)];
        }
    };
    let setting = format!("upstreams.{}.limits.pool_idle_timeout", plan.name);
    vec![match kept {
        Kept::Longer if idle > watch => Finding::ok(
            "upstream",
            format!(
                "{name}: it answers, and keeps unused connections for {watch:?} at least; we for {idle:?}"
            ),
        ),
        Kept::Longer => Finding::ok(
            "upstream",
            format!(
                "{name}: it answers, and keeps unused connections for longer than we do ({idle:?})"
            ),
        ),
        Kept::Until(time) if time < AT_ONCE => Finding::warn(
            "upstream",
            format!(
                "{name}: it closes each connection after its answer, so every call needs a new one"
            ),
            format!("let the upstream keep connections for longer than {setting} ({idle:?})"),
        ),
        Kept::Until(time) => Finding::warn(
            "upstream",
            format!(
                "{name}: it closes unused connections after {time:.1?}, and we keep them for {idle:?}"
            ),
            format!(
                "set {setting} to less than {time:.1?}, or let the upstream keep them for longer"
            ),
        ),
    }]
}

fn unreachable(plan: &UpstreamPlan, found: &str) -> Finding {
    let remedy = format!("start it, or correct upstreams.{}", plan.name);
    Finding::fail("upstream", found, remedy)
}

/// How long a connection was kept.
enum Kept {
    /// For longer than it was watched.
    Longer,
    /// It was closed so long after the last byte of the answer.
    Until(Duration),
}

/// Asks, reads what comes, and sees whether the connection is closed within `watch` of its last byte.
async fn kept_for(mut stream: TcpStream, request: &str, watch: Duration) -> io::Result<Kept> {
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = vec![0; 16 * 1024];
    let mut read = timeout(ANSWER, stream.read(&mut buffer)).await??;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut last = Instant::now();
    while read > 0 {
        last = Instant::now();
        read = match timeout(watch, stream.read(&mut buffer)).await {
            Err(_) => return Ok(Kept::Longer),
            // Broken off is closed, too.
            Ok(read) => read.unwrap_or(0),
        };
    }
    Ok(Kept::Until(last.elapsed()))
}
