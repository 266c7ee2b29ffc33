use std::net::Ipv6Addr;

use super::path::cut;

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
            let end = text.bytes().position(|byte| byte == b':');
            let (name, after) = text.split_at_checked(end.unwrap_or(text.len()))?;
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

    /// What a route decides on, written out: in lower case, without a closing dot, with the port it came with.
    #[must_use]
    pub fn canonical(self) -> String {
        let mut host = self.name.to_ascii_lowercase();
        if let Some(port) = self.port {
            host.push(':');
            host.push_str(&port.to_string());
        }
        host
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
    let mut is_label_open = false;
    for byte in name.bytes() {
        match byte {
            b'.' if is_label_open => is_label_open = false,
            b'-' => is_label_open = true,
            byte if is_name_byte(byte) => is_label_open = true,
            _ => return None,
        }
    }
    (is_label_open && name.len() <= MAX_HOST_BYTES).then_some(name)
}

/// Whether a byte stands in a host name, beside `-` and `.`.
const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
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

/// Which hosts a route is for: `model-{model}.example.com`, `*.example.com`, `model-{model}-{env}.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPattern {
    labels: Box<[Box<[Part]>]>,
    star: Star,
    rank: HostRank,
    /// The text with which every host begins that fits. Most hosts are told apart by it.
    beginning: Box<str>,
}

/// How narrow a pattern is: its kind, then how much text of ours it holds. Greater is narrower.
pub(super) type HostRank = (u8, usize);

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
    /// Text without `-`: where it ends is never in doubt.
    Model,
    /// The last part of its label, so it may hold `-`: Baseten's regional environments do (`prod-us`).
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
            return parse_address(text);
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
        let pattern = Self::new(labels.collect::<Result<_, _>>()?, star);
        for (part, name) in [(Part::Model, "{model}"), (Part::Env, "{env}")] {
            if pattern.parts().filter(|&found| *found == part).count() > 1 {
                return Err(format!("`{name}` appears twice"));
            }
        }
        Ok(pattern)
    }

    fn new(labels: Box<[Box<[Part]>]>, star: Star) -> Self {
        let is_text = |part: &Part| matches!(part, Part::Text(_));
        let kind = match star {
            Star::Nowhere if labels.iter().flatten().all(is_text) => 4,
            Star::Nowhere => 3,
            Star::First => 2,
            Star::Last => 1,
        };
        let text_bytes = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Model | Part::Env => 0,
        };
        let rank = (kind, labels.iter().flatten().map(text_bytes).sum());
        let beginning = match (star, labels.first().and_then(|label| label.first())) {
            (Star::Nowhere | Star::Last, Some(Part::Text(text))) => text.clone(),
            _ => "".into(),
        };
        Self {
            labels,
            star,
            rank,
            beginning,
        }
    }

    /// What the pattern finds in `host`, or `None` when it does not fit.
    pub fn find<'r>(&self, host: RequestHost<'r>) -> Option<HostCaptures<'r>> {
        let beginning = host.name.as_bytes().get(..self.beginning.len())?;
        if !beginning.eq_ignore_ascii_case(self.beginning.as_bytes()) {
            return None;
        }
        let mut captures = HostCaptures::default();
        let fixed = match self.star {
            Star::Nowhere | Star::Last => host.name,
            Star::First => last_labels(host.name, self.labels.len())?,
        };
        let mut left = Some(fixed);
        for pattern in &self.labels {
            let (label, after) = cut(left?, b'.');
            find_label(pattern, label, &mut captures)?;
            left = after;
        }
        (left.is_some() == (self.star == Star::Last)).then_some(captures)
    }

    /// Whether `{model}` stands in it.
    pub fn holds_model(&self) -> bool {
        self.parts().any(|part| *part == Part::Model)
    }

    /// Whether `{env}` stands in it.
    pub fn holds_env(&self) -> bool {
        self.parts().any(|part| *part == Part::Env)
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.labels.iter().flatten()
    }

    /// How narrow it is.
    pub const fn rank(&self) -> HostRank {
        self.rank
    }

    /// Whether some host may fit both, given that both are equally narrow. Never false when there is such a host.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (one, other) = (&self.labels, &other.labels);
        match self.star {
            Star::Nowhere => {
                one.len() == other.len() && one.iter().zip(other).all(|(a, b)| labels_overlap(a, b))
            }
            Star::Last => one.iter().zip(other).all(|(a, b)| labels_overlap(a, b)),
            Star::First => one
                .iter()
                .rev()
                .zip(other.iter().rev())
                .all(|(a, b)| labels_overlap(a, b)),
        }
    }
}

fn labels_overlap(one: &[Part], other: &[Part]) -> bool {
    for (one, other) in one.iter().zip(other) {
        match (one, other) {
            // All that follows is open.
            (Part::Env, _) | (_, Part::Env) => return true,
            (Part::Text(one), Part::Text(other)) if one != other => return false,
            _ => {}
        }
    }
    one.len() == other.len()
}

fn parse_address(text: &str) -> Result<HostPattern, String> {
    match RequestHost::parse(text) {
        Some(host) if host.name() == text => {
            let label = [Part::Text(text.to_ascii_lowercase().into())];
            Ok(HostPattern::new([label.into()].into(), Star::Nowhere))
        }
        _ => Err(format!("`{}` is no address", text.escape_debug())),
    }
}

fn parse_label(label: &str) -> Result<Box<[Part]>, String> {
    match label {
        "*" => return Err("`*` stands only for the first or the last labels".to_owned()),
        "" => return Err("a label is empty".to_owned()),
        _ => {}
    }
    let parts: Box<[Part]> = label.split('-').map(parse_part).collect::<Result<_, _>>()?;
    if let Some((_, earlier)) = parts.split_last()
        && earlier.contains(&Part::Env)
    {
        return Err("`{env}` stands only at the end of a label".to_owned());
    }
    Ok(parts)
}

fn parse_part(part: &str) -> Result<Part, String> {
    match part {
        "{model}" => Ok(Part::Model),
        "{env}" => Ok(Part::Env),
        text if text.contains(['{', '}', '*']) => Err(format!(
            "`{}`: a host knows `{{model}}` and `{{env}}`, each alone between `-` and `.`",
            text.escape_debug()
        )),
        text if text.bytes().all(is_name_byte) => Ok(Part::Text(text.to_ascii_lowercase().into())),
        text => Err(format!("`{}` is no part of a host", text.escape_debug())),
    }
}

fn find_label<'r>(pattern: &[Part], label: &'r str, captures: &mut HostCaptures<'r>) -> Option<()> {
    let mut left = Some(label);
    for part in pattern {
        let (text, after) = match part {
            Part::Env => (left?, None),
            Part::Text(_) | Part::Model => cut(left?, b'-'),
        };
        match part {
            Part::Text(expected) if expected.eq_ignore_ascii_case(text) => {}
            Part::Model if !text.is_empty() => captures.model = Some(text),
            Part::Env if !text.is_empty() => captures.env = Some(text),
            Part::Text(_) | Part::Model | Part::Env => return None,
        }
        left = after;
    }
    left.is_none().then_some(())
}

/// The last `count` labels of a host that has more than those.
fn last_labels(name: &str, count: usize) -> Option<&str> {
    let (dot, _) = name.rmatch_indices('.').nth(count.checked_sub(1)?)?;
    name.get(dot + 1..)
}
