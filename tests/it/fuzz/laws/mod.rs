//! What holds for all bytes at each door, with the inputs that once mattered.
//!
//! Nothing here knows how inputs are made: a law takes any bytes.

pub mod body;
mod credential;
mod form;
pub mod head;
mod host;
mod path;

/// A place where bytes come in.
pub struct Door {
    pub name: &'static str,
    /// Inputs, one a line, as [`unescape`] reads them.
    pub corpus: &'static str,
    /// Bytes that mean something here.
    pub likely: &'static [u8],
    /// Panics when something does not hold for these bytes.
    pub law: fn(&[u8]),
}

pub const DOORS: [Door; 6] = [
    Door {
        name: "body",
        corpus: include_str!("../corpus/body.txt"),
        likely: b"{}[]\",:\\ model12u006dM\0\xef\xbb\xbf",
        law: body::law,
    },
    Door {
        name: "credential",
        corpus: include_str!("../corpus/credential.txt"),
        likely: b":| ,;KL=\tbearer-_.",
        law: credential::law,
    },
    Door {
        name: "form",
        corpus: include_str!("../corpus/form.txt"),
        likely: b"\r\n-B\";:= model\\m12\0\xff",
        law: form::law,
    },
    Door {
        name: "head",
        corpus: include_str!("../corpus/head.txt"),
        likely: b"\r\n\t \0:;,+-0129afxX_.GPH\x7f\x80\xa0\xff",
        law: head::law,
    },
    Door {
        name: "host",
        corpus: include_str!("../corpus/host.txt"),
        likely: b"model-1.chain:[]@/,%2e_ A0",
        law: host::law,
    },
    Door {
        name: "path",
        corpus: include_str!("../corpus/path.txt"),
        likely: b"/.%2fF5c;\\?#model m1",
        law: path::law,
    },
];

impl Door {
    /// The inputs of the corpus.
    pub fn inputs(&self) -> Vec<Vec<u8>> {
        let lines = self.corpus.lines().filter(|line| !line.starts_with('#'));
        lines.map(unescape).collect()
    }
}

/// An input out of a line: bytes that are not plain ASCII, and `<`, are hexadecimal digits within `<` and `>`.
fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split('<');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, plain) = part.split_once('>').expect("a closing `>`");
        for digits in digits.as_bytes().chunks(2) {
            let digits = str::from_utf8(digits).expect("ASCII");
            bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
        }
        bytes.extend(plain.bytes());
    }
    bytes
}
