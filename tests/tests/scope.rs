//! Suite `scope`: scope-lang, its normal form, where a request carries it, and that no input hurts.

#[path = "scope/beside.rs"]
mod beside;
#[path = "scope/cases.rs"]
mod cases;
#[path = "scope/command.rs"]
mod command;
#[path = "scope/hostile.rs"]
mod hostile;
#[path = "scope/carriers.rs"]
mod in_requests;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use cheops_agent::config::{HostHeader, ScopeCarriers, WhenAgentDown};
use cheops_agent::http::Code;
use cheops_agent::http::head::RequestHead;
use cheops_agent::metadata::{Service, Site, Snapshot};
use cheops_agent::scope::{
    self, Allowed, Carrier, Expr, Item, MAX_BYTES, Name, Scope, ScopeError, Span, Star, carriers,
};
use proptest::prelude::*;

use self::cases::{INVALID, VALID};

#[test]
fn valid_scopes_have_a_normal_form_that_means_the_same() {
    let mut wrong = Vec::new();
    for (text, normal) in VALID {
        match scope::parse(text) {
            Err(error) => wrong.push(format!("{text}\n{}", error.render(text))),
            Ok(parsed) => {
                let json = parsed.to_json();
                if parsed.to_string() != *normal {
                    wrong.push(format!("{text} became {parsed}, not {normal}"));
                }
                for same in [*normal, &json] {
                    if scope::parse(same).as_ref() != Ok(&parsed) {
                        wrong.push(format!("{same} is not the same as {text}: {:?}", scope::parse(same)));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn faults_are_located_and_say_what_to_do() {
    let mut wrong = Vec::new();
    for (text, position, part) in INVALID {
        let error = match scope::parse(text) {
            Err(error) => error,
            Ok(scope) => {
                wrong.push(format!("{text} is taken as {scope}"));
                continue;
            }
        };
        let rendered = error.render(text);
        let span = error.span.unwrap_or_default();
        let length = span.end.saturating_sub(span.start);
        if span.start != *position || span.end > text.len() || span.start > span.end || !rendered.contains(part) {
            wrong.push(format!("{text:?} at {position}, {part}\n{rendered}"));
        }
        assert_eq!(error.code, Code::InvalidScope);
        assert_eq!(error.problem().position, error.span.map(|_| (span.start, length)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    println!("{} valid and {} invalid scopes", VALID.len(), INVALID.len());
    assert!(VALID.len() + INVALID.len() >= 150);
}

/// Sites and services that are known; a service is written `name` or `name/type`.
fn known(sites: &[&str], services: &[&str]) -> Snapshot {
    let site = |name: &&str| {
        let name = (*name).into();
        let site = Site { name, own: false, peers: Vec::new(), hosts: Vec::new(), standing: Default::default() };
        (site.name.clone(), site)
    };
    let service = |text: &&str| {
        let (name, kind) = text.split_once('/').map_or((*text, None), |(name, kind)| (name, Some(kind.to_owned())));
        let profile = "rest".to_owned();
        let (when_agent_down, host) = (WhenAgentDown::Pass, HostHeader::Client);
        let endpoints = BTreeMap::new();
        Service { name: name.into(), kind, profile, when_agent_down, host, export: true, parameter: true, endpoints }
    };
    Snapshot {
        sites: sites.iter().map(site).collect(),
        services: services.iter().map(service).map(std::sync::Arc::new).collect(),
    }
}

fn resolved(text: &str, known: &Snapshot) -> Result<String, ScopeError> {
    scope::resolve(&scope::parse(text)?, known).map(|scope| scope.to_string())
}

#[test]
fn names_are_found_exactly_else_without_case_when_unambiguous() {
    let known = known(
        &["Berlin", "Paris", "New York", "Zürich", "nantes", "Nantes"],
        &["Nova/compute", "Glance/image", "image/registry", "Cinder/volume", "CINDER2/Volume", "S1/twin", "S2/twin"],
    );
    for (text, normal) in [
        ("{Nova: Berlin & Paris}", "{Nova: Berlin & Paris}"),
        ("{nova: BERLIN || paris}", "{Nova: Berlin || Paris}"),
        ("{compute: new york}", "{Nova: New York}"),
        ("{COMPUTE: Berlin}", "{Nova: Berlin}"),
        ("{nova: \"ZÜRICH\"}", "{Nova: \"Zürich\"}"),
        ("{Nova: Nantes}", "{Nova: Nantes}"),
        ("{Nova: nantes}", "{Nova: nantes}"),
        // a service's exact name wins over another's type
        ("{image: Berlin}", "{image: Berlin}"),
        ("{volume: Berlin}", "{Cinder: Berlin}"),
        ("{around: berlin, 5ms}", "{around: Berlin, 5ms}"),
        (
            "{nova: berlin % around(paris, 1s), prime(compute): BERLIN}",
            "{Nova: Berlin % around(Paris, 1s), prime(Nova): Berlin}",
        ),
        ("{nova: berlin % paris, prime: Paris}", "{Nova: Berlin % Paris, prime: Paris}"),
        (r#"{"compute": "berlin | (paris & *)"}"#, "{Nova: Berlin || (Paris & *)}"),
    ] {
        assert_eq!(resolved(text, &known).as_deref(), Ok(normal), "{text}");
    }
    for (text, position, code, rendered) in [
        ("{Nova: Berlim}", 7, Code::UnknownSite, "unknown site \"Berlim\" (position 7)"),
        ("{Nova: Berlim}", 7, Code::UnknownSite, "help: did you mean \"Berlin\"?"),
        ("{Nova: new  york}", 12, Code::InvalidScope, "join sites"),
        ("{Nova: Berlin & Pariss}", 16, Code::UnknownSite, "did you mean \"Paris\"?"),
        ("{Nova: Tokyo}", 7, Code::UnknownSite, "known sites: Berlin, Nantes, New York, Paris, Zürich, nantes"),
        ("{Nova: NANTES}", 7, Code::UnknownSite, "write \"Nantes\" or \"nantes\""),
        ("{Novva: Berlin}", 1, Code::UnknownService, "did you mean \"Nova\"?"),
        ("{computer: Berlin}", 1, Code::UnknownService, "did you mean \"compute\"?"),
        ("{Swift: Berlin}", 1, Code::UnknownService, "known services: "),
        ("{VOLUME: Berlin}", 1, Code::UnknownService, "is ambiguous"),
        ("{twin: Berlin}", 1, Code::UnknownService, "write \"S1\" or \"S2\""),
        ("{around: Berlun, 5ms}", 9, Code::UnknownSite, "did you mean \"Berlin\"?"),
        ("{Nova: Berlin % Paris, prime: Pari}", 30, Code::InvalidScope, "not among the crossed sites"),
        // names that turn out to be the same
        ("{Nova: Berlin, nova: Paris}", 15, Code::InvalidScope, "service \"Nova\" is bound twice"),
        ("{Nova: Berlin, compute: Paris}", 15, Code::InvalidScope, "bound twice"),
        ("{Nova: Berlin & berlin}", 16, Code::InvalidScope, "stands here twice"),
        ("{Nova: Paris % (Berlin || berlin)}", 26, Code::InvalidScope, "stands here twice"),
    ] {
        let error = resolved(text, &known).expect_err(text);
        assert_eq!((error.span.unwrap_or_default().start, error.code), (position, code), "{}", error.render(text));
        assert!(error.render(text).contains(rendered), "{}", error.render(text));
    }
    let nothing = resolved("{Nova: Berlin}", &Snapshot::default()).expect_err("nothing is known");
    assert!(nothing.to_string().contains("unknown service"), "{nothing}");
}

fn head(text: &str) -> RequestHead {
    RequestHead::parse(Bytes::copy_from_slice(text.as_bytes()), 100).expect(text)
}

/// What [`carriers::find`] makes of a request with this target and these field lines, where only the header and, as it
/// may be, the parameter carry scopes.
fn found(target: &str, fields: &str, parameter: bool) -> Result<Option<(Scope, Carrier, String)>, ScopeError> {
    found_by(&ScopeCarriers::default(), Allowed { parameter, token: None }, target, fields)
}

/// The scope, and the head left over.
fn found_by(
    names: &ScopeCarriers,
    allowed: Allowed<'_>,
    target: &str,
    fields: &str,
) -> Result<Option<(Scope, Carrier, String)>, ScopeError> {
    // RFC 9112, 3.2.4: no other method has that target.
    let method = if target == "*" { "OPTIONS" } else { "GET" };
    let head = head(&format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}Z: 1\r\n\r\n"));
    let carried = carriers::find(&head, names, allowed)?;
    assert!(carried.is_none() || carriers::may_carry(&head, names));
    Ok(carried.map(|carried| {
        let left = head.without(&carried.cut);
        (carried.scope, carried.source, String::from_utf8(left.to_vec()).expect("ASCII"))
    }))
}
