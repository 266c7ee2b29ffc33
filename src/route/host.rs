use std::net::Ipv6Addr;

/// The longest host name, in bytes (RFC 1035 2.3.4).
const MAX_HOST_BYTES: usize = 253;

/// The host a request is meant for, as its `Host` header, its absolute-form target or its `:authority` says.
///
/// Checked; without its port and without one closing dot. Letters are compared without case (RFC 9110 4.2.3).
#[derive(Debug, Clone, Copy)]
pub struct RequestHost<'r> {
    name: &'r str,
    port: Option<u16>,
}

impl<'r> RequestHost<'r> {
    /// Reads `host [":" port]` (RFC 9110 7.2).
    ///
    /// `None` for everything else: nothing, user information, lists, spaces, escapes, empty labels, a port that is
    /// none. A name is made of letters, digits, `-` and `_`: the other characters of RFC 3986's `reg-name` stand in no
    /// name that DNS would find. An IPv6 address stands in brackets and has no zone.
    #[must_use]
    pub fn parse(text: &'r str) -> Option<Self> {
        let (name, after) = if let Some(inner) = text.strip_prefix('[') {
            let (address, after) = inner.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (text.strip_suffix(after)?, after)
        } else {
            let (name, after) = text.split_at_checked(text.find(':').unwrap_or(text.len()))?;
            (check_name(name)?, after)
        };
        let port = match after.strip_prefix(':') {
            None if after.is_empty() => None,
            // RFC 3986 3.2.3 lets the digits be missing.
            Some("") => None,
            None => return None,
            Some(digits) => Some(parse_port(digits)?),
        };
        Some(Self { name, port })
    }

    /// The name or address, in the letters it came in; an IPv6 address with its brackets.
    #[must_use]
    pub const fn name(self) -> &'r str {
        self.name
    }

    /// Whether both mean the same place: the same name, and the same port or, where one says none, a web default.
    #[must_use]
    pub fn is_same_as(self, other: RequestHost<'_>) -> bool {
        let same_port = match (self.port, other.port) {
            (None, Some(port)) | (Some(port), None) => matches!(port, 80 | 443),
            (one, other) => one == other,
        };
        same_port && self.name.eq_ignore_ascii_case(other.name)
    }
}

fn check_name(name: &str) -> Option<&str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    (name.len() <= MAX_HOST_BYTES && name.split('.').all(is_label)).then_some(name)
}

fn parse_port(digits: &str) -> Option<u16> {
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

/// What a host pattern found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HostCaptures<'r> {
    /// The text of `{model}`, in the letters it came in.
    pub model: Option<&'r str>,
    /// The text of `{env}`, likewise.
    pub env: Option<&'r str>,
}

/// Which hosts a route is for: `model-{model}.example.com`, `*.example.com`, `model-{model}.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPattern {
    labels: Box<[Box<[Part]>]>,
    star: Star,
}

/// Where a pattern leaves labels open: one or more of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Star {
    Nowhere,
    First,
    Last,
}

/// What stands between two of `-` and `.`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Model,
    Env,
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('[') {
            return Self::parse_address(text);
        }
        let labels: Vec<&str> = text.split('.').collect();
        let (star, fixed) = match labels.as_slice() {
            ["*"] => return Err("`*` alone is every host; leave `host` out".to_owned()),
            ["*", .., "*"] => return Err("`*` stands first or last, not both".to_owned()),
            ["*", fixed @ ..] => (Star::First, fixed),
            [fixed @ .., "*"] => (Star::Last, fixed),
            fixed => (Star::Nowhere, fixed),
        };
        let labels = fixed.iter().map(|label| parse_label(label));
        let labels: Box<[Box<[Part]>]> = labels.collect::<Result<_, _>>()?;
        for (part, name) in [(Part::Model, "{model}"), (Part::Env, "{env}")] {
            if labels
                .iter()
                .flatten()
                .filter(|&found| *found == part)
                .count()
                > 1
            {
                return Err(format!("`{name}` appears twice"));
            }
        }
        Ok(Self { labels, star })
    }

    fn parse_address(text: &str) -> Result<Self, String> {
        match RequestHost::parse(text) {
            Some(host) if host.name() == text => Ok(Self {
                labels: [[Part::Text(text.to_ascii_lowercase().into())].into()].into(),
                star: Star::Nowhere,
            }),
            _ => Err(format!("`{}` is no host", text.escape_debug())),
        }
    }

    /// What the pattern finds in `host`, or `None` when it does not fit.
    pub fn find<'r>(&self, host: RequestHost<'r>) -> Option<HostCaptures<'r>> {
        let mut captures = HostCaptures::default();
        let fixed = match self.star {
            Star::Nowhere | Star::Last => host.name,
            Star::First => last_labels(host.name, self.labels.len())?,
        };
        let mut labels = fixed.split('.');
        for pattern in &self.labels {
            find_label(pattern, labels.next()?, &mut captures)?;
        }
        let more = labels.next().is_some();
        (more == (self.star == Star::Last)).then_some(captures)
    }

    /// Whether `{model}` stands in it.
    pub fn holds_model(&self) -> bool {
        self.labels
            .iter()
            .flatten()
            .any(|part| *part == Part::Model)
    }

    /// Whether `{env}` stands in it.
    pub fn holds_env(&self) -> bool {
        self.labels.iter().flatten().any(|part| *part == Part::Env)
    }

    /// Greater is narrower. Two patterns of one rank that could fit the same host are told apart by [`Self::overlaps`].
    pub fn rank(&self) -> (u8, usize) {
        let is_text = |part: &Part| matches!(part, Part::Text(_));
        let kind = match self.star {
            Star::Nowhere if self.labels.iter().flatten().all(is_text) => 4,
            Star::Nowhere => 3,
            Star::First => 2,
            Star::Last => 1,
        };
        let text_bytes = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Model | Part::Env => 0,
        };
        (kind, self.labels.iter().flatten().map(text_bytes).sum())
    }

    /// Whether some host may fit both, given that both have one rank. Never false when there is such a host.
    pub fn overlaps(&self, other: &Self) -> bool {
        if self.star == Star::Nowhere && self.labels.len() != other.labels.len() {
            return false;
        }
        let apart = |one: &[Part], other: &[Part]| {
            let differ = |(one, other): (&Part, &Part)| match (one, other) {
                (Part::Text(one), Part::Text(other)) => one != other,
                _ => false,
            };
            one.len() != other.len() || one.iter().zip(other).any(differ)
        };
        let mut pairs: Box<dyn Iterator<Item = _>> = match self.star {
            Star::First => Box::new(self.labels.iter().rev().zip(other.labels.iter().rev())),
            Star::Nowhere | Star::Last => Box::new(self.labels.iter().zip(&other.labels)),
        };
        !pairs.any(|(one, other)| apart(one, other))
    }
}

fn parse_label(label: &str) -> Result<Box<[Part]>, String> {
    if label == "*" {
        return Err("`*` stands only for the first or the last labels".to_owned());
    }
    if label.is_empty() {
        return Err("a label is empty".to_owned());
    }
    let parse_part = |part: &str| match part {
        "{model}" => Ok(Part::Model),
        "{env}" => Ok(Part::Env),
        text if text.contains(['{', '}', '*']) => Err(format!(
            "`{}`: a host knows `{{model}}` and `{{env}}`, each alone between `-` and `.`",
            text.escape_debug()
        )),
        text if text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') =>
        {
            Ok(Part::Text(text.to_ascii_lowercase().into()))
        }
        text => Err(format!("`{}` is no part of a host", text.escape_debug())),
    };
    label.split('-').map(parse_part).collect()
}

fn find_label<'r>(pattern: &[Part], label: &'r str, captures: &mut HostCaptures<'r>) -> Option<()> {
    let mut parts = label.split('-');
    for part in pattern {
        let text = parts.next()?;
        match part {
            Part::Text(expected) => expected.eq_ignore_ascii_case(text).then_some(())?,
            Part::Model if !text.is_empty() => captures.model = Some(text),
            Part::Env if !text.is_empty() => captures.env = Some(text),
            Part::Model | Part::Env => return None,
        }
    }
    parts.next().is_none().then_some(())
}

/// The last `count` labels of a host that has more than those.
fn last_labels(name: &str, count: usize) -> Option<&str> {
    let (dot, _) = name.rmatch_indices('.').nth(count.checked_sub(1)?)?;
    name.get(dot + 1..)
}
