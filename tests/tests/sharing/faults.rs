//! Other sites that are down, stall, die or are cut off: a clear answer, in time, and never a short one that looks whole.

use std::time::Instant;

use super::*;
use cheops_tests::lab::eventually;

/// Waits until Berlin's agent knows that the other site's answers, or doesn't.
fn wait_up(federation: &Federation, site: &str, up: bool) {
    let metric = format!("cheops_peer_up{{site=\"{site}\"");
    let wanted = Some(if up { 1.0 } else { 0.0 });
    assert!(
        eventually(SOON, || federation.agent("Berlin").metric(&metric).ok().flatten() == wanted),
        "{site} up: {up}"
    );
}

#[test]
fn a_site_whose_agent_is_dead_is_named_and_served_again_when_it_is_back() -> anyhow::Result<()> {
    let mut federation = three()?;
    federation.agent_mut("Paris").kill9()?;
    let answer = federation.get("Berlin", "app", "/", Some("{app: Paris}"))?;
    let (code, detail) = problem(&answer)?;
    assert_eq!((answer.status, code.as_str()), (503, "peer-unreachable"));
    assert!(detail.contains("Paris"), "{detail}");
    assert_eq!(federation.get("Berlin", "app", "/", None)?.site().as_deref(), Some("Berlin"), "local first");
    assert_eq!(federation.get("Berlin", "app", "/", Some("{app: Nantes}"))?.site().as_deref(), Some("Nantes"));
    // A dead peer fails fast.
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(federation.get("Berlin", "app", "/", Some("{app: Paris}"))?.status, 503);
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    federation.agent_mut("Paris").restart()?;
    let back = || federation.get("Berlin", "app", "/", Some("{app: Paris}")).is_ok_and(|answer| answer.status == 200);
    assert!(eventually(SOON, back));
    Ok(())
}

#[test]
fn a_service_that_is_down_is_named_with_its_site() -> anyhow::Result<()> {
    let mut federation = three()?;
    federation.service_mut("Paris", "app").stop();
    let answer = federation.get("Berlin", "app", "/", Some("{app: Paris}"))?;
    let (code, detail) = problem(&answer)?;
    assert_eq!((answer.status, code.as_str()), (502, "service-unreachable"));
    assert!(detail.contains("Paris"), "{detail}");
    // The client's connection goes on.
    let mut client = federation.connect("Berlin", "app")?;
    assert_eq!(client.exchange(request("GET", "/", "{app: Paris}", ""))?.status, 502);
    assert_eq!(client.exchange(request("GET", "/", "{app: Nantes}", ""))?.status, 200);
    Ok(())
}

/// An agent that is stopped in the middle of an exchange: after seconds the client knows that nobody knows.
#[test]
fn a_peer_that_stalls_after_sending_is_an_unknown_outcome() -> anyhow::Result<()> {
    let federation = three()?;
    let mut client = federation.connect("Berlin", "app")?;
    client.send(request("POST", "/silent", "{app: Paris}", "x"))?;
    federation.service("Paris", "app").wait_for(1, SOON)?;
    federation.agent("Paris").sigstop()?;
    let answer = client.answer()?;
    assert_eq!((answer.status, problem(&answer)?.0.as_str()), (502, "outcome-unknown"));
    federation.agent("Paris").sigcont()?;
    assert_eq!(federation.service("Paris", "app").requests().len(), 1);
    Ok(())
}

#[test]
fn a_peer_that_dies_after_sending_is_an_unknown_outcome() -> anyhow::Result<()> {
    let mut federation = three()?;
    let mut client = federation.connect("Berlin", "app")?;
    client.send(request("POST", "/silent", "{app: Paris}", "x"))?;
    federation.service("Paris", "app").wait_for(1, SOON)?;
    federation.agent_mut("Paris").kill9()?;
    let answer = client.answer()?;
    assert_eq!((answer.status, problem(&answer)?.0.as_str()), (502, "outcome-unknown"));
    Ok(())
}

/// However an answer is delimited, a peer's death in the middle of it shows.
#[test]
fn a_peer_that_dies_in_the_answer_never_makes_a_short_one() -> anyhow::Result<()> {
    let mut federation = three()?;
    // An answer that only the connection's end delimits, and has begun.
    let open = "HTTP/1.1 200 OK\r\n\r\nbegun";
    federation.service("Paris", "app").script("/open", open, cheops_tests::lab::Then::Keep);
    for (path, marker) in [("/sse/1000/50", "data: 2"), ("/open", "begun"), ("/bytes/900000000", "abc")] {
        let mut client = federation.connect("Berlin", "app")?;
        client.send(request("GET", path, "{app: Paris}", ""))?;
        client.read_until(marker.as_bytes())?;
        federation.agent_mut("Paris").kill9()?;
        let rest = client.read_to_end();
        match path {
            // Chunked or counted: the missing end shows, however the connection ends.
            "/sse/1000/50" => assert!(!rest.is_ok_and(|rest| rest.ends_with(b"0\r\n\r\n"))),
            "/bytes/900000000" => assert!(!rest.is_ok_and(|rest| rest.len() >= 899_000_000)),
            // Only a reset tells it from a whole answer.
            _ => assert!(rest.is_err(), "the connection was closed in order"),
        }
        federation.agent_mut("Paris").restart()?;
        wait_up(&federation, "Paris", true);
    }
    Ok(())
}

/// A cut that is known: refused at once, nothing sent. Healed: served again.
#[test]
fn a_site_that_is_cut_off_is_unreachable_until_it_heals() -> anyhow::Result<()> {
    let federation = three()?;
    federation.world().isolate("Paris", true);
    wait_up(&federation, "Paris", false);
    let answer = federation.get("Berlin", "app", "/", Some("{app: Paris}"))?;
    assert_eq!((answer.status, problem(&answer)?.0.as_str()), (503, "peer-unreachable"));
    assert!(federation.service("Paris", "app").requests().is_empty());
    federation.world().isolate("Paris", false);
    let back = || federation.get("Berlin", "app", "/", Some("{app: Paris}")).is_ok_and(|answer| answer.status == 200);
    assert!(eventually(SOON, back));
    Ok(())
}

/// A cut of the way back after the request got there: it took effect, and the client is told that nobody knows.
#[test]
fn a_cut_after_sending_is_an_unknown_outcome() -> anyhow::Result<()> {
    let federation = three()?;
    let mut client = federation.connect("Berlin", "app")?;
    assert_eq!(client.exchange(request("GET", "/", "{app: Paris}", ""))?.status, 200);
    federation.world().one_way("Paris", "Berlin").cut();
    let answer = client.exchange(request("POST", "/once", "{app: Paris}", "x"))?;
    assert_eq!((answer.status, problem(&answer)?.0.as_str()), (502, "outcome-unknown"));
    let seen = federation.service("Paris", "app").wait_for(2, SOON)?;
    assert_eq!(seen.iter().filter(|request| request.line().contains("/once")).count(), 1);
    Ok(())
}

#[test]
fn an_answer_that_does_not_begin_in_time_is_a_timeout() -> anyhow::Result<()> {
    let federation =
        Federation::builder().service(Offered::new("app", 8080)).overlay("timeouts.exchange = '800ms'").start()?;
    let answer = federation.get("Berlin", "app", "/silent", Some("{app: Paris}"))?;
    assert_eq!((answer.status, problem(&answer)?.0.as_str()), (504, "timeout"));
    // An answer that has begun may last.
    let answer = federation.get("Berlin", "app", "/sse/3/700", Some("{app: Paris}"))?;
    assert!(answer.text().contains("data: 3 Paris"));
    Ok(())
}

/// What isn't HTTP/1.1 as it should be is not passed on.
#[test]
fn a_malformed_answer_is_kept_from_the_client() -> anyhow::Result<()> {
    let federation = three()?;
    let bad = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx";
    federation.service("Paris", "app").script("/bad", bad, cheops_tests::lab::Then::Close);
    let answer = federation.get("Berlin", "app", "/bad", Some("{app: Paris}"))?;
    assert_eq!((answer.status, problem(&answer)?.0.as_str()), (502, "bad-answer"));
    Ok(())
}

/// An endpoint in the configuration that is an agent's own port, which only the agent itself can know: refused as a loop,
/// and the agents live on.
#[test]
fn an_endpoint_that_points_at_an_agent_is_a_loop() -> anyhow::Result<()> {
    let federation = Federation::builder()
        .service(Offered::new("app", 8080))
        .service(Offered::new("mirror", 8090).unserved())
        .configure(|site, table| {
            let services = table.get_mut("services").and_then(|services| services.as_array_mut()).expect("services");
            let mirror =
                services[1].get_mut("endpoints").and_then(|endpoints| endpoints.as_table_mut()).expect("a table");
            mirror.insert("Nantes".into(), "http://10.77.3.1:7117".into());
            if site == "Nantes" {
                let peer = table.get_mut("peer").and_then(|peer| peer.as_table_mut()).expect("peer");
                peer.insert("listen".into(), "0.0.0.0:7117".into());
            }
        })
        .start()?;
    let mut client = federation.host("Berlin").connect(federation.host("Berlin").at(8090))?;
    let answer = client.exchange(request("GET", "/", "{mirror: Nantes}", ""))?;
    assert_eq!((answer.status, problem(&answer)?.0.as_str()), (508, "loop"), "{}", answer.text());
    assert_eq!(federation.get("Berlin", "app", "/", Some("{app: Nantes}"))?.status, 200);
    Ok(())
}
