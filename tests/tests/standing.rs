//! How sites take part: cordoned, drained, and what status says aloud of their loss.

#[path = "standing/cluster.rs"]
mod cluster;

use std::time::Duration;

use cheops_tests::lab::{Answer, Federation, Offered, eventually};
use serde_json::Value;

/// Nothing takes longer, however busy the machine.
const SOON: Duration = Duration::from_secs(30);

fn three() -> anyhow::Result<Federation> {
    Federation::builder().service(Offered::new("app", 8080)).start()
}

/// A request at Berlin, or wherever it is said.
fn ask(federation: &Federation, at: &str, method: &str, target: &str, scope: Option<&str>) -> anyhow::Result<Answer> {
    let scope = scope.map(|scope| format!("X-Scope: {scope}\r\n")).unwrap_or_default();
    let text = format!("{method} {target} HTTP/1.1\r\nHost: app\r\n{scope}Content-Length: 0\r\n\r\n");
    federation.connect(at, "app")?.exchange(text)
}

/// What `cheops` says; it must end with this exit code.
#[track_caller]
fn cheops(federation: &Federation, at: &str, line: &[&str], code: i32) -> String {
    let output = federation.agent(at).cheops(line).expect("cheops runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{line:?}: {said}");
    said
}

fn site(federation: &Federation, at: &str, of: &str) -> anyhow::Result<Value> {
    let sites = federation.agent(at).admin("/v1/sites")?.json()?;
    let found = sites["sites"].as_array().into_iter().flatten().find(|site| site["name"] == of);
    found.cloned().ok_or_else(|| anyhow::anyhow!("{at} doesn't know {of}: {sites}"))
}

#[track_caller]
fn until(federation: &Federation, at: &str, of: &str, standing: &str) {
    let is = || site(federation, at, of).is_ok_and(|site| site["standing"] == standing && site["state"] != "unknown");
    assert!(eventually(SOON, is), "{of} isn't {standing}: {:?}", site(federation, at, of));
}

fn created(federation: &Federation, site: &str) -> usize {
    federation.service(site, "app").requests().iter().filter(|seen| seen.line().starts_with("POST")).count()
}

/// From the command's return on nothing new is created there for others, whether they know it already or not.
#[test]
fn a_drained_site_gets_nothing_new_from_others() -> anyhow::Result<()> {
    let federation = three()?;
    until(&federation, "Berlin", "Paris", "active");
    assert!(cheops(&federation, "Paris", &["site", "drain"], 0).contains("Paris is drained now (it was active)"));
    let post = |scope: &str| ask(&federation, "Berlin", "POST", "/echo", Some(scope));
    let answer = post("{app: Paris}")?;
    let problem = answer.json()?;
    assert_eq!((answer.status, problem["code"].as_str()), (503, Some("site-drained")));
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("Paris is drained")), "{problem}");
    assert_eq!(post("{app: Paris || Nantes}")?.site().as_deref(), Some("Nantes"));

    until(&federation, "Berlin", "Paris", "drained");
    assert_eq!(post("{app: Paris}")?.json()?["code"], "site-drained");
    assert_eq!(post("{app: Paris || Nantes}")?.site().as_deref(), Some("Nantes"));
    assert_eq!(created(&federation, "Paris"), 0);
    for (method, target) in [("GET", "/echo/1"), ("PUT", "/echo/1"), ("PATCH", "/echo/1"), ("DELETE", "/echo/1")] {
        let answer = ask(&federation, "Berlin", method, target, Some("{app: Paris}"))?;
        assert_eq!((answer.status, answer.site().as_deref()), (200, Some("Paris")), "{method}");
    }
    let own = [None, Some("{app: Paris}"), Some("{app: Berlin}")];
    let sites = own.map(|scope| ask(&federation, "Paris", "POST", "/echo", scope).ok()?.site());
    assert_eq!(sites.map(Option::unwrap_or_default), ["Paris", "Paris", "Berlin"], "its own users go on");
    shown(&federation);

    cheops(&federation, "Paris", &["site", "undrain"], 0);
    until(&federation, "Berlin", "Paris", "active");
    assert_eq!(post("{app: Paris}")?.site().as_deref(), Some("Paris"));
    Ok(())
}

fn shown(federation: &Federation) {
    let url = format!("http://{}/echo", federation.address("Berlin", "app"));
    let said = cheops(federation, "Berlin", &["explain", "--scope", "{app: Paris || Nantes}", "POST", &url], 0);
    assert!(said.contains("is drained, so nothing new is created there for other sites [drained]"), "{said}");
    for line in [&["sites"] as &[&str], &["status"]] {
        let said = cheops(federation, "Berlin", line, 0);
        assert!(said.lines().any(|line| line.starts_with("Paris ") && line.contains("drained")), "{said}");
    }
}

/// What names it is served, and it is still listed; `*` and `around` choose another for what is new.
#[test]
fn a_cordoned_site_is_only_spared() -> anyhow::Result<()> {
    let federation = three()?;
    until(&federation, "Paris", "Berlin", "active");
    until(&federation, "Paris", "Nantes", "active");
    cheops(&federation, "Paris", &["site", "cordon"], 0);
    let post = |scope: &str| ask(&federation, "Paris", "POST", "/echo", Some(scope));
    assert!(eventually(SOON, || post("{app: *}").is_ok_and(|answer| answer.site().as_deref() == Some("Berlin"))));
    assert_eq!(post("{app: around(Paris, 30ms)}")?.site().as_deref(), Some("Berlin"), "20 ms away");
    assert_eq!(post("{app: Paris}")?.site().as_deref(), Some("Paris"));
    assert_eq!(ask(&federation, "Berlin", "POST", "/echo", Some("{app: Paris}"))?.site().as_deref(), Some("Paris"));
    assert_eq!(ask(&federation, "Paris", "PUT", "/echo/1", Some("{app: *}"))?.site().as_deref(), Some("Paris"));
    let url = format!("http://{}/echo", federation.address("Paris", "app"));
    let said = cheops(&federation, "Paris", &["explain", "--scope", "*", "POST", &url], 0);
    assert!(said.contains("is cordoned, so it is chosen for nothing new [cordoned]"), "{said}");
    cheops(&federation, "Paris", &["site", "uncordon", "Paris"], 0);
    assert!(eventually(SOON, || post("{app: *}").is_ok_and(|answer| answer.site().as_deref() == Some("Paris"))));
    Ok(())
}

/// Another site's standing needs one truth among sites.
#[test]
fn another_site_can_not_be_drained_without_a_cluster() -> anyhow::Result<()> {
    let federation = three()?;
    let said = cheops(&federation, "Berlin", &["site", "drain", "Paris"], 1);
    assert!(said.contains("backend = \"etcd\"") && said.contains("say it at that site itself"), "{said}");
    let said = cheops(&federation, "Berlin", &["site", "drain", "Mars"], 3);
    assert!(said.contains("no site Mars is known"), "{said}");
    assert_eq!(site(&federation, "Berlin", "Paris")?["standing"], "active");
    Ok(())
}

/// Without a cluster nobody's loss is felt in metadata; who is down is said.
#[test]
fn status_says_aloud_what_would_happen() -> anyhow::Result<()> {
    let mut federation = three()?;
    until(&federation, "Berlin", "Paris", "active");
    let said = cheops(&federation, "Berlin", &["status"], 0);
    for line in ["now: metadata writes yes, requests yes", "if Paris goes: metadata writes yes, requests yes"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    federation.agent_mut("Paris").kill9()?;
    let down = || cheops(&federation, "Berlin", &["status"], 0).contains("now: Paris down: metadata writes yes");
    assert!(eventually(SOON, down));
    let status = federation.agent("Berlin").admin("/v1/status")?.json()?;
    assert_eq!(status["outlook"]["down"], serde_json::json!(["Paris"]));
    assert_eq!(status["outlook"]["if-gone"][0]["requests"], "yes");
    Ok(())
}

/// Each host's certificate and when it ends, as its agent shows it; a warning when that is soon.
#[test]
fn certificates_that_end_soon_are_told() -> anyhow::Result<()> {
    let federation = three()?;
    until(&federation, "Berlin", "Paris", "active");
    let known = || site(&federation, "Berlin", "Paris").is_ok_and(|site| !site["certificate"].is_null());
    assert!(eventually(SOON, known));
    let paris = site(&federation, "Berlin", "Paris")?;
    let left = paris["certificate"]["seconds-left"].as_u64().expect("a time");
    assert!((80_000..=86_400).contains(&left) && paris["certificate"]["soon"] == false, "{paris}");
    assert_eq!(paris["agents"][0]["name"], paris["hosts"][0]);
    let wide = cheops(&federation, "Berlin", &["sites", "-o", "wide"], 0);
    let header = wide.lines().next().unwrap_or_default();
    for column in ["STATE", "STANDING", "RTT", "AGE", "QUEUE", "VERSION", "CERTIFICATE", "HOSTS"] {
        assert!(header.contains(column), "{wide}");
    }
    assert!(wide.lines().any(|line| line.starts_with("Paris ") && line.contains(" 24h ")), "{wide}");
    assert!(!cheops(&federation, "Berlin", &["check"], 0).contains("certificates"));
    Ok(())
}
