//! HTTP/2 frame by frame (RFC 9113): a caller that may break every rule.

use std::net::SocketAddr;

use super::raw::RawConnection;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block in which each field is written out (RFC 7541 6.2.2), whatever its bytes.
pub fn block<'f>(fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            write_length(&mut block, text.len());
            block.extend(text);
        }
    }
    block
}

/// An integer with seven bits in its first byte (RFC 7541 5.1).
fn write_length(block: &mut Vec<u8>, length: usize) {
    let byte = |value: usize| u8::try_from(value & 0x7f).expect("seven bits");
    if length < 127 {
        block.push(byte(length));
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(byte(rest) | 128);
        rest >>= 7;
    }
    block.push(byte(rest));
}

/// The next frame of a connection; `None` when that has ended.
pub async fn read(connection: &mut RawConnection) -> Option<Frame> {
    let head = connection.try_read_exactly(9).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let length = usize::try_from(length).expect("24 bits");
    let payload = connection.try_read_exactly(length).await?;
    Some(Frame {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & (u32::MAX >> 1),
        payload,
    })
}

/// One connection.
#[derive(Debug)]
pub struct FrameCaller {
    connection: RawConnection,
}

impl FrameCaller {
    /// Connects, and says that nothing is set.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut connection = RawConnection::connect(address).await;
        connection.write(PREFACE).await;
        connection.write(frame(SETTINGS, 0, 0, &[])).await;
        Self { connection }
    }

    /// Writes bytes, unless the other side has closed.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.connection.try_write(bytes).await.is_ok()
    }

    /// The next frame; `None` when the connection has ended.
    pub async fn read(&mut self) -> Option<Frame> {
        read(&mut self.connection).await
    }

    /// Whether the connection has ended, as far as is known now.
    pub fn has_ended(&mut self) -> bool {
        self.connection.take_in()
    }

    /// What becomes of a stream.
    pub async fn fate(&mut self, stream: u32) -> Fate {
        loop {
            let Some(frame) = self.read().await else {
                return Fate::Closed;
            };
            match frame.kind {
                GOAWAY => return Fate::GoAway(code(&frame.payload[4..])),
                HEADERS if frame.stream == stream => return Fate::Answered(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => return Fate::Reset(code(&frame.payload)),
                _ => {}
            }
        }
    }
}

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was answered with this status.
    Answered(u16),
    /// It was reset, with this code.
    Reset(u32),
    /// The whole connection was ended, with this code.
    GoAway(u32),
    /// The connection ended without a word.
    Closed,
}

fn code(payload: &[u8]) -> u32 {
    let bytes = payload.first_chunk().expect("a code has four bytes");
    u32::from_be_bytes(*bytes)
}

/// The status that a header block begins with (RFC 7541, appendices A and B).
fn status(block: &[u8]) -> u16 {
    // A change of the table's size may stand first.
    let block = match block {
        [0x20..=0x3e, rest @ ..] => rest,
        block => block,
    };
    match block {
        [0x88, ..] => 200,
        [0x89, ..] => 204,
        [0x8a, ..] => 206,
        [0x8b, ..] => 304,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x8e, ..] => 500,
        // Its name by number, its three digits as they are.
        [_, 3, digits @ ..] => {
            let digits = str::from_utf8(&digits[..3]).expect("digits");
            digits.parse().expect("a status")
        }
        // The same by Huffman: five bits for 0 to 2, six for the others.
        [_, length @ 0x81..=0x83, coded @ ..] => {
            let coded = &coded[..usize::from(length & 0x7f)];
            let bits: Vec<String> = coded.iter().map(|byte| format!("{byte:08b}")).collect();
            let bits = bits.concat();
            let mut rest = bits.as_str();
            let mut number = 0;
            for _ in 0..3 {
                let width = if rest.starts_with("000") { 5 } else { 6 };
                let (digit, after) = rest.split_at(width);
                let digit = u16::from_str_radix(digit, 2).expect("bits");
                number = number * 10 + if width == 5 { digit } else { digit - 25 + 3 };
                rest = after;
            }
            number
        }
        _ => panic!("no status: {block:?}"),
    }
}
