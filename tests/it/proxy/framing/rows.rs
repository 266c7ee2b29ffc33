//! The table of bytes, read.

/// One row of `rows.txt`.
pub struct Row {
    pub name: &'static str,
    /// What each request becomes, in order.
    pub answers: Vec<Expected>,
    pub end: End,
    bytes: &'static str,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// It reaches the upstream whole, with this body, and is answered 200.
    Forwarded(Vec<u8>),
    /// It is answered so.
    Refused(u16),
}

/// What ends a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Nothing: the next request is answered.
    GoesOn,
    /// The guard, for this reason.
    Guard(&'static str),
    /// hyper.
    Hyper,
    /// The last request itself.
    Last,
    /// More is wanted.
    Open,
}

/// Every row.
pub fn all() -> Vec<Row> {
    let lines = include_str!("rows.txt").lines();
    let rows = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(read).collect()
}

fn read(line: &'static str) -> Row {
    let mut parts = line.splitn(3, " | ");
    let mut part = || parts.next().unwrap_or_else(|| panic!("not a row: {line}"));
    let (expected, name, bytes) = (part(), part().trim(), part());
    let mut row = Row {
        name,
        answers: Vec::new(),
        end: End::GoesOn,
        bytes,
    };
    for word in expected.split_whitespace() {
        match (word.strip_prefix('='), word.parse()) {
            (Some(body), _) => row.answers.push(Expected::Forwarded(unescape(body))),
            (None, Ok(status)) => row.answers.push(Expected::Refused(status)),
            (None, Err(_)) => {
                row.end = match word {
                    "last" => End::Last,
                    "hyper" => End::Hyper,
                    "..." => End::Open,
                    reason => End::Guard(reason),
                }
            }
        }
    }
    row
}

impl Row {
    /// The bytes, for a caller whose key is `key`.
    pub fn bytes(&self, key: &str) -> Vec<u8> {
        let mut text = self.bytes.to_owned();
        let te = "Transfer-Encoding: chunked\\r\\n";
        let post = "POST /models/m/predict HTTP/1.1\\r\\nHost: h\\r\\n{key}";
        let get = "GET /v1/models HTTP/1.1\\r\\nHost: h\\r\\n{key}";
        let credential = format!("Authorization: Bearer {key}\\r\\n");
        for (name, meant) in [
            ("{te}", te),
            ("{p}", post),
            ("{g}", get),
            ("{key}", &credential),
        ] {
            text = text.replace(name, meant);
        }
        unescape(&repeat(&text))
    }
}

/// Writes `{x*3}` as `xxx`, and `{fields*3}` as three lines.
fn repeat(text: &str) -> String {
    let Some(star) = text.find('*').filter(|star| text[*star..].contains('}')) else {
        return text.to_owned();
    };
    let (Some(open), Some(close)) = (text[..star].rfind('{'), text[star..].find('}')) else {
        return format!("{}{}", &text[..=star], repeat(&text[star + 1..]));
    };
    let what = &text[open + 1..star];
    let Ok(count) = text[star + 1..star + close].parse::<usize>() else {
        return format!("{}{}", &text[..=star], repeat(&text[star + 1..]));
    };
    let written = match what {
        "fields" => {
            let lines: Vec<String> = (0..count).map(|at| format!("X-{at}: b\\r\\n")).collect();
            lines.concat()
        }
        letter => letter.repeat(count),
    };
    let rest = repeat(&text[star + close + 1..]);
    format!("{}{written}{rest}", &text[..open])
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'x') => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).expect("two hexadecimal digits")
            }
            Some(other) => other,
            None => panic!("a backslash at the end: {text}"),
        });
    }
    bytes
}
