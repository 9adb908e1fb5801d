//! What is kept of tokens: where each is from, over a kill of the agent; and nothing else of it.

use std::os::unix::fs::PermissionsExt as _;

use cheops_tests::lab::files_below;

use super::*;

#[test]
fn a_home_is_known_after_a_kill_of_the_agent() -> anyhow::Result<()> {
    let mut cloud = Cloud::start(ALL)?;
    let token = cloud.login("Berlin")?;
    ensure!(cloud.images("Berlin", &token, GLANCE_AT_PARIS)?.status == 200);
    cloud.federation.agent_mut("Paris").kill9()?;
    cloud.federation.agent_mut("Paris").restart()?;
    // Nobody tells it again: the request is Paris's own.
    let answer = cloud.images("Paris", &token, None)?;
    ensure!(answer.status == 200 && roles(&answer)? == ["member"], "{} {}", answer.status, answer.text());
    // And one that was issued before the agent at its home was killed is still that site's to all others.
    let issued = cloud.login("Berlin")?;
    cloud.federation.agent_mut("Berlin").kill9()?;
    cloud.federation.agent_mut("Berlin").restart()?;
    ensure!(eventually(SOON, || {
        cloud.images("Berlin", &issued, GLANCE_AT_PARIS).is_ok_and(|answer| answer.status == 200)
    }));
    Ok(())
}

#[test]
fn no_token_is_kept_or_shown_anywhere() -> anyhow::Result<()> {
    let mut cloud = Cloud::start(ALL)?;
    for site in SITES {
        // All that may be said is said.
        let agent = cloud.federation.agent_mut(site);
        agent.configure(|table| {
            table.insert(
                "log".to_owned(),
                toml::Value::Table(toml::Table::from_iter([("level".to_owned(), "trace".into())])),
            );
        })?;
        agent.restart()?;
    }
    let mut tap = cloud.federation.agent("Paris").cheops_command()?;
    let tap = tap.args(["tap", "-o", "json"]).stdout(std::process::Stdio::piped()).spawn()?;
    let believed = cloud.login("Berlin")?;
    ensure!(eventually(SOON, || {
        cloud.images("Berlin", &believed, GLANCE_AT_PARIS).is_ok_and(|answer| answer.status == 200)
    }));
    let revoked = cloud.login("Berlin")?;
    cloud.keystone("Berlin").revoke(&revoked);
    refused(&cloud.images("Berlin", &revoked, GLANCE_AT_PARIS)?, 401, "token-not-valid-at-home", "revoked")?;
    let mut places = Vec::new();
    for site in SITES {
        let agent = cloud.federation.agent(site);
        for path in ["/metrics", "/v1/status", "/v1/sites", "/v1/check", "/v1/config"] {
            places.push((path.to_owned(), agent.admin(path)?.text()));
        }
        let report = agent.cheops(&["bug-report", "--file", "-"])?;
        places.push(("bug-report".to_owned(), String::from_utf8_lossy(&report.stdout).into_owned()));
        let found = files_below(agent.files().directory())?;
        let homes = found
            .iter()
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("homes")));
        let homes: Vec<_> = homes.cloned().collect();
        ensure!(homes.len() == 2, "{found:?}");
        for path in &homes {
            ensure!(std::fs::metadata(path)?.permissions().mode() & 0o777 == 0o600, "{}", path.display());
        }
        for path in found {
            places.push((path.display().to_string(), String::from_utf8_lossy(&std::fs::read(&path)?).into_owned()));
        }
    }
    let mut tap = tap;
    tap.kill()?;
    places.push(("tap".to_owned(), String::from_utf8_lossy(&tap.wait_with_output()?.stdout).into_owned()));
    ensure!(places.iter().any(|(_, text)| text.contains("/v3/auth/tokens")), "nothing was tapped or logged");
    for (name, text) in &places {
        for secret in [&believed, &revoked, &service_token("Paris"), "password-secret", "token-secret"] {
            ensure!(!text.contains(secret), "{secret} is in {name}");
        }
    }
    Ok(())
}
