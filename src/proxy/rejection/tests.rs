use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::http1::write_fields;

fn text(rejection: Rejection, form: ErrorForm) -> String {
    String::from_utf8(rejection.into_response(form, false).body.to_vec()).unwrap()
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

/// The reasons of a key that does not work.
fn invalid() -> [Rejection; 4] {
    [
        Rejection::MalformedKey,
        Rejection::UnknownKey,
        Rejection::Denied(Denial::Disabled),
        Rejection::Denied(Denial::Expired),
    ]
}

#[test]
fn what_is_prepared_is_what_is_made_each_time() {
    for (place, form) in ErrorForm::ALL.into_iter().enumerate() {
        assert_eq!(form as usize, place);
        let made_and_prepared = invalid().into_iter().zip(invalid());
        let missing = (Rejection::MissingKey, Rejection::MissingKey);
        for (made, prepared) in made_and_prepared.chain([missing]) {
            let made = made.into_response(form, false);
            let (mut answer, prepared) = prepared.answer(form, false);
            assert!(answer.headers.is_empty());
            let prepared = prepared.unwrap();
            prepared.write(&mut answer.headers);
            assert_eq!(answer.status, made.status);
            assert_eq!(answer.body, made.body);
            let (mut lines, mut expected) = (Vec::new(), Vec::new());
            prepared.write_lines(&mut lines);
            write_fields(made.headers.iter(), &mut expected);
            assert_eq!(lines, expected);
            let (put, made) = (
                HeaderMap::from(answer.headers),
                HeaderMap::from(made.headers),
            );
            assert_eq!(put, made);
        }
    }
}

#[test]
fn what_is_not_prepared_is_whole() {
    let (answer, prepared) = Rejection::NoRoute.answer(ErrorForm::Openai, false);
    assert!(prepared.is_none());
    assert_eq!(HeaderMap::from(answer.headers)[CACHE_CONTROL], "no-store");
    let (answer, prepared) = Rejection::UnknownKey.answer(ErrorForm::Openai, true);
    assert!(prepared.is_none());
    assert_eq!(HeaderMap::from(answer.headers)["grpc-status"], "16");
}

#[test]
fn the_reasons_of_an_invalid_key_cannot_be_told_apart() {
    let first = Rejection::UnknownKey.answer(ErrorForm::Openai, false).1;
    assert!(first.is_some());
    for why in invalid() {
        let made = why.answer(ErrorForm::Openai, false).1;
        assert!(made.is_some_and(|made| std::ptr::eq(made, first.unwrap())));
    }
}

#[test]
fn a_missing_key_is_asked_for_without_an_error_code() {
    let response = Rejection::MissingKey.into_response(ErrorForm::Problem, false);
    let challenges: Vec<_> = response.headers.get_all(&WWW_AUTHENTICATE).collect();
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
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(HeaderMap::from(response.headers)[RETRY_AFTER], "1");
}

#[test]
fn a_grpc_caller_is_refused_in_its_own_form() {
    let response = Rejection::UnknownKey.into_response(ErrorForm::Openai, true);
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(HeaderMap::from(response.headers)["grpc-status"], "16");
    assert!(response.body.is_empty());
}
