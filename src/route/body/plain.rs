use memchr::memchr2;

/// How many bytes of a text stand for themselves: up to the first quote, backslash or control character.
pub(super) fn plain_len(text: &[u8]) -> usize {
    // Most texts are short, and for these a search costs more than it saves.
    let mut before = 0;
    for word in text.chunks_exact(8).take(4) {
        let special = specials(word);
        if special != 0 {
            return before + special.trailing_zeros() as usize / 8;
        }
        before += 8;
    }
    let rest = &text[before..];
    let len = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
    // Without an early end the compiler can look at many bytes at once.
    let is_control = |byte: &u8| *byte < b' ';
    let holds_control = |block: &&[u8]| {
        block
            .iter()
            .fold(false, |found, byte| found | is_control(byte))
    };
    match rest[..len]
        .chunks(4096)
        .position(|block| holds_control(&block))
    {
        None => before + len,
        Some(block) => {
            let clean = before + block * 4096;
            let more = text[clean..].iter().position(is_control);
            clean + more.unwrap_or_default()
        }
    }
}

/// Marks, in the high bit of each byte up to the first of them, the quotes, backslashes and control characters among
/// eight bytes. Beyond the first the marks mean nothing.
fn specials(word: &[u8]) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let Ok(bytes) = word.try_into() else { return 0 };
    let word = u64::from_le_bytes(bytes);
    // Exact for the lowest byte that is below `limit`, since a borrow only goes up (Bit Twiddling Hacks, "hasless").
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGHS;
    let quotes = word ^ (ONES * 0x22);
    let slashes = word ^ (ONES * 0x5c);
    below(word, 0x20) | below(quotes, 1) | below(slashes, 1)
}
