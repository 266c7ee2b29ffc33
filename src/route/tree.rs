use super::path::cut;
use super::pattern::{PathCaptures, PathPattern, Segment};

/// The path patterns of a table, as a tree of their segments: looking up a path touches only patterns that begin as it
/// does. Each node is visited at most once, so that no path costs more than the table is large.
#[derive(Debug, Default)]
pub(super) struct PathTree<T> {
    /// Sorted by length, then by text: comparing lengths is cheap.
    texts: Vec<(Box<str>, PathTree<T>)>,
    opens: Vec<(Segment, PathTree<T>)>,
    here: Vec<T>,
    /// Those whose pattern goes on with `{rest}`.
    rest: Vec<T>,
}

impl<T> PathTree<T> {
    /// An empty tree.
    pub const fn new() -> Self {
        Self {
            texts: Vec::new(),
            opens: Vec::new(),
            here: Vec::new(),
            rest: Vec::new(),
        }
    }

    /// Puts `value` where `pattern` leads.
    pub fn insert(&mut self, pattern: &PathPattern, value: T) {
        self.insert_below(&pattern.segments, value);
    }

    fn insert_below(&mut self, segments: &[Segment], value: T) {
        match segments {
            [] => self.here.push(value),
            [Segment::Rest, ..] => self.rest.push(value),
            [Segment::Text(text), more @ ..] => {
                let place = self.find_text(text);
                let place = place.unwrap_or_else(|place| {
                    self.texts.insert(place, (text.clone(), Self::new()));
                    place
                });
                self.texts[place].1.insert_below(more, value);
            }
            [open, more @ ..] => {
                let place = self.opens.iter().position(|(known, _)| known == open);
                let place = place.unwrap_or_else(|| {
                    self.opens.push((open.clone(), Self::new()));
                    self.opens.len() - 1
                });
                self.opens[place].1.insert_below(more, value);
            }
        }
    }

    fn find_text(&self, text: &str) -> Result<usize, usize> {
        let place_of = |known: &str| known.len().cmp(&text.len()).then_with(|| known.cmp(text));
        self.texts.binary_search_by(|(known, _)| place_of(known))
    }

    /// Shows `visit` every value whose pattern fits a canonical path, with what its placeholders found.
    pub fn visit<'t, 'r>(&'t self, path: &'r str, mut visit: impl FnMut(&'t T, &PathCaptures<'r>)) {
        let segments = path.strip_prefix('/').filter(|rest| !rest.is_empty());
        self.visit_below(segments, PathCaptures::default(), &mut visit);
    }

    fn visit_below<'t, 'r>(
        &'t self,
        segments: Option<&'r str>,
        captures: PathCaptures<'r>,
        visit: &mut impl FnMut(&'t T, &PathCaptures<'r>),
    ) {
        let Some(segments) = segments else {
            self.here.iter().for_each(|value| visit(value, &captures));
            return;
        };
        let (segment, more) = cut(segments, b'/');
        if let Ok(place) = self.find_text(segment) {
            self.texts[place].1.visit_below(more, captures, visit);
        }
        for (open, below) in &self.opens {
            let mut captures = captures;
            if open.find(segment, &mut captures).is_some() {
                below.visit_below(more, captures, visit);
            }
        }
        if !self.rest.is_empty() && !segments.contains('%') {
            let captures = PathCaptures {
                rest: Some(segments),
                ..captures
            };
            self.rest.iter().for_each(|value| visit(value, &captures));
        }
    }
}
