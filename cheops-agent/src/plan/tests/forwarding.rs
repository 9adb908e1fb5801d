//! What is changed of a request that another site serves, and of its answer.

use super::super::forward;
use super::*;
use crate::http::head::AnswerHead;

fn sample(prefix: &str, own_host: bool) -> Plan {
    let fixture = Fixture::new();
    let plan = plan(by_header(&fixture, BERLIN, "GET", "/", "{Nova: Paris}"));
    Plan { prefix: prefix.into(), authority: "10.0.0.1:90".into(), own_host, ..plan }
}

fn to(prefix: &str) -> Destination {
    Destination { site: "Paris".into(), own: false, authority: "10.0.1.1:9292".into(), prefix: prefix.into() }
}

#[test]
fn prefixes_are_swapped_in_the_target_alone() {
    for (target, from, there, expected) in [
        ("/image/v2/1?a=/image", "/image", "/img", "/img/v2/1?a=/image"),
        ("/image/v2", "/image", "", "/v2"),
        ("/image", "/image", "", "/"),
        ("/image?a", "/image", "", "/?a"),
        ("/v2", "", "/a/b", "/a/b/v2"),
        ("/", "", "/a", "/a/"),
        ("/image/v2", "/image", "/image", "/image/v2"),
        ("http://a:80/image/v2", "/image", "/img", "http://a:80/img/v2"),
        ("http://a", "", "/img", "http://a/img"),
        ("*", "", "/img", "*"),
    ] {
        let method = if target == "*" { "OPTIONS" } else { "GET" };
        let request = head(method, target, None);
        let out = forward::request(&request, &sample(from, false), &to(there));
        assert_eq!(out, format!("{method} {expected} HTTP/1.1\r\nHost: a\r\n\r\n"), "{target}");
    }
}

#[test]
fn the_host_is_the_clients_unless_the_service_wants_its_own() {
    let request = head("GET", "http://a/image/v2", None);
    let out = forward::request(&request, &sample("/image", true), &to("/img"));
    assert_eq!(out, "GET http://10.0.1.1:9292/img/v2 HTTP/1.1\r\nHost: 10.0.1.1:9292\r\n\r\n");
    let request = head("GET", "/image/v2", None);
    assert_eq!(forward::request(&request, &sample("/image", false), &to("/image")), request.raw());
}

#[test]
fn locations_at_the_serving_endpoint_become_the_addressed_ones() {
    for (location, expected) in [
        ("http://10.0.1.1:9292/img/v2/7?a", "http://10.0.0.1:90/image/v2/7?a"),
        ("HTTP://10.0.1.1:9292/img", "HTTP://10.0.0.1:90/image"),
        ("/img/v2/7", "/image/v2/7"),
        ("/img", "/image"),
        // elsewhere
        ("/images/7", "/images/7"),
        ("http://10.0.1.1:9293/img/v2/7", "http://10.0.1.1:9293/img/v2/7"),
        ("http://other/img/v2/7", "http://other/img/v2/7"),
        ("//10.0.1.1:9292/img/7", "//10.0.1.1:9292/img/7"),
        ("7", "7"),
        ("../img/7", "../img/7"),
        ("", ""),
    ] {
        let text = format!(
            "HTTP/1.1 201 Made\r\nlocation: {location}\r\nLink: </img/7>\r\nContent-Location:{location}\r\n\r\n"
        );
        let answer = AnswerHead::parse(Bytes::from(text), 10, "POST").expect("well-formed");
        let out = forward::answer(&answer, &sample("/image", false), &to("/img"), &[]);
        let mapped = format!(
            "HTTP/1.1 201 Made\r\nlocation: {expected}\r\nLink: </img/7>\r\nContent-Location:{expected}\r\n\r\n"
        );
        assert_eq!(String::from_utf8_lossy(&out), mapped, "{location}");
    }
}
