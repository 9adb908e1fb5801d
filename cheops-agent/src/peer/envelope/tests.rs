use proptest::prelude::*;

use super::*;
use crate::workflow::Mark;

fn envelope() -> Envelope {
    Envelope {
        site: "Paris".into(),
        service: "Glance".into(),
        endpoint: "10.77.0.2:80/image".to_owned(),
        scope: Some(r#"{"default":"Berlin","Glance":"Paris","é":"Köln"}"#.to_owned()),
        own_scope: true,
        entry: "Berlin".into(),
        hops: vec![
            Hop { site: "Berlin".into(), host: "b1".into() },
            Hop { site: "São Paulo/2,x".into(), host: "h".into() },
        ],
        request: "req-1".to_owned(),
        links: vec![("X-Openstack-Request-Id".to_owned(), "req-a=b,c".to_owned())],
        placed: vec![("Glance".to_owned(), "São Paulo/2,x".to_owned())],
        deadline: Some(Duration::from_millis(1500)),
        client: Some("[2001:db8::1]:4711".parse().expect("an address")),
        connection: Some(u64::MAX),
        home: Some(Told { mark: Mark::of(b"gAAAA-token"), site: "São Paulo/2,x.y".into(), sure: true }),
        decided: true,
        brief: true,
        caller: Some(format!("{}.req-1", "0a".repeat(16))),
    }
}

#[test]
fn what_is_written_is_read() {
    let written = envelope();
    assert_eq!(Envelope::from_headers(&written.to_headers().expect("headers")), Ok(written));
}

proptest! {
    #[test]
    fn any_names_survive_the_wire(
        site in "[^\\x00]{1,20}", service in "[^\\x00]{1,20}", host in ".{1,20}", value in ".{0,40}", decided: bool,
    ) {
        let mut written = envelope();
        written.site = site.as_str().into();
        written.service = service.as_str().into();
        written.hops.push(Hop { site: site.as_str().into(), host: host.as_str().into() });
        written.links.push((service.clone(), value));
        written.placed.push((service, site.clone()));
        written.home = written.home.map(|home| Told { site: site.as_str().into(), sure: !decided, ..home });
        written.decided = decided;
        prop_assert_eq!(Envelope::from_headers(&written.to_headers().expect("headers")), Ok(written));
    }
}

/// Each line: a field, and a value that must be refused.
#[test]
fn lies_and_nonsense_are_refused() {
    let long = "x".repeat(70_000);
    let many_hops = ["a/b"; MAX_HOPS + 1].join(",");
    let many_links = ["a=b"; MAX_LINKS + 1].join(",");
    let bad: &[(HeaderName, &str)] = &[
        (SITE, ""),
        (HOME, ""),
        (HOME, "00.known.Paris"),
        (HOME, "00000000000000000000000000000000.known"),
        (HOME, "00000000000000000000000000000000.known."),
        (HOME, "00000000000000000000000000000000.asked.Paris"),
        (HOME, &long),
        (SITE, "%ff"),
        (SITE, &long),
        (SERVICE, ""),
        (ENTRY, "%C3"),
        (HOPS, ""),
        (HOPS, "a"),
        (HOPS, "a/"),
        (HOPS, "/b"),
        (HOPS, "a/b,"),
        (HOPS, &many_hops),
        (HOPS, &long),
        (REQUEST, ""),
        (REQUEST, "with space"),
        (REQUEST, &long),
        (SCOPE, &long),
        (LINKS, "novalue"),
        (LINKS, &many_links),
        (LINKS, &long),
        (PLACED, "noplace"),
        (PLACED, &many_links),
        (PLACED, &long),
        (DEADLINE, "soon"),
        (DEADLINE, "-1"),
        (DEADLINE, "99999999999999999999999"),
        (CLIENT, "10.0.0.1"),
        (CLIENT, "localhost:1"),
        (DECIDED, "yes"),
        (DECIDED, "11"),
    ];
    for (name, value) in bad {
        let mut headers = envelope().to_headers().expect("headers");
        headers.insert(name.clone(), HeaderValue::from_str(value).expect("a value"));
        assert!(Envelope::from_headers(&headers).is_err(), "{name}: {value:.40}");
    }
}

#[test]
fn a_field_that_stands_twice_is_refused() {
    for name in [SITE, SERVICE, ENDPOINT, SCOPE, ENTRY, HOPS, REQUEST, LINKS, DEADLINE, CLIENT, DECIDED] {
        let mut headers = envelope().to_headers().expect("headers");
        let value = headers.get(&name).expect("the field").clone();
        headers.append(name.clone(), value);
        assert_eq!(Envelope::from_headers(&headers), Err(EnvelopeError::Twice(name)));
    }
}

#[test]
fn required_fields_are_required_and_unknown_ones_left_alone() {
    for name in [SITE, SERVICE, ENDPOINT, ENTRY, HOPS, REQUEST] {
        let mut headers = envelope().to_headers().expect("headers");
        headers.remove(&name);
        assert_eq!(Envelope::from_headers(&headers), Err(EnvelopeError::Missing(name)));
    }
    let mut headers = envelope().to_headers().expect("headers");
    headers.insert("cheops-of-a-later-version", HeaderValue::from_static("1"));
    assert_eq!(Envelope::from_headers(&headers), Ok(envelope()));
}

#[test]
fn a_request_id_with_line_breaks_is_never_sent() {
    let mut bad = envelope();
    bad.request = "a\r\nb".to_owned();
    assert_eq!(bad.to_headers(), Err(EnvelopeError::Malformed(REQUEST)));
}

#[test]
fn refusals_survive_the_wire() {
    for refusal in [
        Refusal::not_sent(Code::NotExported, "Nova is not exported: \"ä\"\r\n"),
        Refusal::sent(Code::Timeout, ""),
        Refusal::not_sent(Code::Loop, "x".repeat(200)),
    ] {
        assert_eq!(read_trailers(&refusal_trailers(&refusal)), Some(Err(refusal)));
    }
    assert_eq!(read_trailers(&outcome_trailers(Outcome::Answered)), Some(Ok(())));
}

#[test]
fn an_outcome_that_is_not_known_is_none() {
    let mut trailers = HeaderMap::new();
    assert_eq!(read_trailers(&trailers), None);
    trailers.insert(OUTCOME, HeaderValue::from_static("fine"));
    assert_eq!(read_trailers(&trailers), None);
    // A code of a later version doesn't lose the outcome.
    trailers.insert(OUTCOME, HeaderValue::from_static("not-sent"));
    trailers.insert(CODE, HeaderValue::from_static("of-a-later-version"));
    let refusal = read_trailers(&trailers).expect("an outcome").expect_err("a refusal");
    assert_eq!((refusal.outcome, refusal.code), (Outcome::NotSent, Code::PeerUnreachable));
}
