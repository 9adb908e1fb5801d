//! Who is in a session, and who isn't.

use std::io::{BufRead, BufReader, Write};

use super::*;

/// Several requests of a shell's children, some in the background, and one of a grandchild that lost its parent.
const TREE: &str = r#"
curl -s "$0/one" >/dev/null &
curl -s "$0/two" >/dev/null
(sh -c 'curl -s "$0/three" >/dev/null' "$0") &
setsid sh -c 'sh -c "curl -s \"\$0/four\" >/dev/null" "$0" &' "$0"
wait
"#;

/// A thread and a forked child that each make a request.
const THREADS: &str = r#"
import os, sys, threading, urllib.request
def ask(path): urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1] + path).read()
thread = threading.Thread(target=ask, args=("/thread",))
thread.start()
thread.join()
child = os.fork()
if child == 0:
    ask("/fork")
    os._exit(0)
os.waitpid(child, 0)
"#;

fn paths(federation: &Federation, site: &str) -> Vec<String> {
    let requests = federation.service(site, "app").requests();
    let mut paths: Vec<_> =
        requests.iter().filter_map(|request| request.line().split(' ').nth(1).map(str::to_owned)).collect();
    paths.sort();
    paths
}

#[test]
fn the_whole_process_tree_is_in_the_session() -> anyhow::Result<()> {
    let federation = two_sites()?;
    let agent = federation.agent("Berlin");
    let output = exec(agent, &["--scope", "{app: Paris}", "--", "sh", "-c", TREE, &url(&federation, "")])?;
    ensure!(output.status.success(), "{}", complaint(&output));
    federation.service("Paris", "app").wait_for(4, SOON)?;
    assert_eq!(paths(&federation, "Paris"), ["/four", "/one", "/three", "/two"]);
    assert_eq!(paths(&federation, "Berlin"), Vec::<String>::new());
    all_gone(agent);
    Ok(())
}

#[test]
fn threads_and_forks_are_in_the_session() -> anyhow::Result<()> {
    let federation = two_sites()?;
    let agent = federation.agent("Berlin");
    let output = exec(agent, &["--scope", "{app: Paris}", "--", "python3", "-c", THREADS, &url(&federation, "")])?;
    ensure!(output.status.success(), "{}", complaint(&output));
    assert_eq!(paths(&federation, "Paris"), ["/fork", "/thread"]);
    Ok(())
}

#[test]
fn nobody_outside_is_in_it_and_sessions_dont_mix() -> anyhow::Result<()> {
    let federation = two_sites()?;
    let agent = federation.agent("Berlin");
    let shell = r#"read line; curl -s "$0/inside" >/dev/null"#;
    let mut inside = start(agent, &["--scope", "{app: Paris}", "--", "sh", "-c", shell, &url(&federation, "")])?;
    assert!(eventually(SOON, || sessions(agent).is_ok_and(|list| list.len() == 1)), "{:?}", sessions(agent));
    let other = answer(agent, &["--scope", "{app: Berlin}", "--", "curl", "-si", &url(&federation, "/other")])?;
    assert_eq!(other.site().as_deref(), Some("Berlin"));
    assert_eq!(federation.get("Berlin", "app", "/outside", None)?.site().as_deref(), Some("Berlin"));
    inside.stdin.take().context("a pipe")?.write_all(b"go\n")?;
    assert!(inside.wait()?.success());
    assert_eq!(paths(&federation, "Paris"), ["/inside"]);
    assert_eq!(paths(&federation, "Berlin"), ["/other", "/outside"]);
    Ok(())
}

#[test]
fn the_inner_of_two_sessions_counts() -> anyhow::Result<()> {
    let federation = two_sites()?;
    let agent = federation.agent("Berlin");
    let cheops = cheops_tests::lab::program("cheops")?;
    let url = url(&federation, "/");
    let script = format!("curl -si {url}; {} exec --scope Berlin -- curl -si {url}; curl -si {url}", cheops.display());
    let output = exec(agent, &["--scope", "Paris", "--", "sh", "-c", &script])?;
    ensure!(output.status.success(), "{}", complaint(&output));
    let text = out(&output);
    let sites: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("X-Lab-Site: ")).collect();
    assert_eq!(sites, ["Paris", "Berlin", "Paris"], "{text}");
    all_gone(agent);
    Ok(())
}

#[test]
fn the_requests_own_scope_counts_before_the_sessions() -> anyhow::Result<()> {
    let federation = two_sites()?;
    let agent = federation.agent("Berlin");
    let own = ["-H", "X-Scope: {app: Berlin}"];
    let url = url(&federation, "/");
    let got = answer(agent, &[&["--scope", "{app: Paris}", "--", "curl", "-si"], own.as_slice(), &[&url]].concat())?;
    assert_eq!(got.site().as_deref(), Some("Berlin"));
    assert_eq!(federation.service("Paris", "app").requests(), []);
    Ok(())
}

/// Every request of one connection, over keep-alive.
#[test]
fn each_request_of_a_connection_carries_it() -> anyhow::Result<()> {
    let federation = two_sites()?;
    let agent = federation.agent("Berlin");
    let (one, two) = (url(&federation, "/one"), url(&federation, "/two"));
    let output = exec(agent, &["--scope", "{app: Paris}", "--", "curl", "-s", &one, &two])?;
    ensure!(output.status.success(), "{}", complaint(&output));
    assert_eq!(paths(&federation, "Paris"), ["/one", "/two"]);
    Ok(())
}

/// A scope that can't be honoured is refused: never served without it.
#[test]
fn what_is_not_http_is_reset() -> anyhow::Result<()> {
    let federation = two_sites()?;
    let agent = federation.agent("Berlin");
    let tls = format!("https://{}/", federation.address("Berlin", "app"));
    let http2 = url(&federation, "/");
    let others: &[&[&str]] = &[&["curl", "-sk", &tls], &["curl", "-s", "--http2-prior-knowledge", &http2]];
    for command in others {
        let output = exec(agent, &[&["--scope", "Paris", "--"], *command].concat())?;
        assert!(!output.status.success(), "{command:?}: {}", out(&output));
    }
    let counted = || agent.metric(r#"cheops_connections_refused_total{reason="scope-not-honoured""#).ok().flatten();
    assert!(eventually(SOON, || counted() == Some(2.0)), "{:?}", counted());
    agent.wait_log("can't carry its scope", SOON)?;
    assert_eq!(federation.service("Berlin", "app").requests(), []);
    Ok(())
}

const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nanna:x:6001:6001::/:/bin/sh\nmallory:x:6003:6003::/:/bin/sh\n";
const GROUPS: &str = "root:x:0:\ncheops:x:5000:anna\n";

#[test]
fn a_user_of_the_group_cheops_may_and_sees_its_own_sessions_only() -> anyhow::Result<()> {
    let mut federation = two_sites()?;
    let agent = federation.agent_mut("Berlin");
    agent.with_accounts(USERS, GROUPS)?;
    agent.restart()?;
    let agent = federation.agent("Berlin");
    let as_user = |user: u32, groups: &str| -> anyhow::Result<std::process::Command> {
        let mut command = agent.host().command("setpriv");
        command.args([&format!("--reuid={user}"), &format!("--regid={user}"), groups, "--no-new-privs", "--"]);
        command.arg(cheops_tests::lab::program("cheops")?).env("CHEOPS_SOCKET", agent.files().socket());
        Ok(command)
    };
    let url = url(&federation, "/");
    let run = ["exec", "--scope", "{app: Paris}", "--", "curl", "-si", &url];
    let output = as_user(6001, "--groups=5000")?.args(run).output()?;
    ensure!(output.status.success(), "{}", complaint(&output));
    assert_eq!(Answer::last_of(&output.stdout)?.site().as_deref(), Some("Paris"));
    all_gone(agent);

    let stranger = as_user(6003, "--clear-groups")?.args(run).output()?;
    assert_eq!((stranger.status.code(), out(&stranger)), (Some(5), String::new()), "{}", complaint(&stranger));

    // A session of root's, and anna looking from inside her own.
    let mut roots = start(agent, &["--scope", "Paris", "--", "sh", "-c", "echo begun; read line"])?;
    let mut line = String::new();
    BufReader::new(roots.stdout.take().context("a pipe")?).read_line(&mut line)?;
    let look = "curl -s --unix-socket \"$CHEOPS_SOCKET\" http://agent/v1/sessions";
    let output =
        as_user(6001, "--groups=5000")?.args(["exec", "--scope", "Berlin", "--", "sh", "-c", look]).output()?;
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let uids: Vec<_> = seen["items"].as_array().context("a list")?.iter().map(|item| item["uid"].clone()).collect();
    assert_eq!(uids, [6001], "{seen}");
    let of_root = sessions(agent)?.first().context("root's session")?["session"].clone();
    let end = format!(
        "curl -so /dev/null -w '%{{http_code}}' -X DELETE --unix-socket \"$CHEOPS_SOCKET\" http://agent/v1/sessions/{of_root}"
    );
    let output = as_user(6001, "--groups=5000")?.args(["exec", "--", "sh", "-c", &end]).output()?;
    assert_eq!(out(&output), "404", "{}", complaint(&output));
    drop(roots.stdin.take());
    roots.wait()?;
    all_gone(agent);
    Ok(())
}
