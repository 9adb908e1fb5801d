//! Whatever breaks, whenever: one request never takes effect at two sites.

use std::collections::HashMap;

use super::*;

/// What came of one request, as its client saw it.
#[derive(Debug)]
enum Seen {
    Served(String),
    /// 502 `outcome-unknown`, 504 `timeout`, or a broken connection: the client knows that it doesn't know.
    Unknown,
    /// 503: the client is told that it was not served.
    NotServed,
}

fn seen(answer: anyhow::Result<Answer>) -> anyhow::Result<Seen> {
    let Ok(answer) = answer else { return Ok(Seen::Unknown) };
    Ok(match answer.status {
        200 => Seen::Served(answer.header("x-cheops-site").unwrap_or_default()),
        502 | 504 => {
            let code = code(&answer)?;
            assert!(matches!(code.as_str(), "outcome-unknown" | "timeout"), "{code}");
            Seen::Unknown
        }
        503 => Seen::NotServed,
        other => panic!("{other}: {}", answer.text()),
    })
}

/// Checks each request against what the services recorded.
fn check(federation: &Federation, requests: &HashMap<String, Seen>) {
    let at = |site: &str, id: &str| {
        let path = format!("/things/{id}/");
        let all = federation.service(site, "app").requests();
        all.iter().filter(|request| request.complete && request.line().contains(&path)).count()
    };
    let mut served = HashMap::<&str, usize>::new();
    for (id, seen) in requests {
        let (paris, nantes) = (at("Paris", id), at("Nantes", id));
        assert!(paris + nantes <= 1, "{id}: {paris} at Paris, {nantes} at Nantes; its client saw {seen:?}");
        match seen {
            Seen::Served(site) => {
                let there = if site == "Paris" { paris } else { nantes };
                assert_eq!(there, 1, "{id} was answered by {site}");
                *served.entry(site).or_default() += 1;
            }
            // It may have reached the first site; the second was not asked.
            Seen::Unknown => assert_eq!(nantes, 0, "{id}: unknown, and asked at Nantes"),
            Seen::NotServed => assert_eq!(paris + nantes, 0, "{id}: told that it was not served"),
        }
    }
    println!("{} requests, served {served:?}", requests.len());
}

/// A small pseudo-random sequence: the same in each run.
fn jitter(round: u64, most: u64) -> Duration {
    Duration::from_millis((round.wrapping_mul(2_654_435_761) >> 7) % most)
}

/// A service takes a while over it, so that things break while it does.
fn path(id: &str) -> String {
    format!("/things/{id}/slow/40")
}

fn send(federation: &Federation, id: &str) -> anyhow::Result<Seen> {
    let request = post(&path(id), SCOPE, "some body");
    seen(federation.connect("Berlin", "app").and_then(|mut client| client.exchange(request)))
}

/// Cuts of either direction and of both, at any moment of an exchange, some shorter and some longer than the link's
/// patience.
#[test]
fn over_many_cuts_no_request_is_served_twice() -> anyhow::Result<()> {
    let federation = three()?;
    let mut requests = HashMap::new();
    for round in 0..36_u64 {
        let id = format!("cut-{round}");
        let world = federation.world();
        let link = match round % 3 {
            0 => world.link("Berlin", "Paris"),
            1 => world.one_way("Berlin", "Paris"),
            _ => world.one_way("Paris", "Berlin"),
        };
        let came = std::thread::scope(|scope| {
            let asking = scope.spawn(|| send(&federation, &id));
            std::thread::sleep(jitter(round, 120));
            link.cut();
            std::thread::sleep(if round % 9 == 8 { Duration::from_secs(5) } else { jitter(round + 1, 500) });
            link.heal();
            asking.join().expect("no panic")
        })?;
        requests.insert(id, came);
    }
    check(&federation, &requests);
    Ok(())
}

/// The first site's agent or service dies, at any moment of an exchange.
#[test]
fn over_many_deaths_no_request_is_served_twice() -> anyhow::Result<()> {
    let mut federation = three()?;
    let mut requests = HashMap::new();
    for round in 0..12_u64 {
        let id = format!("death-{round}");
        let address = federation.address("Berlin", "app");
        let client = federation.host("Berlin").connect(address);
        let request = post(&path(&id), SCOPE, "some body");
        let asking = std::thread::spawn(move || client.and_then(|mut client| client.exchange(request)));
        std::thread::sleep(jitter(round, 110));
        if round % 2 == 0 {
            federation.agent_mut("Paris").kill9()?;
            requests.insert(id, seen(asking.join().expect("no panic"))?);
            federation.agent_mut("Paris").restart()?;
        } else {
            federation.service_mut("Paris", "app").stop();
            requests.insert(id, seen(asking.join().expect("no panic"))?);
            federation.service_mut("Paris", "app").restart()?;
        }
    }
    check(&federation, &requests);
    Ok(())
}

/// After the request reached the first service, nothing that follows makes the second one see it.
#[test]
fn once_the_first_service_has_it_the_second_never_does() -> anyhow::Result<()> {
    let mut federation = three()?;
    for (number, what) in ["reset", "peer killed", "cut"].into_iter().enumerate() {
        let mut client = federation.connect("Berlin", "app")?;
        let path = if what == "reset" { "/reset" } else { "/silent" };
        client.send(post(path, SCOPE, "body"))?;
        federation.service("Paris", "app").wait_for(number + 1, SOON)?;
        match what {
            "peer killed" => {
                federation.agent_mut("Paris").kill9()?;
            }
            "cut" => federation.world().isolate("Paris", true),
            _ => {}
        }
        let answer = client.answer()?;
        assert_eq!((answer.status, code(&answer)?.as_str()), (502, "outcome-unknown"), "{what}");
        if what == "peer killed" {
            federation.agent_mut("Paris").restart()?;
            assert!(cheops_tests::lab::eventually(SOON, || {
                federation.get("Berlin", "app", "/", Some("{app: Paris}")).is_ok_and(|answer| answer.status == 200)
            }));
            federation.service("Paris", "app").take_requests();
            // Counted from here again: two that went before.
            for _ in 0..2 {
                federation.get("Berlin", "app", "/", Some("{app: Paris}"))?;
            }
        }
    }
    assert_eq!(federation.service("Nantes", "app").requests().len(), 0);
    Ok(())
}
