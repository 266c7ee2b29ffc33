use http::{HeaderMap, HeaderName, HeaderValue};

/// The values of the field `name`, in order. Whether there are any is seen by a look at each name: a head has a handful, mostly
/// there are none, and comparing as many names costs less than hashing one. At most as many looks as a head may have fields.
pub fn values_of<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h HeaderValue> {
    let is_there = headers.keys().any(|field| field == name);
    let values = is_there.then(|| headers.get_all(name).into_iter());
    values.into_iter().flatten()
}

/// The one value of the field `name`; `None` when there is none, or more than one.
#[must_use]
pub fn only_value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = values_of(headers, name);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}
