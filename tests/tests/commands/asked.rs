//! Each verb's answer, in each format.

use std::time::{Duration, Instant};

use super::{NO, PARTIAL, UNREACHABLE, USAGE, YES, complaint, exits, json, out, quiet};

#[test]
fn verbs_answer_in_every_format() -> anyhow::Result<()> {
    let federation = quiet()?;
    let agent = federation.agent("Berlin");
    for verb in [&["status"] as &[&str], &["sites"], &["services"], &["check"], &["version"]] {
        json(agent, verb);
        for format in ["table", "wide", "yaml", "name"] {
            let output = agent.cheops(&[verb, &["-o", format]].concat())?;
            exits(&output, YES);
            assert!(!out(&output).trim().is_empty(), "{verb:?} -o {format}");
            assert!(!out(&output).contains('\u{1b}'), "no colours outside a terminal");
        }
        let yaml = out(&agent.cheops(&[verb, &["-o", "yaml"]].concat())?);
        assert!(yaml.lines().any(|line| line == "apiVersion: cheops/v1"), "{yaml}");
    }
    Ok(())
}

#[test]
fn status_says_how_things_are_and_wait_waits() -> anyhow::Result<()> {
    let mut federation = quiet()?;
    let agent = federation.agent("Berlin");
    let status = json(agent, &["status", "--wait"]);
    assert_eq!(status["ready"], true);
    assert_eq!(status["site"], "Berlin");
    assert_eq!(status["capture"]["state"], "off");
    let text = out(&agent.cheops(&["status"])?);
    assert!(text.starts_with("agent        ready, site Berlin, host berlin, version "), "{text}");

    federation.agent_mut("Berlin").stop()?;
    let began = Instant::now();
    let agent = federation.agent("Berlin");
    exits(&agent.cheops(&["status", "--wait=300ms"])?, UNREACHABLE);
    assert!(began.elapsed() >= Duration::from_millis(300));
    let waiting = agent.cheops_command()?.args(["status", "--wait=30s"]).spawn()?;
    federation.agent_mut("Berlin").restart()?;
    exits(&waiting.wait_with_output()?, YES);
    Ok(())
}

#[test]
fn other_sites_come_and_go_without_touching_readiness() -> anyhow::Result<()> {
    let mut federation = quiet()?;
    let state = |document: &serde_json::Value| {
        let sites = document["sites"].as_array().cloned().unwrap_or_default();
        sites.iter().find(|site| site["name"] == "Paris").map(|site| site["state"].clone())
    };
    let up = cheops_tests::lab::eventually(Duration::from_secs(15), || {
        state(&json(federation.agent("Berlin"), &["sites"])) == Some("up".into())
    });
    assert!(up, "{}", json(federation.agent("Berlin"), &["sites"]));
    let sites = json(federation.agent("Berlin"), &["sites"]);
    let paris = sites["sites"].as_array().and_then(|sites| sites.iter().find(|site| site["name"] == "Paris")).cloned();
    let rtt = paris.as_ref().and_then(|paris| paris["rtt-ms"].as_f64()).unwrap_or_default();
    assert!(rtt > 15.0, "the link takes 20 ms: {paris:?}");

    federation.agent_mut("Paris").kill9()?;
    let down = cheops_tests::lab::eventually(Duration::from_secs(20), || {
        state(&json(federation.agent("Berlin"), &["sites"])) == Some("down".into())
    });
    assert!(down, "{}", json(federation.agent("Berlin"), &["sites"]));
    exits(&federation.agent("Berlin").cheops(&["status"])?, YES);
    let check = federation.agent("Berlin").cheops(&["check"])?;
    exits(&check, YES);
    assert!(out(&check).contains("warn  peers") && out(&check).contains("Paris doesn't answer"), "{}", out(&check));
    Ok(())
}

#[test]
fn services_show_their_endpoints() -> anyhow::Result<()> {
    let federation = quiet()?;
    let agent = federation.agent("Berlin");
    let services = json(agent, &["services"]);
    let app = &services["services"][0];
    assert_eq!((&app["name"], &app["type"], &app["profile"]), (&"app".into(), &"store".into(), &"rest".into()));
    let urls: Vec<String> =
        app["endpoints"].as_array().into_iter().flatten().map(|endpoint| endpoint["url"].to_string()).collect();
    assert_eq!(urls.len(), 2, "{services}");
    let text = out(&agent.cheops(&["services", "-o", "wide"])?);
    assert!(text.lines().next().is_some_and(|header| header.contains("ADDRESSES")), "{text}");
    Ok(())
}

#[test]
fn explain_says_what_would_be_done_and_sends_nothing() -> anyhow::Result<()> {
    let federation = quiet()?;
    let agent = federation.agent("Berlin");
    let url = format!("http://{}/things/7?page=2", federation.address("Berlin", "app"));
    let plan = json(agent, &["explain", "--scope", "{app: Paris}", "GET", &url]);
    assert_eq!(plan["service"], "app");
    assert_eq!(plan["resource-kind"], "things");
    assert_eq!(plan["id"], "7");
    assert_eq!(plan["operation"], "read");
    assert_eq!(plan["plan"], "at");
    assert_eq!(plan["sites"], serde_json::json!(["Paris"]));
    assert_eq!(plan["kind"], "Explanation");
    assert_eq!(plan["captured"], false);

    let plan = json(agent, &["explain", "--scope", "{store: Berlin || Paris}", "POST", &url]);
    assert_eq!((&plan["plan"], &plan["sites"]), (&"first-of".into(), &serde_json::json!(["Berlin", "Paris"])));
    let plan = json(agent, &["explain", "GET", &url]);
    assert_eq!((&plan["plan"], &plan["scope"]), (&"direct".into(), &serde_json::Value::Null));

    let output = agent.cheops(&["explain", "--scope", "{app: Pariss}", "GET", &url])?;
    exits(&output, NO);
    let text = out(&output);
    assert!(
        text.contains("{app: Pariss}\n") && text.contains("      ^^^^^^") && text.contains("did you mean \"Paris\"?"),
        "{text}"
    );

    let unknown = agent.cheops(&["explain", "GET", "http://10.77.1.1:9/"])?;
    exits(&unknown, YES);
    assert!(out(&unknown).contains("no service is known at this address"), "{}", out(&unknown));
    for bad in ["no-url", "http://", "http://10.77.1.1:8080/a b"] {
        exits(&agent.cheops(&["explain", "GET", bad])?, USAGE);
    }
    let injected = agent.cheops(&["explain", "--scope", "x\r\nEvil: 1", "GET", &url])?;
    exits(&injected, USAGE);
    assert!(complaint(&injected).contains("line breaks"), "{}", complaint(&injected));
    for site in ["Berlin", "Paris"] {
        assert_eq!(federation.service(site, "app").connections(), 0, "something was sent to {site}");
    }
    Ok(())
}

#[test]
fn a_bug_report_has_everything_but_secrets() -> anyhow::Result<()> {
    let mut federation = quiet()?;
    let secret = "s3cr3t-value-of-nobody";
    let drop_ins = federation.agent("Berlin").files().directory().join("agent.d");
    std::fs::create_dir(&drop_ins)?;
    std::fs::write(drop_ins.join("10.toml"), format!("# token = \"{secret}\"\nthreads = 1\n"))?;
    federation.agent_mut("Berlin").restart()?;
    let agent = federation.agent("Berlin");
    let file = agent.files().directory().join("report.txt");
    let output = agent.cheops(&["bug-report", "--file", &file.to_string_lossy()])?;
    exits(&output, YES);
    let report = std::fs::read_to_string(&file)?;
    for part in ["versions", "status", "sites", "services", "checks", "configuration", "metrics"] {
        assert!(report.contains(&format!("===== {part} =====")), "{part} is missing");
    }
    for known in ["site = \"Berlin\"", "cheops_ready", "threads = 1", "10.77.2.1"] {
        assert!(report.contains(known), "{known} is missing");
    }
    let key = std::fs::read_to_string(agent.files().directory().join("key.pem"))?;
    let inner = key.lines().nth(1).unwrap_or("no key");
    for hidden in [secret, inner, "PRIVATE KEY", "key.pem"] {
        assert!(!report.contains(hidden), "{hidden} is in the report");
    }
    federation.agent_mut("Berlin").stop()?;
    let output = federation.agent("Berlin").cheops(&["bug-report", "--file", "-"])?;
    exits(&output, PARTIAL);
    assert!(out(&output).contains("not to be had"), "{}", out(&output));
    Ok(())
}

#[test]
fn metrics_are_well_formed() -> anyhow::Result<()> {
    let federation = quiet()?;
    let agent = federation.agent("Berlin");
    let answer = agent.admin("/metrics")?;
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap_or((line, ""));
        assert!(name.starts_with("cheops_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = family.split(' ').next().unwrap_or_default();
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
    assert_eq!(agent.metric("cheops_ready")?, Some(1.0));
    assert_eq!(agent.metric("cheops_draining")?, Some(0.0));
    Ok(())
}
