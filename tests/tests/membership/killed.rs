//! An agent that is killed while it joins.

use std::time::Instant;

use super::*;

/// What is seen of a join that is on its way, in the order in which it comes.
enum Moment {
    /// It has made its key.
    Key,
    /// Whoever it asks has let it in; the answer is on its way.
    LetIn,
    /// It has its certificate.
    Certificate,
}

/// Paris is far away, so that each moment lasts.
#[test]
fn who_is_killed_while_it_joins_joins_with_the_same_token() -> anyhow::Result<()> {
    let mut federation = sites(EtcdCluster::debian(), &["Berlin", "Paris"])?;
    federation.world().link("Berlin", "Paris").round_trip(Duration::from_millis(300));
    cheops(federation.agent("Berlin"), &["site", "init"], 0);
    for (moment, name) in [(Moment::Key, "key"), (Moment::LetIn, "let in"), (Moment::Certificate, "certificate")] {
        let token = federation.issue("Berlin", &["Paris"])?;
        let tls = federation.agent("Paris").files().directory().join("state/tls");
        let before = federation.agent("Berlin").log().matches("a host is let in").count();
        let mut command = federation.agent("Paris").cheops_command()?;
        let mut asked = command
            .args(["site", "join", &token])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()?;
        let come = || match moment {
            Moment::Key => tls.join("host.key").exists(),
            Moment::LetIn => federation.agent("Berlin").log().matches("a host is let in").count() > before,
            Moment::Certificate => tls.join("host.pem").exists(),
        };
        until(name, come);
        federation.agent_mut("Paris").kill9()?;
        asked.wait()?;
        let had = tls.join("host.pem").exists();
        let begin = Instant::now();
        federation.agent_mut("Paris").launch()?;
        federation.agent_mut("Paris").wait_ready(SOON)?;
        let paris = federation.agent("Paris");
        assert_eq!(cheops(paris, &["status"], 0).contains("not joined"), !had, "{name}");
        match had {
            true => assert!(cheops(paris, &["site", "join", &token], 1).contains("nothing to do"), "{name}"),
            false => drop(cheops(paris, &["site", "join", &token], 0)),
        }
        until("they serve each other", || {
            serves(&federation, "Berlin", "Paris") && serves(&federation, "Paris", "Berlin")
        });
        tell("membership", &format!("killed at its {name}, it works {:?} after its start", begin.elapsed()));
        until("it leaves", || paris.cheops(&["site", "leave"]).is_ok_and(|left| left.status.success()));
        until("Berlin knows", || site(federation.agent("Berlin"), "Paris").is_none());
    }
    Ok(())
}
