//! Keys stay in their files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use cheops_tests::lab::{eventually, files_below};

use super::{SOON, joined, serial};

/// What would give a key away: a line of its PEM form, and the bytes of that line.
fn needles(pem: &str) -> Vec<String> {
    pem.lines().filter(|line| !line.starts_with("-----") && line.len() >= 32).map(str::to_owned).collect()
}

#[test]
fn keys_are_in_their_files_and_nowhere_else() -> anyhow::Result<()> {
    let federation = joined(Duration::from_secs(20))?;
    let first = serial(&federation, "Berlin");
    let mut secrets = Vec::new();
    let mut keep = |directory: &Path| -> anyhow::Result<()> {
        for name in ["host.key", "authority.key"] {
            if let Ok(key) = std::fs::read_to_string(directory.join("state/tls").join(name)) {
                secrets.extend(needles(&key));
            }
        }
        Ok(())
    };
    for member in federation.members() {
        keep(member.agent.as_ref().context("an agent")?.files().directory())?;
    }
    ensure!(eventually(SOON, || serial(&federation, "Berlin") != first), "{}", federation.agent("Berlin").log());
    for member in federation.members() {
        keep(member.agent.as_ref().context("an agent")?.files().directory())?;
    }
    ensure!(secrets.len() >= 9, "only {} lines of keys", secrets.len());
    let (mut looked, mut places) = (0, Vec::new());
    for member in federation.members() {
        let agent = member.agent.as_ref().context("an agent")?;
        for path in ["/metrics", "/v1/status", "/v1/sites", "/v1/check", "/v1/config"] {
            let answer = agent.admin(path)?;
            places.push((path.to_owned(), String::from_utf8_lossy(&answer.body).into_owned()));
        }
        let report = agent.cheops(&["bug-report", "--file", "-"])?;
        places.push(("bug-report".to_owned(), String::from_utf8_lossy(&report.stdout).into_owned()));
        let found = files_below(agent.files().directory())?;
        let own = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "key") || path.ends_with("key.pem");
        for path in found.into_iter().filter(|path| !own(path)) {
            places.push((path.display().to_string(), String::from_utf8_lossy(&std::fs::read(&path)?).into_owned()));
        }
    }
    for (name, text) in &places {
        looked += text.len();
        ensure!(!secrets.iter().any(|secret| text.contains(secret)), "a key is in {name}");
    }
    ensure!(looked > 10_000 && places.len() > 30, "only {looked} bytes in {} places", places.len());
    Ok(())
}
