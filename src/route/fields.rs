use http::{HeaderMap, HeaderName, HeaderValue};

/// The values of the field `name`, in order, found by a look at each field: a head has a handful, and comparing as many names
/// costs less than hashing one and following where it leads. At most as many looks as a head may have fields.
pub fn values_of<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h HeaderValue> {
    let is_it = move |(field, _): &(&HeaderName, &HeaderValue)| *field == name;
    headers.iter().filter(is_it).map(|(_, value)| value)
}

/// The one value of the field `name`; `None` when there is none, or more than one.
#[must_use]
pub fn only_value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = values_of(headers, name);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}
