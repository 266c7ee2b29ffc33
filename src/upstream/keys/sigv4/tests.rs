use http::{HeaderMap, Request};

use super::*;

const SIGNER: Signer<'_> = Signer {
    access_key: "AKIDEXAMPLE",
    secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    session_token: None,
    region: "us-east-1",
    service: "service",
};

/// 2015-08-30T12:36:00Z, the moment of every vector.
const THEN: UnixTime = UnixTime::from_secs(1_440_938_160);

#[test]
fn the_published_vectors_come_out() {
    let vectors = include_str!("vectors.txt").lines();
    let mut count = 0;
    for vector in vectors.filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = vector.split('\t').collect();
        let [name, method, path, query, body, signature, headers] = columns[..] else {
            panic!("seven columns: {vector}");
        };
        let headers: Vec<_> = headers
            .split('|')
            .map(|header| header.split_once(':').unwrap())
            .map(|(name, value)| (name, value.to_owned()))
            .collect();
        let request = Signed {
            method,
            path,
            query,
            headers: &headers,
            hash: &hash([body.as_bytes()]),
        };
        let moment = moment(THEN).unwrap();
        let authorization = SIGNER.authorization(&request, &moment);
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders={}, Signature={signature}",
            request.names(),
        );
        assert_eq!(authorization, expected, "{name}: {}", request.canonical());
        count += 1;
    }
    assert!(count >= 28, "{count}");
}

#[test]
fn a_request_is_signed_anew_whatever_signed_it_before() {
    let (request, ()) = Request::post("http://h.example/model/a%3Ab/invoke")
        .header("host", "h.example")
        .header("content-type", "application/json")
        .header("authorization", "AWS4-HMAC-SHA256 Credential=theirs")
        .header("x-amz-date", "19700101T000000Z")
        .header("x-amz-security-token", "theirs")
        .header("x-amz-content-sha256", "theirs")
        .header("x-amz-target", "theirs")
        .body(())
        .unwrap()
        .into_parts();
    let mut request = RequestHead::from(request);
    let body = hash([&b"{}"[..]]);
    SIGNER.sign(&mut request, &body, THEN).unwrap();
    let headers = HeaderMap::from(request.headers.clone());
    assert_eq!(headers["x-amz-date"], "20150830T123600Z");
    assert!(!headers.contains_key("x-amz-security-token"));
    assert!(!headers.contains_key("x-amz-content-sha256"));
    assert!(headers["authorization"].is_sensitive());
    let text = headers["authorization"].to_str().unwrap();
    assert!(
        text.contains("SignedHeaders=content-type;host;x-amz-date, "),
        "{text}"
    );

    let session = Signer {
        session_token: Some("ours"),
        ..SIGNER
    };
    session.sign(&mut request, &body, THEN).unwrap();
    let headers = HeaderMap::from(request.headers);
    assert_eq!(headers["x-amz-security-token"], "ours");
    let text = headers["authorization"].to_str().unwrap();
    assert!(text.contains(";x-amz-security-token, "), "{text}");
}

/// The path goes over the wire escaped once, and is signed escaped twice.
#[test]
fn a_path_is_signed_escaped_once_more() {
    let request = Signed {
        method: "POST",
        path: "/model/anthropic.claude-v2%3A1/converse",
        query: "",
        headers: &[],
        hash: "",
    };
    let canonical = request.canonical();
    assert_eq!(
        canonical.lines().nth(1),
        Some("/model/anthropic.claude-v2%253A1/converse")
    );
}
