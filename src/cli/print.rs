//! The only file that writes to standard output and standard error.
//!
//! Data goes to standard output, words to standard error, so that a pipe carries only data. A reader that has gone
//! away (`| head`) is no error of ours: [`PrintError::ReaderGone`] ends a command quietly. Control characters never
//! reach a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use anstream::AutoStream;
use unicode_width::UnicodeWidthChar as _;

/// Why nothing more can be written to standard output.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// Whoever read it has stopped reading.
    #[error("nobody reads standard output any more")]
    ReaderGone,
    /// It cannot be written: a full disk, say.
    #[error("cannot write to standard output")]
    Failed(#[source] io::Error),
}

impl From<io::Error> for PrintError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Failed(error),
        }
    }
}

/// Writes `text` to standard output as it stands. Escape sequences in it are our own (bold headers) and are left out
/// when standard output is not a terminal or colour is switched off.
///
/// # Errors
///
/// When it cannot be written whole.
pub fn data(text: &str) -> Result<(), PrintError> {
    let mut stdout = AutoStream::auto(io::stdout().lock());
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Standard output, for many small pieces: written when enough has come together, and by [`Stream::finish`].
pub struct Stream {
    inner: io::BufWriter<io::Stdout>,
    is_terminal: bool,
}

impl Stream {
    /// Standard output from here on.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: io::BufWriter::new(io::stdout()),
            is_terminal: io::stdout().is_terminal(),
        }
    }

    /// Writes one line of JSON, or of several when it is indented.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn json(&mut self, json: &str) -> Result<(), PrintError> {
        writeln!(self.inner, "{}", escape_in_json(json))?;
        Ok(())
    }

    /// Writes a part of a JSON document, of one line or of several.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn piece(&mut self, json: &str) -> Result<(), PrintError> {
        Ok(self.inner.write_all(escape_in_json(json).as_bytes())?)
    }

    /// Writes the bytes as they are, and a line end. To a terminal, control characters go in a visible form.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), PrintError> {
        if self.is_terminal {
            let text = String::from_utf8_lossy(bytes);
            self.inner.write_all(lines(&text).as_bytes())?;
        } else {
            self.inner.write_all(bytes)?;
        }
        self.inner.write_all(b"\n")?;
        Ok(())
    }

    /// Writes what is still held back.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(), PrintError> {
        Ok(self.inner.flush()?)
    }
}

/// Standard output, for frames that take each other's place on a terminal, and follow each other elsewhere.
///
/// Dropping it gives the terminal back as it was.
pub struct Screen {
    is_terminal: bool,
}

impl Screen {
    /// Takes the terminal, if there is one: another page of it, without a cursor.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn open() -> Result<Self, PrintError> {
        let screen = Self {
            is_terminal: io::stdout().is_terminal(),
        };
        if screen.is_terminal {
            write_now("\x1b[?1049h\x1b[?25l")?;
        }
        Ok(screen)
    }

    /// Shows these lines in place of those before, as many and as much of them as there is room for. Where there is no
    /// terminal they are written as they are, and an empty line after them.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub fn show(&self, lines: &[String]) -> Result<(), PrintError> {
        if !self.is_terminal {
            return write_now(&(lines.join("\n") + "\n\n"));
        }
        // A terminal that does not say how large it is has room for everything.
        let (columns, rows) = match rustix::termios::tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
            _ => (u16::MAX, u16::MAX),
        };
        let mut frame = "\x1b[H".to_owned();
        let most = usize::from(rows).min(lines.len());
        for (place, line) in lines.iter().take(most).enumerate() {
            // What is wider than the terminal would go on in the next line.
            frame.push_str(cut(line, usize::from(columns)));
            frame.push_str("\x1b[K");
            if place + 1 < most {
                frame.push('\n');
            }
        }
        frame.push_str("\x1b[J");
        write_now(&frame)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal {
            // A terminal that is gone needs nothing back.
            let _ = write_now("\x1b[?25h\x1b[?1049l");
        }
    }
}

fn write_now(text: &str) -> Result<(), PrintError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// As much of `line` as is no wider than `columns`.
fn cut(line: &str, columns: usize) -> &str {
    let mut width = 0;
    let end = line.char_indices().find(|(_, character)| {
        width += character.width().unwrap_or(0);
        width > columns
    });
    let end = end.map_or(line.len(), |(at, _)| at);
    line.split_at_checked(end).map_or(line, |(begin, _)| begin)
}

/// Whether somebody looks at standard output.
#[must_use]
pub fn has_reader_at_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Writes words for a person to standard error, and a line end. Control characters other than line ends and
/// tabulators are shown in a visible form. That it cannot be written is nobody's concern.
pub fn words(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", lines(text));
}

/// Writes a text of our own with its escape sequences to standard error: an error message of the argument parser.
pub fn styled_words(text: &str) {
    let _ = write!(AutoStream::auto(io::stderr().lock()), "{text}");
}

/// Writes a prompt to standard error, without a line end.
pub fn prompt(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{text}");
    let _ = stderr.flush();
}

/// `text` on one line, with what would disturb a terminal in a visible form.
#[must_use]
pub fn cell(text: &str) -> Cow<'_, str> {
    visible(text, |_| false, |c| c.escape_default().to_string())
}

/// As [`cell`], but line ends and tabulators stay.
fn lines(text: &str) -> Cow<'_, str> {
    let keep = |c| matches!(c, '\n' | '\t');
    visible(text, keep, |c| c.escape_default().to_string())
}

/// JSON that means the same, and holds nothing that would disturb a terminal. Such characters stand only inside
/// strings, where `\uXXXX` says the same; the line ends are those of the indentation.
#[must_use]
pub fn escape_in_json(json: &str) -> Cow<'_, str> {
    let escape = |c: char| {
        let mut escaped = String::new();
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
        escaped
    };
    visible(json, |c| c == '\n', escape)
}

fn visible(text: &str, keep: impl Fn(char) -> bool, show: impl Fn(char) -> String) -> Cow<'_, str> {
    let hidden = |c: char| disturbs(c) && !keep(c);
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hidden(c) {
            shown.push_str(&show(c));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Whether `c` moves a cursor, colours, hides or rearranges what stands beside it on a terminal: control characters,
/// line and paragraph separators, and the marks that change the direction of writing.
fn disturbs(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
        )
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("plain Zürich 東京 👩‍🚀", "plain Zürich 東京 👩‍🚀")]
    #[case("\u{1b}[31mred", "\\u{1b}[31mred")]
    #[case("two\nlines\r", "two\\nlines\\r")]
    #[case("\u{9b}2J", "\\u{9b}2J")]
    #[case("abc\u{202e}fed", "abc\\u{202e}fed")]
    fn a_cell_holds_nothing_that_moves_the_cursor(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(cell(text), shown);
    }

    #[rstest]
    #[case("\"a\u{7f}\u{9b}b\u{2028}\"")]
    #[case("{\n  \"k\": \"\u{202e}\u{e0041}\"\n}")]
    fn escaped_json_means_the_same(#[case] json: &str) {
        let escaped = escape_in_json(json);
        assert!(!escaped.contains(|c| disturbs(c) && c != '\n'), "{escaped}");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(value(&escaped), value(json));
    }

    #[test]
    fn a_reader_that_went_away_is_told_from_a_full_disk() {
        let gone = PrintError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(gone, PrintError::ReaderGone));
        let full = PrintError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(full, PrintError::Failed(_)));
    }
}
