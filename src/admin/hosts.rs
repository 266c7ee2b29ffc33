use std::net::IpAddr;

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;

use super::Refusal;

/// The names by which the admin listener may be called.
///
/// A web page can have its own name resolve to our address and so make a browser talk to us (DNS rebinding); the
/// browser then sends that name as the host, and is refused (SECURITY A3). Ports are not compared: forwarding a port
/// changes them, and they say nothing about who asks.
pub struct Hosts {
    names: Vec<String>,
    /// Listening on every address, we cannot list ours; an address cannot be made to resolve elsewhere.
    any_address: bool,
}

impl Hosts {
    /// The listener's address, `localhost`, and `further` names.
    ///
    /// # Errors
    ///
    /// The first of `further` that is no host.
    pub fn new(listen: IpAddr, further: &[String]) -> Result<Self, String> {
        let mut names = vec!["localhost".to_owned(), listen.to_string()];
        if listen.is_loopback() || listen.is_unspecified() {
            names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
        }
        for host in further {
            names.push(name_of(host).ok_or_else(|| host.clone())?);
        }
        Ok(Self {
            names,
            any_address: listen.is_unspecified(),
        })
    }

    /// Whether the request was meant for us: exactly one host, and the target's authority, if it has one, allowed.
    ///
    /// # Errors
    ///
    /// 400 without a host or with several (RFC 9112 3.2), 421 for a name that is not ours.
    pub fn check(&self, parts: &Parts) -> Result<(), Refusal> {
        let mut headers = parts.headers.get_all(HOST).iter();
        let header = headers.next();
        if headers.next().is_some() || (header.is_none() && parts.uri.authority().is_none()) {
            return Err(Refusal::invalid("a request names exactly one host"));
        }
        let header = header.map(|value| value.to_str().unwrap_or_default());
        let target = parts.uri.authority().map(Authority::as_str);
        if header
            .into_iter()
            .chain(target)
            .all(|host| self.allows(host))
        {
            Ok(())
        } else {
            Err(Refusal::new(
                http::StatusCode::MISDIRECTED_REQUEST,
                "this listener is not called by that host name; admin.hosts lists further names",
            ))
        }
    }

    fn allows(&self, host: &str) -> bool {
        let Some(name) = name_of(host) else {
            return false;
        };
        self.names.contains(&name) || (self.any_address && name.parse::<IpAddr>().is_ok())
    }
}

/// The name in `name[:port]`, in lower case, without brackets and a final dot.
pub(super) fn name_of(host: &str) -> Option<String> {
    let authority: Authority = host.parse().ok()?;
    if host.contains('@') {
        return None;
    }
    let name = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let name = name.strip_suffix('.').unwrap_or(name);
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("127.0.0.1:9090", true)]
    #[case("localhost", true)]
    #[case("LOCALHOST.:1", true)]
    #[case("[::1]:9090", true)]
    #[case("keyward.internal:9090", true)]
    #[case("keyward.internal.evil.example", false)]
    #[case("evil.example:9090", false)]
    #[case("192.0.2.1", false)]
    #[case("localhost@evil.example", false)]
    #[case("evil.example@localhost", false)]
    #[case("localhost, evil.example", false)]
    #[case("", false)]
    #[case(":9090", false)]
    fn only_our_names_are_ours(#[case] host: &str, #[case] ours: bool) {
        let listen = "127.0.0.1".parse().unwrap();
        let hosts = Hosts::new(listen, &["Keyward.Internal".to_owned()]).unwrap();
        assert_eq!(hosts.allows(host), ours);
    }

    #[test]
    fn listening_everywhere_any_address_is_ours_but_not_any_name() {
        let hosts = Hosts::new("0.0.0.0".parse().unwrap(), &[]).unwrap();
        assert!(hosts.allows("10.1.2.3:9090"));
        assert!(hosts.allows("[2001:db8::1]"));
        assert!(!hosts.allows("10.1.2.3.evil.example"));
    }

    #[test]
    fn what_is_no_host_is_not_configured() {
        let listen = "127.0.0.1".parse().unwrap();
        let bad = Hosts::new(listen, &["a b".to_owned()]).err();
        assert_eq!(bad.as_deref(), Some("a b"));
    }
}
