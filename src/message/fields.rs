use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// A message's fields, in order. A name may come more than once.
///
/// A head has a handful of them, and may have as many as the settings say: to find one by a look at each name costs less than
/// to keep a table that is sought by hash. Who takes many off takes them off together.
#[derive(Clone, Default)]
pub struct Fields {
    /// The head that those stand in that came with it.
    head: Bytes,
    all: Vec<Field>,
}

#[derive(Clone)]
struct Field {
    name: HeaderName,
    value: Text,
}

#[derive(Clone)]
enum Text {
    /// It stands there in the head.
    Came(Range<usize>),
    /// It is no part of the head: ours, or one of HTTP/2.
    Apart(HeaderValue),
}

impl Text {
    fn within<'f>(&'f self, head: &'f Bytes) -> Value<'f> {
        match self {
            Self::Came(place) => Value(head.get(place.clone()).unwrap_or_default()),
            Self::Apart(value) => value.into(),
        }
    }

    /// A value of its own, which holds the head for as long as there is one of those that stand in it.
    fn apart(self, head: &Bytes) -> Option<HeaderValue> {
        match self {
            Self::Came(place) => {
                let text = head.get(place).map(|text| head.slice_ref(text));
                text.and_then(|text| HeaderValue::from_maybe_shared(text).ok())
            }
            Self::Apart(value) => Some(value),
        }
    }
}

/// The value of a field (RFC 9110, 5.5). What it says is never shown: it may be a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value<'f>(&'f [u8]);

impl<'f> Value<'f> {
    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'f [u8] {
        self.0
    }

    /// Its text; `None` when it is more than visible ASCII, spaces and tabs.
    #[must_use]
    pub fn to_str(self) -> Option<&'f str> {
        let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
        let text = self.0.iter().all(is_text).then_some(self.0);
        text.and_then(|text| str::from_utf8(text).ok())
    }
}

impl<'f> From<&'f HeaderValue> for Value<'f> {
    fn from(value: &'f HeaderValue) -> Self {
        Self(value.as_bytes())
    }
}

impl PartialEq<str> for Value<'_> {
    fn eq(&self, text: &str) -> bool {
        self.0 == text.as_bytes()
    }
}

impl PartialEq<&str> for Value<'_> {
    fn eq(&self, text: &&str) -> bool {
        self == *text
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

/// Where in a head its fields stand, while it is read.
#[derive(Default)]
pub struct Places(Fields);

impl Places {
    /// With room that was used before, if there is some.
    #[must_use]
    pub fn new() -> Self {
        let all = SPARE.with_borrow_mut(Vec::pop);
        let all = all.unwrap_or_else(|| Vec::with_capacity(USUAL_FIELDS));
        let head = Bytes::new();
        Self(Fields { head, all })
    }

    /// Notes a field, whose value stands there, and is one that a field can have.
    pub fn note(&mut self, name: HeaderName, value: Range<usize>) {
        let value = Text::Came(value);
        self.0.all.push(Field { name, value });
    }

    /// The fields of that head.
    #[must_use]
    pub fn within(self, head: Bytes) -> Fields {
        let Self(mut fields) = self;
        fields.head = head;
        debug_assert!(
            fields
                .iter()
                .all(|(_, value)| HeaderValue::from_bytes(value.as_bytes()).is_ok()),
            "whoever reads a head has judged what stands in it"
        );
        fields
    }
}

/// As many fields there is room for without growing: those of most heads, and some of ours that join them.
const USUAL_FIELDS: usize = 24;
/// Room for more than this is not kept, nor for less than that.
const MOST_FIELDS_KEPT: usize = 64;
/// So many are kept by each thread: a head is read and written between two waits, so that few are on their way back at once.
const MOST_KEPT: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<Vec<Field>>> = const { RefCell::new(Vec::new()) };
}

impl Drop for Fields {
    /// Room that nobody needs any more is the next that is needed.
    fn drop(&mut self) {
        if !(USUAL_FIELDS..=MOST_FIELDS_KEPT).contains(&self.all.capacity()) {
            return;
        }
        let mut room = mem::take(&mut self.all);
        room.clear();
        // A thread that ends keeps nothing.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MOST_KEPT {
                spare.push(room);
            }
        });
    }
}

impl Fields {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are, those counted again whose name comes again.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The fields.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, Value<'_>)> {
        let all = self.all.iter();
        all.map(|field| (&field.name, field.value.within(&self.head)))
    }

    /// Their names; one that comes again comes again here.
    pub fn keys(&self) -> impl Iterator<Item = &HeaderName> {
        self.all.iter().map(|field| &field.name)
    }

    /// The values of the field `name`, in order.
    pub fn get_all<'f>(&'f self, name: &HeaderName) -> impl Iterator<Item = Value<'f>> {
        let named = self.all.iter().filter(move |field| field.name == *name);
        named.map(|field| field.value.within(&self.head))
    }

    /// The first value of the field `name`.
    #[must_use]
    pub fn get(&self, name: &HeaderName) -> Option<Value<'_>> {
        self.get_all(name).next()
    }

    /// The one value of the field `name`; `None` when there is none, or more than one.
    #[must_use]
    pub fn only(&self, name: &HeaderName) -> Option<Value<'_>> {
        let mut values = self.get_all(name);
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// Whether there is a field of this name.
    #[must_use]
    pub fn contains_key(&self, name: &HeaderName) -> bool {
        self.keys().any(|field| field == name)
    }

    /// Puts a field behind the others.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        let value = Text::Apart(value);
        self.all.push(Field { name, value });
    }

    /// Puts a field in place of the first of its name, or behind the others; others of its name go.
    pub fn insert(&mut self, name: &HeaderName, value: HeaderValue) {
        let place = self.all.iter().position(|field| field.name == *name);
        let Some(place) = place else {
            return self.append(name.clone(), value);
        };
        let mut at = 0;
        self.all.retain_mut(|field| {
            let is_kept = at <= place || field.name != *name;
            at += 1;
            is_kept
        });
        if let Some(field) = self.all.get_mut(place) {
            field.value = Text::Apart(value);
        }
    }

    /// Puts all fields of another table behind the others, which have none of their names.
    pub fn extend(&mut self, others: &Self) {
        for Field { name, value } in &others.all {
            if let Some(value) = value.clone().apart(&others.head) {
                self.append(name.clone(), value);
            }
        }
    }

    /// Takes all fields of this name off.
    pub fn remove(&mut self, name: &HeaderName) {
        self.retain(|other| other != name);
    }

    /// Takes all fields of these names off. Costs no look at each name for each of `names`, of which there may be as many.
    pub fn remove_all(&mut self, mut names: Vec<HeaderName>) {
        if names.is_empty() {
            return;
        }
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        self.retain(|name| {
            let found = names.binary_search_by(|other| other.as_str().cmp(name.as_str()));
            found.is_err()
        });
    }

    /// Takes all fields off whose names are not to be kept.
    pub fn retain(&mut self, mut is_kept: impl FnMut(&HeaderName) -> bool) {
        self.all.retain(|field| is_kept(&field.name));
    }
}

/// Names alone: a value may be a secret.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}

impl From<HeaderMap> for Fields {
    fn from(mut map: HeaderMap) -> Self {
        let Places(mut fields) = Places::new();
        let mut last = None;
        for (name, value) in map.drain() {
            // Of a name that comes again only the first value has it.
            last = name.or(last);
            if let Some(name) = &last {
                fields.append(name.clone(), value);
            }
        }
        fields
    }
}

impl From<Fields> for HeaderMap {
    /// A value that no field can have is left out, and what no table holds: neither ever came so far.
    fn from(mut fields: Fields) -> Self {
        // As many as are usual: of fields that repeat a name the table has room for more than it may be told of.
        let mut map = Self::with_capacity(fields.len().min(USUAL_FIELDS));
        for Field { name, value } in fields.all.drain(..) {
            if let Some(value) = value.apart(&fields.head) {
                let _ = map.try_append(name, value);
            }
        }
        map
    }
}

#[cfg(test)]
mod tests;
