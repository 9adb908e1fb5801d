//! Real requests, as the tap, the access log and the metrics show them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use cheops_tests::lab::{Federation, Offered, eventually};
use serde_json::Value;

use super::{exits, json};

fn two() -> anyhow::Result<Federation> {
    let services = [Offered::new("app", 8080), Offered::new("other", 8081)];
    let builder = Federation::builder().sites(&["Berlin", "Paris"]);
    services.into_iter().fold(builder, |builder, offered| builder.service(offered)).start()
}

/// A running `cheops tap`; killed when dropped.
struct Tap {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Tap {
    fn start(federation: &Federation, arguments: &[&str]) -> anyhow::Result<Self> {
        let agent = federation.agent("Berlin");
        let before = agent.metric("cheops_taps_open")?.unwrap_or_default();
        let mut process = agent.cheops_command()?.arg("tap").args(arguments).stdout(Stdio::piped()).spawn()?;
        let stdout = process.stdout.take().expect("piped");
        let tap = Self { process, lines: BufReader::new(stdout).lines() };
        let open = || agent.metric("cheops_taps_open").ok().flatten().is_some_and(|open| open > before);
        assert!(eventually(Duration::from_secs(10), open), "the tap doesn't open");
        Ok(tap)
    }

    fn next(&mut self) -> anyhow::Result<String> {
        Ok(self.lines.next().ok_or_else(|| anyhow::anyhow!("the tap ended"))??)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

#[test]
fn a_real_request_is_tapped() -> anyhow::Result<()> {
    let federation = two()?;
    let mut tap = Tap::start(&federation, &["-o", "json"])?;
    assert_eq!(federation.get("Berlin", "app", "/things/1?token=hush", None)?.status, 200);
    let event: Value = serde_json::from_str(&tap.next()?)?;
    assert_eq!(event["apiVersion"], "cheops/v1");
    assert_eq!(
        (&event["service"], &event["method"], &event["path"]),
        (&"app".into(), &"GET".into(), &"/things/1".into()),
        "{event}"
    );
    assert_eq!(
        (&event["plan"], &event["status"], &event["scope"]),
        (&"direct".into(), &200.into(), &Value::Null),
        "{event}"
    );
    assert_eq!(event["sites"], serde_json::json!(["Berlin"]));
    assert!(!event.to_string().contains("hush"), "a query may hold secrets: {event}");

    assert_eq!(federation.get("Berlin", "app", "/things/2", Some("{app: Paris}"))?.status, 200);
    let event: Value = serde_json::from_str(&tap.next()?)?;
    assert_eq!((&event["plan"], &event["scope"]), (&"at".into(), &"{app: Paris}".into()), "{event}");
    assert_eq!(event["sites"], serde_json::json!(["Paris"]));
    Ok(())
}

#[test]
fn a_tap_filters_and_ends_after_its_count() -> anyhow::Result<()> {
    let federation = two()?;
    let mut scoped = Tap::start(&federation, &["--scoped", "-n", "1"])?;
    let mut other = Tap::start(&federation, &["--service", "other", "-n", "1"])?;
    federation.get("Berlin", "app", "/one", None)?;
    federation.get("Berlin", "app", "/two", Some("{app: Paris}"))?;
    federation.get("Berlin", "other", "/three", None)?;
    let line = scoped.next()?;
    assert!(line.contains(" app GET /two scope={app: Paris} from=header plan=at sites=Paris 200 "), "{line}");
    let line = other.next()?;
    assert!(line.contains(" other GET /three scope=- from=- plan=direct sites=Berlin 200 "), "{line}");
    for mut tap in [scoped, other] {
        assert!(tap.lines.next().is_none(), "it ends after its count");
        assert!(tap.process.wait()?.success());
    }
    Ok(())
}

#[test]
fn scoped_requests_are_logged_and_all_are_counted() -> anyhow::Result<()> {
    let federation = two()?;
    let agent = federation.agent("Berlin");
    federation.get("Berlin", "app", "/plain?secret=hush", None)?;
    federation.get("Berlin", "app", "/far?secret=hush", Some("{app: Paris}"))?;
    let wrong = federation.get("Berlin", "app", "/typo", Some("{app: Pariss}"))?;
    assert_eq!(wrong.status, 400);
    agent.wait_log("path=/far", Duration::from_secs(5))?;
    agent.wait_log("path=/typo", Duration::from_secs(5))?;
    let log = agent.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("cheops::access")).collect();
    let far = lines.iter().find(|line| line.contains("path=/far")).copied().unwrap_or_default();
    for part in [
        "id=",
        "client=10.77.1.1:",
        "service=app",
        "method=GET",
        "scope=\"{app: Paris}\"",
        "plan=\"at\"",
        "sites=Paris",
        "status=200",
        "code=\"\"",
        "bytes=",
        "seconds=",
    ] {
        assert!(far.contains(part), "{part}: {far}");
    }
    assert!(
        lines.iter().any(|line| line.contains("path=/typo") && line.contains("code=\"unknown-site\"")),
        "{lines:?}"
    );
    assert!(!lines.iter().any(|line| line.contains("/plain")), "unscoped requests are only counted");
    assert!(!log.contains("hush"), "queries are not logged");

    let count = |labels: &str| agent.metric(&format!("cheops_requests_total{{{labels}"));
    assert_eq!(count("service=\"app\",plan=\"direct\",outcome=\"2xx\"")?, Some(1.0));
    assert_eq!(count("service=\"app\",plan=\"at\",outcome=\"2xx\"")?, Some(1.0));
    assert_eq!(count("service=\"app\",plan=\"refused\",outcome=\"unknown-site\"")?, Some(1.0));
    assert!(agent.metric("cheops_connections_taken_total")? >= Some(3.0));
    assert!(agent.metric("cheops_kernel_total")?.is_some(), "the kernel programs' counters are there");
    assert_eq!(federation.agent("Paris").metric("cheops_peer_exchanges_total{site=\"Berlin\"}")?, Some(1.0));
    Ok(())
}

#[test]
fn a_real_answer_names_its_site_and_request() -> anyhow::Result<()> {
    let federation = two()?;
    let mut tap = Tap::start(&federation, &["-o", "json"])?;
    let answer = federation.get("Berlin", "app", "/", Some("{app: Paris}"))?;
    assert_eq!(answer.site().as_deref(), Some("Paris"));
    let event: Value = serde_json::from_str(&tap.next()?)?;
    assert_eq!(answer.header("x-cheops-request").as_deref(), event["id"].as_str());
    exits(&federation.agent("Berlin").cheops(&["check"])?, super::YES);
    json(federation.agent("Berlin"), &["status"]);
    Ok(())
}
