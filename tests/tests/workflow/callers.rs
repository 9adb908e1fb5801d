//! A workflow is its caller's: calls that come with another credential, a service's own, stay where they are made.

use super::*;

const ID: &str = "X-Openstack-Request-Id: req-0a1b2c3d-0000-4111-8222-0123456789ab\r\n";

/// A request's credential, and the one that `front` calls `back` with.
fn with(token: &str, call: Option<&str>) -> String {
    let call = call.map(|call| format!("Call-Token: {call}\r\n")).unwrap_or_default();
    format!("X-Auth-Token: {token}\r\n{call}")
}

fn counted(federation: &Federation, site: &str, link: &str) -> anyhow::Result<f64> {
    let metric = format!("cheops_workflow_calls_total{{link=\"{link}\"}}");
    Ok(federation.agent(site).metric(&metric)?.unwrap_or_default())
}

#[test]
fn a_services_own_call_stays_where_it_is_made() -> anyhow::Result<()> {
    let federation = cloud("")?;
    let bound = scope("{front: Berlin, back: Paris}");
    for (call, went_to) in [(None, "Paris"), (Some("of-the-service"), "Berlin"), (Some("none"), "Paris")] {
        let fields = bound.clone() + &with("alices-token", call);
        assert_eq!(went(&federation, &fields)?, format!("Berlin {went_to}"), "{call:?}");
    }
    assert_eq!(counted(&federation, "Berlin", "other-caller")?, 1.0);
    assert_eq!(counted(&federation, "Berlin", "profile")?, 2.0);
    // The other site knows from the entry site whose it is.
    let bound = scope("{front: Paris, back: Nantes}");
    for (call, went_to) in [(None, "Nantes"), (Some("of-the-service"), "Paris")] {
        let fields = bound.clone() + &with("alices-token", call);
        assert_eq!(went(&federation, &fields)?, format!("Paris {went_to}"), "{call:?}");
    }
    assert_eq!(counted(&federation, "Paris", "other-caller")?, 1.0);
    Ok(())
}

#[test]
fn an_id_that_is_live_for_another_caller_is_refused() -> anyhow::Result<()> {
    let federation = cloud("")?;
    let bound = scope("{front: Paris}") + ID;
    let status = |token: &str| ask(&federation, "front", "/alone", &(bound.clone() + &with(token, None)));
    assert_eq!(status("alices-token")?.status, 200);
    let refused = status("bobs-token")?;
    assert_eq!((refused.status, said(&refused).as_str()), (409, "request-id-in-use"), "{}", refused.text());
    assert_eq!(status("alices-token")?.status, 200, "it is hers");
    assert_eq!(federation.service("Paris", "front").requests().len(), 2);
    Ok(())
}

/// The last resort, where the profile allows it.
#[test]
fn a_credential_links_when_exactly_one_scope_uses_it() -> anyhow::Result<()> {
    let federation = world_of("token", "")?;
    let call = |token: &str| -> anyhow::Result<String> {
        Ok(said(&ask(&federation, "back", "/", &format!("X-Auth-Token: {token}\r\n"))?))
    };
    let begin = |token: &str, bound: &str| -> anyhow::Result<()> {
        let fields = scope(bound) + &with(token, None);
        assert_eq!(said(&ask(&federation, "front", "/alone", &fields)?), "Berlin");
        Ok(())
    };
    begin("alices-token", "{back: Paris}")?;
    assert_eq!((call("alices-token")?.as_str(), call("bobs-token")?.as_str()), ("Paris", "Berlin"));
    assert_eq!(counted(&federation, "Berlin", "credential")?, 1.0);
    begin("alices-token", "{back: Paris}")?;
    assert_eq!(call("alices-token")?, "Paris", "the same scope");
    begin("alices-token", "{back: Nantes}")?;
    assert_eq!(call("alices-token")?, "Berlin", "two scopes: neither");
    assert_eq!(counted(&federation, "Berlin", "several-scopes")?, 1.0);
    begin("bobs-token", "{back: Nantes}")?;
    assert_eq!(call("bobs-token")?, "Nantes");
    Ok(())
}

/// In no file, log, answer or metric of an agent.
#[test]
fn credentials_are_found_nowhere() -> anyhow::Result<()> {
    const SECRET: &str = "gAAAAsecret";
    let federation = world_of("token", "")?;
    let fields = scope("{front: Paris, back: Nantes}") + &with(SECRET, None);
    assert_eq!(went(&federation, &fields)?, "Paris Nantes");
    for site in ["Berlin", "Paris", "Nantes"] {
        let agent = federation.agent(site);
        for path in ["/v1/workflows", "/v1/status", "/metrics"] {
            let text = agent.admin(path)?.text();
            assert!(!text.contains(SECRET) && !text.contains("(credential)"), "{site} {path}: {text}");
        }
        let found = federation.host(site).run(
            "grep",
            &["-rlaF", SECRET, &agent.files().directory().to_string_lossy(), &agent.log_path().to_string_lossy()],
        );
        // grep finds nothing: it says 1.
        let out = match found {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(error) => format!("{error:#}"),
        };
        assert!(!out.contains("cheops-lab"), "{site}: {out}");
        let directory = agent.files().directory().join("run/workflows");
        for entry in std::fs::read_dir(&directory)? {
            let text = String::from_utf8_lossy(&std::fs::read(entry?.path())?).into_owned();
            assert!(text.contains("req-") && !text.contains(SECRET), "{site}: {text}");
        }
    }
    Ok(())
}
