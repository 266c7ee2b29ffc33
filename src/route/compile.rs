use super::body::RefusedMembers;
use super::host::{HostPattern, HostRank};
use super::method::Methods;
use super::pattern::{ForwardTemplate, PathPattern, PathRank, Placeholder};
use super::place::Places;
use super::tree::PathTree;
use super::{ErrorForm, ModelConfig, Rank, Route, RouteClass, RouteConfig, RouteTable, UpstreamId};
use crate::key::MAX_MODEL_BYTES;

/// One thing that is wrong with a route as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("routes[{route}].{field}: {message}")]
pub struct RouteMistake {
    /// The place of the route in the list, from 0.
    pub route: usize,
    /// The setting.
    pub field: &'static str,
    /// What is wrong, in words.
    pub message: String,
}

/// A route whose parts are read, before it has its place among the others.
struct Line<'c> {
    config: &'c RouteConfig,
    host: Option<HostPattern>,
    path: PathPattern,
    /// None is any host.
    host_rank: Option<HostRank>,
    path_rank: PathRank,
    methods: Methods,
    forward: Option<ForwardTemplate>,
    upstream: UpstreamId,
    places: Places,
}

impl RouteTable {
    /// Compiles a table. `upstreams` are the names of all upstreams; an [`UpstreamId`] is the place in this list.
    ///
    /// # Errors
    ///
    /// Every mistake, in the order of the routes.
    pub fn compile(
        routes: &[RouteConfig],
        default_errors: ErrorForm,
        upstreams: &[&str],
    ) -> Result<Self, Vec<RouteMistake>> {
        let mut mistakes = Vec::new();
        let lines = routes.iter().enumerate().map(|(route, config)| {
            let mistakes = &mut mistakes;
            LineReader { route, mistakes }.read(config, upstreams)
        });
        let lines: Vec<Option<Line<'_>>> = lines.collect();
        find_equals(&lines, &mut mistakes);
        if mistakes.is_empty() {
            let lines = lines.into_iter().flatten().collect();
            return Ok(Self::build(lines, default_errors));
        }
        mistakes.sort_by_key(|mistake| mistake.route);
        Err(mistakes)
    }

    fn build(lines: Vec<Line<'_>>, default_errors: ErrorForm) -> Self {
        let host_ranks = in_order(lines.iter().map(|line| line.host_rank));
        let path_ranks = in_order(lines.iter().map(|line| &line.path_rank));
        let ranks: Vec<Rank> = lines
            .iter()
            .map(|line| Rank {
                host: place_of(&line.host_rank, &host_ranks),
                path: place_of(&&line.path_rank, &path_ranks),
            })
            .collect();
        let mut hosts: Vec<HostPattern> = Vec::new();
        for host in lines.iter().filter_map(|line| line.host.as_ref()) {
            if !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        hosts.sort_by_key(|host| std::cmp::Reverse(host.rank()));
        let mut paths = PathTree::new();
        for (place, line) in lines.iter().enumerate() {
            paths.insert(&line.path, place);
        }
        let routes = lines.into_iter().zip(ranks).map(|(line, rank)| Route {
            upstream: line.upstream,
            errors: line.config.errors.unwrap_or(default_errors),
            methods: line.methods,
            model: match (&line.config.class, &line.config.model) {
                (RouteClass::Call, model) | (_, model @ ModelConfig::Fixed(_)) => model.clone(),
                _ => ModelConfig::NotNeeded,
            },
            class: line.config.class.clone(),
            written: match &line.config.host {
                None => line.config.path.as_str().into(),
                Some(host) => format!("{host}{}", line.config.path).into(),
            },
            refused_members: RefusedMembers::of(&line.config.refused_members)
                .unwrap_or_default()
                .into(),
            places: line.places,
            forward: line.forward,
            encoded_slash: line.config.encoded_slash,
            host: line
                .host
                .and_then(|host| hosts.iter().position(|known| *known == host)),
            rank,
        });
        let routes = routes.collect();
        Self {
            paths,
            hosts,
            routes,
            default_errors,
        }
    }
}

fn in_order<K: Ord>(keys: impl Iterator<Item = K>) -> Vec<K> {
    let mut keys: Vec<K> = keys.collect();
    keys.sort();
    keys.dedup();
    keys
}

fn place_of<K: Ord>(key: &K, sorted: &[K]) -> usize {
    sorted.partition_point(|known| known < key)
}

/// Notes every route that could take the same request as an earlier one with equal right.
fn find_equals(lines: &[Option<Line<'_>>], mistakes: &mut Vec<RouteMistake>) {
    for (route, line) in lines.iter().enumerate() {
        let Some(line) = line else { continue };
        let is_equal = |earlier: &Option<Line<'_>>| {
            earlier
                .as_ref()
                .is_some_and(|earlier| earlier.is_equal_to(line))
        };
        if let Some(equal) = lines[..route].iter().position(is_equal) {
            mistakes.push(RouteMistake {
                route,
                field: "path",
                message: format!(
                    "takes the same requests as routes[{equal}], and neither is narrower"
                ),
            });
        }
    }
}

impl Line<'_> {
    fn is_equal_to(&self, other: &Self) -> bool {
        let hosts_overlap = || match (&self.host, &other.host) {
            (Some(one), Some(other)) => one.overlaps(other),
            _ => true,
        };
        self.host_rank == other.host_rank
            && self.path_rank == other.path_rank
            && self.methods.overlaps(&other.methods)
            && self.path.overlaps(&other.path)
            && hosts_overlap()
    }
}

struct LineReader<'m> {
    route: usize,
    mistakes: &'m mut Vec<RouteMistake>,
}

impl LineReader<'_> {
    fn read<'c>(&mut self, config: &'c RouteConfig, upstreams: &[&str]) -> Option<Line<'c>> {
        let host = config.host.as_deref().map(HostPattern::parse).transpose();
        let host = self.note("host", host);
        let path = PathPattern::parse(&config.path);
        let path = self.note("path", path);
        let methods = self.note("methods", Methods::parse(&config.methods));
        let forward = config
            .forward
            .as_deref()
            .map(ForwardTemplate::parse)
            .transpose();
        let forward = self.note("forward", forward);
        let upstream = self.note("upstream", find_upstream(&config.upstream, upstreams));
        let places = self.note("model_in", Places::parse(&config.model_in));
        let (host, path) = (host?, path?);
        let line = Line {
            config,
            host_rank: host.as_ref().map(HostPattern::rank),
            path_rank: path.rank(),
            host,
            path,
            methods: methods?,
            forward: forward?,
            upstream: upstream?,
            places: places?,
        };
        self.check_together(&line).then_some(line)
    }

    /// Notes the mistakes that no single setting shows.
    fn check_together(&mut self, line: &Line<'_>) -> bool {
        let before = self.mistakes.len();
        let host_holds = |what| match (&line.host, what) {
            (Some(host), Placeholder::Model) => host.holds_model(),
            (Some(host), Placeholder::Env) => host.holds_env(),
            _ => false,
        };
        if host_holds(Placeholder::Env) && line.path.holds(Placeholder::Env) {
            self.add("path", "`{env}` stands in the host already".to_owned());
        }
        if line.config.encoded_slash && !line.path.holds(Placeholder::Model) {
            self.add("encoded_slash", "the path holds no `{model}`".to_owned());
        }
        for what in line.forward.iter().flat_map(ForwardTemplate::placeholders) {
            if !line.path.holds(what) && !host_holds(what) {
                self.add(
                    "forward",
                    format!("neither host nor path holds `{}`", what.name()),
                );
            }
        }
        self.check_model(line, host_holds(Placeholder::Model));
        self.check_class(line);
        self.mistakes.len() == before
    }

    fn check_model(&mut self, line: &Line<'_>, host_holds_model: bool) {
        let is_named = host_holds_model || line.path.holds(Placeholder::Model);
        match &line.config.model {
            ModelConfig::Fixed(model) if model.is_empty() || model.len() > MAX_MODEL_BYTES => {
                self.add(
                    "model",
                    format!("a model id has 1 to {MAX_MODEL_BYTES} bytes"),
                );
            }
            ModelConfig::NotNeeded if is_named => {
                let message =
                    "the route names a model by `{model}`, so a key must be allowed to call it";
                self.add("model", message.to_owned());
            }
            ModelConfig::NotNeeded if !line.config.model_in.is_empty() => {
                let message = "`model_in` names a model, so a key must be allowed to call it";
                self.add("model", message.to_owned());
            }
            ModelConfig::Named | ModelConfig::Fixed(_) | ModelConfig::NotNeeded => {}
        }
    }

    fn check_class(&mut self, line: &Line<'_>) {
        if !line.config.class.is_call() && (line.places.body || line.places.form) {
            let message = "only a call names its model in a body";
            self.add("model_in", message.to_owned());
        }
        if !line.config.refused_members.is_empty() && !line.places.body {
            let message = "`model_in` names no body, which alone has members";
            self.add("refused_members", message.to_owned());
        }
        if let Err(written) = RefusedMembers::of(&line.config.refused_members) {
            let message = format!(
                "`{}` is neither `name` nor `list[].name`",
                written.escape_debug()
            );
            self.add("refused_members", message);
        }
        if let RouteClass::LabelledMetrics(label) = &line.config.class
            && !is_label(label)
        {
            let message = format!("`{}` is no label's name", label.escape_debug());
            self.add("class", message);
        }
    }

    fn note<T>(&mut self, field: &'static str, read: Result<T, String>) -> Option<T> {
        read.map_err(|message| self.add(field, message)).ok()
    }

    fn add(&mut self, field: &'static str, message: String) {
        self.mistakes.push(RouteMistake {
            route: self.route,
            field,
            message,
        });
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*` (Prometheus, "Data model").
fn is_label(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_word)
        && name
            .bytes()
            .next()
            .is_some_and(|byte| !byte.is_ascii_digit())
}

fn find_upstream(name: &str, upstreams: &[&str]) -> Result<UpstreamId, String> {
    if let Some(place) = upstreams.iter().position(|known| *known == name) {
        return Ok(UpstreamId(place));
    }
    let hint = did_you_mean(name, upstreams.iter().copied());
    Err(format!(
        "no upstream is called `{}`{hint}",
        name.escape_debug()
    ))
}

/// The end of a message about a mistyped word: the known word it was most likely meant to be, or nothing.
pub(super) fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let distance = |known: &&str| strsim::damerau_levenshtein(word, known);
    match known.into_iter().min_by_key(distance) {
        Some(close) if distance(&close) <= 1 + word.chars().count() / 4 => {
            format!("; did you mean `{close}`?")
        }
        _ => String::new(),
    }
}
