//! Where a request leads, and which model it names.
//!
//! A [`RouteTable`] says what may be called; what is not in it is refused. Paths and hosts are compared as they came:
//! what we match is what the upstream reads. A path that could be read in two ways is refused before it is matched
//! (SECURITY S1, S2), and no key passes with a request whose host and path name different models (S6).
//!
//! # Which route
//!
//! The order of the lines means nothing. Of all routes whose host and path fit, those with the narrowest host win, and
//! of these those with the narrowest path; then the method chooses, a written one before any. When none of them takes
//! the method, the request is refused: a narrow route that is closed to a method never falls through to a wider one
//! that is open. Two routes that could take the same request with equal right are a mistake in the settings.
//!
//! * Hosts, from narrow to wide: an exact host; one with placeholders; one that begins with `*`; one that ends with
//!   `*`; any. Within one kind, more text of ours is narrower.
//! * Paths, segment by segment from the left: text of ours; a placeholder, with more text of ours around it first;
//!   `{rest}`.
//!
//! # Which model
//!
//! Host and path are each read as the chosen route says, and by the narrowest pattern of the whole table that fits
//! them. So a host that some route reads as `model-{model}.…` names that model on every route, and a path under
//! `{rest}` names the model that a narrower route finds in it. All that is found, and a fixed model, must agree byte
//! for byte. A host has no case, so a model named there is compared in lower case. Only when nothing is found does
//! the route's own word count (`named`, `not-needed`).
//!
//! A route of another class than `call` is answered with what is about many models: their list, or metrics. There a
//! request that names no model is no reason to refuse it; what a key for some models may see of the answer is the
//! proxy's matter.
//!
//! A route may name further places, which must agree with those: a header, a parameter of the query, the `model` of a JSON
//! body. What could be read in two ways there is refused.

mod body;
mod compile;
mod config;
mod host;
mod method;
mod model;
mod path;
mod pattern;
mod place;
mod profile;
mod tree;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use http::Method;

use crate::key::NamedModel;
use crate::message::Fields;

pub use body::{
    BodyCoding, BodyFault, BodyRules, BodyScanner, DecodedScanner, FormScanner, MAX_BODY_DEPTH,
    ModelScanner, UnreadableBody,
};
pub use compile::RouteMistake;
pub use config::{
    ErrorForm, ModelConfig, ModelPlace, Profile, ProfileConfig, RouteClass, RouteConfig,
};
pub use host::RequestHost;
pub use profile::{baseten, profile};

use body::RefusedMembers;
use host::{HostCaptures, HostPattern};
use method::{Methods, Taken};
use model::{FoundModel, in_lower_case};
use path::HoldsEncodedSlash;
use pattern::{ForwardTemplate, PathCaptures, Placeholder};
use place::Places;
use tree::PathTree;

/// Everything that may be called. Compiled once, never changed.
#[derive(Debug)]
pub struct RouteTable {
    /// Below each path pattern the places of its routes in `routes`.
    paths: PathTree<usize>,
    /// Every host pattern once, narrow ones first.
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
    /// What its requests ask for.
    pub class: RouteClass,
    /// Its host, if it has one, and its path, as they are written in the settings.
    pub written: Arc<str>,
    methods: Methods,
    model: ModelConfig,
    places: Places,
    refused_members: Arc<RefusedMembers>,
    forward: Option<ForwardTemplate>,
    encoded_slash: bool,
    /// The place in the table's `hosts`; none is any host.
    host: Option<usize>,
    rank: Rank,
}

/// How narrow a route's patterns are among all of the table: greater is narrower. Host before path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    host: usize,
    path: usize,
}

/// Which upstream: its place in the list that the table was compiled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub usize);

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
}

/// A route that fits a request.
struct Candidate<'t, 'r> {
    route: &'t Route,
    taken: Taken,
    host: HostCaptures<'r>,
    path: PathCaptures<'r>,
}

impl RouteTable {
    /// The route of a request, and the model it names.
    ///
    /// Costs no more than the table is large. Allocates nothing, but for a model that the host names in capitals or
    /// the path with an encoded slash, and for the `Allow` of a refusal.
    ///
    /// # Errors
    ///
    /// Why the request must be refused whoever sends it: first of all when its path is not canonical. That it names
    /// different models is no such reason: only a caller with a good key may learn of it (SECURITY C6).
    pub fn find<'t, 'r>(
        &'t self,
        method: &Method,
        host: RequestHost<'r>,
        path: &'r str,
    ) -> Result<Matched<'t, 'r>, NoRoute> {
        let HoldsEncodedSlash(encoded_slash) = path::check_canonical(path)?;
        let mut best: Option<Candidate<'t, 'r>> = None;
        let mut narrowest_path = NarrowestPath::default();
        self.paths.visit(path, |&place, captures| {
            let route = &self.routes[place];
            narrowest_path.add(route.rank.path, captures.model);
            if let Some(found) = self.candidate(route, method, host, captures)
                && best.as_ref().is_none_or(|best| found.beats(best))
            {
                best = Some(found);
            }
        });
        let Some(best) = best else {
            return Err(if encoded_slash {
                path::ESCAPE
            } else {
                NoRoute::NotFound
            });
        };
        if encoded_slash && !best.route.encoded_slash {
            return Err(path::ESCAPE);
        }
        if best.taken == Taken::No {
            return Err(NoRoute::MethodNotAllowed(self.allowed(&best, host, path)));
        }
        let route = best.route;
        let in_path = best.path.model.into_iter();
        let in_path = in_path.chain(narrowest_path.model_beyond(route.rank.path));
        let in_host = best.host.model.into_iter();
        let in_host = in_host.chain(self.narrowest_hosts(host).filter_map(|found| found.model));
        Ok(Matched {
            route,
            model: FoundModel::agreed(in_path, in_host, &route.model),
            forward: best.forward(),
        })
    }

    /// The form of a refusal when there is no route: that of the narrowest one whose host and path fit, whatever its
    /// methods; else of the narrowest whose path fits; else the default. `host` is none when the request names none.
    #[must_use]
    pub fn error_form(&self, host: Option<RequestHost<'_>>, path: &str) -> ErrorForm {
        let mut best: Option<((Option<usize>, usize), &Route)> = None;
        self.paths.visit(path, |&place, _| {
            let route = &self.routes[place];
            let fits = match (route.host, host) {
                (None, _) => true,
                (Some(place), Some(host)) => self.hosts[place].find(host).is_some(),
                (Some(_), None) => false,
            };
            let rank = (fits.then_some(route.rank.host), route.rank.path);
            if best.is_none_or(|(best, _)| best < rank) {
                best = Some((rank, route));
            }
        });
        best.map_or(self.default_errors, |(_, route)| route.errors)
    }

    fn candidate<'t, 'r>(
        &self,
        route: &'t Route,
        method: &Method,
        host: RequestHost<'r>,
        path: &PathCaptures<'r>,
    ) -> Option<Candidate<'t, 'r>> {
        let host = match route.host {
            None => HostCaptures::default(),
            Some(place) => self.hosts[place].find(host)?,
        };
        Some(Candidate {
            route,
            taken: route.methods.take(method),
            host,
            path: *path,
        })
    }

    /// What the narrowest host patterns that fit find in the host.
    fn narrowest_hosts<'r>(&self, host: RequestHost<'r>) -> impl Iterator<Item = HostCaptures<'r>> {
        let mut rank = None;
        let found = self
            .hosts
            .iter()
            .filter_map(move |pattern| Some((pattern.rank(), pattern.find(host)?)));
        found
            .take_while(move |(found, _)| *rank.get_or_insert(*found) == *found)
            .map(|(_, captures)| captures)
    }

    /// The methods of all routes that fit as well as `best`.
    fn allowed(&self, best: &Candidate<'_, '_>, host: RequestHost<'_>, path: &str) -> String {
        let mut allowed = Vec::new();
        self.paths.visit(path, |&place, captures| {
            let route = &self.routes[place];
            let fits = self
                .candidate(route, &Method::GET, host, captures)
                .is_some();
            if fits && route.rank == best.route.rank {
                allowed.extend(route.methods.names());
            }
        });
        allowed.sort_unstable();
        allowed.dedup();
        allowed.join(", ")
    }
}

/// The model in a path as the narrowest path pattern of the table reads it.
#[derive(Default)]
struct NarrowestPath<'r> {
    found: Option<(usize, Option<&'r str>)>,
}

impl<'r> NarrowestPath<'r> {
    fn add(&mut self, rank: usize, model: Option<&'r str>) {
        // The order of `Option` puts a pattern that reads a model above an equally narrow one that does not.
        self.found = self.found.max(Some((rank, model)));
    }

    /// The model, if the pattern is narrower than `rank`.
    fn model_beyond(&self, rank: usize) -> Option<&'r str> {
        self.found.filter(|(found, _)| *found > rank)?.1
    }
}

impl<'t, 'r> Candidate<'t, 'r> {
    fn beats(&self, other: &Self) -> bool {
        (self.route.rank, self.taken) > (other.route.rank, other.taken)
    }

    fn forward(self) -> Forward<'t, 'r> {
        match &self.route.forward {
            None => Forward::AsItCame,
            Some(template) => Forward::Rewritten(Rewritten {
                template,
                host: self.host,
                path: self.path,
            }),
        }
    }
}

impl Route {
    /// The model that its requests name always, because the upstream serves no other.
    #[must_use]
    pub fn fixed_model(&self) -> Option<&str> {
        match &self.model {
            ModelConfig::Fixed(model) => Some(model),
            ModelConfig::Named | ModelConfig::NotNeeded => None,
        }
    }

    /// Whether its requests may name their model beside host and path: in a header, the query or the body.
    #[must_use]
    pub fn names_model_elsewhere(&self) -> bool {
        self.names_model_in_body() || self.places.are_in_head()
    }

    /// Whether its requests name their model in the body.
    #[must_use]
    pub const fn names_model_in_body(&self) -> bool {
        self.places.body || self.places.form
    }
}

impl<'r> Matched<'_, 'r> {
    /// The model the request names, as far as it was read.
    ///
    /// A request for metrics that do not say which model they are about names one only where the upstream serves no
    /// other: what else stands in it does not change what it is answered.
    #[must_use]
    pub fn model(&self) -> NamedModel<'_> {
        match self.model.as_named() {
            NamedModel::Named(_) | NamedModel::NotNeeded
                if self.route.class == RouteClass::Metrics
                    && self.route.fixed_model().is_none() =>
            {
                NamedModel::NotNamed
            }
            named => named,
        }
    }

    /// Reads what the rest of the head names where the route says that it may: headers and query.
    ///
    /// # Errors
    ///
    /// Why it can be read in two ways.
    pub fn read_head(
        &mut self,
        headers: &'r Fields,
        query: Option<&'r str>,
    ) -> Result<(), &'static str> {
        for model in self.route.places.read(headers, query)? {
            self.also_names(model);
        }
        Ok(())
    }

    /// What reads the model in the body, by these rules; `None` when the route reads none there.
    ///
    /// # Errors
    ///
    /// When the body is of a kind that nobody here reads.
    pub fn scanner(
        &self,
        headers: &Fields,
        rules: &BodyRules,
    ) -> Result<Option<BodyScanner>, UnreadableBody> {
        if !self.route.names_model_in_body() {
            return Ok(None);
        }
        let places = &self.route.places;
        let refused = &self.route.refused_members;
        body::scanner_for(headers, places.body, places.form, rules, refused).map(Some)
    }

    /// Notes that one more place of the request names `model`.
    pub fn also_names(&mut self, model: Cow<'r, str>) {
        let before = std::mem::replace(&mut self.model, FoundModel::NotNamed);
        self.model = before.and(model);
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
            // One of them is there: `compile` refuses a template that asks for what neither host nor path holds.
            match (by_path, by_host) {
                (Some(text), _) => target.push_str(text),
                (None, Some(text)) => target.push_str(&in_lower_case(text)),
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
