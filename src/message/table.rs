use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Fields, Value};

/// A table of fields: a request's, or an answer's or a trailer's in the `http` crate's own.
pub trait Table {
    /// The names, in order; of a name that comes again, at least once.
    fn names(&self) -> impl Iterator<Item = &HeaderName>;

    /// The values of the field `name`, in order.
    fn values<'t>(&'t self, name: &HeaderName) -> impl Iterator<Item = Value<'t>>;

    /// Takes all fields of this name off.
    fn take_off(&mut self, name: &HeaderName);

    /// Puts a field in, in place of all others of its name.
    fn put(&mut self, name: &HeaderName, value: HeaderValue);
}

impl Table for Fields {
    fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.keys()
    }

    fn values<'t>(&'t self, name: &HeaderName) -> impl Iterator<Item = Value<'t>> {
        self.get_all(name)
    }

    fn take_off(&mut self, name: &HeaderName) {
        self.remove(name);
    }

    fn put(&mut self, name: &HeaderName, value: HeaderValue) {
        self.insert(name, value);
    }
}

impl Table for HeaderMap {
    fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.keys()
    }

    /// Whether there are any is seen by a look at each name: a head has a handful, mostly there are none, and comparing as many
    /// names costs less than hashing one. At most as many looks as a head may have fields.
    fn values<'t>(&'t self, name: &HeaderName) -> impl Iterator<Item = Value<'t>> {
        let is_there = self.keys().any(|field| field == name);
        let values = is_there.then(|| self.get_all(name).into_iter());
        values.into_iter().flatten().map(Value::from)
    }

    fn take_off(&mut self, name: &HeaderName) {
        self.remove(name);
    }

    fn put(&mut self, name: &HeaderName, value: HeaderValue) {
        self.insert(name, value);
    }
}

/// The values of the field `name`, in order.
pub fn values_of<'t, T: Table>(table: &'t T, name: &HeaderName) -> impl Iterator<Item = Value<'t>> {
    table.values(name)
}

/// The one value of the field `name`; `None` when there is none, or more than one.
#[must_use]
pub fn only_value<'t, T: Table>(table: &'t T, name: &HeaderName) -> Option<Value<'t>> {
    let mut values = table.values(name);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}
