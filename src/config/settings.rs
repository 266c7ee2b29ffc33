//! What is in force: every setting with its value and where it came from.

use std::fmt::Write as _;
use std::path::Path as FilePath;

use serde_json::{Map, json};

use super::file;
use super::mistake::place;
use super::path::{Path, key_text};
use super::tree::{self, Node, Origin, Value};
use crate::proxy::ProxyConfig;
use crate::route::RouteConfig;

/// The file that has every setting with its default.
const EVERY_SETTING: &str = include_str!("../../config/keyward.toml");

/// What stands before a route table that nobody wrote.
const BUILT_IN_ROUTES: &str =
    "\n# The built-in table, as proxy.routes would say it, with every route to the one upstream:\n";

/// What stands before the routes of profiles.
const PROFILE_ROUTES: &str = "\n# The routes of proxy.profiles, as proxy.routes would say them:\n";

/// What takes effect when a running server reads its settings again.
///
/// Everything else is built into listeners, pools and tasks when they are made.
const RELOADABLE: [&str; 31] = [
    "proxy.routes",
    "proxy.profiles",
    "proxy.credentials",
    "proxy.errors",
    "proxy.forwarded",
    "proxy.decode",
    "proxy.forward_auth",
    "proxy.calls_of_ended_keys",
    "proxy.limits.head_bytes",
    "proxy.limits.head_fields",
    "proxy.limits.target_bytes",
    "proxy.limits.head_timeout",
    "proxy.limits.idle_timeout",
    "proxy.limits.stream_idle_timeout",
    "proxy.limits.body_stall_timeout",
    "proxy.limits.drain_bytes",
    "proxy.limits.drain_timeout",
    "proxy.limits.judged_whole_bytes",
    "proxy.limits.held_body_bytes",
    "proxy.limits.held_bodies_bytes",
    "proxy.limits.body_depth",
    "proxy.limits.model_list_bytes",
    "proxy.limits.decoded_ratio",
    "proxy.limits.http2_streams",
    "proxy.limits.http2_stream_window_bytes",
    "proxy.limits.http2_connection_window_bytes",
    "upstreams",
    "log.level",
    "access_log.sample",
    "access_log.refusals_per_second",
    "access_log.client_address",
];

/// Every setting in force, secrets as `***`.
#[derive(Debug, Clone)]
pub struct Settings {
    all: Node,
    /// The routes that are in force and nobody wrote.
    added: Vec<RouteConfig>,
    /// Whether they are those of profiles.
    has_profiles: bool,
}

impl Settings {
    /// What is in force when `written` was said, and `proxy` came of it.
    pub(super) fn of(written: &Node, proxy: &ProxyConfig) -> Self {
        let mut all = defaults();
        let upstreams = Path::dotted("upstreams");
        let upstream = all.at(&upstreams.key("default")).cloned();
        all.put(&upstreams, Node::empty());
        if let Some(Value::Table(entries)) = written.at(&upstreams).map(|node| &node.value) {
            for (name, written) in entries {
                let mut defaults = upstream.clone().unwrap_or(Node::empty());
                if written.get("servers").is_some() {
                    defaults.forget("url");
                }
                all.put(&upstreams.key(name), defaults);
            }
        }
        let mut written = written.clone();
        settle(&mut written, Some(&all), &Path::root());
        all.overlay(written);
        let own = match all
            .at(&Path::dotted("proxy.routes"))
            .map(|node| &node.value)
        {
            Some(Value::List(routes)) => routes.len(),
            _ => 0,
        };
        Self {
            all,
            added: proxy.routes.iter().skip(own).cloned().collect(),
            has_profiles: !proxy.profiles.is_empty(),
        }
    }

    /// As TOML that a settings file may hold; with `origins`, each value with where it came from.
    #[must_use]
    pub fn to_toml(&self, origins: bool) -> String {
        let mut page = Page {
            text: String::new(),
            origins,
        };
        page.table(&Path::root(), &self.all);
        if !self.added.is_empty() {
            page.text.push_str(if self.has_profiles {
                PROFILE_ROUTES
            } else {
                BUILT_IN_ROUTES
            });
            for route in toml::Value::try_from(&self.added).iter().flat_map(rows) {
                let _ = writeln!(page.text, "# {route},");
            }
        }
        page.text
    }

    /// As JSON; with `origins`, each value as `{"value", "origin"}`.
    #[must_use]
    pub fn to_json(&self, origins: bool) -> serde_json::Value {
        json_of(&self.all, origins)
    }

    /// The settings that `newer` has otherwise and that only a restart brings into force, by their paths. Secrets are
    /// not compared.
    #[must_use]
    pub fn needs_restart(&self, newer: &Self) -> Vec<String> {
        let mut changed = Vec::new();
        differences(
            &Path::root(),
            Some(&self.all),
            Some(&newer.all),
            &mut changed,
        );
        let reloadable = RELOADABLE.map(Path::dotted);
        changed
            .into_iter()
            .filter(|path| !reloadable.iter().any(|other| path.is_within(other)))
            .map(|path| path.to_string())
            .collect()
    }
}

/// The values of a list.
fn rows(list: &toml::Value) -> &[toml::Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// Every setting that has a default, at that.
fn defaults() -> Node {
    let mut all = file::parse(EVERY_SETTING, FilePath::new("config/keyward.toml"))
        .expect("the file is a part of the program, and a test reads it");
    forget_places(&mut all);
    all
}

fn forget_places(node: &mut Node) {
    node.origin = Origin::Default;
    match &mut node.value {
        Value::Table(entries) => entries.iter_mut().for_each(|(_, node)| forget_places(node)),
        Value::List(list) => list.iter_mut().for_each(forget_places),
        _ => {}
    }
}

/// Gives what flags and the environment said the type of its default, and hides secrets.
fn settle(node: &mut Node, default: Option<&Node>, path: &Path) {
    if let Value::Raw(text) = &node.value {
        let is_list_or_table = text.trim_start().starts_with(['[', '{']);
        let is_text = match default.map(|node| &node.value) {
            Some(Value::Text(_)) => true,
            Some(_) => false,
            None => !is_list_or_table,
        };
        let typed = (!is_text).then(|| tree::parse_value(text.trim(), &node.origin));
        node.value = match typed.flatten() {
            Some(typed) => typed.value,
            None => Value::Text(text.clone()),
        };
    }
    match &mut node.value {
        Value::Table(entries) => {
            let is_secret = path.is_secret();
            for (key, node) in entries {
                if is_secret && key == "inline" {
                    node.value = Value::Text("***".to_owned());
                }
                settle(node, default.and_then(|node| node.get(key)), &path.key(key));
            }
        }
        Value::List(list) => {
            for (place, node) in list.iter_mut().enumerate() {
                settle(node, None, &path.index(place));
            }
        }
        Value::Text(text) => hide_password(text),
        _ => {}
    }
}

/// A password in a url becomes `***`, before the host and among the parameters.
fn hide_password(text: &mut String) {
    let Some((scheme, rest)) = text.split_once("://") else {
        return;
    };
    let (place, parameters) = match rest.split_once('?') {
        Some((place, parameters)) => (place, Some(parameters)),
        None => (rest, None),
    };
    // The last `@`: one in a password may stand there as it is.
    let user = place.rsplit_once('@').and_then(|(who, host)| {
        let (user, _) = who.split_once(':')?;
        Some(format!("{user}:***@{host}"))
    });
    let mut hidden = format!("{scheme}://{}", user.as_deref().unwrap_or(place));
    for (number, parameter) in parameters
        .into_iter()
        .flat_map(|all| all.split('&'))
        .enumerate()
    {
        hidden.push(if number == 0 { '?' } else { '&' });
        hidden.push_str(match parameter.strip_prefix("password=") {
            Some(_) => "password=***",
            None => parameter,
        });
    }
    *text = hidden;
}

/// The paths of values, or of whole lists, that differ.
fn differences(path: &Path, one: Option<&Node>, other: Option<&Node>, found: &mut Vec<Path>) {
    let keys = |node: Option<&Node>| match node.map(|node| &node.value) {
        Some(Value::Table(entries)) => entries.iter().map(|(key, _)| key.clone()).collect(),
        _ => Vec::new(),
    };
    let mut all = keys(one);
    all.extend(keys(other));
    all.sort();
    all.dedup();
    if all.is_empty() && one.map(inline) != other.map(inline) {
        found.push(path.clone());
    }
    for key in all {
        let inner = |node: Option<&Node>| node.and_then(|node| node.get(&key)).cloned();
        differences(
            &path.key(&key),
            inner(one).as_ref(),
            inner(other).as_ref(),
            found,
        );
    }
}

/// TOML in the making.
struct Page {
    text: String,
    origins: bool,
}

impl Page {
    /// The entries of a table: first those that stand on one line, then the tables, then the lists of tables.
    fn table(&mut self, path: &Path, table: &Node) {
        let Value::Table(entries) = &table.value else {
            return;
        };
        let (tables, lines): (Vec<_>, Vec<_>) = entries
            .iter()
            .partition(|(_, node)| matches!(node.value, Value::Table(_)));
        let (lists, lines): (Vec<_>, Vec<_>) =
            lines.into_iter().partition(|(_, node)| is_table_list(node));
        if *path != Path::root() && (!lines.is_empty() || tables.is_empty()) {
            self.header(&format!("[{path}]"), table, false);
        }
        self.lines(&lines, self.origins);
        for (key, node) in tables {
            self.table(&path.key(key), node);
        }
        for (key, node) in lists {
            let Value::List(list) = &node.value else {
                continue;
            };
            for element in list {
                self.header(&format!("[[{}]]", path.key(key)), node, self.origins);
                if let Value::Table(entries) = &element.value {
                    self.lines(&entries.iter().collect::<Vec<_>>(), false);
                }
            }
        }
    }

    fn header(&mut self, header: &str, node: &Node, with_origin: bool) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(header);
        if with_origin {
            let _ = write!(self.text, "  # {}", origin_text(&node.origin));
        }
        self.text.push('\n');
    }

    fn lines(&mut self, lines: &[&(String, Node)], with_origins: bool) {
        for (key, node) in lines {
            let _ = write!(self.text, "{} = {}", key_text(key), inline(node));
            if with_origins {
                let _ = write!(self.text, "  # {}", origin_text(&node.origin));
            }
            self.text.push('\n');
        }
    }
}

fn is_table_list(node: &Node) -> bool {
    let is_table = |node: &Node| matches!(node.value, Value::Table(_));
    matches!(&node.value, Value::List(list) if !list.is_empty() && list.iter().all(is_table))
}

/// A value as TOML writes it on one line.
fn inline(node: &Node) -> String {
    match &node.value {
        Value::Text(text) | Value::Raw(text) => toml::Value::from(text.as_str()).to_string(),
        Value::Integer(number) => number.to_string(),
        // 1.0 stays a number with a point.
        Value::Float(number) => toml::Value::from(*number).to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Date(date) => date.clone(),
        Value::List(list) => {
            let elements: Vec<_> = list.iter().map(inline).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Table(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(key, node)| format!("{} = {}", key_text(key), inline(node)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Mistaken => String::new(),
    }
}

fn json_of(node: &Node, origins: bool) -> serde_json::Value {
    let value = match &node.value {
        Value::Table(entries) => {
            let entry = |(key, node): &(String, Node)| (key.clone(), json_of(node, origins));
            return entries.iter().map(entry).collect::<Map<_, _>>().into();
        }
        Value::List(list) => list.iter().map(|node| json_of(node, false)).collect(),
        Value::Text(text) | Value::Raw(text) | Value::Date(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(truth) => (*truth).into(),
        Value::Mistaken => serde_json::Value::Null,
    };
    if origins {
        json!({ "value": value, "origin": origin_text(&node.origin) })
    } else {
        value
    }
}

fn origin_text(origin: &Origin) -> String {
    place(origin).unwrap_or_else(|| "default".to_owned())
}
