//! What is a host, and how it is read (SECURITY S5, F12, F14).

use rstest::rstest;

use super::*;

#[rstest]
#[case::as_written("model-m1.api.example.com", "m1 as it came")]
#[case::port("model-m1.api.example.com:8443", "m1 as it came")]
#[case::closing_dot("model-m1.api.example.com.", "m1 as it came")]
#[case::closing_dot_and_port("model-m1.api.example.com.:80", "m1 as it came")]
#[case::capitals("MODEL-M1.API.Example.COM", "m1 as it came")]
#[case::no_model("model-.api.example.com", "404")]
#[case::no_domain("model-m1", "404")]
#[case::other_kind("models-m1.api.example.com", "404")]
#[case::not_first("x.model-m1.api.example.com", "404")]
#[case::underscore("model_m1.api.example.com", "404")]
fn a_host_is_read_without_case_port_and_closing_dot(#[case] host: &str, #[case] expected: &str) {
    assert_eq!(post(built_in(), host, "/production/predict"), expected);
}

#[rstest]
#[case("")]
#[case(".")]
#[case(":80")]
#[case("a b")]
#[case(" a")]
#[case("a,b")]
#[case("a, b")]
#[case("a;b")]
#[case("user@a")]
#[case("user:pass@a")]
#[case("http://a")]
#[case("a/b")]
#[case("a?b")]
#[case("a#b")]
#[case("a\\b")]
#[case("a%2eb")]
#[case("a..b")]
#[case(".a")]
#[case("a..")]
#[case("a:b")]
#[case("a:80:80")]
#[case("a:65536")]
#[case("a:+80")]
#[case("a:80 ")]
#[case("a\u{0}")]
#[case("m\u{fc}")]
#[case("::1")]
#[case("[::1")]
#[case("[::1]a")]
#[case("[::1]80")]
#[case("[]")]
#[case("[1.2.3.4]")]
#[case("[fe80::1%25eth0]")]
#[case("[v1.x]")]
#[case("*.example.com")]
fn what_is_no_host_is_refused(#[case] text: &str) {
    assert!(RequestHost::parse(text).is_none());
}

#[rstest]
#[case("a", "a")]
#[case("A.b.", "A.b")]
#[case("a:", "a")]
#[case("a.b:80", "a.b")]
#[case("127.0.0.1:1", "127.0.0.1")]
#[case("[::1]", "[::1]")]
#[case("[2001:db8::1]:8080", "[2001:db8::1]")]
#[case("x_y-z.0", "x_y-z.0")]
fn a_host_is_its_name_without_port(#[case] text: &str, #[case] name: &str) {
    assert_eq!(host(text).name(), name);
}

#[rstest]
#[case("a", "A.", true)]
#[case("a:80", "a:80", true)]
#[case("a:80", "a", true)]
#[case("a", "a:443", true)]
#[case("a:", "a", true)]
#[case("a:8080", "a", false)]
#[case("a:80", "a:443", false)]
#[case("a", "b", false)]
#[case("a", "a.b", false)]
fn two_hosts_agree_when_name_and_port_do(
    #[case] one: &str,
    #[case] other: &str,
    #[case] same: bool,
) {
    assert_eq!(host(one).is_same_as(host(other)), same);
    assert_eq!(host(other).is_same_as(host(one)), same);
}
