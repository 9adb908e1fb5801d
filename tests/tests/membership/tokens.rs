//! A token lets in whom it is for, once, and not for long.

use super::*;

#[test]
fn a_token_is_for_one_host_once_and_not_for_long() -> anyhow::Result<()> {
    let federation = sites(EtcdCluster::debian(), &["Berlin", "Paris", "Nantes"])?;
    let (berlin, paris, nantes) = (federation.agent("Berlin"), federation.agent("Paris"), federation.agent("Nantes"));
    let made = json(berlin, &["site", "init"]);
    assert_eq!((&made["kind"], &made["state"], &made["signs"]), (&"Membership".into(), &"joined".into(), &true.into()));
    assert!(cheops(berlin, &["site", "init"], 1).contains("belongs to the federation lab already"));
    assert!(cheops(paris, &["site", "init"], 1).contains("the federation lab exists already"));

    let short = federation.issue("Berlin", &["Nantes", "--expires", "10s"])?;
    let other = federation.issue("Berlin", &["Mars"])?;
    assert!(cheops(paris, &["site", "join", &other], 1).contains("the token is for the site Mars"));
    let host = federation.issue("Berlin", &["Paris", "--host", "p9"])?;
    assert!(cheops(paris, &["site", "join", &host], 1).contains("the token is for the host p9"));
    let issued = json(berlin, &["token", "issue", "Paris"]);
    let (id, token) = (issued["id"].as_str().expect("an id"), issued["token"].as_str().expect("a token"));
    let cut = &token[..token.len() - 3];
    assert!(cheops(paris, &["site", "join", cut], 2).contains("not whole"));

    let listed = json(berlin, &["token", "list"]);
    let ids: Vec<&str> =
        listed["tokens"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_str()).collect();
    assert!(ids.len() == 4 && ids.contains(&id), "{listed}");
    assert!(!listed.to_string().contains(token), "a token can be seen once");
    assert!(cheops(berlin, &["token", "list"], 0).contains(id));
    assert_eq!(json(paris, &["site", "join", token])["state"], "joined");
    assert!(cheops(paris, &["site", "join", token], 1).contains("nothing to do"), "used twice by the same host");
    assert!(!cheops(berlin, &["token", "list"], 0).contains(id), "it was used");
    cheops(berlin, &["token", "revoke", id], 3);

    let taken = json(berlin, &["token", "issue", "Nantes"]);
    let (id, token) = (taken["id"].as_str().expect("an id"), taken["token"].as_str().expect("a token"));
    assert_eq!(json(berlin, &["token", "revoke", id])["id"], id);
    cheops(berlin, &["token", "revoke", id], 3);
    assert!(cheops(nantes, &["site", "join", token], 6).contains("used or revoked already"));
    until("the short one has expired", || {
        let tokens = json(berlin, &["token", "list"]);
        tokens["tokens"].as_array().into_iter().flatten().any(|one| one["site"] == "Nantes" && one["expired"] == true)
    });
    assert!(cheops(nantes, &["site", "join", &short], 6).contains("it has expired"));
    // Whoever doesn't sign says who does; and a site that lives needs a host's name.
    until("Paris knows who signs", || {
        let said = cheops(paris, &["token", "issue", "Nantes"], 6);
        said.contains("doesn't sign") && said.contains("berlin of Berlin")
    });
    until("Berlin knows that Paris lives", || cheops(berlin, &["token", "issue", "Paris"], 1).contains("--host NAME"));
    stolen(&federation)
}

/// A token that was used is of no use to whoever finds it, also under the same name.
fn stolen(federation: &Federation) -> anyhow::Result<()> {
    let token = federation.issue("Berlin", &["Nantes", "--signs"])?;
    let nantes = federation.agent("Nantes");
    assert!(json(nantes, &["site", "join", &token])["signs"] == true);
    let thief = federation.further("Nantes", "thief", &[])?.0;
    let said = cheops(&thief, &["site", "join", &token], 6);
    assert!(said.contains("used or revoked already"), "{said}");
    assert!(!thief.files().directory().join("state/tls/host.pem").exists());
    for agent in [&thief, nantes, federation.agent("Berlin")] {
        assert!(!agent.log().contains(&token), "a token is logged");
    }
    // Nantes signs, too, so it can let a host in.
    until("Nantes lets a host in", || federation.issue("Nantes", &["Rome"]).is_ok());
    Ok(())
}
