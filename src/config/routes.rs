//! The route table: what was written, and what known servers add to it.

use crate::proxy::ProxyConfig;
use crate::route::{self, Profile, ProfileConfig, RouteConfig, RouteTable};

use super::path::Path;
use super::tree::{Node, Value};
use super::values::Checks;

/// Adds the routes of profiles to those that were written, and compiles all of them. Without either, the built-in table
/// leads to the one upstream there is.
pub fn complete(
    proxy: &mut ProxyConfig,
    tree: &Node,
    checks: &mut Checks<'_>,
) -> Option<RouteTable> {
    let (routes, profiles) = (Path::dotted("proxy.routes"), Path::dotted("proxy.profiles"));
    let written = proxy.routes.len();
    // For each route that was added, which profile it is of.
    let mut added = Vec::new();
    if !proxy.profiles.is_empty() {
        let places = places(&profiles, proxy.profiles.len(), tree);
        for (place, profile) in places.into_iter().zip(&proxy.profiles) {
            let path = profiles.index(place);
            if profile.profile == Profile::Baseten && profile.host.is_some() {
                let message = "is not for `baseten`, whose routes have hosts of their own";
                checks.wrong(&path.key("host"), message);
                continue;
            }
            let Some(upstream) = upstream_of(profile, &path, tree, checks) else {
                continue;
            };
            let own = &proxy.routes[..written];
            let mut more = route::profile(profile, &upstream);
            more.retain(|route| !own.iter().any(|own| takes_the_place(own, route)));
            added.extend(more.iter().map(|_| place));
            proxy.routes.extend(more);
        }
    } else if proxy.routes.is_empty()
        && !checks.is_mistaken(&routes)
        && !checks.is_mistaken(&profiles)
    {
        if tree.at(&routes).is_some() {
            checks.wrong(&routes, "is empty, so every call would be refused");
        } else if let Some(upstream) = only_upstream(&routes, tree, checks) {
            proxy.routes = route::baseten(&upstream);
        }
    }
    compile(proxy, written, &added, tree, checks)
}

/// Where a profile leads.
fn upstream_of(
    profile: &ProfileConfig,
    path: &Path,
    tree: &Node,
    checks: &mut Checks<'_>,
) -> Option<String> {
    match &profile.upstream {
        Some(name) => Some(name.clone()),
        None => only_upstream(&path.key("upstream"), tree, checks),
    }
}

/// A route of one's own stands in place of a profile's for the same host and path.
fn takes_the_place(own: &RouteConfig, route: &RouteConfig) -> bool {
    own.host == route.host && own.path == route.path
}

/// The one upstream there is; what is wrong at `path` when there are more.
fn only_upstream(path: &Path, tree: &Node, checks: &mut Checks<'_>) -> Option<String> {
    match upstream_names(tree).as_slice() {
        [] if checks.is_mistaken(&Path::dotted("upstreams")) => None,
        [] => {
            checks.wrong(
                &Path::dotted("upstreams"),
                "is missing: say where calls go, by `--upstream http://127.0.0.1:8000`, by the variable \
                 `KEYWARD_UPSTREAM`, or by `upstreams.default.url = \"http://127.0.0.1:8000\"` in a settings file",
            );
            None
        }
        [name] => Some((*name).to_owned()),
        names => {
            let names = names.join("`, `");
            let who = if *path == Path::dotted("proxy.routes") {
                "only routes"
            } else {
                "only it"
            };
            let message =
                format!("is missing: {who} can say which call goes to which of `{names}`");
            checks.wrong(path, message);
            None
        }
    }
}

/// The names of all upstreams, those that could not be read included, in the order in which they are counted.
fn upstream_names(tree: &Node) -> Vec<&str> {
    let Some(Value::Table(entries)) = tree.get("upstreams").map(|node| &node.value) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

/// Where the elements that could be read stand in the list at `path`, of which there are `count`.
fn places(path: &Path, count: usize, tree: &Node) -> Vec<usize> {
    match tree.at(path).map(|node| &node.value) {
        Some(Value::List(list)) => (0..list.len())
            .filter(|place| !matches!(list[*place].value, Value::Mistaken))
            .collect(),
        _ => (0..count).collect(),
    }
}

fn compile(
    proxy: &ProxyConfig,
    written: usize,
    added: &[usize],
    tree: &Node,
    checks: &mut Checks<'_>,
) -> Option<RouteTable> {
    let names = upstream_names(tree);
    let mistakes = match RouteTable::compile(&proxy.routes, proxy.errors, &names) {
        Ok(table) => return Some(table),
        Err(mistakes) => mistakes,
    };
    let path = Path::dotted("proxy.routes");
    let places = places(&path, written, tree);
    let mut told = None;
    for mistake in mistakes {
        let profile = mistake
            .route
            .checked_sub(written)
            .and_then(|place| added.get(place));
        let Some(&profile) = profile else {
            let place = places.get(mistake.route).copied().unwrap_or(mistake.route);
            checks.wrong(&path.index(place).key(mistake.field), mistake.message);
            continue;
        };
        // All of its routes have the same host, upstream and model: once is enough.
        if told.replace(profile) == Some(profile) {
            continue;
        }
        let path = Path::dotted("proxy.profiles").index(profile);
        match mistake.field {
            "host" | "upstream" | "model" => {
                checks.wrong(&path.key(mistake.field), mistake.message);
            }
            _ => {
                let example = &proxy.routes[mistake.route].path;
                let message = format!(
                    "takes requests that other routes take with equal right, such as `{example}`; a `host` of its own \
                     tells them apart"
                );
                checks.wrong(&path, message);
            }
        }
    }
    None
}
