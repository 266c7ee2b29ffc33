//! HTTP/2 frame by frame: what is no request reaches nobody, and what is made to keep us busy ends its connection
//! (RFC 9113; SECURITY F14 to F16, P10, P11).

mod floods;
mod rows;

use crate::support::keyward::TestKey;

/// Fields of a request, as bytes.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn field(name: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

/// A good `POST`.
fn good(key: &TestKey) -> Fields {
    vec![
        field(":method", "POST"),
        field(":scheme", "http"),
        field(":authority", "h"),
        field(":path", "/models/m/predict"),
        field("authorization", &format!("Bearer {}", key.text)),
    ]
}

fn block(fields: &Fields) -> Vec<u8> {
    let fields = fields.iter().map(|(name, value)| (&**name, &**value));
    crate::support::frames::block(fields)
}
