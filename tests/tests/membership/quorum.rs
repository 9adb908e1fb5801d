//! Nobody joins without a quorum of the cluster, and nothing is changed by trying.

use super::*;

#[test]
fn without_a_quorum_nobody_joins_and_with_one_again_the_same_token_does() -> anyhow::Result<()> {
    let federation = Federation::builder().service(Offered::new("app", 8080)).joining(EtcdCluster::today()).start()?;
    let (berlin, paris, nantes) = (federation.agent("Berlin"), federation.agent("Paris"), federation.agent("Nantes"));
    cheops(berlin, &["site", "init"], 0);
    let first = federation.issue("Berlin", &["Paris"])?;
    let token = federation.issue("Berlin", &["Nantes"])?;
    cheops(paris, &["site", "join", &first], 0);
    federation.wait_known(&["Berlin", "Paris"])?;
    for lost in ["Paris", "Nantes"] {
        federation.etcd().member(lost).kill()?;
    }
    until("it is noticed", || cheops(berlin, &["status"], 0).contains("not reached") || !up(berlin));
    let said = cheops(nantes, &["site", "join", &token], 1);
    assert!(said.contains("metadata cluster"), "{said}");
    assert!(cheops(nantes, &["status"], 0).contains("not joined"));
    assert!(!nantes.files().directory().join("state/tls/host.pem").exists());
    for line in [&["token", "issue", "Rome"][..], &["site", "drain", "Paris"], &["site", "remove", "Mars", "--force"]] {
        let said = cheops(berlin, line, if line[1] == "remove" { 3 } else { 1 });
        assert!(said.contains("metadata cluster") || line[1] == "remove", "{said}");
    }
    assert!(cheops(paris, &["site", "leave"], 1).contains("metadata cluster"));
    assert!(
        serves(&federation, "Berlin", "Paris") && serves(&federation, "Paris", "Berlin"),
        "they go on as they were"
    );

    for lost in ["Paris", "Nantes"] {
        federation.etcd().member(lost).start()?;
    }
    federation.etcd().wait_ready()?;
    until("the same token", || nantes.cheops(&["site", "join", &token]).is_ok_and(|joined| joined.status.success()));
    federation.wait_known(&["Berlin", "Paris", "Nantes"])?;
    until("all serve each other", || serves(&federation, "Nantes", "Paris") && serves(&federation, "Paris", "Nantes"));
    Ok(())
}

fn up(agent: &Agent) -> bool {
    let status = agent.admin("/v1/status").and_then(|answer| answer.json()).unwrap_or_default();
    status["metadata"]["up"] == true
}
