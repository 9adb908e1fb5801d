//! Sessions over time: their ends, and the agent's.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout};

use super::*;

/// A shell in a session that runs a curl for each line that it is told.
struct Shell {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn start(agent: &Agent, scope: &str) -> anyhow::Result<Self> {
        let loops = r#"echo ready; while read url; do curl -si --max-time 10 "$url" | grep -a -i '^x-lab-site' || echo none; done"#;
        let mut process = super::start(agent, &["--scope", scope, "--", "sh", "-c", loops])?;
        let input = process.stdin.take().context("a pipe")?;
        let output = BufReader::new(process.stdout.take().context("a pipe")?);
        let mut shell = Self { process, input, output };
        assert_eq!(shell.line()?, "ready");
        Ok(shell)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// The site that serves this request; `none` if nobody does.
    fn ask(&mut self, url: &str) -> anyhow::Result<String> {
        writeln!(self.input, "{url}")?;
        let line = self.line()?;
        Ok(line.rsplit(' ').next().unwrap_or_default().to_owned())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

#[test]
fn a_session_ends_with_its_last_process() -> anyhow::Result<()> {
    let federation = two_sites()?;
    let agent = federation.agent("Berlin");
    let shell = Shell::start(agent, "{app: Paris}")?;
    let listed = sessions(agent)?;
    let session = &listed[0];
    assert_eq!((&session["scope"], &session["uid"]), (&"{app: Paris}".into(), &0.into()), "{session}");
    assert_eq!(groups(agent), [format!("cheops-exec-{}", session["session"])]);
    let path = format!("http://agent/v1/sessions/{}", session["session"]);
    let socket = agent.files().socket();
    let busy = agent.host().curl(&["--unix-socket", &socket.to_string_lossy(), "-X", "DELETE", &path])?;
    assert_eq!(busy.status, 409, "its processes would go on unscoped: {}", busy.text());
    drop(shell);
    all_gone(agent);
    Ok(())
}

#[test]
fn a_session_outlives_a_restart_of_the_agent() -> anyhow::Result<()> {
    let mut federation = two_sites()?;
    let url = url(&federation, "/");
    let mut kept = Shell::start(federation.agent("Berlin"), "{app: Paris}")?;
    let ended = Shell::start(federation.agent("Berlin"), "{app: Paris}")?;
    assert_eq!(kept.ask(&url)?, "Paris");
    federation.agent_mut("Berlin").kill9()?;
    drop(ended);
    federation.agent_mut("Berlin").restart()?;
    let agent = federation.agent("Berlin");
    assert_eq!(kept.ask(&url)?, "Paris");
    assert_eq!((sessions(agent)?.len(), groups(agent).len()), (1, 1), "the ended one is cleared away");
    // Numbers go on where they were: a connection of before can't come under another's scope.
    let last = sessions(agent)?[0]["session"].as_u64();
    let next = Shell::start(agent, "{app: Berlin}")?;
    let newest = sessions(agent)?.iter().filter_map(|session| session["session"].as_u64()).max();
    assert!(newest > last.map(|last| last + 1), "{last:?} {newest:?}");
    drop((kept, next));
    all_gone(agent);
    Ok(())
}

/// Its record is lost, its processes live: they believe in a scope, and so are refused rather than served without.
#[test]
fn a_session_whose_scope_is_lost_is_refused() -> anyhow::Result<()> {
    let mut federation = two_sites()?;
    let url = url(&federation, "/");
    let mut shell = Shell::start(federation.agent("Berlin"), "{app: Paris}")?;
    assert_eq!(shell.ask(&url)?, "Paris");
    let agent = federation.agent_mut("Berlin");
    agent.stop()?;
    std::fs::remove_dir_all(agent.files().directory().join("run/sessions"))?;
    agent.restart()?;
    assert_eq!(shell.ask(&url)?, "none");
    assert_eq!(federation.service("Berlin", "app").requests(), []);
    assert_eq!(federation.get("Berlin", "app", "/", None)?.site().as_deref(), Some("Berlin"));
    drop(shell);
    all_gone(federation.agent("Berlin"));
    Ok(())
}

#[test]
fn many_sessions_at_once() -> anyhow::Result<()> {
    let federation = two_sites()?;
    let agent = federation.agent("Berlin");
    let url = url(&federation, "/");
    let mut shells = Vec::new();
    for number in 0..12 {
        shells.push((Shell::start(agent, if number % 2 == 0 { "Paris" } else { "Berlin" })?, number));
    }
    for (shell, number) in &mut shells {
        assert_eq!(shell.ask(&url)?, if *number % 2 == 0 { "Paris" } else { "Berlin" });
    }
    assert_eq!(sessions(agent)?.len(), 12);
    assert_eq!(agent.metric("cheops_exec_sessions")?, Some(12.0));
    drop(shells);
    all_gone(agent);
    assert_eq!(agent.metric("cheops_exec_sessions")?, Some(0.0));
    Ok(())
}
