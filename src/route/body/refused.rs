//! The members of a body by which a server finds a model, beside `model`.

/// What a key for some models may not send in a JSON body, written as `name`, a member at its top, or as `list[].name`: a
/// member of what stands in the list of that name at its top, or of an object that is a member of such a one. Deeper there
/// are the schemas of tools, whose properties may be called anything.
#[derive(Debug, Default)]
pub(in crate::route) struct RefusedMembers {
    top: Vec<String>,
    /// By the list's name.
    within: Vec<(String, Vec<String>)>,
    longest: usize,
}

/// How deep a list at the top stands, and what it holds.
pub(super) const LIST: u16 = 2;
const ITEM: u16 = LIST + 1;
/// The names in objects that are members of what a list holds.
const DEEPEST: u16 = ITEM + 1;

impl RefusedMembers {
    /// # Errors
    ///
    /// The first that is written in no way.
    pub(in crate::route) fn of(written: &[String]) -> Result<Self, &str> {
        let mut members = Self::default();
        for whole in written {
            let (list, name) = match whole.split_once("[].") {
                Some((list, name)) => (Some(list), name),
                None => (None, whole.as_str()),
            };
            let is_name = |name: &str| !name.is_empty() && !name.contains(['[', ']']);
            if !is_name(name) || !list.is_none_or(is_name) {
                return Err(whole);
            }
            members.add(list, name);
        }
        Ok(members)
    }

    fn add(&mut self, list: Option<&str>, name: &str) {
        let longest = list.map_or(0, str::len).max(name.len());
        self.longest = self.longest.max(longest);
        let Some(list) = list else {
            return self.top.push(name.to_owned());
        };
        if let Some((_, names)) = self.within.iter_mut().find(|(known, _)| is(known, list)) {
            names.push(name.to_owned());
        } else {
            self.within.push((list.to_owned(), vec![name.to_owned()]));
        }
    }

    /// How much of a name tells it from all of these, in bytes; `None` when there are none.
    pub(super) fn telling(&self) -> Option<usize> {
        (self.longest > 0).then_some(self.longest + 1)
    }

    /// Whether no member at the top may be called so.
    pub(super) fn is_at_top(&self, name: &str) -> bool {
        self.top.iter().any(|refused| is(refused, name))
    }

    /// Which of the lists whose members are looked at is called so.
    pub(super) fn list(&self, name: &str) -> Option<usize> {
        self.within.iter().position(|(list, _)| is(list, name))
    }

    /// Whether in that list nothing may be called so.
    pub(super) fn is_in_list(&self, list: usize, name: &str) -> bool {
        let names = self.within.get(list).map(|(_, names)| names);
        names.is_some_and(|names| names.iter().any(|refused| is(refused, name)))
    }
}

/// Whether names in what a list holds are looked at so deep.
pub(super) const fn is_looked_at(depth: u16) -> bool {
    matches!(depth, ITEM..=DEEPEST)
}

/// Some readers compare without case.
fn is(refused: &str, name: &str) -> bool {
    refused.eq_ignore_ascii_case(name)
}
