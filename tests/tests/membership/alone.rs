//! Hosts that have joined nothing, and have no cluster with which they could: they serve their own site and say so.

use std::io::Write;
use std::process::Stdio;

use cheops_tests::lab::Federation;

use super::{Offered, SOON, cheops, eventually};

/// Berlin and Paris, whose hosts have no certificates yet.
fn unjoined() -> anyhow::Result<Federation> {
    Federation::builder().sites(&["Berlin", "Paris"]).service(Offered::new("app", 8080)).unjoined().start()
}

#[test]
fn a_host_that_has_not_joined_serves_its_own_site_and_says_so() -> anyhow::Result<()> {
    let mut federation = unjoined()?;
    assert_eq!(federation.get("Berlin", "app", "/echo", None)?.site().as_deref(), Some("Berlin"));
    assert_eq!(federation.get("Berlin", "app", "/echo", Some("{app: Berlin}"))?.site().as_deref(), Some("Berlin"));
    assert_eq!(federation.get("Berlin", "app", "/echo", Some("{app: Paris}"))?.status, 503);
    assert!(federation.agent("Berlin").admin("/readyz")?.status == 200);
    assert!(cheops(federation.agent("Berlin"), &["status"], 0).contains("not joined"));
    assert!(cheops(federation.agent("Berlin"), &["check"], 0).contains("not joined"));
    let told = || cheops(federation.agent("Berlin"), &["sites", "-o", "wide"], 0).contains("not-joined");
    assert!(eventually(SOON, told), "{}", cheops(federation.agent("Berlin"), &["sites", "-o", "wide"], 0));
    // Also after a restart, and after a successor has taken over.
    federation.agent_mut("Berlin").restart()?;
    assert!(cheops(federation.agent("Berlin"), &["upgrade"], 0).len() < 10_000);
    assert!(cheops(federation.agent("Berlin"), &["status"], 0).contains("not joined"));
    Ok(())
}

#[test]
fn without_a_cluster_no_federation_is_made_and_the_reason_is_said() -> anyhow::Result<()> {
    let federation = unjoined()?;
    for line in [&["site", "init"][..], &["site", "join", "cheops-1-x"]] {
        let said = cheops(federation.agent("Berlin"), line, if line[1] == "init" { 1 } else { 2 });
        assert!(said.contains("backend = \"etcd\"") || said.contains("not whole"), "{said}");
    }
    assert!(
        cheops(federation.agent("Berlin"), &["site", "init", "--federation", "other"], 1)
            .contains("federation = \"other\"")
    );
    for line in [&["token", "issue", "Paris"][..], &["site", "leave"], &["site", "remove", "Paris"]] {
        assert!(cheops(federation.agent("Berlin"), line, 1).contains("has joined no federation"), "{line:?}");
    }
    assert!(cheops(federation.agent("Berlin"), &["token", "list"], 0).contains("ID"));
    cheops(federation.agent("Berlin"), &["token", "issue", "Paris", "--expires", "soon"], 2);
    cheops(federation.agent("Berlin"), &["site", "join"], 2);
    assert!(!federation.agent("Berlin").files().directory().join("state/tls/host.pem").exists());
    Ok(())
}

/// A token that comes by standard input is in no list of processes, and in no log.
#[test]
fn a_token_is_read_from_standard_input_and_never_logged() -> anyhow::Result<()> {
    let federation = unjoined()?;
    let agent = federation.agent("Berlin");
    let word = "cheops-1-c2VjcmV0LXdvcmQtb2YtYS10b2tlbg";
    let mut command = agent.cheops_command()?;
    command.args(["site", "join", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().expect("a pipe").write_all(word.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("not whole"), "{said}");
    assert!(!said.contains(word) && !agent.log().contains(word));
    Ok(())
}

#[test]
fn hosts_whose_certificates_are_in_files_do_not_join() -> anyhow::Result<()> {
    let federation = Federation::builder().sites(&["Berlin", "Paris"]).start()?;
    assert!(cheops(federation.agent("Berlin"), &["site", "init"], 1).contains("named in its configuration file"));
    Ok(())
}
