//! Two other readers of the same rules: one by hand, over the whole body at once, and one by serde.

use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::DEPTH;

/// The model by a reader that holds everything: characters, decoded names, all members.
pub fn by_hand(body: &[u8]) -> Option<String> {
    let text: Vec<char> = str::from_utf8(body).ok()?.chars().collect();
    let mut reader = Reader { text, at: 0 };
    reader.space();
    if reader.peek() != Some('{') {
        return None;
    }
    let Value::Object(members) = reader.value(1)? else {
        return None;
    };
    reader.space();
    if reader.peek().is_some() {
        return None;
    }
    let mut models = Vec::new();
    for (name, value) in members {
        if String::from_utf16(&name).is_ok_and(|name| name == "model") {
            models.push(value);
        } else if can_be_read_as_model(&name) {
            return None;
        }
    }
    match <[Value; 1]>::try_from(models) {
        Ok([Value::Text(model)]) => {
            let model = String::from_utf16(&model).ok()?;
            let is_usable =
                (1..=256).contains(&model.len()) && !model.chars().any(char::is_control);
            is_usable.then_some(model)
        }
        _ => None,
    }
}

/// `Default_Ignorable_Code_Point` of Unicode's DerivedCoreProperties.txt, and the rest of the specials, which stand for
/// what is no character.
const IGNORABLE: [RangeInclusive<u32>; 18] = [
    0xad..=0xad,
    0x34f..=0x34f,
    0x61c..=0x61c,
    0x115f..=0x1160,
    0x17b4..=0x17b5,
    0x180b..=0x180f,
    0x200b..=0x200f,
    0x202a..=0x202e,
    0x2060..=0x206f,
    0x3164..=0x3164,
    0xfe00..=0xfe0f,
    0xfeff..=0xfeff,
    0xffa0..=0xffa0,
    0xfff0..=0xfff8,
    0xfff9..=0xffff,
    0x1bca0..=0x1bca3,
    0x1d173..=0x1d17a,
    0xe0000..=0xe0fff,
];

/// By any of: cut at the first NUL or half pair, or without them; without what is not seen; in any case.
fn can_be_read_as_model(name: &[u16]) -> bool {
    let chars: Vec<Option<char>> = char::decode_utf16(name.iter().copied())
        .map(Result::ok)
        .collect();
    let cuts = |char: &Option<char>| char.is_none_or(|char| char == '\0');
    let ends = chars
        .iter()
        .enumerate()
        .filter(|(_, char)| cuts(char))
        .map(|(at, _)| at);
    ends.chain([chars.len()]).any(|end| {
        let is_unseen = |char: &char| {
            char.is_whitespace()
                || char.is_control()
                || IGNORABLE
                    .iter()
                    .any(|range| range.contains(&u32::from(*char)))
        };
        let seen = chars[..end]
            .iter()
            .flatten()
            .filter(|char| !is_unseen(char));
        seen.collect::<String>().eq_ignore_ascii_case("model")
    })
}

enum Value {
    Object(Vec<(Vec<u16>, Value)>),
    Text(Vec<u16>),
    Other,
}

struct Reader {
    text: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let found = self.peek().filter(|char| wanted(*char))?;
        self.at += 1;
        Some(found)
    }

    fn expect(&mut self, text: &str) -> Option<()> {
        text.chars()
            .try_for_each(|char| self.take(|found| found == char).map(|_| ()))
    }

    fn space(&mut self) {
        while self.take(|char| " \t\r\n".contains(char)).is_some() {}
    }

    fn value(&mut self, depth: u16) -> Option<Value> {
        self.space();
        let value = match self.peek()? {
            '{' if depth <= DEPTH => Value::Object(self.members(depth)?),
            '[' if depth <= DEPTH => self.items(depth)?,
            '"' => Value::Text(self.string()?),
            't' => self.expect("true").map(|()| Value::Other)?,
            'f' => self.expect("false").map(|()| Value::Other)?,
            'n' => self.expect("null").map(|()| Value::Other)?,
            _ => self.number().map(|()| Value::Other)?,
        };
        self.space();
        Some(value)
    }

    fn members(&mut self, depth: u16) -> Option<Vec<(Vec<u16>, Value)>> {
        self.expect("{")?;
        let mut members = Vec::new();
        self.space();
        if self.expect("}").is_some() {
            return Some(members);
        }
        loop {
            self.space();
            let name = self.string()?;
            self.space();
            self.expect(":")?;
            members.push((name, self.value(depth + 1)?));
            if self.take(|char| ",}".contains(char))? == '}' {
                return Some(members);
            }
        }
    }

    fn items(&mut self, depth: u16) -> Option<Value> {
        self.expect("[")?;
        self.space();
        if self.expect("]").is_some() {
            return Some(Value::Other);
        }
        loop {
            self.value(depth + 1)?;
            if self.take(|char| ",]".contains(char))? == ']' {
                return Some(Value::Other);
            }
        }
    }

    fn string(&mut self) -> Option<Vec<u16>> {
        self.expect("\"")?;
        let mut units = Vec::new();
        loop {
            let char = self.take(|char| char >= ' ')?;
            match char {
                '"' => return Some(units),
                '\\' => units.push(self.escape()?),
                char => units.extend(char.encode_utf16(&mut [0; 2]).iter()),
            }
        }
    }

    fn escape(&mut self) -> Option<u16> {
        let plain = match self.take(|_| true)? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let digits: Option<String> = (0..4)
                    .map(|_| self.take(|char| char.is_ascii_hexdigit()))
                    .collect();
                return u16::from_str_radix(&digits?, 16).ok();
            }
            char => Some(char).filter(|char| "\"\\/".contains(*char))?,
        };
        u16::try_from(u32::from(plain)).ok()
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.expect("-");
        if self.expect("0").is_none() {
            self.take(|char| ('1'..='9').contains(&char))?;
            self.digits();
        }
        if self.expect(".").is_some() && self.digits() == 0 {
            return None;
        }
        if self.take(|char| "eE".contains(char)).is_some() {
            self.take(|char| "+-".contains(char));
            return (self.digits() > 0).then_some(());
        }
        Some(())
    }

    fn digits(&mut self) -> usize {
        let begun = self.at;
        while self.take(|char| char.is_ascii_digit()).is_some() {}
        self.at - begun
    }
}

/// A member's name as it stands: half a surrogate pair has no text, and is a name to many readers.
struct Name(Vec<u8>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Name;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a name")
            }

            fn visit_bytes<E>(self, name: &[u8]) -> Result<Name, E> {
                Ok(Name(name.to_vec()))
            }
        }
        from.deserialize_bytes(Bytes)
    }
}

/// The model by serde: `None` when the body is no object in JSON and UTF-8, names it twice or not at all, or not by a
/// text. It knows nothing of other spellings, of depth or of what a name may hold.
pub fn by_serde(body: &[u8]) -> Option<String> {
    struct Model;
    impl<'de> Visitor<'de> for Model {
        type Value = String;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<String, A::Error> {
            let mut model = None;
            while let Some(Name(name)) = members.next_key()? {
                if name != b"model" {
                    members.next_value::<IgnoredAny>()?;
                } else if model.replace(members.next_value::<String>()?).is_some() {
                    return Err(A::Error::duplicate_field("model"));
                }
            }
            model.ok_or_else(|| A::Error::missing_field("model"))
        }
    }
    str::from_utf8(body).ok()?;
    let mut reader = serde_json::Deserializer::from_slice(body);
    let model = reader.deserialize_map(Model).ok()?;
    reader.end().ok()?;
    Some(model)
}
