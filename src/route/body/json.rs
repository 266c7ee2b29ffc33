use std::sync::Arc;

use super::BodyFault;
use super::name::{MemberKind, MemberName};
use super::number::Number;
use super::plain::plain_len;
use super::refused::{self, RefusedMembers};
use crate::key::MAX_MODEL_BYTES;

/// The deepest nesting there is room for.
pub(super) const MAX_DEPTH: u16 = 1024;

/// A strict reader of one JSON object (RFC 8259) that remembers its `model` and nothing else.
#[derive(Debug)]
pub(super) struct Json {
    state: State,
    text: Text,
    /// One bit for each container that is open: whether it is an object.
    objects: [u64; MAX_DEPTH as usize / 64],
    depth: u16,
    most: u16,
    name: MemberName,
    refused: Arc<RefusedMembers>,
    /// The list at the top whose name came last, where what it holds may not have every member.
    list: Option<usize>,
    /// The name that is being read, as far as one of the refused could be it.
    held_name: String,
    /// The first half of a surrogate pair whose second has not come.
    half: Option<u16>,
    pub model: Vec<u8>,
    found_at: Option<u64>,
    /// How many bytes there are once the piece in hand is read.
    end: u64,
}

/// What may come next.
#[derive(Debug, Clone, Copy)]
enum State {
    Start,
    FirstName,
    Name,
    Colon,
    FirstValue,
    Value,
    AfterValue,
    End,
    Text,
    Escape,
    Hex { digits: u8, code: u16 },
    Number(Number),
    Word(&'static [u8]),
}

/// What the text that is being read is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    /// The name of a member of the top object.
    TopName,
    /// The name of a member in a list of which not every one may be sent.
    ListedName,
    /// Any other name.
    Name,
    /// The top-level model.
    Model,
    /// Any other value.
    Value,
}

impl Text {
    /// Whether it is a name by which something may be refused.
    const fn is_name(self) -> bool {
        matches!(self, Self::TopName | Self::ListedName)
    }

    const fn is_remembered(self) -> bool {
        self.is_name() || matches!(self, Self::Model)
    }
}

impl Json {
    pub fn new(most: u16, refused: Arc<RefusedMembers>) -> Self {
        Self {
            state: State::Start,
            text: Text::Value,
            objects: [0; MAX_DEPTH as usize / 64],
            depth: 0,
            most: most.min(MAX_DEPTH),
            name: MemberName::new(),
            refused,
            list: None,
            held_name: String::new(),
            half: None,
            model: Vec::new(),
            found_at: None,
            end: 0,
        }
    }

    pub fn model(&self) -> Option<&str> {
        self.found_at.and_then(|_| str::from_utf8(&self.model).ok())
    }

    pub const fn found_at(&self) -> Option<u64> {
        self.found_at
    }

    #[cfg(test)]
    pub const fn held_of_name(&self) -> usize {
        self.held_name.len()
    }

    pub const fn finish(&self) -> Result<(), BodyFault> {
        match self.state {
            State::End => Ok(()),
            _ => Err(BodyFault::NotJson),
        }
    }

    /// Reads a piece, which holds whole characters.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), BodyFault> {
        self.end += piece.len() as u64;
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match self.state {
                State::Text => self.take_text(rest)?,
                State::Number(number) => self.take_number(number, rest)?,
                State::Escape => self.take_escape(byte).map(|()| after)?,
                State::Hex { digits, code } => self.take_hex(byte, digits, code).map(|()| after)?,
                State::Word(word) => self.take_word(word, byte).map(|()| after)?,
                _ if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') => after,
                state => self.take_structure(state, byte).map(|()| after)?,
            };
        }
        Ok(())
    }

    fn take_structure(&mut self, state: State, byte: u8) -> Result<(), BodyFault> {
        match (state, byte) {
            (State::AfterValue, b',') if self.is_in_object() => self.state = State::Name,
            (State::FirstName | State::Name, b'"') if self.depth == 1 => {
                self.name = MemberName::new();
                self.held_name.clear();
                self.begin_text(Text::TopName);
            }
            (State::FirstName | State::Name, b'"') if self.is_looked_at() => {
                self.held_name.clear();
                self.begin_text(Text::ListedName);
            }
            (State::FirstName | State::Name, b'"') => self.begin_text(Text::Name),
            (State::Colon, b':') | (State::AfterValue, b',') => self.state = State::Value,
            (State::FirstName, b'}') | (State::FirstValue, b']') => self.close(),
            (State::AfterValue, b'}') if self.is_in_object() => self.close(),
            (State::AfterValue, b']') if !self.is_in_object() => self.close(),
            (State::Start, b'{') => self.open(true)?,
            (State::Value | State::FirstValue, _) => self.begin_value(byte)?,
            (State::Start, _) => return Err(BodyFault::NotAnObject),
            (State::End, _) => return Err(BodyFault::MoreThanOne),
            _ => return Err(BodyFault::NotJson),
        }
        Ok(())
    }

    fn begin_value(&mut self, byte: u8) -> Result<(), BodyFault> {
        let is_model = self.text == Text::Model;
        match byte {
            b'"' if is_model => self.begin_text(Text::Model),
            b'"' => self.begin_text(Text::Value),
            b'{' | b'[' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' if is_model => {
                return Err(BodyFault::NotText);
            }
            b'{' => self.open(true)?,
            b'[' => self.open(false)?,
            b'-' => self.state = State::Number(Number::Sign),
            b'0'..=b'9' => self.state = State::Number(Number::begun(byte)),
            b't' => self.state = State::Word(b"rue"),
            b'f' => self.state = State::Word(b"alse"),
            b'n' => self.state = State::Word(b"ull"),
            _ => return Err(BodyFault::NotJson),
        }
        Ok(())
    }

    fn open(&mut self, is_object: bool) -> Result<(), BodyFault> {
        if self.depth == self.most {
            return Err(BodyFault::TooDeep);
        }
        let (word, bit) = (usize::from(self.depth / 64), 1 << (self.depth % 64));
        self.depth += 1;
        if is_object {
            self.objects[word] |= bit;
            self.state = State::FirstName;
        } else {
            self.objects[word] &= !bit;
            self.state = State::FirstValue;
        }
        Ok(())
    }

    const fn close(&mut self) {
        self.depth -= 1;
        self.state = match self.depth {
            0 => State::End,
            _ => State::AfterValue,
        };
    }

    fn is_in_object(&self) -> bool {
        let innermost = self.depth.saturating_sub(1);
        self.objects[usize::from(innermost / 64)] >> (innermost % 64) & 1 == 1
    }

    /// Whether the object that is being read stands in the list, and so that its names matter.
    fn is_looked_at(&self) -> bool {
        // The list, and no object with other lists.
        let is_list = self.objects[0] >> (refused::LIST - 1) & 1 == 0;
        self.list.is_some() && refused::is_looked_at(self.depth) && is_list
    }

    const fn begin_text(&mut self, text: Text) {
        self.text = text;
        self.state = State::Text;
    }

    /// Reads as much of a text as needs no thought, and the one byte that ends it.
    fn take_text<'p>(&mut self, piece: &'p [u8]) -> Result<&'p [u8], BodyFault> {
        let (plain, after) = piece.split_at(plain_len(piece));
        if !plain.is_empty() && self.text.is_remembered() {
            self.add_text(plain)?;
        }
        match after.split_first() {
            None => Ok(after),
            Some((b'\\', after)) => {
                self.state = State::Escape;
                Ok(after)
            }
            Some((byte, _)) if *byte < b' ' => Err(BodyFault::NotJson),
            Some((_, after)) => {
                self.end_text(self.end - after.len() as u64)?;
                Ok(after)
            }
        }
    }

    fn add_text(&mut self, plain: &[u8]) -> Result<(), BodyFault> {
        self.drop_half()?;
        if self.text == Text::TopName {
            self.name.push_text(plain);
        }
        if self.text.is_name() {
            // The gate lets whole characters through only.
            self.note_name(str::from_utf8(plain).unwrap_or_default());
            return Ok(());
        }
        if self.model.len() + plain.len() > MAX_MODEL_BYTES {
            return Err(BodyFault::Unusable);
        }
        self.model.extend_from_slice(plain);
        Ok(())
    }

    /// Remembers a part of a name, if names are refused: no more of it than tells it from all of them.
    fn note_name(&mut self, part: &str) {
        let Some(most) = self.refused.telling() else {
            return;
        };
        let room = most.saturating_sub(self.held_name.len());
        self.held_name.extend(part.chars().take(room));
    }

    /// Whether the name that was read is refused.
    fn is_refused(&self) -> bool {
        let (refused, name) = (&self.refused, &self.held_name);
        match (self.text, self.list) {
            (Text::TopName, _) => refused.is_at_top(name),
            (Text::ListedName, Some(list)) => refused.is_in_list(list, name),
            _ => false,
        }
    }

    fn add_char(&mut self, char: char) -> Result<(), BodyFault> {
        if self.text == Text::TopName {
            self.name.push(char);
        }
        if self.text.is_name() {
            self.note_name(char.encode_utf8(&mut [0; 4]));
            return Ok(());
        }
        self.add_text(char.encode_utf8(&mut [0; 4]).as_bytes())
    }

    /// Notes that no second half follows the first.
    fn drop_half(&mut self) -> Result<(), BodyFault> {
        match (self.half.take(), self.text) {
            (None, _) => Ok(()),
            (Some(_), Text::Model) => Err(BodyFault::Unusable),
            (Some(_), _) => {
                self.name.cut();
                Ok(())
            }
        }
    }

    fn end_text(&mut self, at: u64) -> Result<(), BodyFault> {
        self.drop_half()?;
        self.state = match self.text {
            Text::TopName | Text::ListedName | Text::Name => State::Colon,
            Text::Model | Text::Value => State::AfterValue,
        };
        if self.is_refused() {
            return Err(BodyFault::OtherName);
        }
        match self.text {
            Text::TopName => {
                self.list = self.refused.list(&self.held_name);
                match self.name.kind() {
                    MemberKind::Model if self.found_at.is_some() => {
                        return Err(BodyFault::Repeated);
                    }
                    MemberKind::LikeModel => return Err(BodyFault::Respelled),
                    MemberKind::Model => self.text = Text::Model,
                    MemberKind::Other => self.text = Text::Value,
                }
            }
            Text::Model => {
                let name = str::from_utf8(&self.model).unwrap_or_default();
                if !super::is_usable(name) {
                    return Err(BodyFault::Unusable);
                }
                self.found_at = Some(at);
                self.text = Text::Value;
            }
            Text::ListedName | Text::Name => self.text = Text::Value,
            Text::Value => {}
        }
        Ok(())
    }

    fn take_escape(&mut self, byte: u8) -> Result<(), BodyFault> {
        let char = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.state = State::Hex { digits: 0, code: 0 };
                return Ok(());
            }
            _ => return Err(BodyFault::NotJson),
        };
        self.state = State::Text;
        if self.text.is_remembered() {
            self.drop_half()?;
            self.add_char(char)?;
        }
        Ok(())
    }

    fn take_hex(&mut self, byte: u8, digits: u8, code: u16) -> Result<(), BodyFault> {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => return Err(BodyFault::NotJson),
        };
        let code = code << 4 | u16::from(value);
        if digits < 3 {
            let digits = digits + 1;
            self.state = State::Hex { digits, code };
            return Ok(());
        }
        self.state = State::Text;
        if self.text.is_remembered() {
            self.add_unit(code)?;
        }
        Ok(())
    }

    /// Takes one unit of UTF-16.
    fn add_unit(&mut self, unit: u16) -> Result<(), BodyFault> {
        if let (Some(first), 0xdc00..=0xdfff) = (self.half, unit) {
            self.half = None;
            let decoded = char::decode_utf16([first, unit]).next();
            return match decoded {
                Some(Ok(char)) => self.add_char(char),
                _ => Err(BodyFault::NotJson),
            };
        }
        self.drop_half()?;
        if let Some(char) = char::from_u32(u32::from(unit)) {
            return self.add_char(char);
        }
        self.half = Some(unit);
        // A second half alone never finds its first.
        if unit >= 0xdc00 {
            self.drop_half()
        } else {
            Ok(())
        }
    }

    fn take_word(&mut self, word: &'static [u8], byte: u8) -> Result<(), BodyFault> {
        match word.split_first() {
            Some((expected, rest)) if *expected == byte => {
                self.state = match rest {
                    [] => State::AfterValue,
                    rest => State::Word(rest),
                };
                Ok(())
            }
            _ => Err(BodyFault::NotJson),
        }
    }

    fn take_number<'p>(
        &mut self,
        mut number: Number,
        piece: &'p [u8],
    ) -> Result<&'p [u8], BodyFault> {
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            match number.then(byte) {
                Some(further) => number = further,
                None if number.is_whole() => {
                    self.state = State::AfterValue;
                    return Ok(rest);
                }
                None => return Err(BodyFault::NotJson),
            }
            rest = after;
        }
        self.state = State::Number(number);
        Ok(rest)
    }
}
