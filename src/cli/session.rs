//! Which server is asked, and with which credential (CONTRACTS 9).

use anyhow::{Context as _, bail};

use super::Common;
use super::http::BaseUrl;
use super::print;
use super::profiles::{self, Profiles};
use crate::config::environment;
use crate::credential::SecretText;

/// Where the admin listener is unless somebody says otherwise: its own default.
pub const DEFAULT_URL: &str = "http://127.0.0.1:9090";

const API_KEY: [&str; 2] = ["KEYWARD_API_KEY", "BASETEN_API_KEY"];
const URL: [&str; 2] = ["KEYWARD_URL", "BASETEN_MANAGEMENT_API_URL_OVERRIDE"];
const PROFILE: [&str; 2] = ["KEYWARD_PROFILE", "BASETEN_PROFILE"];

/// An admin listener, and the credential to present there. The two belong together: the key of a profile is never
/// sent to an address that came from elsewhere.
#[derive(Debug)]
pub struct Server {
    /// Where it is.
    pub url: BaseUrl,
    /// What is presented.
    pub api_key: SecretText,
}

/// The server that the flags, the environment and the profiles name, in that order.
///
/// # Errors
///
/// When none is named, or the named profile does not exist.
pub fn server(common: &Common) -> anyhow::Result<Server> {
    let load = || Profiles::load(&profiles::directory()?);
    let (server, source) = choose(common.profile(), &environment::variable, load)?;
    if common.verbose {
        print::words(&format!("using {source} at {}", server.url.as_str()));
    }
    Ok(server)
}

/// The URL from the environment, or the default one.
///
/// # Errors
///
/// When it is no URL.
pub fn default_url(variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<BaseUrl> {
    let Some((name, url)) = first(URL, variable) else {
        return BaseUrl::parse(DEFAULT_URL);
    };
    BaseUrl::parse(&url).with_context(|| format!("reading {name}"))
}

fn choose(
    flag: Option<&str>,
    variable: &dyn Fn(&str) -> Option<String>,
    load: impl FnOnce() -> anyhow::Result<Profiles>,
) -> anyhow::Result<(Server, String)> {
    if let Some(name) = flag {
        return profile(load()?, name);
    }
    if let Some((source, api_key)) = first(API_KEY, variable) {
        let server = Server {
            url: default_url(variable)?,
            api_key: SecretText::new(api_key),
        };
        return Ok((server, source.to_owned()));
    }
    if let Some((_, name)) = first(PROFILE, variable) {
        return profile(load()?, &name);
    }
    let profiles = load()?;
    let Some(name) = profiles.current.clone() else {
        bail!(
            "not logged in: run `keyward profile login`, set KEYWARD_API_KEY, or pass --database URL"
        );
    };
    profile(profiles, &name)
}

fn profile(mut profiles: Profiles, name: &str) -> anyhow::Result<(Server, String)> {
    let Some(profile) = profiles.entries.remove(name) else {
        bail!("no profile named {name:?}: run `keyward profile login --profile NAME`");
    };
    let url = BaseUrl::parse(&profile.url).with_context(|| format!("reading profile {name:?}"))?;
    let server = Server {
        url,
        api_key: profile.api_key,
    };
    Ok((server, format!("profile {name:?}")))
}

/// The first of `names` that is set, and its value.
fn first(
    names: [&'static str; 2],
    variable: &dyn Fn(&str) -> Option<String>,
) -> Option<(&'static str, String)> {
    names
        .into_iter()
        .find_map(|name| variable(name).map(|value| (name, value)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::profiles::Profile;
    use super::*;

    fn stored() -> Profiles {
        let entry = |name: &str| {
            let profile = Profile {
                url: format!("http://{name}"),
                api_key: SecretText::new(format!("key-of-{name}")),
            };
            (name.to_owned(), profile)
        };
        Profiles {
            current: Some("current".to_owned()),
            entries: ["flag", "variable", "current"].map(entry).into(),
        }
    }

    #[rstest]
    #[case::flag_first(Some("flag"), &[("KEYWARD_API_KEY", "k"), ("KEYWARD_PROFILE", "variable")], "http://flag", "key-of-flag")]
    #[case::then_the_key(None, &[("KEYWARD_API_KEY", "k"), ("KEYWARD_PROFILE", "variable")], DEFAULT_URL, "k")]
    #[case::key_with_url(None, &[("KEYWARD_API_KEY", "k"), ("KEYWARD_URL", "https://x/")], "https://x", "k")]
    #[case::then_the_profile(None, &[("KEYWARD_PROFILE", "variable")], "http://variable", "key-of-variable")]
    #[case::then_the_current(None, &[], "http://current", "key-of-current")]
    #[case::a_url_alone_moves_no_profile(None, &[("KEYWARD_URL", "https://elsewhere")], "http://current", "key-of-current")]
    #[case::nor_the_one_of_the_flag(Some("flag"), &[("KEYWARD_URL", "https://elsewhere")], "http://flag", "key-of-flag")]
    #[case::alias_of_the_key(None, &[("BASETEN_API_KEY", "b")], DEFAULT_URL, "b")]
    #[case::alias_of_the_url(None, &[("BASETEN_API_KEY", "b"), ("BASETEN_MANAGEMENT_API_URL_OVERRIDE", "http://y")], "http://y", "b")]
    #[case::alias_of_the_profile(None, &[("BASETEN_PROFILE", "variable")], "http://variable", "key-of-variable")]
    #[case::own_names_win(None, &[("BASETEN_API_KEY", "b"), ("KEYWARD_API_KEY", "k"), ("KEYWARD_URL", "http://own"), ("BASETEN_MANAGEMENT_API_URL_OVERRIDE", "http://y")], "http://own", "k")]
    fn the_nearest_word_decides(
        #[case] flag: Option<&str>,
        #[case] variables: &[(&str, &str)],
        #[case] url: &str,
        #[case] key: &str,
    ) {
        let variable = |name: &str| {
            let set = variables.iter().find(|(set, _)| *set == name);
            set.map(|(_, value)| (*value).to_owned())
        };
        let (server, _) = choose(flag, &variable, || Ok(stored())).expect("a server");
        assert_eq!((server.url.as_str(), server.api_key.reveal()), (url, key));
    }

    #[test]
    fn without_any_word_the_way_in_is_told() {
        let error = choose(None, &|_| None, || Ok(Profiles::default())).expect_err("nothing");
        assert!(error.to_string().starts_with("not logged in"), "{error}");
        let error = choose(Some("x"), &|_| None, || Ok(stored())).expect_err("no such profile");
        assert!(
            error.to_string().starts_with("no profile named \"x\""),
            "{error}"
        );
    }
}
