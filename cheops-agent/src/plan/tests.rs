//! The decision, enumerated: forms of scopes × methods × entry sites × carriers.

mod around;
mod carried;
mod forwarding;
mod inherited;
mod prefixes;
mod reads;
mod standing;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::address::OrigDst;
use crate::config::{HostHeader, ScopeCarriers, WhenAgentDown};
use crate::http::head::RequestHead;
use crate::http::{Code, Problem};
use crate::metadata::{Distances, Endpoint, Service, Site, Snapshot};
use crate::names::SiteName;
use crate::profile::{CapacityError, Profiles};
use crate::scope::Completed;

const SITES: [&str; 3] = ["Berlin", "Paris", "Nantes"];
const BERLIN: &str = "10.0.0.1:80";
const PARIS: &str = "10.0.1.1:80";

/// `Site=http://address/prefix` joined by spaces.
fn service(name: &str, kind: &str, endpoints: &str) -> Arc<Service> {
    let mut sites: BTreeMap<SiteName, Vec<Endpoint>> = BTreeMap::new();
    for endpoint in endpoints.split(' ') {
        let (site, url) = endpoint.split_once('=').expect("site=url");
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (authority, prefix) = rest.split_once('/').map_or((rest, String::new()), |(a, p)| (a, format!("/{p}")));
        sites.entry(site.into()).or_default().push(Endpoint {
            https: scheme == "https",
            authority: authority.into(),
            addresses: vec![authority.parse().expect("an address")],
            prefix,
        });
    }
    Arc::new(Service {
        name: name.into(),
        kind: Some(kind.into()),
        profile: "cloud".into(),
        when_agent_down: WhenAgentDown::Pass,
        host: HostHeader::Client,
        export: true,
        parameter: name != "Glance",
        endpoints: sites,
    })
}

struct Fixture {
    snapshot: Snapshot,
    distances: Distances,
    profiles: Profiles,
    carriers: ScopeCarriers,
    here: SiteName,
}

impl Fixture {
    fn new() -> Self {
        let site = |name: &str| Site {
            name: name.into(),
            own: name == "Berlin",
            peers: vec!["10.1.0.1:7117".into()],
            hosts: Vec::new(),
            standing: crate::metadata::record::Standing::Active,
        };
        let services = vec![
            service("Nova", "compute", "Berlin=http://10.0.0.1:80 Paris=http://10.0.1.1:80 Nantes=http://10.0.2.1:80"),
            service(
                "Glance",
                "image",
                "Berlin=http://10.0.0.1:90/image Paris=http://10.0.1.1:90/v/img Nantes=http://10.0.2.1:91",
            ),
            service("Cinder", "volume", "Berlin=http://10.0.0.1:90/volume Paris=http://10.0.1.1:90"),
            service(
                "Keystone",
                "identity",
                "Berlin=http://10.0.0.1:50 Paris=http://10.0.1.1:50 Nantes=http://10.0.2.1:50",
            ),
            service("Placement", "placement", "Berlin=http://10.0.0.1:60 Paris=http://10.0.1.1:60"),
            service(
                "Vault",
                "key",
                "Berlin=https://10.0.0.1:443 Paris=http://10.0.1.1:443 Nantes=https://10.0.2.1:443",
            ),
            service("Solo", "solo", "Berlin=http://10.0.0.1:70"),
        ];
        let directory = tempfile::tempdir().expect("a directory");
        let profile = "version = 1\n[platform]\nclasses = { identity = \"identity\", placement = \"internal\" }\n[conventional]\nskip = [\"v{number}\"]\n\
            [[discovery]]\nservices = [\"compute\"]\npaths = [\"/\", \"/v2.1\"]\n\
            [[capacity]]\nstatus = 507\n[[capacity]]\nstatus = 500\nbody = \"No valid host\"\n";
        std::fs::write(directory.path().join("cloud.toml"), profile).expect("written");
        Self {
            snapshot: Snapshot { sites: SITES.map(|name| (name.into(), site(name))).into(), services },
            distances: Distances::default(),
            profiles: Profiles::load(&[directory.path().to_owned()]).expect("valid"),
            carriers: ScopeCarriers::default(),
            here: "Berlin".into(),
        }
    }

    fn world(&self) -> World<'_> {
        World {
            snapshot: &self.snapshot,
            distances: &self.distances,
            profiles: &self.profiles,
            carriers: &self.carriers,
            here: &self.here,
        }
    }
}

fn head(method: &str, target: &str, scope: Option<&str>) -> RequestHead {
    let scope = scope.map(|scope| format!("X-Scope: {scope}\r\n")).unwrap_or_default();
    let text = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{scope}\r\n");
    RequestHead::parse(Bytes::from(text), 100).expect("well-formed")
}

fn orig(address: &str) -> OrigDst {
    OrigDst::new(address.parse().expect("an address"))
}

/// The decision about a request with a header.
fn by_header(fixture: &Fixture, to: &str, method: &str, target: &str, scope: &str) -> Decision {
    let head = head(method, target, Some(scope));
    decide(&Asked { head: &head, orig: orig(to), session: None, workflow: None }, &fixture.world())
}

fn plan(decision: Decision) -> Plan {
    match decision {
        Decision::Scoped { plan, .. } => *plan,
        other => panic!("not scoped: {other:?}"),
    }
}

fn refusal(decision: Decision) -> Problem {
    match decision {
        Decision::Refused(problem) => problem,
        other => panic!("not refused: {other:?}"),
    }
}

/// A route in short: `direct`, `at Paris`, `first-of Paris Berlin`.
fn short(route: &Route) -> String {
    let sites = route.destinations().iter().map(|to| format!(" {}", to.site)).collect::<String>();
    format!("{}{sites}", route.name())
}

/// Every form × every method and target × both entry sites, by a rule that is simpler than the code.
#[test]
fn every_form_and_method_from_every_entry() {
    let fixture = Fixture::new();
    // (form, the sites it binds Nova to; none: the entry site)
    let forms: &[(&str, &[&str])] = &[
        ("{Nova: Berlin}", &["Berlin"]),
        ("{Nova: Paris}", &["Paris"]),
        ("{compute: paris}", &["Paris"]),
        ("{Paris}", &["Paris"]),
        ("Nantes", &["Nantes"]),
        (r#"{"compute":"Paris"}"#, &["Paris"]),
        ("{Glance: Paris}", &[]),
        ("{Glance: Paris || Nantes, Keystone: Berlin}", &[]),
        ("{Glance: Berlin, Nova: Paris}", &["Paris"]),
        ("{Paris, Glance: Berlin}", &["Paris"]),
        ("{Nova: Berlin || Paris}", &["Berlin", "Paris"]),
        ("{Nova: Paris || Berlin}", &["Paris", "Berlin"]),
        ("Paris | Nantes otherwise Berlin", &["Paris", "Nantes", "Berlin"]),
        ("{Nova: Paris || (Berlin || Nantes)}", &["Paris", "Berlin", "Nantes"]),
    ];
    let requests = [
        ("GET", "/v2/servers", OpKind::List, None),
        ("GET", "/v2/servers/7", OpKind::Read, Some("7")),
        ("HEAD", "/v2/servers/7", OpKind::Read, Some("7")),
        ("POST", "/v2/servers", OpKind::Create, None),
        ("PUT", "/v2/servers/7", OpKind::Replace, Some("7")),
        ("PATCH", "/v2/servers/7", OpKind::Merge, Some("7")),
        ("DELETE", "/v2/servers/7", OpKind::Delete, Some("7")),
        ("POST", "/v2/servers/7", OpKind::Once, Some("7")),
        ("OPTIONS", "/v2/servers/7", OpKind::Unknown, Some("7")),
        ("GET", "/unknown//path", OpKind::Unknown, None),
    ];
    for (form, bound) in forms {
        for (method, target, op, id) in requests {
            for (entry, address) in [("Berlin", BERLIN), ("Paris", PARIS)] {
                let case = format!("{method} {target} {form} at {entry}");
                let plan = plan(by_header(&fixture, address, method, target, form));
                let sites = if bound.is_empty() { vec![entry] } else { bound.to_vec() };
                let expected = match sites.as_slice() {
                    ["Berlin"] if entry == "Berlin" => "direct".to_owned(),
                    [one] => format!("at {one}"),
                    several => format!("first-of {}", several.join(" ")),
                };
                assert_eq!(short(&plan.route), expected, "{case}");
                assert!(plan.route.destinations().iter().all(|to| to.own == (to.site.as_str() == "Berlin")));
                assert_eq!((plan.service.as_str(), plan.entry.as_str()), ("Nova", entry), "{case}");
                assert_eq!((plan.op, plan.id.as_deref()), (op, id), "{case}");
                let first_of = sites.len() > 1;
                assert_eq!(plan.next_on.not_found, first_of && id.is_some(), "{case}");
                assert_eq!(plan.next_on.capacity.len(), if first_of { 2 } else { 0 }, "{case}");
                assert!(plan.reasons.len() >= 5, "{case}: {:?}", plan.reasons);
                let scope = plan.scope.expect("a scope");
                let completed = Completed::parse(&scope.completed).expect(&case);
                let bare = !form.contains(':') || form.starts_with("{Paris,");
                let default = if bare { None } else { Some(SiteName::from(entry)) };
                assert_eq!(completed.default, default, "{case}: {}", scope.completed);
                assert_eq!(scope.source, ScopeSource::Header);
            }
        }
    }
}

#[test]
fn collaborations_that_are_not_built_are_named_and_located() {
    let fixture = Fixture::new();
    for (form, position, sign) in [
        ("{Nova: Berlin & Paris}", (7, 14), "& (replication)"),
        ("Berlin & Paris", (0, 14), "& (replication)"),
        ("{Nova: Berlin % Paris, prime: Berlin}", (7, 14), "% (cross)"),
        ("{Nova: around(Berlin, 50ms) & Paris}", (14, 21), "& (replication)"),
        ("{Nova: Paris & *}", (7, 9), "& (replication)"),
        ("{Nova: Berlin || (Paris % around(Nantes, 1s))}", (18, 21), "% (cross)"),
        ("{Nova: Berlin || (Paris & Nantes)}", (18, 14), "& (replication)"),
        // also for a service that this request doesn't address: half a workflow is worse than none
        ("{Nova: Berlin, Glance: Berlin % Paris}", (23, 14), "% (cross)"),
        ("{Nova: Berlin, Glance: Berlin || (Nantes & Paris)}", (34, 14), "& (replication)"),
    ] {
        let reads = sign.starts_with('&') && !form.contains("||");
        let writes = [("POST", "/v2/servers"), ("DELETE", "/v2/servers/7"), ("POST", "/v2/servers/7")];
        for (method, path) in writes.into_iter().chain((!reads).then_some(("GET", "/v2/servers/7"))) {
            let problem = refusal(by_header(&fixture, BERLIN, method, path, form));
            assert_eq!((problem.code, problem.position), (Code::NotBuilt, Some(position)), "{form}: {problem:?}");
            assert!(problem.detail.contains(sign), "{form}: {problem:?}");
            assert_eq!(problem.code.status(), 501);
        }
    }
}

#[test]
fn lists_of_several_sites_are_gathered() {
    let fixture = Fixture::new();
    for (form, expected) in [
        ("{Nova: Berlin & Paris}", "gather Berlin Paris"),
        ("{Nova: Paris & Nantes & Berlin}", "gather Paris Nantes Berlin"),
        ("Berlin & Paris", "gather Berlin Paris"),
        ("{Nova: Paris & *}", "gather Paris Berlin Nantes"),
        ("{Nova: Paris, Glance: Berlin & Paris}", "at Paris"),
    ] {
        let plan = plan(by_header(&fixture, BERLIN, "GET", "/v2/servers", form));
        assert_eq!(short(&plan.route), expected, "{form}");
    }
    for form in [
        "{Nova: Berlin % Paris, prime: Berlin}",
        "{Nova: Nantes || (Berlin & Paris)}",
        "{Nova: (Nantes || Paris) & Berlin}",
    ] {
        let problem = refusal(by_header(&fixture, BERLIN, "GET", "/v2/servers", form));
        assert_eq!(problem.code, Code::NotBuilt, "{form}");
    }
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    let fixture = Fixture::new();
    for (to, target, scope, code, part) in [
        (BERLIN, "/a", "{Nova: Berlim}", Code::UnknownSite, "did you mean \"Berlin\"?"),
        (BERLIN, "/a", "{Nov: Berlin}", Code::UnknownService, "did you mean \"Nova\"?"),
        (BERLIN, "/a", "{Nova: }", Code::InvalidScope, "expected a site"),
        (BERLIN, "/a", "{Nova: Berlin, Paris}", Code::InvalidScope, "bound twice: by its name and without one"),
        (BERLIN, "/a?scope={Nova:Berlin}", "{Nova: Paris}", Code::SeveralScopes, "both"),
        ("10.0.0.1:70", "/a", "{Solo: Paris}", Code::NoEndpoint, "Solo has no endpoint at Paris"),
        ("10.0.0.1:70", "/a", "{Solo: Berlin || Paris}", Code::NoEndpoint, "Solo has no endpoint at Paris"),
        ("10.0.0.1:443", "/a", "{Vault: Paris}", Code::TlsEndpoint, "Vault's endpoint at Berlin is https"),
        ("10.0.1.1:443", "/a", "{Vault: Nantes}", Code::TlsEndpoint, "Vault's endpoint at Nantes is https"),
        ("10.9.9.9:80", "/a", "{Nova: Berlin}", Code::UnmatchedTarget, "no service has an endpoint"),
        ("10.0.0.1:90", "/other", "{Glance: Paris}", Code::UnmatchedTarget, "prefix"),
        ("10.0.0.1:90", "/image/../volume", "{Glance: Paris}", Code::UnmatchedTarget, "another service's"),
    ] {
        let problem = refusal(by_header(&fixture, to, "GET", target, scope));
        assert_eq!(problem.code, code, "{target} {scope}: {problem:?}");
        assert!(problem.detail.contains(part), "{problem:?}");
        assert!(matches!(problem.code.status(), 400), "{problem:?}");
    }
    let connect = head("CONNECT", "10.0.0.1:80", Some("{Nova: Berlin}"));
    let asked = Asked { head: &connect, orig: orig(BERLIN), session: None, workflow: None };
    assert_eq!(refusal(decide(&asked, &fixture.world())).code, Code::UnmatchedTarget);
}

#[test]
fn a_request_without_scope_is_not_touched() {
    let fixture = Fixture::new();
    for (to, target) in [
        (BERLIN, "/a"),
        (BERLIN, "/a?scope=openid"),
        ("10.0.0.1:90", "/image/x?scope={Nova:Paris}"),
        ("10.0.0.1:90", "/image/../volume"),
        ("10.9.9.9:1", "/a"),
        (BERLIN, "*"),
    ] {
        let head = head(if target == "*" { "OPTIONS" } else { "GET" }, target, None);
        let asked = Asked { head: &head, orig: orig(to), session: None, workflow: None };
        assert_eq!(decide(&asked, &fixture.world()), Decision::Unscoped, "{to} {target}");
    }
    let head = head("GET", "/v2/servers/7", None);
    let asked = Asked { head: &head, orig: orig(PARIS), session: None, workflow: None };
    let plan = explain(&asked, &fixture.world()).expect("no problem").expect("a service");
    assert_eq!((plan.route.clone(), plan.scope.clone(), plan.entry.as_str()), (Route::Direct, None, "Paris"));
    let document = render::document(&plan);
    assert_eq!((&document["plan"], &document["sites"]), (&"direct".into(), &serde_json::json!(["Paris"])));
    assert!(plan.reasons.iter().any(|reason| reason.code == "no-scope"));
}

#[test]
fn the_scope_is_cut_and_all_else_stays() {
    let fixture = Fixture::new();
    let text = "GET /a?b=1&scope=%7BParis%7D&c HTTP/1.1\r\nhOST: x\r\n\r\n";
    let head = RequestHead::parse(Bytes::from_static(text.as_bytes()), 10).expect("well-formed");
    let asked = Asked { head: &head, orig: orig(BERLIN), session: None, workflow: None };
    let Decision::Scoped { plan, head } = decide(&asked, &fixture.world()) else { panic!("scoped") };
    assert_eq!(head, "GET /a?b=1&c HTTP/1.1\r\nhOST: x\r\n\r\n");
    assert_eq!(plan.scope.expect("a scope").source, ScopeSource::Parameter);
}

#[test]
fn under_exec_a_bare_scope_leaves_identity_at_the_entry() {
    let fixture = Fixture::new();
    let keystone = "10.0.0.1:50";
    for (to, scope, route, code) in [
        (keystone, "Paris", "direct", "identity-stays"),
        (keystone, "{Paris || Nantes}", "direct", "identity-stays"),
        (keystone, "{Paris, Keystone: Nantes}", "at Nantes", "bound"),
        (keystone, "{Keystone: Paris}", "at Paris", "bound"),
        (keystone, "{Nova: Paris}", "direct", "not-named"),
        ("10.0.1.1:50", "Nantes", "at Paris", "identity-stays"),
        (BERLIN, "Paris", "at Paris", "bound-as-addressed"),
        (BERLIN, "{Paris, Nova: Nantes}", "at Nantes", "bound"),
    ] {
        let head = head("GET", "/v3", None);
        let asked = Asked { head: &head, orig: orig(to), session: Some(scope), workflow: None };
        let plan = plan(decide(&asked, &fixture.world()));
        assert_eq!(short(&plan.route), route, "{to} {scope}");
        assert!(plan.reasons.iter().any(|reason| reason.code == code), "{scope}: {:?}", plan.reasons);
        assert!(Completed::parse(&plan.scope.expect("a scope").completed).is_ok());
    }
    // by header it means what it says
    assert_eq!(short(&plan(by_header(&fixture, keystone, "GET", "/v3", "Paris")).route), "at Paris");
    let problem = {
        let head = head("GET", "/v3", None);
        refusal(decide(
            &Asked { head: &head, orig: orig(BERLIN), session: Some("{Nova: X}"), workflow: None },
            &fixture.world(),
        ))
    };
    assert_eq!(problem.code, Code::UnknownSite);
}

#[test]
fn after_which_answers_otherwise_goes_on() {
    let capacity =
        |status, body: Option<&str>| CapacityError { status, body: body.map(str::to_owned), ops: Vec::new() };
    let next_on = NextOn {
        not_found: true,
        failed: false,
        capacity: vec![capacity(507, None), capacity(500, Some("No valid host"))],
        stays: false,
    };
    let create = NextOn { not_found: false, ..next_on.clone() };
    for (status, body, item, not_item) in [
        (200, "", false, false),
        (404, "", true, false),
        (507, "", true, true),
        (500, "{\"message\": \"No valid host was found\"}", true, true),
        (500, "{\"message\": \"oops\"}", false, false),
        // a gateway in front of the service says these also when the request took effect
        (502, "", false, false),
        (503, "No valid host", false, false),
        (504, "", false, false),
        (409, "", false, false),
    ] {
        assert_eq!(next_on.answer(status, body.as_bytes()), item, "{status} {body}");
        assert_eq!(create.answer(status, body.as_bytes()), not_item, "{status} {body}");
    }
    assert_eq!(next_on.status(500), GoesOn::IfBody);
    assert_eq!(next_on.status(404), GoesOn::Yes);
    assert_eq!(NextOn::default().status(404), GoesOn::No);
}
