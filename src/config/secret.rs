//! Secrets, from where the settings say they are.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::credential::{SecretSource, SecretText};

use super::environment::Environment;

/// The largest file that may hold a secret, in bytes.
const LARGEST: u64 = 64 * 1024;

/// The secret that `source` stands for: at least one character, none of them a control character.
///
/// The message of an error says what is wrong and never holds the secret.
pub fn resolve(source: &SecretSource, environment: &Environment) -> Result<SecretText, String> {
    let text = resolve_lines(source, environment)?;
    if text.reveal().chars().any(char::is_control) {
        return Err("holds control characters, such as a line end in its middle".to_owned());
    }
    Ok(text)
}

/// The same, but it may have several lines.
pub fn resolve_lines(
    source: &SecretSource,
    environment: &Environment,
) -> Result<SecretText, String> {
    let text = match source {
        SecretSource::Inline(secret) => secret.reveal().to_owned(),
        SecretSource::Env(name) => environment.get(name).map(str::to_owned).ok_or_else(|| {
            let name = name.escape_debug();
            format!("the environment variable `{name}` is unset or empty")
        })?,
        SecretSource::File(path) => read_file(path)?,
    };
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    Ok(SecretText::new(text))
}

/// What the file at `path` holds, without its final line end.
pub fn read_file(path: &Path) -> Result<String, String> {
    let name = path.display().to_string();
    let name = name.escape_debug();
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    match read {
        Err(error) => return Err(format!("cannot read the file `{name}`: {error}")),
        Ok(bytes) if bytes as u64 > LARGEST => {
            return Err(format!("the file `{name}` is larger than 64 KiB"));
        }
        Ok(_) => {}
    }
    let end = if text.ends_with("\r\n") {
        2
    } else {
        usize::from(text.ends_with('\n'))
    };
    text.truncate(text.len() - end);
    if text.is_empty() {
        return Err(format!("the file `{name}` is empty"));
    }
    Ok(text)
}
