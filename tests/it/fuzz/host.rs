//! Hosts: what we take has one reading, and it is that of others.

use std::sync::LazyLock;

use http::Method;
use http::uri::Authority;
use keyward::key::{ModelId, NamedModel};
use keyward::route::{ErrorForm, RequestHost, RouteTable, baseten};
use proptest::prelude::*;

use super::{corpus, inputs};
use crate::support::cases;

static TABLE: LazyLock<RouteTable> = LazyLock::new(|| {
    RouteTable::compile(&baseten("u"), ErrorForm::Problem, &["u"]).expect("the built-in table")
});

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn a_host_that_is_taken_is_read_alike_by_others(
        input in inputs(corpus(include_str!("corpus/hosts.txt")), b"model-1.:[]@/,%2e_ A0"),
    ) {
        let Ok(text) = str::from_utf8(&input) else {
            return Ok(());
        };
        let Some(host) = RequestHost::parse(text) else {
            return Ok(());
        };
        // Another parser of RFC 3986 finds the same name and port, and nothing beside them.
        let authority: Authority = text.parse().map_err(|_| TestCaseError::fail(format!("no authority: {text}")))?;
        let dot = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        prop_assert_eq!(dot(authority.host()), host.name().to_ascii_lowercase(), "{}", text);
        prop_assert!(!text.contains(['@', '/', ',', ' ', '%', '\\']), "{}", text);
        // What is decided on does not change by being written out and read again.
        let canonical = host.canonical();
        let again = RequestHost::parse(&canonical).expect("what is written out can be read");
        prop_assert_eq!(again.canonical(), &*canonical, "{}", text);
        prop_assert!(again.is_same_as(host), "{}", text);
    }

    #[test]
    fn the_model_in_a_host_is_the_text_that_stands_there(
        input in inputs(corpus(include_str!("corpus/hosts.txt")), b"model-1.chain:AZ"),
    ) {
        let Some(host) = str::from_utf8(&input).ok().and_then(RequestHost::parse) else {
            return Ok(());
        };
        let Ok(found) = TABLE.find(&Method::POST, host, "/production/predict") else {
            return Ok(());
        };
        let name = host.name().to_ascii_lowercase();
        let label = name.split('.').next().unwrap_or_default();
        let model = label.strip_prefix("model-").or_else(|| label.strip_prefix("chain-"));
        let model = model.ok_or_else(|| TestCaseError::fail(format!("no model in {name}")))?;
        prop_assert!(!model.contains('-') && name.contains('.'), "{}", name);
        prop_assert_eq!(found.model(), NamedModel::Named(ModelId::new(model)), "{}", name);
    }
}
