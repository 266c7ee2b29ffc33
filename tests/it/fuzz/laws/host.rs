//! Hosts: what we take has one reading, and it is that of others.

use std::sync::LazyLock;

use http::Method;
use http::uri::Authority;
use keyward::key::{ModelId, NamedModel};
use keyward::route::{ErrorForm, RequestHost, RouteTable, baseten};

static TABLE: LazyLock<RouteTable> = LazyLock::new(|| {
    RouteTable::compile(&baseten("u"), ErrorForm::Problem, &["u"]).expect("the built-in table")
});

/// A host that is taken is read alike by others, and the model in it is the text that stands there.
pub fn law(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let Some(host) = RequestHost::parse(text) else {
        return;
    };
    // Another parser of RFC 3986 finds the same name and port, and nothing beside them.
    let authority: Authority = text
        .parse()
        .unwrap_or_else(|_| panic!("no authority: {text}"));
    let dot = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    assert_eq!(
        dot(authority.host()),
        host.name().to_ascii_lowercase(),
        "{text}"
    );
    assert!(!text.contains(['@', '/', ',', ' ', '%', '\\']), "{text}");
    // What is decided on does not change by being written out and read again.
    let canonical = host.canonical();
    let again = RequestHost::parse(&canonical).expect("what is written out can be read");
    assert_eq!(again.canonical(), &*canonical, "{text}");
    assert!(again.is_same_as(host), "{text}");

    let Ok(found) = TABLE.find(&Method::POST, host, "/production/predict") else {
        return;
    };
    let name = host.name().to_ascii_lowercase();
    let label = name.split('.').next().unwrap_or_default();
    let model = ["model-", "chain-"]
        .iter()
        .find_map(|kind| label.strip_prefix(kind));
    let model = model.unwrap_or_else(|| panic!("no model in {name}"));
    assert!(!model.contains('-') && name.contains('.'), "{name}");
    assert_eq!(
        found.model(),
        NamedModel::Named(ModelId::new(model)),
        "{name}"
    );
}
