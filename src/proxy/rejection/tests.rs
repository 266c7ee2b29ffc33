use std::time::Duration;

use rstest::rstest;

use super::*;

fn text(rejection: Rejection, form: ErrorForm) -> String {
    String::from_utf8(rejection.into_response(form, false).into_body().to_vec()).unwrap()
}

#[rstest]
#[case(ErrorForm::Openai, r#"{"error":{"code":"invalid_api_key","message":"invalid API key","param":null,"type":"invalid_request_error"}}"#)]
#[case(
    ErrorForm::Anthropic,
    r#"{"error":{"message":"invalid API key","type":"authentication_error"},"type":"error"}"#
)]
#[case(
    ErrorForm::Baseten,
    r#"{"error":"invalid API key","error_code":"invalid_api_key"}"#
)]
#[case(ErrorForm::Problem, r#"{"code":"invalid_api_key","detail":"invalid API key","status":401,"title":"Unauthorized","type":"about:blank"}"#)]
fn a_refusal_has_the_form_its_callers_expect(#[case] form: ErrorForm, #[case] expected: &str) {
    assert_eq!(text(Rejection::UnknownKey, form), expected);
}

#[test]
fn what_is_made_once_is_what_is_made_each_time() {
    for (place, form) in ErrorForm::ALL.into_iter().enumerate() {
        assert_eq!(form as usize, place);
        for why in [
            || Rejection::MissingKey,
            || Rejection::MalformedKey,
            || Rejection::UnknownKey,
        ] {
            let made = why().in_form(form);
            assert_eq!(text(why(), form), made);
            assert_eq!(text(why(), form), made);
        }
    }
}

#[test]
fn five_reasons_of_an_invalid_key_cannot_be_told_apart() {
    let answer = |rejection: Rejection| {
        let (parts, body) = rejection
            .into_response(ErrorForm::Openai, false)
            .into_parts();
        (parts.status, parts.headers, body)
    };
    let malformed = answer(Rejection::MalformedKey);
    assert_eq!(malformed.0, StatusCode::UNAUTHORIZED);
    assert_eq!(answer(Rejection::UnknownKey), malformed);
    assert_eq!(answer(Rejection::Denied(Denial::Disabled)), malformed);
    assert_eq!(answer(Rejection::Denied(Denial::Expired)), malformed);
}

#[test]
fn a_missing_key_is_asked_for_without_an_error_code() {
    let response = Rejection::MissingKey.into_response(ErrorForm::Problem, false);
    let challenges: Vec<_> = response
        .headers()
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .collect();
    assert_eq!(
        challenges,
        [r#"Bearer realm="keyward""#, r#"Api-Key realm="keyward""#]
    );
}

#[test]
fn an_outage_says_when_to_try_again_in_whole_seconds() {
    let rejection = Rejection::from(LookupError::Unavailable {
        retry_after: Duration::from_millis(200),
    });
    let response = rejection.into_response(ErrorForm::Openai, false);
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[RETRY_AFTER], "1");
}

#[test]
fn a_grpc_caller_is_refused_in_its_own_form() {
    let response = Rejection::UnknownKey.into_response(ErrorForm::Openai, true);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["grpc-status"], "16");
    assert!(response.body().is_empty());
}
