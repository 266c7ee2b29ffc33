//! Where a request leads, and which model it names.
//!
//! A [`RouteTable`] says what may be called; what is not in it is refused. Paths and hosts are compared as they came:
//! what we match is what the upstream reads. A path that could be read in two ways is refused before it is matched
//! (SECURITY S1, S2), and so is a request whose host and path name different models (S6).
//!
//! # Which route
//!
//! The order of the lines means nothing. Of all routes whose host and path fit, the narrowest host wins, then the
//! narrowest path; the method then chooses among routes of the same width, a written one before any. When none of
//! those takes the method the request is refused: a narrow route that is closed to a method never falls through to a
//! wider one that is open. Two routes that could take the same request with equal right are a mistake in the settings.
//!
//! * Hosts, from narrow to wide: an exact host; one with placeholders; one that begins with `*`; one that ends with
//!   `*`; any. Within one kind, more text of ours is narrower.
//! * Paths, segment by segment from the left: text of ours; a placeholder, with more text of ours around it first;
//!   `{rest}`.
//!
//! # Which model
//!
//! Host and path are each read twice: as the chosen route says, and by the narrowest pattern of the whole table that
//! fits them. So a host that any route reads as `model-{model}.…` names that model on every route, and a path under
//! `{rest}` names the model that a narrower route finds in it. All that is found, and a fixed model, must agree byte
//! for byte. A host has no case, so a model named there is compared in lower case. Only when nothing is found does
//! the route's own word count (`named`, `not-needed`).

mod compile;
mod config;
mod host;
mod path;
mod pattern;
mod profile;
mod tree;

use std::borrow::Cow;

use http::Method;

use crate::key::{ModelId, NamedModel};

pub use compile::RouteMistake;
pub use config::{ErrorForm, ModelConfig, RouteConfig};
pub use host::RequestHost;
pub use profile::baseten;

use host::{HostCaptures, HostPattern};
use path::HoldsEncodedSlash;
use pattern::{ForwardTemplate, PathCaptures, Placeholder};
use tree::PathTree;

/// Everything that may be called. Compiled once, never changed.
#[derive(Debug)]
pub struct RouteTable {
    /// Below each path pattern: the places in `routes`.
    paths: PathTree<usize>,
    /// Every host pattern of the table, once.
    hosts: Vec<HostPattern>,
    routes: Vec<Route>,
    default_errors: ErrorForm,
}

/// One line of the table.
#[derive(Debug)]
pub struct Route {
    /// Where its requests go.
    pub upstream: UpstreamId,
    /// How its refusals look.
    pub errors: ErrorForm,
    methods: Methods,
    model: ModelConfig,
    forward: Option<ForwardTemplate>,
    encoded_slash: bool,
    /// The place in the table's `hosts`; none is any host.
    host: Option<usize>,
    /// Greater is narrower.
    host_rank: usize,
    path_rank: usize,
}

/// Which upstream: its place in the list of whoever compiled the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub usize);

/// The methods a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Methods {
    /// Every method but CONNECT and TRACE.
    Any,
    Only(Box<[Method]>),
}

/// How well a route takes a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Taken {
    No,
    AsAny,
    AsWritten,
}

/// The route of a request, and what the request names.
#[derive(Debug)]
pub struct Matched<'t, 'r> {
    /// The route.
    pub route: &'t Route,
    /// What goes on in place of the path.
    pub forward: Forward<'t, 'r>,
    model: FoundModel<'t, 'r>,
}

/// What goes on to the upstream in place of the path.
#[derive(Debug)]
pub enum Forward<'t, 'r> {
    /// The path as it came.
    AsItCame,
    /// Another one.
    Rewritten(Rewritten<'t, 'r>),
}

/// A path made from a route's `forward` and what the caller's host and path hold.
#[derive(Debug)]
pub struct Rewritten<'t, 'r> {
    template: &'t ForwardTemplate,
    host: HostCaptures<'r>,
    path: PathCaptures<'r>,
}

/// Why a request has no route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRoute {
    /// No route fits.
    NotFound,
    /// Routes fit, but none takes the method; the text is what `Allow` must say (RFC 9110 15.5.6).
    MethodNotAllowed(String),
    /// The path could be read in more than one way; the text says what is wrong with it.
    NotCanonical(&'static str),
    /// Two places name different models.
    ModelsDiffer,
}

#[derive(Debug)]
enum FoundModel<'t, 'r> {
    InRequest(Cow<'r, str>),
    Fixed(&'t str),
    NotNamed,
    NotNeeded,
}

/// A route that fits, and how well.
struct Candidate<'t, 'r> {
    route: &'t Route,
    taken: Taken,
    host: HostCaptures<'r>,
    path: PathCaptures<'r>,
}

impl RouteTable {
    /// The route of a request, and the model it names.
    ///
    /// Allocates nothing, but for a model that the host names in capitals or the path with an encoded slash, and for
    /// the `Allow` of a refusal.
    ///
    /// # Errors
    ///
    /// Why the request must be refused. A path that is not canonical is refused first.
    pub fn find<'t, 'r>(
        &'t self,
        method: &Method,
        host: RequestHost<'r>,
        path: &'r str,
    ) -> Result<Matched<'t, 'r>, NoRoute> {
        let HoldsEncodedSlash(encoded_slash) = path::check_canonical(path)?;
        let (best, narrowest_path) = self.candidates(method, host, path);
        let Some(best) = best else {
            return Err(no_route(encoded_slash));
        };
        let route = best.route;
        if encoded_slash && !route.encoded_slash {
            return Err(no_route(encoded_slash));
        }
        if best.taken == Taken::No {
            return Err(NoRoute::MethodNotAllowed(self.allowed(&best, host, path)));
        }
        let by_path = [best.path.model, narrowest_path];
        let model = self.agreed_model(route, host, best.host.model, by_path)?;
        let forward = match &route.forward {
            None => Forward::AsItCame,
            Some(template) => Forward::Rewritten(Rewritten {
                template,
                host: best.host,
                path: best.path,
            }),
        };
        Ok(Matched {
            route,
            forward,
            model,
        })
    }

    /// The form of a refusal when there is no route: that of the narrowest one whose path fits, whatever its host and
    /// methods; else the default.
    #[must_use]
    pub fn error_form(&self, path: &str) -> ErrorForm {
        let mut best: Option<&Route> = None;
        self.paths.visit(path, |&place, _| {
            let route = &self.routes[place];
            if best.is_none_or(|best| best.path_rank < route.path_rank) {
                best = Some(route);
            }
        });
        best.map_or(self.default_errors, |route| route.errors)
    }

    /// The narrowest route that fits, and the model in the path as the narrowest path pattern of the table reads it,
    /// where that is narrower than the route's own.
    fn candidates<'t, 'r>(
        &'t self,
        method: &Method,
        host: RequestHost<'r>,
        path: &'r str,
    ) -> (Option<Candidate<'t, 'r>>, Option<&'r str>) {
        let mut best: Option<Candidate<'t, 'r>> = None;
        let mut narrowest: Option<(usize, Option<&'r str>)> = None;
        self.paths.visit(path, |&place, captures| {
            let route = &self.routes[place];
            if narrowest.is_none_or(|(rank, model)| {
                rank < route.path_rank || (rank == route.path_rank && model.is_none())
            }) {
                narrowest = Some((route.path_rank, captures.model));
            }
            let Some(found) = self.find_host(route, host) else {
                return;
            };
            let taken = route.methods.take(method);
            let beats = |best: &Candidate<'_, '_>| {
                (route.host_rank, route.path_rank, taken)
                    > (best.route.host_rank, best.route.path_rank, best.taken)
            };
            if best.as_ref().is_none_or(beats) {
                best = Some(Candidate {
                    route,
                    taken,
                    host: found,
                    path: *captures,
                });
            }
        });
        let narrower = |(rank, model): (usize, _)| match &best {
            Some(best) if best.route.path_rank < rank => model,
            _ => None,
        };
        let narrowest = narrowest.and_then(narrower);
        (best, narrowest)
    }

    fn find_host<'r>(&self, route: &Route, host: RequestHost<'r>) -> Option<HostCaptures<'r>> {
        match route.host {
            None => Some(HostCaptures::default()),
            Some(place) => self.hosts[place].find(host),
        }
    }

    /// The one model that all places name.
    fn agreed_model<'t, 'r>(
        &'t self,
        route: &'t Route,
        host: RequestHost<'r>,
        by_route_host: Option<&'r str>,
        by_path: [Option<&'r str>; 2],
    ) -> Result<FoundModel<'t, 'r>, NoRoute> {
        let mut agreed: Option<Cow<'r, str>> = None;
        let mut agree = |model: Cow<'r, str>| match &agreed {
            Some(known) if *known != model => Err(NoRoute::ModelsDiffer),
            Some(_) => Ok(()),
            None => {
                agreed = Some(model);
                Ok(())
            }
        };
        for model in by_path.into_iter().flatten() {
            agree(decode_slashes(model))?;
        }
        for model in by_route_host
            .into_iter()
            .chain(self.narrowest_host_models(host))
        {
            agree(in_lower_case(model))?;
        }
        match (&route.model, agreed) {
            (ModelConfig::Fixed(fixed), Some(model)) if **fixed != *model => {
                Err(NoRoute::ModelsDiffer)
            }
            (_, Some(model)) => Ok(FoundModel::InRequest(model)),
            (ModelConfig::Fixed(fixed), None) => Ok(FoundModel::Fixed(fixed)),
            (ModelConfig::Named, None) => Ok(FoundModel::NotNamed),
            (ModelConfig::NotNeeded, None) => Ok(FoundModel::NotNeeded),
        }
    }

    /// The models in the host, as the narrowest host patterns of the table read it.
    fn narrowest_host_models<'r>(&self, host: RequestHost<'r>) -> impl Iterator<Item = &'r str> {
        // `hosts` is sorted, narrow ones first.
        let mut rank = None;
        let found = self
            .hosts
            .iter()
            .filter_map(move |pattern| Some((pattern.rank(), pattern.find(host)?)));
        found
            .take_while(move |(found, _)| *rank.get_or_insert(*found) == *found)
            .filter_map(|(_, captures)| captures.model)
    }

    fn allowed(&self, best: &Candidate<'_, '_>, host: RequestHost<'_>, path: &str) -> String {
        let mut allowed = Vec::new();
        self.paths.visit(path, |&place, _| {
            let route = &self.routes[place];
            let is_as_narrow =
                (route.host_rank, route.path_rank) == (best.route.host_rank, best.route.path_rank);
            if is_as_narrow && self.find_host(route, host).is_some() {
                allowed.extend(route.methods.names());
            }
        });
        allowed.sort_unstable();
        allowed.dedup();
        allowed.join(", ")
    }
}

impl Matched<'_, '_> {
    /// The model the request names.
    #[must_use]
    pub fn model(&self) -> NamedModel<'_> {
        match &self.model {
            FoundModel::InRequest(model) => NamedModel::Named(ModelId::new(model)),
            FoundModel::Fixed(model) => NamedModel::Named(ModelId::new(model)),
            FoundModel::NotNamed => NamedModel::NotNamed,
            FoundModel::NotNeeded => NamedModel::NotNeeded,
        }
    }
}

impl Rewritten<'_, '_> {
    /// The path that goes on, and the query as it came.
    #[must_use]
    pub fn path_and_query(&self, query: Option<&str>) -> String {
        let mut target = String::with_capacity(64);
        self.template.write(&mut target, |what, target| {
            let (by_path, by_host) = match what {
                Placeholder::Model => (self.path.model, self.host.model),
                Placeholder::Env => (self.path.env, self.host.env),
                Placeholder::Id => (self.path.id, None),
                Placeholder::Rest => (self.path.rest, None),
            };
            match (by_path, by_host) {
                (Some(text), _) => target.push_str(text),
                (None, Some(text)) => target.push_str(&in_lower_case(text)),
                // `compile` refuses a template that asks for what neither host nor path holds.
                (None, None) => {}
            }
        });
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        target
    }
}

impl Methods {
    fn take(&self, method: &Method) -> Taken {
        match self {
            Self::Any if *method == Method::CONNECT || *method == Method::TRACE => Taken::No,
            Self::Any => Taken::AsAny,
            Self::Only(methods) if methods.contains(method) => Taken::AsWritten,
            Self::Only(_) => Taken::No,
        }
    }

    fn names(&self) -> Vec<&str> {
        match self {
            Self::Any => vec!["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"],
            Self::Only(methods) => methods.iter().map(Method::as_str).collect(),
        }
    }
}

/// An encoded slash is canonical only where a route says so.
fn no_route(encoded_slash: bool) -> NoRoute {
    if encoded_slash {
        NoRoute::NotCanonical("the path holds a percent escape")
    } else {
        NoRoute::NotFound
    }
}

/// The one decoding that a path demands: a canonical path holds no escape but of the slash.
fn decode_slashes(model: &str) -> Cow<'_, str> {
    if model.contains('%') {
        Cow::Owned(model.replace("%2F", "/").replace("%2f", "/"))
    } else {
        Cow::Borrowed(model)
    }
}

fn in_lower_case(model: &str) -> Cow<'_, str> {
    if model.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(model.to_ascii_lowercase())
    } else {
        Cow::Borrowed(model)
    }
}

#[cfg(test)]
mod tests;
