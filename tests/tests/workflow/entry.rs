//! Ids that a profile has set where a scoped request enters, so that the calls below it are found.

use std::time::Instant;

use super::*;

const HEADER: &str = "X-Openstack-Request-Id";
const OWN: &str = "req-0a1b2c3d-0000-4111-8222-0123456789ab";
/// What the service says of itself.
const LOCAL: &str = "req-99999999-0000-4111-8222-0123456789ab";

/// What `front` was given for its id, at each site that was asked.
fn seen(federation: &Federation) -> Vec<String> {
    let of = |site| federation.service(site, "front").take_requests();
    let requests = ["Berlin", "Paris", "Nantes"].into_iter().flat_map(of);
    requests.map(|request| request.header(HEADER).unwrap_or_default()).collect()
}

fn is_fresh(id: &str) -> bool {
    let parts: Vec<&str> = id.split('-').collect();
    let hex = |part: &&str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let lengths = parts.iter().skip(1).map(|part| part.len());
    parts.first() == Some(&"req") && lengths.eq([8, 4, 4, 4, 12]) && parts.iter().skip(1).all(hex)
}

/// `front` answers with an id of its own at `/mine`, and with a list at `/images`.
fn answering() -> anyhow::Result<Federation> {
    let services = Federation::builder().service(Offered::new("front", 8080).key("profile", "cloud"));
    let federation = services.overlay(&profiles()).start()?;
    for site in ["Berlin", "Paris", "Nantes"] {
        let service = federation.service(site, "front");
        let fields = format!("{HEADER}: {LOCAL}\r\nX-Compute-Request-Id: {LOCAL}\r\n");
        service.script("/mine", format!("HTTP/1.1 202 Yes\r\n{fields}Content-Length: 0\r\n\r\n"), Then::Keep);
        let list = r#"{"images":[{"id":1}]}"#;
        let list = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{list}", list.len());
        service.script("/images", list, Then::Keep);
    }
    Ok(federation)
}

/// The answer's status, and both headers with ids.
fn told(answer: &Answer) -> (u16, String, String) {
    let header = |name| answer.header(name).unwrap_or_default();
    (answer.status, header(HEADER), header("X-Compute-Request-Id"))
}

#[test]
fn a_request_without_an_id_gets_one_and_its_calls_are_found_by_it() -> anyhow::Result<()> {
    let federation = cloud("")?;
    for (bound, path) in [
        ("{front: Berlin, back: Paris}", "Berlin Paris"),
        ("{front: Paris, back: Nantes}", "Paris Nantes"),
        ("{front: Nantes}", "Nantes Berlin"),
    ] {
        assert_eq!(went(&federation, &scope(bound))?, path, "{bound}");
        let ids = seen(&federation);
        assert!(ids.len() == 1 && is_fresh(&ids[0]), "{ids:?}");
        let parts = ["Berlin", "Paris", "Nantes"].map(|site| federation.service(site, "back").take_requests());
        let parts: Vec<_> = parts.iter().flatten().map(|part| part.header(HEADER).unwrap_or_default()).collect();
        assert_eq!(parts, ids, "peers set no other");
    }
    let agent = federation.agent("Berlin");
    assert_eq!(agent.metric("cheops_workflow_calls_total{link=\"profile\"}")?, Some(1.0));
    Ok(())
}

#[test]
fn without_a_scope_nothing_is_set_and_nothing_is_given_back() -> anyhow::Result<()> {
    let federation = answering()?;
    for own in ["", &format!("{HEADER}: mine\r\n")] {
        let request = format!("GET /mine HTTP/1.1\r\nHost: front\r\n{own}\r\n");
        let answer = federation.connect("Berlin", "front")?.exchange(&request)?;
        assert_eq!(told(&answer), (202, LOCAL.to_owned(), LOCAL.to_owned()));
        let seen = federation.service("Berlin", "front").take_requests();
        assert_eq!(String::from_utf8_lossy(seen[0].head()), request);
    }
    Ok(())
}

#[test]
fn the_clients_own_id_is_kept_if_it_fits_and_given_back() -> anyhow::Result<()> {
    let federation = answering()?;
    for (site, own) in [("Berlin", OWN), ("Paris", &OWN.replace("ab", "cd"))] {
        let fields = scope(&format!("{{front: {site}}}")) + &format!("{HEADER}: {own}\r\n");
        let answer = ask(&federation, "front", "/mine", &fields)?;
        assert_eq!(told(&answer), (202, own.to_owned(), LOCAL.to_owned()), "{site}");
        assert_eq!(seen(&federation), [own], "{site}");
        // Who said none gets what the service says.
        let answer = ask(&federation, "front", "/mine", &scope(&format!("{{front: {site}}}")))?;
        assert_eq!(told(&answer), (202, LOCAL.to_owned(), LOCAL.to_owned()), "{site}");
        assert!(is_fresh(&seen(&federation)[0]));
    }
    Ok(())
}

#[test]
fn an_id_that_the_application_would_drop_is_replaced_and_given_back() -> anyhow::Result<()> {
    let federation = answering()?;
    let upper = OWN.to_uppercase();
    for (site, said) in [("Berlin", "mine"), ("Paris", upper.as_str()), ("Nantes", "req-1")] {
        let fields = scope(&format!("{{front: {site}}}")) + &format!("X-OPENSTACK-request-id: {said}\r\n");
        let answer = ask(&federation, "front", "/mine", &fields)?;
        assert_eq!(told(&answer), (202, said.to_owned(), LOCAL.to_owned()), "{site}");
        let seen = seen(&federation);
        assert!(seen.len() == 1 && is_fresh(&seen[0]), "{seen:?}");
    }
    // Two are none: an application joins them. And `_` is `-` to many.
    let both = format!("{HEADER}: {OWN}\r\nX_Openstack_Request_Id: {OWN}\r\nA: b\r\n");
    ask(&federation, "front", "/mine", &(scope("{front: Paris}") + &both))?;
    let request = federation.service("Paris", "front").take_requests().remove(0);
    let head = String::from_utf8_lossy(request.head()).to_lowercase();
    assert_eq!(head.matches("request").count(), 1, "{head}");
    assert!(is_fresh(&request.header(HEADER).unwrap_or_default()) && request.header("A").as_deref() == Some("b"));
    Ok(())
}

#[test]
fn a_list_of_several_sites_has_one_id_and_the_clients_own_comes_back() -> anyhow::Result<()> {
    let federation = answering()?;
    let bound = scope("{front: Berlin & Paris & Nantes}");
    for said in [OWN, "mine"] {
        let answer = ask(&federation, "front", "/images", &format!("{bound}{HEADER}: {said}\r\n"))?;
        assert_eq!(told(&answer), (200, said.to_owned(), LOCAL.to_owned()));
        let seen = seen(&federation);
        assert!(seen.len() == 3 && seen.iter().all(|id| *id == seen[0]) && is_fresh(&seen[0]), "{seen:?}");
        assert_eq!(seen[0] == OWN, said == OWN);
    }
    Ok(())
}

/// How long an id lives in the test below.
const LIFE: Duration = Duration::from_secs(4);

/// Calls that go on minutes after the answer keep their workflow; here, seconds.
#[test]
fn each_call_keeps_its_workflow_for_as_long_again() -> anyhow::Result<()> {
    let federation = cloud(&format!("[timeouts]\nworkflow = '{}s'", LIFE.as_secs()))?;
    let id = format!("{HEADER}: {OWN}\r\n");
    let mut client = federation.connect("Berlin", "front")?;
    let request =
        format!("POST /alone HTTP/1.1\r\nHost: front\r\nContent-Length: 0\r\n{id}{}\r\n", scope("{back: Paris}"));
    let (mut begun, mut last) = (Instant::now(), None::<Instant>);
    while begun.elapsed() < LIFE * 2 {
        // On a machine that stood still for so long the id may have ended: that says nothing.
        if last.is_none_or(|last| last.elapsed() > LIFE / 2) {
            client.exchange(&request)?;
            begun = Instant::now();
        }
        let (before, site) = (last.unwrap_or(begun), said(&ask(&federation, "back", "/", &id)?));
        assert!(site == "Paris" || before.elapsed() > LIFE / 2, "{site} after {:?}", begun.elapsed());
        last = Some(Instant::now());
        std::thread::sleep(LIFE / 16);
    }
    let agent = federation.agent("Berlin");
    let ended = || agent.metric("cheops_workflow_records").is_ok_and(|records| records == Some(0.0));
    assert!(eventually(SOON, ended));
    assert_eq!(said(&ask(&federation, "back", "/", &id)?), "Berlin");
    Ok(())
}
