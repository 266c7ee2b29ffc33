use std::fmt;

/// The name of a setting: `proxy.routes[2].path`. Elements of lists count from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<Step>);

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Into a table.
    Key(String),
    /// Into a list.
    Index(usize),
}

impl Path {
    /// The settings as a whole.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The path of these steps.
    pub const fn of(steps: Vec<Step>) -> Self {
        Self(steps)
    }

    /// The path that is written `text`, keys joined by dots.
    pub fn dotted(text: &str) -> Self {
        text.split('.')
            .fold(Self::root(), |path, key| path.key(key))
    }

    /// The entry `key` of the table here.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.join(Step::Key(key.to_owned()))
    }

    /// The element `index` of the list here.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.join(Step::Index(index))
    }

    /// The steps, from the outermost.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether this is `other`, or lies in it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Whether a secret stands here, in one of the forms of `SecretSource`.
    pub fn is_secret(&self) -> bool {
        match self.0.as_slice() {
            [Step::Key(section), Step::Key(key)] => section == "admin" && key == "token",
            [
                Step::Key(section),
                Step::Key(_),
                Step::Key(credential),
                Step::Key(key),
            ] => section == "upstreams" && credential == "credential" && key == "secret",
            [
                Step::Key(section),
                Step::Key(_),
                Step::Key(keys),
                Step::Index(_),
                inner @ ..,
            ] => section == "upstreams" && keys == "keys" && is_secret_of_key(inner),
            _ => false,
        }
    }

    fn join(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

/// Whether these steps lead from a key of an upstream to one of its secrets.
fn is_secret_of_key(steps: &[Step]) -> bool {
    let keys: Vec<&str> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Key(key) => Some(&**key),
            Step::Index(_) => None,
        })
        .collect();
    matches!(
        keys[..],
        ["value"]
            | ["azure_key_config", "client_secret"]
            | ["vertex_key_config", "auth_credentials"]
            | [
                "bedrock_key_config",
                "access_key" | "secret_key" | "session_token"
            ]
    )
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if place > 0 {
                        f.write_str(".")?;
                    }
                    f.write_str(&key_text(key))?;
                }
            }
        }
        Ok(())
    }
}

/// `key` as TOML writes it: bare where that is allowed. Always on one line.
pub fn key_text(key: &str) -> String {
    let is_bare = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if is_bare {
        key.to_owned()
    } else {
        format!("\"{}\"", key.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_toml_writes_it() {
        let path = Path::dotted("proxy.routes").index(2).key("path");
        assert_eq!(path.to_string(), "proxy.routes[2].path");
        let odd = Path::dotted("upstreams").key("a.b\n");
        assert_eq!(odd.to_string(), "upstreams.\"a.b\\n\"");
    }
}
