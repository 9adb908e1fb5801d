//! The lab's agents and federations.

use std::time::Duration;

use cheops_tests::lab::{Federation, Offered, eventually};

const SOON: Duration = Duration::from_secs(40);

#[test]
fn a_federation_starts_and_each_agent_can_be_asked() -> anyhow::Result<()> {
    let federation = Federation::three()?;
    for site in ["Berlin", "Paris", "Nantes"] {
        let status = federation.agent(site).admin("/v1/status")?;
        assert_eq!(status.status, 200, "{}", status.text());
        let output = federation.agent(site).cheops(&["-o", "json", "sites"])?;
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && printed.contains("Nantes"), "{output:?}");
        assert_eq!(federation.get(site, "app", "/", None)?.site().as_deref(), Some(site));
        assert_eq!(federation.get(site, "app", "/", Some("{app: Paris}"))?.site().as_deref(), Some("Paris"));
    }
    Ok(())
}

#[test]
fn a_federation_without_agents_is_only_its_services() -> anyhow::Result<()> {
    let federation =
        Federation::builder().sites(&["One", "Two"]).service(Offered::new("app", 80)).without_agents().start()?;
    let answer = federation.get("One", "app", "/echo", Some("{app: Two}"))?;
    assert_eq!(answer.site().as_deref(), Some("One"));
    assert!(answer.text().contains("X-Scope: {app: Two}"));
    Ok(())
}

#[test]
fn an_agent_is_stopped_killed_frozen_and_restarted() -> anyhow::Result<()> {
    let mut federation = Federation::builder().sites(&["One"]).service(Offered::new("app", 8080)).start()?;
    let agent = federation.agent_mut("One");
    let first = agent.pid();
    assert!(agent.stop()?.success());
    agent.restart()?;
    assert_ne!(agent.pid(), first);
    agent.sigstop()?;
    let state = |pid: Option<u32>| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.unwrap_or(0))).unwrap_or_default();
        stat.rsplit(')').next().unwrap_or_default().trim().chars().next()
    };
    assert!(eventually(SOON, || state(agent.pid()) == Some('T')));
    agent.sigcont()?;
    assert!(eventually(SOON, || matches!(state(agent.pid()), Some('S' | 'R'))));
    agent.kill9()?;
    agent.restart()?;
    agent.reload(|table| _ = table.insert("threads".into(), 1.into()))?;
    Ok(())
}

#[test]
fn a_start_that_fails_says_why() -> anyhow::Result<()> {
    let started = Federation::builder().sites(&["One"]).overlay("[peer]\nlisten = 'nowhere'").start();
    let error = started.err().map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(error.contains("ended with") && error.contains("listen"), "{error}");
    Ok(())
}
