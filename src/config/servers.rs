//! The servers of an upstream, and when they are left alone.

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

use crate::upstream::{
    HealthConfig, HealthPlan, MOST_SERVERS, ProbeConfig, ProbePlan, UpstreamConfig, UpstreamServer,
};

use super::path::Path;
use super::values::{Checks, TIMES};

/// Notes that `name`, of what stands at `path`, is none.
pub fn name(name: &str, path: &Path, checks: &mut Checks<'_>) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
        let message = "must be named by 1 to 64 letters, digits, `-`, `_` and `.`";
        checks.wrong(path, message);
    }
}

/// The servers of the upstream `name` at `path`: at least one, or what is wrong is noted.
pub fn plan(
    name: &str,
    upstream: &UpstreamConfig,
    path: &Path,
    checks: &mut Checks<'_>,
) -> Option<Vec<UpstreamServer>> {
    let servers = path.key("servers");
    if let Some(url) = &upstream.url {
        if !upstream.servers.is_empty() {
            checks.wrong(
                &servers,
                "stand beside `url`: say where they are in one way",
            );
        }
        let only = server(name, url, 1, &path.key("url"), checks)?;
        return Some(vec![only]);
    }
    if upstream.servers.is_empty() {
        let is_told = checks.is_mistaken(&path.key("url")) || checks.is_mistaken(&servers);
        if !is_told {
            checks.wrong(path, "lacks `url`, or `servers`");
        }
        return None;
    }
    if upstream.servers.len() > MOST_SERVERS {
        checks.wrong(&servers, format!("are more than {MOST_SERVERS}"));
        return None;
    }
    let all: Vec<_> = upstream
        .servers
        .iter()
        .map(|(name, config)| {
            let path = servers.key(name);
            self::name(name, &path, checks);
            checks.within(&path.key("weight"), config.weight, 0..=1_000, "calls");
            server(name, &config.url, config.weight, &path.key("url"), checks)
        })
        .collect();
    all.into_iter().collect()
}

fn server(
    name: &str,
    url: &str,
    weight: u32,
    path: &Path,
    checks: &mut Checks<'_>,
) -> Option<UpstreamServer> {
    let address = address(url);
    if let Err(message) = address {
        checks.wrong(path, message);
    }
    let (scheme, authority) = address.ok()?;
    Some(UpstreamServer {
        name: name.to_owned(),
        scheme,
        authority,
        weight,
    })
}

/// When the servers of an upstream are left alone, as said at `path`.
pub fn health(config: HealthConfig, path: &Path, checks: &mut Checks<'_>) -> Option<HealthPlan> {
    let failures = path.key("failures");
    checks.within(&failures, config.failures, 1..=1_000, "failures");
    checks.time(&path.key("rest"), config.rest, TIMES);
    checks.time(&path.key("longest_rest"), config.longest_rest, TIMES);
    if config.longest_rest < config.rest {
        let message = "must not be shorter than `rest`, the first one";
        checks.wrong(&path.key("longest_rest"), message);
    }
    let probe = match config.probe {
        Some(config) => Some(probe(&config, &path.key("probe"), checks)?),
        None => None,
    };
    Some(HealthPlan {
        failures: config.failures,
        rest: config.rest,
        longest_rest: config.longest_rest,
        probe,
    })
}

fn probe(config: &ProbeConfig, path: &Path, checks: &mut Checks<'_>) -> Option<ProbePlan> {
    checks.time(&path.key("every"), config.every, TIMES);
    checks.time(&path.key("timeout"), config.timeout, TIMES);
    if config.timeout > config.every {
        let message = "must not be longer than `every`, or the next one is late";
        checks.wrong(&path.key("timeout"), message);
    }
    let target: Option<PathAndQuery> = config.path.parse().ok();
    let Some(target) = target.filter(|_| config.path.starts_with('/')) else {
        checks.wrong(&path.key("path"), "must be a path, such as `/health`");
        return None;
    };
    Some(ProbePlan {
        path: target,
        every: config.every,
        timeout: config.timeout,
    })
}

/// Scheme and authority of an upstream's url. The message does not quote the url, which may hold a password.
fn address(url: &str) -> Result<(Scheme, Authority), &'static str> {
    const FORM: &str = "must be `http://host:port` or `https://host:port`";
    let uri: Uri = url.parse().map_err(|_| FORM)?;
    let parts = uri.into_parts();
    let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
        return Err(FORM);
    };
    if scheme != Scheme::HTTP && scheme != Scheme::HTTPS || authority.host().is_empty() {
        return Err(FORM);
    }
    if authority.as_str().contains('@') {
        return Err("must not hold a user or a password; `credential` says what is presented");
    }
    if parts.path_and_query.is_some_and(|path| path != "/") || url.contains('#') {
        return Err("must end after the port; `forward` of a route says which path goes on");
    }
    let has_port = authority.as_str() != authority.host();
    if has_port && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("must hold a port from 1 to 65535, or none");
    }
    Ok((scheme, authority))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("http://127.0.0.1:8000", true)]
    #[case::closing_slash("http://127.0.0.1:8000/", true)]
    #[case::default_port("https://models.example.com", true)]
    #[case::ipv6("http://[::1]:8000", true)]
    #[case::no_scheme("127.0.0.1:8000", false)]
    #[case::other_scheme("ftp://127.0.0.1", false)]
    #[case::path("http://127.0.0.1:8000/v1", false)]
    #[case::query("http://127.0.0.1:8000?x", false)]
    #[case::fragment("http://127.0.0.1:8000/#x", false)]
    #[case::password("http://a:b@127.0.0.1:8000", false)]
    #[case::no_host("http://:8000", false)]
    #[case::large_port("http://127.0.0.1:80000", false)]
    #[case::port_zero("http://127.0.0.1:0", false)]
    #[case::empty_port("http://127.0.0.1:", false)]
    #[case::space("http://127.0.0.1 :8000", false)]
    #[case::empty("", false)]
    fn an_upstreams_url_is_scheme_and_authority(#[case] url: &str, #[case] is_right: bool) {
        assert_eq!(address(url).is_ok(), is_right, "{:?}", address(url));
    }
}
