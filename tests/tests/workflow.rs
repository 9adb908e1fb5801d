//! The scope follows the calls that services make while they handle a scoped request (SPEC.md 3.2): whole agents, real
//! kernel programs, real peer links. At each site a service `front` calls `back` at its own site's address.

#[path = "workflow/again.rs"]
mod again;
#[path = "workflow/callers.rs"]
mod callers;
#[path = "workflow/entry.rs"]
mod entry;
#[path = "workflow/failed.rs"]
mod failed;
#[path = "workflow/hosts.rs"]
mod hosts;
#[path = "workflow/shown.rs"]
mod shown;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cheops_tests::lab::{Answer, Client, Federation, Host, Offered, Recorded, Scripted, Then, eventually};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER: &str = "0af7651916cd43dd8448eb211c80319c";

/// `front` and `back` at all sites; an id lives for 2 s after its request's answer.
fn world() -> anyhow::Result<Federation> {
    world_of("rest", "[timeouts]\nworkflow = '2s'")
}

/// The same services with the profile `cloud`.
fn cloud(overlay: &str) -> anyhow::Result<Federation> {
    world_of("cloud", overlay)
}

/// Where the profiles of these tests are, for a configuration.
fn profiles() -> String {
    let here = env!("CARGO_MANIFEST_DIR");
    format!("profile-dirs = ['{here}/../cheops-agent/profiles', '{here}/tests/workflow/profiles']\n")
}

fn world_of(profile: &str, overlay: &str) -> anyhow::Result<Federation> {
    let offered = |name, port| Offered::new(name, port).key("profile", profile);
    let services = Federation::builder().service(offered("front", 8080)).service(offered("back", 8081));
    let federation = services.overlay(&(profiles() + overlay)).start()?.linked()?;
    for member in federation.members() {
        let (host, back) = (member.host.clone(), federation.address(member.host.site(), "back"));
        federation.service(member.host.site(), "front").script_all(move |request| calls(&host, back, request));
    }
    Ok(federation)
}

/// Any request but one for `/alone` is answered with what the own site's `back` answers to a call that hands on the
/// request's ids; `Call-Scope` gives the call a scope of its own, `Fails-With` is the status where the call has no answer.
fn calls(host: &Host, back: SocketAddr, request: &Recorded) -> Option<Scripted> {
    const HANDED_ON: [&str; 4] = ["traceparent", "X-Request-Id", "b3", "X-Openstack-Request-Id"];
    if request.line().contains(" /alone") {
        return None;
    }
    // The service's own credential instead of its caller's, or none.
    let token = match request.header("Call-Token") {
        Some(none) if none == "none" => None,
        own => own.or_else(|| request.header("X-Auth-Token")),
    };
    let mut call = format!("GET /part/1 HTTP/1.1\r\nHost: {back}\r\n");
    let handed_on = HANDED_ON.iter().map(|name| (*name, *name)).chain([("Call-Scope", "X-Scope")]);
    for (name, to) in handed_on {
        if let Some(value) = request.header(name) {
            call += &format!("{to}: {value}\r\n");
        }
    }
    call += &token.map(|token| format!("X-Auth-Token: {token}\r\n")).unwrap_or_default();
    let (told, done) = match host.connect(back).and_then(|mut client| client.exchange(format!("{call}\r\n"))) {
        Ok(answer) => (said(&answer), answer.status == 200),
        Err(error) => (format!("{error:#}"), false),
    };
    let told = format!("{} {told}", host.site());
    let status = request.header("Fails-With").filter(|_| !done).unwrap_or_else(|| "200 OK".to_owned());
    let bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{told}", told.len());
    Some(Scripted { bytes: bytes.into(), then: Then::Keep })
}

/// The problem's code, or the site that answered.
fn said(answer: &Answer) -> String {
    let code = |body: Value| body.get("code").and_then(Value::as_str).map(str::to_owned);
    let site = answer.site().filter(|_| answer.status == 200);
    site.or_else(|| answer.json().ok().and_then(code)).unwrap_or_else(|| format!("{} {}", answer.status, answer.text()))
}

fn traceparent(id: &str) -> String {
    format!("traceparent: 00-{id}-00f067aa0ba902b7-01\r\n")
}

/// Asks Berlin's service; the request's fields as they are.
fn ask(federation: &Federation, service: &str, path: &str, fields: &str) -> anyhow::Result<Answer> {
    let mut client = federation.connect("Berlin", service)?;
    client.exchange(format!("GET {path} HTTP/1.1\r\nHost: {service}\r\n{fields}\r\n"))
}

/// Where Berlin's `front` was served, and where its call to `back` was.
fn went(federation: &Federation, fields: &str) -> anyhow::Result<String> {
    let answer = ask(federation, "front", "/", fields)?;
    Ok(if answer.status == 200 { answer.text() } else { said(&answer) })
}

fn scope(text: &str) -> String {
    format!("X-Scope: {text}\r\n")
}

/// Every site's requests for `back`.
fn parts(federation: &Federation) -> Vec<(&str, usize)> {
    let count = |site| federation.service(site, "back").requests().len();
    ["Berlin", "Paris", "Nantes"].into_iter().map(|site| (site, count(site))).collect()
}

#[test]
fn a_call_is_served_where_the_scope_of_its_cause_says() -> anyhow::Result<()> {
    let federation = world()?;
    let fields = scope("{front: Berlin, back: Paris}") + &traceparent(TRACE);
    assert_eq!(went(&federation, &fields)?, "Berlin Paris");
    assert_eq!(parts(&federation), [("Berlin", 0), ("Paris", 1), ("Nantes", 0)]);
    let part = federation.service("Paris", "back").take_requests().remove(0);
    assert_eq!(part.header("X-Scope"), None);
    assert_eq!(part.header("traceparent").as_deref(), Some(traceparent(TRACE).trim()).map(|line| &line[13..]));

    let agent = federation.agent("Berlin");
    assert_eq!(agent.metric("cheops_workflow_calls_total{link=\"traceparent\"}")?, Some(1.0));
    assert_eq!(agent.metric("cheops_workflow_records")?, Some(1.0));
    let status = agent.admin("/v1/status")?.json()?;
    assert_eq!(status.pointer("/workflows/records").and_then(Value::as_u64), Some(1));
    let ended = || agent.metric("cheops_workflow_records").is_ok_and(|records| records == Some(0.0));
    assert!(eventually(SOON, ended), "records end");
    Ok(())
}

#[test]
fn each_kind_of_id_links() -> anyhow::Result<()> {
    let federation = world()?;
    let bound = scope("{front: Berlin, back: Nantes}");
    for ids in [
        "X-Request-Id: req-7f\r\n".to_owned(),
        format!("b3: {OTHER}-00f067aa0ba902b7-1\r\n"),
        "X-Request-Id: req-80\r\n".to_owned() + &traceparent(TRACE),
    ] {
        assert_eq!(went(&federation, &(bound.clone() + &ids))?, "Berlin Nantes", "{ids}");
    }
    // No header that the services' profile names.
    assert_eq!(went(&federation, &(bound + "X-Openstack-Request-Id: req-1\r\n"))?, "Berlin Berlin");
    Ok(())
}

#[test]
fn what_the_scope_does_not_name_stays_at_the_entry_site_even_when_another_site_calls() -> anyhow::Result<()> {
    let federation = world()?;
    let fields = scope("{front: Paris}") + &traceparent(TRACE);
    assert_eq!(went(&federation, &fields)?, "Paris Berlin");
    assert_eq!(parts(&federation), [("Berlin", 1), ("Paris", 0), ("Nantes", 0)]);
    // A bare scope is for the addressed service alone.
    let fields = scope("Paris") + &traceparent(OTHER);
    assert_eq!(went(&federation, &fields)?, "Paris Paris");
    let fields = scope("{front: Paris, back: Nantes}") + "X-Request-Id: req-1\r\n";
    assert_eq!(went(&federation, &fields)?, "Paris Nantes");
    Ok(())
}

#[test]
fn without_a_link_a_call_is_local() -> anyhow::Result<()> {
    let federation = world()?;
    assert_eq!(went(&federation, &scope("{front: Berlin, back: Paris}"))?, "Berlin Berlin");
    let fields = scope("{front: Paris, back: Nantes}");
    assert_eq!(went(&federation, &fields)?, "Paris Paris");
    assert_eq!(went(&federation, &traceparent(TRACE))?, "Berlin Berlin");
    Ok(())
}

#[test]
fn the_scope_of_the_call_itself_wins() -> anyhow::Result<()> {
    let federation = world()?;
    let fields = scope("{front: Berlin, back: Paris}") + &traceparent(TRACE) + "Call-Scope: {back: Nantes}\r\n";
    assert_eq!(went(&federation, &fields)?, "Berlin Nantes");
    // From here on the id stands for both scopes.
    let answer = ask(&federation, "back", "/", &traceparent(TRACE))?;
    assert_eq!((answer.status, said(&answer).as_str()), (409, "ambiguous-workflow"));
    assert_eq!(parts(&federation), [("Berlin", 0), ("Paris", 0), ("Nantes", 1)]);
    Ok(())
}

#[test]
fn an_id_that_is_live_under_another_scope_is_refused() -> anyhow::Result<()> {
    let federation = world()?;
    let first = scope("{front: Berlin}") + &traceparent(TRACE);
    assert_eq!(went(&federation, &first)?, "Berlin Berlin");
    let second = scope("{front: Paris}") + &traceparent(TRACE);
    let answer = ask(&federation, "front", "/alone", &second)?;
    assert_eq!((answer.status, said(&answer).as_str()), (409, "request-id-in-use"));
    assert!(federation.service("Paris", "front").requests().is_empty());
    assert_eq!(
        federation.agent("Berlin").metric("cheops_workflow_refused_total{reason=\"request-id-in-use\"}")?,
        Some(1.0)
    );
    assert_eq!(went(&federation, &first)?, "Berlin Berlin", "the same scope is the same workflow");
    let free = || went(&federation, &second).is_ok_and(|went| went == "Paris Berlin");
    assert!(eventually(SOON, free), "the id is free again");
    Ok(())
}

#[test]
fn an_id_that_came_to_a_site_by_two_ways_is_refused_there() -> anyhow::Result<()> {
    let federation = world()?;
    let by_berlin = scope("{front: Paris}") + &traceparent(TRACE);
    assert_eq!(said(&ask(&federation, "front", "/alone", &by_berlin)?), "Paris");
    let mut client = federation.connect("Nantes", "front")?;
    let by_nantes = format!("GET /alone HTTP/1.1\r\nHost: front\r\n{by_berlin}\r\n");
    let answer = client.exchange(by_nantes)?;
    assert_eq!((answer.status, said(&answer).as_str()), (409, "request-id-in-use"), "another entry site");
    assert_eq!(federation.service("Paris", "front").requests().len(), 1);
    Ok(())
}

#[test]
fn a_call_with_two_causes_is_refused() -> anyhow::Result<()> {
    let federation = world()?;
    assert_eq!(went(&federation, &(scope("{front: Berlin, back: Paris}") + &traceparent(TRACE)))?, "Berlin Paris");
    assert_eq!(went(&federation, &(scope("{front: Berlin, back: Nantes}") + &traceparent(OTHER)))?, "Berlin Nantes");
    let both = traceparent(TRACE) + &traceparent(OTHER);
    let answer = ask(&federation, "back", "/", &both)?;
    assert_eq!((answer.status, said(&answer).as_str()), (409, "ambiguous-workflow"));
    assert_eq!(parts(&federation), [("Berlin", 0), ("Paris", 1), ("Nantes", 1)]);
    Ok(())
}

#[test]
fn a_record_does_not_apply_to_its_own_request() -> anyhow::Result<()> {
    let federation = world()?;
    for (site, id) in [("Berlin", TRACE), ("Paris", OTHER)] {
        let answer = ask(&federation, "front", "/alone", &(scope(&format!("{{front: {site}}}")) + &traceparent(id)))?;
        assert_eq!(said(&answer), site);
        assert_eq!(federation.service(site, "front").requests().len(), 1);
    }
    Ok(())
}

#[test]
fn an_id_links_work_in_the_background_for_a_while_and_then_no_more() -> anyhow::Result<()> {
    let federation = world()?;
    let answer = ask(&federation, "front", "/alone", &(scope("{back: Paris}") + &traceparent(TRACE)))?;
    assert_eq!(said(&answer), "Berlin");
    let late = || ask(&federation, "back", "/", &traceparent(TRACE)).map(|answer| said(&answer));
    assert_eq!(late()?, "Paris");
    // A call within the workflow keeps it live as its first request does: nothing is asked meanwhile.
    let agent = federation.agent("Berlin");
    let ended = || agent.metric("cheops_workflow_records").is_ok_and(|records| records == Some(0.0));
    assert!(eventually(SOON, ended));
    assert_eq!(late()?, "Berlin");
    Ok(())
}

#[test]
fn calls_while_the_request_is_under_way_are_linked_on_the_same_connection_too() -> anyhow::Result<()> {
    let federation = world()?;
    let kept: Mutex<Option<Client>> = Mutex::default();
    let kept = Arc::new(kept);
    let (host, back) = (federation.host("Berlin").clone(), federation.address("Berlin", "back"));
    let lent = kept.clone();
    federation.service("Berlin", "front").script_all(move |request| {
        // One kept connection to `back`, as pooling clients have it: each request on it is decided about afresh.
        let mut kept = lent.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let client = match kept.take() {
            Some(client) => Ok(client),
            None => host.connect(back),
        };
        let ids = request.header("traceparent").map(|value| format!("traceparent: {value}\r\n")).unwrap_or_default();
        let told = client.and_then(|mut client| {
            let answer = client.exchange(format!("GET /part/1 HTTP/1.1\r\nHost: back\r\n{ids}\r\n"))?;
            *kept = Some(client);
            Ok(said(&answer))
        });
        let told = told.unwrap_or_else(|error| format!("{error:#}"));
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{told}", told.len());
        Some(Scripted { bytes: bytes.into(), then: Then::Keep })
    });
    for (site, id) in [("Paris", TRACE), ("Nantes", OTHER)] {
        let fields = scope(&format!("{{back: {site}}}")) + &traceparent(id);
        assert_eq!(went(&federation, &fields)?, site);
        assert_eq!(went(&federation, "")?, "Berlin");
    }
    Ok(())
}

/// A workflow is placed once: what `around` or `||` left open is decided by its first call, and later calls go there, also
/// when another site is nearer by now or has come back. Another workflow decides for itself.
#[test]
fn a_workflow_is_placed_once_by_otherwise() -> anyhow::Result<()> {
    let mut federation = world()?;
    let fields = |id: &str| scope("{back: Paris || Nantes}") + &traceparent(id);
    federation.service_mut("Paris", "back").stop();
    assert_eq!(went(&federation, &fields(TRACE))?, "Berlin Nantes");
    federation.service_mut("Paris", "back").restart()?;
    assert_eq!(went(&federation, &fields(TRACE))?, "Berlin Nantes");
    let create = |federation: &Federation| -> anyhow::Result<Answer> {
        let mut client = federation.connect("Berlin", "back")?;
        client.exchange(format!("POST /echo HTTP/1.1\r\nHost: back\r\nContent-Length: 0\r\n{}\r\n", traceparent(TRACE)))
    };
    assert_eq!(create(&federation)?.site().as_deref(), Some("Nantes"));
    assert_eq!(went(&federation, &fields(OTHER))?, "Berlin Paris", "another workflow");
    // What is about one resource is looked for elsewhere if it isn't there.
    federation.service("Nantes", "back").script(
        "/things/7",
        "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        Then::Keep,
    );
    let thing = ask(&federation, "back", "/things/7", &traceparent(TRACE))?;
    assert_eq!((thing.status, thing.site().as_deref()), (200, Some("Paris")));
    assert_eq!(thing.header("x-cheops-sites").as_deref(), Some("Nantes=declined, Paris=answered"));
    // And nowhere else if the site is away: the workflow is there.
    federation.service_mut("Nantes", "back").stop();
    let away = ask(&federation, "back", "/things/7", &traceparent(TRACE))?;
    assert_eq!((away.status, said(&away).as_str()), (502, "service-unreachable"), "{}", away.text());
    assert_eq!(create(&federation)?.status, 502);
    assert_eq!(parts(&federation)[1].1, 2, "Paris had nothing of it but the 7");
    Ok(())
}

/// A call that came to nothing places nothing.
#[test]
fn what_failed_places_nothing() -> anyhow::Result<()> {
    let mut federation = world()?;
    let back = scope("{back: Paris || Nantes}") + &traceparent(TRACE);
    federation.service("Paris", "back").script("/part/1", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", Then::Keep);
    assert_eq!(went(&federation, &back)?, "Berlin 500 ");
    federation.service_mut("Paris", "back").stop();
    assert_eq!(went(&federation, &back)?, "Berlin Nantes");
    Ok(())
}

/// Where a request itself is placed, its services' calls to the same service stay, whatever that site would choose.
#[test]
fn a_placed_request_is_known_where_it_is_served() -> anyhow::Result<()> {
    let federation = world()?;
    for site in ["Berlin", "Paris", "Nantes"] {
        let (host, front) = (federation.host(site).clone(), federation.address(site, "front"));
        federation.service(site, "front").script_all(move |request| {
            let own = request.line().contains(" /part");
            let full = Scripted { bytes: b"HTTP/1.1 507 Full\r\nContent-Length: 0\r\n\r\n".into(), then: Then::Keep };
            match (own, host.site()) {
                (true, _) => None,
                (false, "Paris") => Some(full),
                (false, _) => calls(&host, front, request),
            }
        });
    }
    // Nantes could reach Paris, which has no room for the request, and none of it went on there.
    let fields = |id: &str| scope("{front: Paris || Nantes}") + &traceparent(id);
    assert_eq!(went(&federation, &fields(TRACE))?, "Nantes Nantes");
    Ok(())
}

/// The nearest to Paris by the first call's time, however near another comes.
#[test]
fn a_workflow_is_placed_once_by_around() -> anyhow::Result<()> {
    let mut federation = world()?;
    let away = |federation: &Federation, site: &str, ms| {
        federation.world().link("Paris", site).round_trip(Duration::from_millis(ms));
    };
    federation.service_mut("Paris", "back").stop();
    let call =
        |id: &str| went(&federation, &(scope("{back: around(Paris, 150ms)}") + &traceparent(id))).unwrap_or_default();
    let mut number = 0;
    let mut anew = || {
        number += 1;
        call(&format!("{number:032x}"))
    };
    away(&federation, "Berlin", 10);
    away(&federation, "Nantes", 100);
    assert!(eventually(SOON, || anew() == "Berlin Berlin"), "{}", anew());
    assert_eq!(call(TRACE), "Berlin Berlin");
    away(&federation, "Berlin", 100);
    away(&federation, "Nantes", 10);
    let follows = || {
        assert_eq!(call(TRACE), "Berlin Berlin", "the workflow stays");
        anew() == "Berlin Nantes"
    };
    assert!(eventually(SOON, follows), "{}", anew());
    assert_eq!(call(TRACE), "Berlin Berlin");
    Ok(())
}
