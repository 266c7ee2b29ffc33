//! Programs of others that tests ask: on the path, or where `tests/all.sh` puts them.

use std::path::PathBuf;

use keyward::config::environment;

use super::source;

/// Where `program` is; nothing when `KEYWARD_TEST_<PROGRAM>=skip` says to go without. `package` is Debian's.
#[track_caller]
pub fn tool(program: &str, package: &str) -> Option<PathBuf> {
    find(program, &format!("or type `apt-get install {package}`; "))
}

/// The same for a program that Debian does not have.
#[track_caller]
pub fn unpacked(program: &str) -> Option<PathBuf> {
    find(program, "")
}

#[track_caller]
fn find(program: &str, remedy: &str) -> Option<PathBuf> {
    let variable = format!("KEYWARD_TEST_{}", program.to_uppercase().replace('-', "_"));
    if environment::variable(&variable).is_some_and(|wish| wish == "skip") {
        return None;
    }
    let path = environment::path("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push(source::package().join("target/tools"));
    let mut places = folders.into_iter().map(|folder| folder.join(program));
    let found = places.find(|place| place.is_file());
    Some(found.unwrap_or_else(|| {
        panic!(
            "{program} is missing: run tests/all.sh, which gets it; {remedy}or say {variable}=skip"
        )
    }))
}
