//! The agent installed into a system and run by its systemd.

use std::time::Duration;

use cheops_tests::lab::{Boot, System, eventually};

use super::*;

const SOON: Duration = Duration::from_secs(60);

const CONFIGURATION: &str = r#"
site = "Berlin"
[[sites]]
name = "Paris"
peer = "127.0.0.1:7197"
[[services]]
name = "app"
endpoints = { Berlin = "http://127.0.0.1:8080", Paris = "http://10.77.2.1:8080" }
"#;

/// With a service, and a shorter watchdog.
fn boot() -> anyhow::Result<System> {
    System::builder()?
        .service("app", "python3 -m http.server --bind 127.0.0.1 8080")
        .and_then(|boot| boot.drop_in("cheops-agent.service", "lab.conf", "[Service]\nWatchdogSec=3s\n"))
        .and_then(Boot::start)
}

#[test]
fn the_agent_is_installed_lives_in_its_sandbox_and_is_taken_away() -> anyhow::Result<()> {
    let system = boot()?;
    let said = system.install(CONFIGURATION)?;
    assert!(said.contains("+ /usr/bin/cheops-agent") && said.contains("next: "), "{said}");
    system.run(&["systemctl", "start", "app.service"])?;
    system.run(&["systemctl", "enable", "--now", "cheops-agent.service"])?;
    lives(&system)?;
    outlives(&system)?;

    let said = system.run(&[&program("xtask")?.display().to_string(), "uninstall", "--purge"])?;
    assert!(said.contains("- cheops-admin: gone"), "{said}");
    assert!(system.user(&["curl", "-si", URL])?.contains("200 OK"), "the API is reached directly");
    let find = format!(
        "find /usr /etc /run /var /sys/fs/cgroup -path {} -prune -o -path /run/layers -prune -o -iname '*cheops*' -print; \
        getent group | grep cheops; true",
        project().canonicalize()?.display()
    );
    assert_eq!(system.run(&["sh", "-c", &find])?, "", "left behind");
    Ok(())
}

const URL: &str = "http://127.0.0.1:8080/";

/// It serves, as a user of its own.
fn lives(system: &System) -> anyhow::Result<()> {
    let status = system.user(&["cheops", "status", "--wait=10s"])?;
    assert!(status.contains("Berlin"), "{status}");
    assert_eq!(system.property("User")?, "cheops-agent");
    // It makes groups and moves root's processes, though it isn't root.
    let scoped = system.user(&["cheops", "exec", "--scope", "{app: Berlin}", "--", "curl", "-si", URL])?;
    assert!(scoped.contains("X-Cheops-Site: Berlin"), "{scoped}");
    system.run(&["systemctl", "reload", "cheops-agent.service"])?;
    Ok(())
}

/// It is started again when it is killed, and when it hangs.
fn outlives(system: &System) -> anyhow::Result<()> {
    let is_back = |before: &str| {
        let (pid, state) = (system.property("MainPID").ok(), system.property("ActiveState").ok());
        state.as_deref() == Some("active") && pid.is_some_and(|pid| pid != "0" && pid != before)
    };
    for (signal, trouble) in [("-KILL", "it was killed"), ("-STOP", "it hung")] {
        let before = system.property("MainPID")?;
        system.run(&["kill", signal, &before])?;
        assert!(eventually(SOON, || is_back(&before)), "not started again when {trouble}: {}", system.log());
    }
    assert_eq!(system.property("NRestarts")?, "2");
    system.user(&["cheops", "status", "--wait=10s"]).map(drop)
}
