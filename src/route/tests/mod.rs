//! Which route a request takes and which model it names: a table for each row of SECURITY 3.3 that path, host and method
//! decide (S1 to S6, S12), and laws.

mod built_in;
mod choice;
mod host;
mod laws;
mod mistakes;
mod model;
mod path;
mod place;
mod profiles;

use std::sync::LazyLock;

use http::Method;

use super::*;
use crate::key::ModelId;

fn route(host: Option<&str>, path: &str) -> RouteConfig {
    RouteConfig {
        host: host.map(str::to_owned),
        path: path.to_owned(),
        methods: Vec::new(),
        upstream: "model".to_owned(),
        forward: None,
        model: ModelConfig::Named,
        model_in: Vec::new(),
        refused_members: Vec::new(),
        class: RouteClass::Call,
        encoded_slash: false,
        errors: None,
    }
}

fn compile(routes: &[RouteConfig]) -> RouteTable {
    RouteTable::compile(routes, ErrorForm::Problem, &["model"]).unwrap()
}

fn built_in() -> &'static RouteTable {
    static TABLE: LazyLock<RouteTable> = LazyLock::new(|| compile(&baseten("model")));
    &TABLE
}

fn host(text: &str) -> RequestHost<'_> {
    RequestHost::parse(text).unwrap()
}

/// What a request comes to: the model it names and the target that goes on; or why not.
fn outcome(table: &RouteTable, method: &Method, host: &str, path: &str) -> String {
    let host = RequestHost::parse(host).unwrap();
    match table.find(method, host, path) {
        Ok(matched) => {
            let model = match matched.model() {
                NamedModel::Named(model) => model.as_str().to_owned(),
                NamedModel::Differ => return "403".to_owned(),
                unnamed => format!("({unnamed:?})"),
            };
            match &matched.forward {
                Forward::AsItCame => format!("{model} as it came"),
                Forward::Rewritten(rewritten) => {
                    format!("{model} {}", rewritten.path_and_query(None))
                }
            }
        }
        Err(NoRoute::NotFound) => "404".to_owned(),
        Err(NoRoute::MethodNotAllowed(allow)) => format!("405 {allow}"),
        Err(NoRoute::NotCanonical(_)) => "400".to_owned(),
    }
}

fn post(table: &RouteTable, host: &str, path: &str) -> String {
    outcome(table, &Method::POST, host, path)
}
