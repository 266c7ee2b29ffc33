//! The file of profiles: `profiles.toml`, 0600 in a directory made with 0700, written whole and by rename.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::print;
use crate::config::environment;
use crate::credential::SecretText;

const FILE: &str = "profiles.toml";
/// More than anybody's profiles; a larger file is something else.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Which servers there are, and which one is meant when nobody says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    /// The name of the profile that is used unless told otherwise.
    pub current: Option<String>,
    /// The profiles by name.
    #[serde(default, rename = "profiles")]
    pub entries: BTreeMap<String, Profile>,
}

/// A server, and the credential for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Where its admin listener is.
    pub url: String,
    /// What is presented there.
    pub api_key: SecretText,
}

/// The profiles as they are written: the one place where their secrets leave memory.
#[derive(Serialize)]
struct Written<'a> {
    current: Option<&'a str>,
    profiles: BTreeMap<&'a str, WrittenProfile<'a>>,
}

#[derive(Serialize)]
struct WrittenProfile<'a> {
    url: &'a str,
    api_key: &'a str,
}

/// Where profiles are kept: `$KEYWARD_CONFIG_DIR`, else `$XDG_CONFIG_HOME/keyward`, else `~/.config/keyward`.
///
/// # Errors
///
/// When not even a home directory is known.
pub fn directory() -> anyhow::Result<PathBuf> {
    if let Some(directory) = environment::path("KEYWARD_CONFIG_DIR") {
        return Ok(directory);
    }
    // XDG Base Directory Specification: a relative path is invalid and is to be ignored.
    let xdg = environment::path("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let config = xdg.or_else(|| Some(environment::path("HOME")?.join(".config")));
    let config = config.context("no place for profiles: set KEYWARD_CONFIG_DIR or HOME")?;
    Ok(config.join("keyward"))
}

impl Profiles {
    /// Reads the profiles in `directory`; none when there is no file. A file that others can read is told of.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is not one of profiles.
    pub fn load(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join(FILE);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| reading(&path)),
        };
        let metadata = file.metadata().with_context(|| reading(&path))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            let path = path.display();
            print::words(&format!("warning: others can read {path}: chmod 600 it"));
        }
        if metadata.len() > MAX_FILE_BYTES {
            bail!("{} is too large to be a file of profiles", path.display());
        }
        let mut text = String::new();
        file.read_to_string(&mut text)
            .with_context(|| reading(&path))?;
        Self::parse(&text).with_context(|| reading(&path))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        // The parser's own report quotes the line, and the line may hold a key.
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.unwrap_or_default().matches('\n').count() + 1;
            anyhow!("line {line} is not what a file of profiles holds")
        })
    }

    /// Reads, changes and writes the profiles in `directory`, alone: another process waits until it is done.
    ///
    /// # Errors
    ///
    /// When they cannot be read or written, or `change` fails; then nothing has changed.
    pub fn change<T>(
        directory: &Path,
        change: impl FnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let saving = || format!("writing profiles in {}", directory.display());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(saving)?;
        let lock = File::open(directory).with_context(saving)?;
        lock.lock().with_context(saving)?;
        let mut profiles = Self::load(directory)?;
        let result = change(&mut profiles)?;
        profiles.save(directory, &lock).with_context(saving)?;
        Ok(result)
    }

    fn save(&self, directory: &Path, handle: &File) -> anyhow::Result<()> {
        let new = directory.join("profiles.toml.new");
        // Left behind by a process that died here; the lock says that it is nobody's any more.
        if let Err(error) = std::fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(self.to_toml()?.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, directory.join(FILE))?;
        Ok(handle.sync_all()?)
    }

    fn to_toml(&self) -> anyhow::Result<String> {
        let entries = self.entries.iter().map(|(name, profile)| {
            let written = WrittenProfile {
                url: &profile.url,
                api_key: profile.api_key.reveal(),
            };
            (name.as_str(), written)
        });
        Ok(toml::to_string(&Written {
            current: self.current.as_deref(),
            profiles: entries.collect(),
        })?)
    }
}

fn reading(path: &Path) -> String {
    format!("reading {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(key: &str) -> Profile {
        Profile {
            url: "http://127.0.0.1:9090".to_owned(),
            api_key: SecretText::new(key.to_owned()),
        }
    }

    fn mode(path: &Path) -> u32 {
        let metadata = std::fs::metadata(path).expect("it exists");
        metadata.permissions().mode() & 0o777
    }

    #[test]
    fn what_was_written_is_read_again_and_is_nobody_elses() {
        let scratch = tempfile::tempdir().expect("a directory");
        let directory = scratch.path().join("a/keyward");
        Profiles::change(&directory, |profiles| {
            profiles.current = Some("prod \"x\"".to_owned());
            profiles
                .entries
                .insert("prod \"x\"".to_owned(), profile("k1"));
            Ok(())
        })
        .expect("written");
        let read = Profiles::load(&directory).expect("read");
        assert_eq!(read.current.as_deref(), Some("prod \"x\""));
        assert_eq!(read.entries["prod \"x\""].api_key.reveal(), "k1");
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join(FILE)), 0o600);
    }

    #[test]
    fn a_half_written_file_of_a_dead_process_is_in_nobodys_way() {
        let scratch = tempfile::tempdir().expect("a directory");
        let stale = scratch.path().join("profiles.toml.new");
        std::fs::write(&stale, "half").expect("written");
        let change = |profiles: &mut Profiles| {
            profiles.entries.insert("p".to_owned(), profile("k"));
            Ok(())
        };
        Profiles::change(scratch.path(), change).expect("written");
        assert!(!stale.exists());
        assert_eq!(mode(&scratch.path().join(FILE)), 0o600);
    }

    #[test]
    fn changes_at_the_same_time_all_stay() {
        let scratch = tempfile::tempdir().expect("a directory");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let directory = scratch.path();
                scope.spawn(move || {
                    Profiles::change(directory, |profiles| {
                        let name = format!("p{number}");
                        profiles.entries.insert(name, profile("k"));
                        Ok(())
                    })
                    .expect("written");
                });
            }
        });
        let read = Profiles::load(scratch.path()).expect("read");
        assert_eq!(read.entries.len(), 8);
    }

    #[test]
    fn a_broken_file_is_told_of_without_its_contents() {
        let broken = "current = \"a\"\n[profiles.a]\nurl = \"http://x\"\napi_key = kw_canary\n";
        let error = Profiles::parse(broken).expect_err("broken");
        assert_eq!(
            error.to_string(),
            "line 4 is not what a file of profiles holds"
        );
    }

    #[test]
    fn a_failed_change_leaves_the_file_as_it_was() {
        let scratch = tempfile::tempdir().expect("a directory");
        let result = Profiles::change(scratch.path(), |profiles| {
            profiles.current = Some("x".to_owned());
            bail!("no")
        });
        let _: anyhow::Error = result.map(|(): ()| ()).expect_err("no");
        assert!(!scratch.path().join(FILE).exists());
    }
}
