//! Which paths have one reading only (SECURITY S1, S2).

use rstest::rstest;

use super::*;

#[rstest]
#[case::escaped_letter("/models/%6d1/predict")]
#[case::escaped_slash("/models/m1%2fpredict")]
#[case::escaped_slash_in_the_model("/models/a%2Fm1/predict")]
#[case::escaped_backslash("/models/m1%5cpredict")]
#[case::nul("/models/m1%00/predict")]
#[case::twice_escaped("/models/m1%252fpredict")]
#[case::overlong("/models/m1%c0%afpredict")]
#[case::percent_u("/models/m1%u002fpredict")]
#[case::half_an_escape("/models/m1%2/predict")]
#[case::percent_at_the_end("/models/m1/predict%")]
#[case::dot("/models/./m1/predict")]
#[case::dot_dot("/models/m2/../m1/predict")]
#[case::dot_dot_first("/../models/m1/predict")]
#[case::dot_dot_last("/models/m1/predict/..")]
#[case::escaped_dot_dot("/models/m2/%2e%2e/m1/predict")]
#[case::half_escaped_dot_dot("/models/m2/.%2E/m1/predict")]
#[case::escaped_dots_and_slashes("/models/m2/..%2fm1/predict")]
#[case::three_dots("/models/.../predict")]
#[case::empty_segment("/models//m1/predict")]
#[case::empty_first_segment("//models/m1/predict")]
#[case::closing_slash("/models/m1/predict/")]
#[case::only_slashes("//")]
#[case::parameter("/models/m1;m=m2/predict")]
#[case::parameter_with_dots("/models/m2/..;/m1/predict")]
#[case::backslash("/models/m2\\..\\m1/predict")]
#[case::fragment("/models/m1/predict#/models/m2/predict")]
#[case::question_mark("/models/m1/predict?")]
#[case::eight_bit("/models/m\u{fc}/predict")]
#[case::wide_slash("/models/m1\u{ff0f}predict")]
#[case::control("/models/m1\u{1}/predict")]
#[case::tab("/models/m1\t/predict")]
#[case::space("/models/m1 /predict")]
#[case::trailing_dot("/models/m1./predict")]
#[case::trailing_dot_last("/models/m1/predict.")]
#[case::escaped_trailing_space("/models/m1%20/predict")]
#[case::no_slash("models/m1/predict")]
#[case::star("*")]
#[case::nothing("")]
#[case::absolute("http://any/models/m1/predict")]
fn a_path_with_two_readings_is_refused_whatever_the_route(#[case] path: &str) {
    let open = compile(&[route(None, "/{rest}"), route(None, "/")]);
    for table in [built_in(), &open] {
        assert_eq!(post(table, "any", path), "400");
    }
}

#[rstest]
#[case("/models/m1/v1/chat/completions")]
#[case("/")]
#[case("/a")]
#[case("/.well-known/x")]
#[case("/..a/a..b")]
#[case("/v1beta/models/gemini-1.5:generateContent")]
#[case("/~user/a@b/(c)!$&'*+,=")]
fn a_path_with_one_reading_passes(#[case] path: &str) {
    let open = compile(&[route(None, "/{rest}"), route(None, "/")]);
    assert_eq!(post(&open, "any", path), "(NotNamed) as it came");
}

#[rstest]
#[case::as_it_came("/m/org%2Fm1/predict", "org/m1 as it came")]
#[case::small("/m/org%2fm1/predict", "org/m1 as it came")]
#[case::without("/m/m1/predict", "m1 as it came")]
#[case::rewritten("/r/org%2Fm1/predict", "org/m1 /x/org%2Fm1")]
#[case::leading("/m/%2Fm1/predict", "400")]
#[case::closing("/m/m1%2F/predict", "400")]
#[case::twice("/m/org%2F%2Fm1/predict", "400")]
#[case::dots("/m/..%2Fm1/predict", "400")]
#[case::closing_dots("/m/org%2F../predict", "400")]
#[case::another_escape("/m/org%2Fm%31/predict", "400")]
#[case::twice_escaped("/m/org%252Fm1/predict", "400")]
#[case::in_text_of_ours("/m%2Forg/predict", "400")]
#[case::in_another_placeholder("/m/m1/d%2Fe/predict", "400")]
#[case::in_the_rest("/m/m1/files/a%2Fb", "400")]
#[case::after_text_of_ours("/p/v%2Fm1/predict", "400")]
#[case::before_text_of_ours("/s/m1%2F:run", "400")]
#[case::between_text_of_ours("/s/org%2Fm1:run", "org/m1 as it came")]
fn an_encoded_slash_stands_only_in_a_model_of_a_route_that_says_so(
    #[case] path: &str,
    #[case] expected: &str,
) {
    let with_slash = |path| RouteConfig {
        encoded_slash: true,
        ..route(None, path)
    };
    let table = compile(&[
        with_slash("/m/{model}/predict"),
        with_slash("/m/{model}/{id}/predict"),
        with_slash("/m/{model}/files/{rest}"),
        with_slash("/p/v{model}/predict"),
        with_slash("/s/{model}:run"),
        RouteConfig {
            forward: Some("/x/{model}".to_owned()),
            ..with_slash("/r/{model}/predict")
        },
    ]);
    assert_eq!(post(&table, "any", path), expected);
}
