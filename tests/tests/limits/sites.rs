//! What a site lets another use up, and what is kept for scoped requests.

use anyhow::ensure;
use cheops_tests::lab::{Client, Federation, Offered, eventually, tell};

use super::scene::{SOON, is_problem};

fn federation(overlay: &str) -> anyhow::Result<Federation> {
    Federation::builder().service(Offered::new("app", 8080)).overlay(overlay).start()
}

fn metric(federation: &Federation, site: &str, limit: &str) -> anyhow::Result<f64> {
    Ok(federation.agent(site).metric(&format!("cheops_limits_hit_total{{limit=\"{limit}\"}}"))?.unwrap_or_default())
}

fn scoped(path: &str, scope: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Scope: {scope}\r\n\r\n")
}

#[test]
fn exchanges_of_peers_are_limited_and_a_busy_site_still_lives() -> anyhow::Result<()> {
    let federation = federation("limits.peer-exchanges = 2")?;
    let ask = |path: &str, scope: &str| -> anyhow::Result<Client> {
        let mut client = federation.connect("Berlin", "app")?;
        client.send(scoped(path, scope))?;
        Ok(client)
    };
    ask("/a", "{app: Paris}")?.answer()?;
    let mut busy = [ask("/slow/8000", "{app: Paris}")?, ask("/slow/8000", "{app: Paris}")?];
    federation.service("Paris", "app").wait_for(3, SOON)?;
    is_problem(&ask("/a", "{app: Paris}")?.answer()?, 503, "peer-busy", "limits.peer-exchanges")?;
    ensure!(metric(&federation, "Berlin", "peer-exchanges")? >= 1.0);
    let next = ask("/a", "{app: Paris || Nantes}")?.answer()?;
    ensure!(next.site().as_deref() == Some("Nantes"), "nothing was sent, so the next site is asked");
    ensure!(ask("/a", "{app: Nantes}")?.answer()?.status == 200, "another site isn't concerned");
    ensure!(federation.get("Paris", "app", "/a", None)?.status == 200, "its own clients aren't concerned");
    let sites = String::from_utf8(federation.agent("Berlin").cheops(&["sites"])?.stdout)?;
    ensure!(sites.lines().any(|line| line.contains("Paris") && line.contains("up")), "{sites}");
    for client in &mut busy {
        ensure!(client.answer()?.status == 200, "what is open goes on");
    }
    let again =
        || ask("/a", "{app: Paris}").and_then(|mut client| client.answer()).is_ok_and(|answer| answer.status == 200);
    ensure!(eventually(SOON, again), "a place came back");
    tell("limits", "6 cases of peer-exchanges");
    Ok(())
}

#[test]
fn more_than_is_kept_makes_the_first_outcome_final() -> anyhow::Result<()> {
    let federation = federation("limits.otherwise-spool = '64KiB'")?;
    let full = "HTTP/1.1 507 Full\r\nContent-Length: 4\r\n\r\nfull";
    federation.service("Paris", "app").script("/echo", full, cheops_tests::lab::Then::Keep);
    let post = |bytes: usize| -> anyhow::Result<u16> {
        let mut client = federation.connect("Berlin", "app")?;
        let head = "POST /echo HTTP/1.1\r\nHost: x\r\nX-Scope: {app: Paris || Nantes}\r\n";
        client.send(format!("{head}Content-Length: {bytes}\r\n\r\n{}", "b".repeat(bytes)))?;
        Ok(client.answer()?.status)
    };
    ensure!(post(64 * 1024)? == 200 && metric(&federation, "Berlin", "otherwise-spool")? == 0.0);
    ensure!(post(64 * 1024 + 1)? == 507 && metric(&federation, "Berlin", "otherwise-spool")? == 1.0);
    ensure!(federation.get("Berlin", "app", "/a", None)?.status == 200);
    tell("limits", "2 cases of otherwise-spool");
    Ok(())
}

#[test]
fn ids_of_workflows_are_limited() -> anyhow::Result<()> {
    let federation = federation("limits.workflow-records = 1")?;
    let ask = |id: &str| {
        let fields = format!("X-Scope: {{app: Paris}}\r\nX-Request-Id: {id}-4bf92f3577b34da6a3ce929d0e0e4736");
        federation.connect("Berlin", "app")?.exchange(format!("GET /a HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n"))
    };
    ensure!(ask("one")?.status == 200);
    is_problem(&ask("two")?, 503, "too-many-workflows", "limits.workflow-records")?;
    ensure!(metric(&federation, "Berlin", "workflow-records")? >= 1.0);
    ensure!(federation.get("Berlin", "app", "/a", None)?.status == 200, "without a scope nothing is kept");
    tell("limits", "2 cases of workflow-records");
    Ok(())
}
