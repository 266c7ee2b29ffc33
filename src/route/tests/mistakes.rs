//! What `compile` refuses.

use rstest::rstest;
use snapbox::str;

use super::*;

#[test]
fn every_mistake_is_named() {
    let wrong = |change: fn(&mut RouteConfig)| {
        let mut config = route(None, "/x");
        change(&mut config);
        config
    };
    let routes = [
        wrong(|route| route.path = "x".into()),
        wrong(|route| route.path = "/a//b".into()),
        wrong(|route| route.path = "/a/".into()),
        wrong(|route| route.path = "/a/..".into()),
        wrong(|route| route.path = "/a%2Fb".into()),
        wrong(|route| route.path = "/a;b".into()),
        wrong(|route| route.path = "/{model}/{model}".into()),
        wrong(|route| route.path = "/{modle}".into()),
        wrong(|route| route.path = "/{tenant}".into()),
        wrong(|route| route.path = "/{model".into()),
        wrong(|route| route.path = "/{model}{id}".into()),
        wrong(|route| route.path = "/{rest}/a".into()),
        wrong(|route| route.path = "/a{rest}".into()),
        wrong(|route| route.path = "/{model}:a.".into()),
        wrong(|route| route.host = Some(String::new())),
        wrong(|route| route.host = Some("*".into())),
        wrong(|route| route.host = Some("*.a.*".into())),
        wrong(|route| route.host = Some("a.*.b".into())),
        wrong(|route| route.host = Some("a:80".into())),
        wrong(|route| route.host = Some("[::1]:80".into())),
        wrong(|route| route.host = Some("model{model}.a".into())),
        wrong(|route| route.host = Some("{env}-{model}.a".into())),
        wrong(|route| route.host = Some("{model}.{model}".into())),
        wrong(|route| (route.host, route.path) = (Some("{env}.a".into()), "/{env}".into())),
        wrong(|route| route.methods = vec!["GET".into(), "CONNECT".into()]),
        wrong(|route| route.methods = vec!["get".into()]),
        wrong(|route| route.methods = vec!["G E T".into()]),
        wrong(|route| route.upstream = "modle".into()),
        wrong(|route| route.upstream = "other".into()),
        wrong(|route| route.forward = Some("/v1/{rest}".into())),
        wrong(|route| route.forward = Some("v1".into())),
        wrong(|route| route.encoded_slash = true),
        wrong(|route| route.model = ModelConfig::Fixed(String::new())),
        wrong(|route| (route.path, route.model) = ("/{model}".into(), ModelConfig::NotNeeded)),
        wrong(|route| (route.host, route.upstream) = (Some("a b".into()), "nobody".into())),
        wrong(|_| ()),
        wrong(|_| ()),
    ];
    let mistakes = RouteTable::compile(&routes, ErrorForm::Problem, &["model"]).unwrap_err();
    let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    snapbox::assert_data_eq!(
        mistakes.join("\n"),
        str![[r"
routes[0].path: a path begins with `/`
routes[1].path: a segment is empty
routes[2].path: a segment is empty
routes[3].path: a segment ends with a dot
routes[4].path: a path may not hold `%`
routes[5].path: a path may not hold `;`
routes[6].path: `{model}` appears twice
routes[7].path: `{modle}` is no placeholder; did you mean `{model}`?
routes[8].path: `{tenant}` is no placeholder; there are `{model}`, `{env}`, `{id}` and `{rest}`
routes[9].path: `{model`: a brace is not closed
routes[10].path: `{model}{id}`: one placeholder for each segment
routes[11].path: `{rest}` stands only at the end
routes[12].path: `{rest}` stands alone
routes[13].path: a segment ends with a dot
routes[14].host: a label is empty
routes[15].host: `*` alone is every host; leave `host` out
routes[16].host: `*` stands first or last, not both
routes[17].host: `*` stands only for the first or the last labels
routes[18].host: `a:80` is no part of a host
routes[19].host: `[::1]:80` is no address
routes[20].host: `model{model}`: a host knows `{model}` and `{env}`, each alone between `-` and `.`
routes[21].host: `{env}` stands only at the end of a label
routes[22].host: `{model}` appears twice
routes[23].path: `{env}` stands in the host already
routes[24].methods: `CONNECT` is never forwarded
routes[25].methods: `get` is another method than `GET`
routes[26].methods: `G E T` is no method
routes[27].upstream: no upstream is called `modle`; did you mean `model`?
routes[28].upstream: no upstream is called `other`
routes[29].forward: neither host nor path holds `{rest}`
routes[30].forward: a path begins with `/`
routes[31].encoded_slash: the path holds no `{model}`
routes[32].model: a model id has 1 to 256 bytes
routes[33].model: the route names a model by `{model}`, so a key must be allowed to call it
routes[34].host: `a b` is no part of a host
routes[34].upstream: no upstream is called `nobody`
routes[36].path: takes the same requests as routes[35], and neither is narrower
"]]
    );
}

#[rstest]
#[case(vec![ModelPlace::Header("x y".into())], "model_in: `x y` is no header's name")]
#[case(vec![ModelPlace::Query("model[]".into())], "model_in: `model[]` is no parameter's name: letters, digits, `-`, `_` and `.`")]
#[case(vec![ModelPlace::Query(String::new())], "model_in: `` is no parameter's name: letters, digits, `-`, `_` and `.`")]
#[case(vec![ModelPlace::Body, ModelPlace::Body], "model_in: names a place twice")]
#[case(vec![ModelPlace::Body], "model: `model_in` names a model, so a key must be allowed to call it")]
fn a_place_that_names_a_model_can_be_read(#[case] places: Vec<ModelPlace>, #[case] expected: &str) {
    let routes = [RouteConfig {
        model_in: places,
        model: ModelConfig::NotNeeded,
        ..route(None, "/x")
    }];
    let mistakes = RouteTable::compile(&routes, ErrorForm::Problem, &["model"]).unwrap_err();
    assert_eq!(mistakes[0].to_string(), format!("routes[0].{expected}"));
}

#[rstest]
#[case::a_list_has_no_body(|route: &mut RouteConfig| {
    (route.class, route.model_in) = (RouteClass::Models, vec![ModelPlace::Body]);
}, "model_in: only a call names its model in a body")]
#[case::metrics_have_no_form(|route: &mut RouteConfig| {
    (route.class, route.model_in) = (RouteClass::Metrics, vec![ModelPlace::Form]);
}, "model_in: only a call names its model in a body")]
#[case::a_label_has_a_name(|route: &mut RouteConfig| {
    route.class = RouteClass::LabelledMetrics("a-b".into());
}, "class: `a-b` is no label's name")]
#[case::a_label_is_no_number(|route: &mut RouteConfig| {
    route.class = RouteClass::LabelledMetrics("1".into());
}, "class: `1` is no label's name")]
#[case::a_label_is_something(|route: &mut RouteConfig| {
    route.class = RouteClass::LabelledMetrics(String::new());
}, "class: `` is no label's name")]
#[case::members_are_a_bodys(|route: &mut RouteConfig| {
    (route.refused_members, route.model_in) = (vec!["x".into()], vec![ModelPlace::Form]);
}, "refused_members: `model_in` names no body, which alone has members")]
#[case::members_are_found_in_two_ways(|route: &mut RouteConfig| {
    (route.refused_members, route.model_in) = (vec!["a[].b[].c".into()], vec![ModelPlace::Body]);
}, "refused_members: `a[].b[].c` is neither `name` nor `list[].name`")]
fn a_class_goes_with_what_a_route_says(
    #[case] change: fn(&mut RouteConfig),
    #[case] expected: &str,
) {
    let mut config = route(None, "/x");
    change(&mut config);
    let mistakes = RouteTable::compile(&[config], ErrorForm::Problem, &["model"]).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert_eq!(mistakes[0].to_string(), format!("routes[0].{expected}"));
}

#[rstest]
#[case::placeholders_have_no_name((None, "/a/{model}"), (None, "/a/{id}"), true)]
#[case::text_differs((None, "/a/{model}"), (None, "/b/{model}"), false)]
#[case::text_around_may_fit_both((None, "/a{id}"), (None, "/{id}a"), true)]
#[case::text_before_differs((None, "/a{id}"), (None, "/b{id}"), false)]
#[case::text_after_differs((None, "/{id}:a"), (None, "/{id}:b"), false)]
#[case::hosts_differ((Some("a.x"), "/a"), (Some("b.x"), "/a"), false)]
#[case::hosts_differ_in_case((Some("a.x"), "/a"), (Some("A.X"), "/a"), true)]
#[case::hosts_of_one_width((Some("*.a-{model}.x"), "/a"), (Some("*.a-{env}.x"), "/a"), true)]
#[case::hosts_by_their_ends((Some("*.a.b"), "/a"), (Some("*.a.c"), "/a"), false)]
#[case::hosts_with_more_labels((Some("{model}.a"), "/a"), (Some("{model}.{env}.a"), "/a"), false)]
#[case::environments_hold_dashes((Some("a-{env}.*"), "/a"), (Some("{model}-a-{env}.*"), "/a"), true)]
#[case::models_hold_none((Some("a-{model}.*"), "/a"), (Some("a-{model}-{env}.*"), "/a"), false)]
fn two_routes_with_equal_right_are_a_mistake(
    #[case] one: (Option<&str>, &str),
    #[case] other: (Option<&str>, &str),
    #[case] equal: bool,
) {
    let routes = [route(one.0, one.1), route(other.0, other.1)];
    let compiled = RouteTable::compile(&routes, ErrorForm::Problem, &["model"]);
    assert_eq!(compiled.is_err(), equal);
}
