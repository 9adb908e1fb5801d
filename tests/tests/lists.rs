//! `A & B` and `*` for lists: one list of several sites' lists.

#[path = "lists/cloud.rs"]
mod cloud;
#[path = "lists/hostile.rs"]
mod hostile;

use std::time::{Duration, Instant};

use cheops_tests::lab::{Answer, Federation, Offered, Scripted, Then};
use serde_json::Value;

/// Of each site's list, in the test of memory. Bytes.
const LONG: usize = 34 << 20;

const ALL: &str = "{app: Berlin & Paris & Nantes}";

fn three() -> anyhow::Result<Federation> {
    let federation = Federation::builder().service(Offered::new("app", 8080)).start()?;
    for (site, body) in [
        ("Berlin", r#"{"images":[{"id":1,"size":1.50}],"schema":"/s"}"#),
        ("Paris", r#"{"images":[{"id":2},{"id":3}]}"#),
        ("Nantes", r#"{"images":[{"id":1}]}"#),
    ] {
        federation.service(site, "app").script("/images", ok(body), Then::Keep);
    }
    Ok(federation)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn list(federation: &Federation, scope: &str) -> anyhow::Result<Answer> {
    federation.get("Berlin", "app", "/images", Some(scope))
}

fn sites(answer: &Answer) -> Option<String> {
    answer.header("x-cheops-sites")
}

#[test]
fn a_list_over_three_sites_names_each_elements_site() -> anyhow::Result<()> {
    let federation = three()?;
    let answer = list(&federation, ALL)?;
    assert_eq!(
        answer.text(),
        r#"{"images":[{"id":1,"size":1.50,"cheops_site":"Berlin"},{"id":2,"cheops_site":"Paris"},{"id":3,"cheops_site":"Paris"},{"id":1,"cheops_site":"Nantes"}],"schema":"/s"}"#
    );
    assert_eq!(sites(&answer).as_deref(), Some("Berlin=ok, Paris=ok, Nantes=ok"));
    let every: Value = list(&federation, "{app: *}")?.json()?;
    assert_eq!(every["images"].as_array().map(Vec::len), Some(4));
    // The same connection goes on, and nothing is changed at several sites; one resource is read at one of them.
    let mut client = federation.connect("Berlin", "app")?;
    for (request, status) in
        [("GET /images", 200), ("GET /images/1", 200), ("DELETE /images/1", 501), ("GET /images", 200)]
    {
        let answer = client.exchange(format!("{request} HTTP/1.1\r\nHost: app\r\nX-Scope: {ALL}\r\n\r\n"))?;
        assert_eq!(answer.status, status, "{request}");
    }
    Ok(())
}

#[test]
fn a_site_that_gives_no_list_is_named_and_the_others_are_shown() -> anyhow::Result<()> {
    let mut federation = three()?;
    federation.service("Paris", "app").script("/images", "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", Then::Keep);
    assert_eq!(sites(&list(&federation, ALL)?).as_deref(), Some("Berlin=ok, Paris=403, Nantes=ok"));
    for rubbish in [
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"images\":[{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"images\":[{}",
    ] {
        federation.service("Paris", "app").script("/images", rubbish, Then::Close);
        let answer = list(&federation, ALL)?;
        assert_eq!(sites(&answer).as_deref(), Some("Berlin=ok, Paris=broken, Nantes=ok"));
        assert_eq!(answer.json()?["images"].as_array().map(Vec::len), Some(2));
    }
    federation.service_mut("Paris", "app").stop();
    assert_eq!(sites(&list(&federation, ALL)?).as_deref(), Some("Berlin=ok, Paris=unreachable, Nantes=ok"));
    let none = list(&federation, "{app: Paris & Nantes}")?;
    assert_eq!((none.status, sites(&none).as_deref()), (200, Some("Paris=unreachable, Nantes=ok")));
    federation.service_mut("Nantes", "app").stop();
    let none = list(&federation, "{app: Paris & Nantes}")?;
    assert_eq!((none.status, none.json()?["code"].as_str()), (503, Some("no-site-answered")));
    Ok(())
}

#[test]
fn a_slow_and_a_cut_site_hold_nothing_up_for_long() -> anyhow::Result<()> {
    let federation = three()?;
    assert_eq!(list(&federation, ALL)?.status, 200);
    federation.world().isolate("Nantes", true);
    let begin = Instant::now();
    let mut client = federation.connect("Berlin", "app")?;
    client.patience(Duration::from_secs(30))?;
    let answer = client.exchange(format!("GET /images HTTP/1.1\r\nHost: app\r\nX-Scope: {ALL}\r\n\r\n"))?;
    let told = sites(&answer).unwrap_or_default();
    assert!(told.starts_with("Berlin=ok, Paris=ok, Nantes=") && !told.ends_with("ok"), "{told}");
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    Ok(())
}

/// Resident memory of Berlin's agent, in bytes; `what` is `VmRSS` or `VmHWM`.
fn memory(federation: &Federation, what: &str) -> anyhow::Result<usize> {
    let pid = federation.agent("Berlin").pid().unwrap_or_default();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    let kib: usize = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default();
    Ok(kib * 1024)
}

#[test]
fn a_hundred_mebibytes_are_united_in_bounded_memory() -> anyhow::Result<()> {
    let federation = three()?;
    assert_eq!(list(&federation, ALL)?.status, 200);
    let element = format!("{{\"id\":\"{}\"}}", "x".repeat(1000));
    let body = format!("[{}]", vec![element.as_str(); LONG / element.len()].join(","));
    let answer = ok(&body).into_bytes();
    for site in ["Berlin", "Paris", "Nantes"] {
        let answer = answer.clone();
        federation.service(site, "app").script_all(move |_| Some(Scripted { bytes: answer.clone(), then: Then::Keep }));
    }
    drop((answer, body));
    let before = memory(&federation, "VmHWM")?.max(memory(&federation, "VmRSS")?);
    let mut client = federation.connect("Berlin", "app")?;
    client.patience(Duration::from_secs(60))?;
    client.send(format!("GET /long HTTP/1.0\r\nHost: app\r\nX-Scope: {ALL}\r\n\r\n"))?;
    let (mut bytes, mut last) = (0, Vec::new());
    loop {
        let some = client.read_some()?;
        if some.is_empty() {
            break;
        }
        bytes += some.len();
        last = some;
    }
    assert!(bytes > 3 * (LONG - 2000) && last.ends_with(b"}]"), "{bytes} bytes");
    let grown = memory(&federation, "VmHWM")?.saturating_sub(before);
    println!("{} MiB united; the agent's memory grew by {} KiB", bytes >> 20, grown >> 10);
    assert!(grown < 8 << 20, "{grown} bytes");
    Ok(())
}
