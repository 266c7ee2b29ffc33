//! The places beside host and path that name a model: a header, a parameter of the query. The body is `body`'s matter.

use std::borrow::Cow;

use http::HeaderName;

use super::ModelPlace;
use crate::key::MAX_MODEL_BYTES;
use crate::message::Fields;

/// Where the requests of a route name their model, beside host and path.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    headers: Box<[HeaderName]>,
    parameters: Box<[String]>,
    pub body: bool,
    pub form: bool,
}

impl Places {
    /// Whether a header or a parameter of the query is one.
    pub fn are_in_head(&self) -> bool {
        !self.headers.is_empty() || !self.parameters.is_empty()
    }

    /// Reads the places as they are written.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them, in words.
    pub fn parse(written: &[ModelPlace]) -> Result<Self, String> {
        let mut places = Self::default();
        let (mut headers, mut parameters) = (Vec::new(), Vec::new());
        for (at, place) in written.iter().enumerate() {
            if written[..at].contains(place) {
                return Err("names a place twice".to_owned());
            }
            match place {
                ModelPlace::Body => places.body = true,
                ModelPlace::Form => places.form = true,
                ModelPlace::Header(name) => {
                    let parsed = HeaderName::from_bytes(name.as_bytes());
                    headers.push(
                        parsed.map_err(|_| {
                            format!("`{}` is no header's name", name.escape_debug())
                        })?,
                    );
                }
                ModelPlace::Query(name) => {
                    let is_plain =
                        |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                    if name.is_empty() || !name.bytes().all(is_plain) {
                        return Err(format!(
                            "`{}` is no parameter's name: letters, digits, `-`, `_` and `.`",
                            name.escape_debug()
                        ));
                    }
                    parameters.push(name.clone());
                }
            }
        }
        places.headers = headers.into();
        places.parameters = parameters.into();
        Ok(places)
    }

    /// What a request's head names in these places.
    ///
    /// # Errors
    ///
    /// Why it can be read in two ways, or in none.
    pub fn read<'r>(
        &self,
        headers: &'r Fields,
        query: Option<&'r str>,
    ) -> Result<Vec<Cow<'r, str>>, &'static str> {
        let mut found = Vec::new();
        for name in &self.headers {
            found.extend(in_header(headers, name)?.map(Cow::Borrowed));
        }
        for name in &self.parameters {
            found.extend(in_query(query.unwrap_or_default(), name)?.map(Cow::Owned));
        }
        Ok(found)
    }
}

fn in_header<'r>(headers: &'r Fields, name: &HeaderName) -> Result<Option<&'r str>, &'static str> {
    // CGI and its heirs read `-`, `_` and `.` alike (SECURITY C7).
    let plain = |byte: u8| {
        if matches!(byte, b'_' | b'.') {
            b'-'
        } else {
            byte
        }
    };
    let reads_alike = |other: &HeaderName| {
        other.as_str().len() == name.as_str().len()
            && other
                .as_str()
                .bytes()
                .map(plain)
                .eq(name.as_str().bytes().map(plain))
    };
    if headers
        .keys()
        .any(|other| other != name && reads_alike(other))
    {
        return Err("the header that names the model is spelled in another way");
    }
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err("the header that names the model comes more than once");
    }
    let model = str::from_utf8(value.as_bytes()).ok();
    let model = model.filter(|model| is_usable(model) && !model.contains(','));
    model
        .map(Some)
        .ok_or("the header that names the model holds no usable name")
}

fn in_query(query: &str, name: &str) -> Result<Option<String>, &'static str> {
    const SPELLED: &str = "the parameter that names the model is spelled in another way";
    const UNUSABLE: &str = "the parameter that names the model holds no usable name";
    let mut model = None;
    for parameter in query.split('&') {
        let (written, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if written == name {
            // `+` is a space to some servers, and `;` ends a parameter.
            let decoded = decode(value).filter(|model| is_usable(model));
            let decoded = decoded
                .filter(|_| !value.contains(['+', ';']))
                .ok_or(UNUSABLE)?;
            if model.replace(decoded).is_some() {
                return Err("the parameter that names the model comes more than once");
            }
        } else if parameter.split(';').any(|part| reads_as(part, name)) {
            return Err(SPELLED);
        }
    }
    Ok(model)
}

/// Whether some server takes a parameter for `name`: in other case, with escapes, as a list (`name[]`), with what is not
/// seen around it, or cut at a NUL.
fn reads_as(parameter: &str, name: &str) -> bool {
    let written = parameter.split('=').next().unwrap_or_default();
    let decoded = decode(&written.replace('+', " ")).unwrap_or_else(|| written.to_owned());
    let seen = decoded.split(['\0', '[']).next().unwrap_or_default().trim();
    seen.eq_ignore_ascii_case(name)
}

/// Takes the escapes out of a text (RFC 3986 2.1); `None` when one is broken, or the text is no UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(decoded).ok()
}

fn is_usable(model: &str) -> bool {
    (1..=MAX_MODEL_BYTES).contains(&model.len()) && !model.chars().any(char::is_control)
}
