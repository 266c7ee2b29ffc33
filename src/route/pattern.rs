use super::compile::did_you_mean;
use super::path::{check_canonical_name, is_plain};

/// The text that stands where a path pattern has a placeholder, as it came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PathCaptures<'r> {
    pub model: Option<&'r str>,
    pub env: Option<&'r str>,
    pub id: Option<&'r str>,
    pub rest: Option<&'r str>,
}

/// What stands in braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholder {
    /// The model that is called.
    Model,
    /// An environment, such as `production`.
    Env,
    /// Any other segment, such as a deployment.
    Id,
    /// Everything that follows: one segment or more.
    Rest,
}

/// One segment of a path pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// Exactly this.
    Text(Box<str>),
    /// Text of the caller's between two texts of ours, mostly empty: `{model}:generateContent`.
    Open {
        before: Box<str>,
        what: Placeholder,
        after: Box<str>,
    },
    /// Everything that follows.
    Rest,
}

/// Which paths a route is for: `/models/{model}/predict`, `/files/{rest}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathPattern {
    pub segments: Box<[Segment]>,
}

/// How narrow a pattern is: of each segment its kind, then how much text of ours it holds; compared from the left.
/// Greater is narrower.
pub(super) type PathRank = Vec<(u8, usize)>;

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let segments = parse_segments(text)?;
        if let Some((_, earlier)) = segments.split_last()
            && earlier.contains(&Segment::Rest)
        {
            return Err("`{rest}` stands only at the end".to_owned());
        }
        let pattern = Self { segments };
        for what in Placeholder::ALL {
            if pattern
                .placeholders()
                .filter(|&found| found == what)
                .count()
                > 1
            {
                return Err(format!("`{}` appears twice", what.name()));
            }
        }
        Ok(pattern)
    }

    /// Whether `what` stands in it.
    pub fn holds(&self, what: Placeholder) -> bool {
        self.placeholders().any(|found| found == what)
    }

    fn placeholders(&self) -> impl Iterator<Item = Placeholder> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Text(_) => None,
            Segment::Open { what, .. } => Some(*what),
            Segment::Rest => Some(Placeholder::Rest),
        })
    }

    /// How narrow it is.
    pub fn rank(&self) -> PathRank {
        let rank = |segment: &Segment| match segment {
            Segment::Text(_) => (3, 0),
            Segment::Open { before, after, .. } => (2, before.len() + after.len()),
            Segment::Rest => (1, 0),
        };
        self.segments.iter().map(rank).collect()
    }

    /// Whether some path may fit both, given that both are equally narrow. Never false when there is such a path.
    pub fn overlaps(&self, other: &Self) -> bool {
        let apart = |(one, other): (&Segment, &Segment)| match (one, other) {
            (Segment::Text(one), Segment::Text(other)) => one != other,
            (
                Segment::Open {
                    before: before1,
                    after: after1,
                    ..
                },
                Segment::Open {
                    before: before2,
                    after: after2,
                    ..
                },
            ) => {
                !(before1.starts_with(&**before2) || before2.starts_with(&**before1))
                    || !(after1.ends_with(&**after2) || after2.ends_with(&**after1))
            }
            _ => false,
        };
        !self.segments.iter().zip(&other.segments).any(apart)
    }
}

impl Segment {
    /// Notes what the placeholder finds in one segment of a path; `None` when the segment does not fit.
    pub fn find<'r>(&self, segment: &'r str, captures: &mut PathCaptures<'r>) -> Option<()> {
        let Self::Open {
            before,
            what,
            after,
        } = self
        else {
            return None;
        };
        let mut found = segment;
        // To compare with an empty text is no comparison, and costs more than one: it is nowhere in memory.
        if !(before.is_empty() && after.is_empty()) {
            found = segment.strip_prefix(&**before)?.strip_suffix(&**after)?;
            // What is left must be a name by itself; and if it held what ends it, two servers could end it at different
            // places.
            check_canonical_name(found).ok()?;
            if after.chars().next().is_some_and(|end| found.contains(end)) {
                return None;
            }
        }
        let slot = match what {
            Placeholder::Model => &mut captures.model,
            Placeholder::Env if !found.contains('%') => &mut captures.env,
            Placeholder::Id if !found.contains('%') => &mut captures.id,
            Placeholder::Env | Placeholder::Id | Placeholder::Rest => return None,
        };
        *slot = Some(found);
        Some(())
    }
}

impl Placeholder {
    pub const ALL: [Self; 4] = [Self::Model, Self::Env, Self::Id, Self::Rest];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "{model}",
            Self::Env => "{env}",
            Self::Id => "{id}",
            Self::Rest => "{rest}",
        }
    }
}

/// What goes on in place of a path: `/v1/{rest}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForwardTemplate(PathPattern);

impl ForwardTemplate {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        PathPattern::parse(text).map(Self)
    }

    /// The placeholders in it.
    pub fn placeholders(&self) -> impl Iterator<Item = Placeholder> {
        self.0.placeholders()
    }

    /// Writes the path; `text_of` gives the text of each placeholder.
    pub fn write(&self, path: &mut String, text_of: impl Fn(Placeholder, &mut String)) {
        if self.0.segments.is_empty() {
            path.push('/');
        }
        for segment in &self.0.segments {
            path.push('/');
            match segment {
                Segment::Text(text) => path.push_str(text),
                Segment::Open {
                    before,
                    what,
                    after,
                } => {
                    path.push_str(before);
                    text_of(*what, path);
                    path.push_str(after);
                }
                Segment::Rest => text_of(Placeholder::Rest, path),
            }
        }
    }
}

fn parse_segments(text: &str) -> Result<Box<[Segment]>, String> {
    let Some(segments) = text.strip_prefix('/') else {
        return Err("a path begins with `/`".to_owned());
    };
    if segments.is_empty() {
        return Ok([].into());
    }
    segments.split('/').map(parse_segment).collect()
}

fn parse_segment(segment: &str) -> Result<Segment, String> {
    if segment == Placeholder::Rest.name() {
        return Ok(Segment::Rest);
    }
    let Some((before, opened)) = segment.split_once('{') else {
        check_text(segment)?;
        return check_end(segment).map(|()| Segment::Text(segment.into()));
    };
    let (name, after) = opened
        .split_once('}')
        .ok_or_else(|| format!("`{}`: a brace is not closed", segment.escape_debug()))?;
    let what = match name {
        "model" => Placeholder::Model,
        "env" => Placeholder::Env,
        "id" => Placeholder::Id,
        "rest" => return Err("`{rest}` stands alone".to_owned()),
        other => return Err(unknown_placeholder(other)),
    };
    if after.contains(['{', '}']) {
        return Err(format!(
            "`{}`: one placeholder for each segment",
            segment.escape_debug()
        ));
    }
    check_text(before)?;
    check_text(after)?;
    if !after.is_empty() {
        check_end(after)?;
    }
    Ok(Segment::Open {
        before: before.into(),
        what,
        after: after.into(),
    })
}

fn unknown_placeholder(name: &str) -> String {
    let written = format!("{{{name}}}");
    let mut hint = did_you_mean(&written, Placeholder::ALL.map(Placeholder::name));
    if hint.is_empty() {
        hint.push_str("; there are `{model}`, `{env}`, `{id}` and `{rest}`");
    }
    format!("`{}` is no placeholder{hint}", written.escape_debug())
}

fn check_text(text: &str) -> Result<(), String> {
    match text
        .chars()
        .find(|&char| !u8::try_from(char).is_ok_and(is_plain))
    {
        None => Ok(()),
        Some(bad) => Err(format!("a path may not hold `{}`", bad.escape_debug())),
    }
}

fn check_end(text: &str) -> Result<(), String> {
    match text {
        "" => Err("a segment is empty".to_owned()),
        _ if text.ends_with('.') => Err("a segment ends with a dot".to_owned()),
        _ => Ok(()),
    }
}
