//! Start, reload, drain.

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cheops_tests::lab::{Federation, Offered, Service, eventually};
use nix::sys::signal::Signal;
use toml::Value;

use super::{NO, YES, exits, json, out, quiet};

const SOON: Duration = Duration::from_secs(40);

/// Berlin alone, and it takes connections.
pub fn taking() -> anyhow::Result<Federation> {
    draining_for("5s")
}

fn draining_for(drain: &str) -> anyhow::Result<Federation> {
    Federation::builder()
        .sites(&["Berlin"])
        .service(Offered::new("app", 8080))
        .overlay(&format!("[timeouts]\ndrain = \"{drain}\""))
        .start()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: app\r\n\r\n")
}

#[test]
fn a_reload_applies_what_it_can_and_says_what_it_cant() -> anyhow::Result<()> {
    let mut federation = quiet()?;
    let agent = federation.agent_mut("Berlin");
    agent.reload(|_| {})?;
    agent.wait_log("reload: the configuration is as it was", SOON)?;
    agent.reload(|table| {
        table.insert("threads".into(), Value::from(7));
        if let Some(Value::Array(services)) = table.get_mut("services") {
            let text = "name = \"more\"\nendpoints = { Berlin = \"http://10.77.1.1:9090\" }";
            services.push(Value::Table(text.parse().expect("TOML")));
        }
    })?;
    agent.wait_log("reload: the new configuration holds applied=services", SOON)?;
    agent.wait_log("these keys need a restart; their old values hold restart=threads", SOON)?;
    let services = json(agent, &["services"]);
    assert!(
        services["services"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "more")),
        "{services}"
    );
    assert_eq!(agent.metric("cheops_reloads_total{result=\"ok\"}")?, Some(2.0));
    Ok(())
}

#[test]
fn a_broken_configuration_changes_nothing() -> anyhow::Result<()> {
    let federation = quiet()?;
    let agent = federation.agent("Berlin");
    let broken = agent.files().directory().join("agent.d");
    std::fs::create_dir(&broken)?;
    std::fs::write(broken.join("99.toml"), "[timeouts]\nconnect = \"fast\"\n")?;
    agent.signal(Signal::SIGHUP)?;
    agent.wait_log("reload: the old configuration stays", SOON)?;
    agent.wait_log("99.toml:2:11: error: \"connect\" must be a duration", SOON)?;
    exits(&agent.cheops(&["status"])?, YES);
    assert_eq!(agent.metric("cheops_reloads_total{result=\"failed\"}")?, Some(1.0));
    Ok(())
}

/// Without systemd too: the process that was started ends with its last connection, and its successor serves.
#[test]
fn an_upgrade_hands_over_to_a_successor_and_says_so() -> anyhow::Result<()> {
    let mut federation = taking()?;
    let host = federation.host("Berlin").clone();
    let mut idle = host.connect(host.at(8080))?;
    assert_eq!(idle.exchange(get("/before"))?.status, 200);
    let agent = federation.agent("Berlin");
    let pid = || json(agent, &["status"])["pid"].clone();
    let first = pid();
    let said = json(agent, &["upgrade"]);
    assert_eq!((&said["earlier"], &said["successor"]), (&first, &pid()), "{said}");
    assert_ne!(said["successor"], first);
    assert_eq!((&said["version"], &said["earlier-version"]), (&env!("CARGO_PKG_VERSION").into(), &said["version"]));
    assert_eq!(host.connect(host.at(8080))?.exchange(get("/after"))?.status, 200);
    let output = agent.cheops(&["upgrade"])?;
    exits(&output, YES);
    assert!(out(&output).contains(&format!("has taken over from process {}", said["successor"])), "{}", out(&output));
    assert_eq!(idle.exchange(get("/last"))?.header("Connection").as_deref(), Some("close"));
    assert!(federation.agent_mut("Berlin").wait_end(SOON)?.success());
    assert_eq!(federation.service("Berlin", "app").take_requests().len(), 3);
    Ok(())
}

#[test]
fn an_upgrade_that_can_not_be_says_why_and_the_agent_goes_on() -> anyhow::Result<()> {
    let federation = quiet()?;
    let agent = federation.agent("Berlin");
    let pid = json(agent, &["status"])["pid"].clone();
    let broken = agent.files().directory().join("agent.d");
    std::fs::create_dir(&broken)?;
    std::fs::write(broken.join("99.toml"), "nonsense =\n")?;
    let output = agent.cheops(&["upgrade"])?;
    exits(&output, NO);
    assert!(super::complaint(&output).contains("no new agent has taken over, this one goes on"));
    let status = json(agent, &["status"]);
    assert_eq!((&status["pid"], &status["ready"]), (&pid, &true.into()), "{status}");
    Ok(())
}

/// With the unit's capabilities the kernel says only that there are programs, not whose.
#[test]
fn what_shows_or_detaches_programs_says_which_capability_it_needs() -> anyhow::Result<()> {
    let federation = taking()?;
    let agent = federation.agent("Berlin");
    let program = cheops_tests::lab::program("cheops-agent")?;
    let (program, config) = (program.to_string_lossy(), agent.files().config());
    let config = config.to_string_lossy();
    let units = ["--bounding-set", "-all,+bpf,+net_admin,+dac_override"];
    for what in ["--dump-maps", "--detach"] {
        let arguments = [&units as &[&str], &[&*program, what, "--config", &*config]].concat();
        let output = federation.host("Berlin").run("setpriv", &arguments)?;
        exits(&output, NO);
        assert!(super::complaint(&output).contains("only CAP_SYS_ADMIN"), "{}", super::complaint(&output));
    }
    let output = federation.host("Berlin").run(&program, &["--dump-maps", "--config", &config])?;
    exits(&output, YES);
    assert!(out(&output).contains("\"guarded\""), "{}", out(&output));
    Ok(())
}

#[test]
fn a_second_agent_at_the_same_socket_is_refused_and_the_first_stays() -> anyhow::Result<()> {
    let federation = quiet()?;
    let agent = federation.agent("Berlin");
    let second = agent.files().directory().join("second.toml");
    let text = std::fs::read_to_string(agent.files().config())?
        .replace("10.77.1.1:7117", "10.77.1.1:7217")
        .replace("127.0.0.1:7118", "127.0.0.1:7218");
    std::fs::write(&second, text)?;
    let program = cheops_tests::lab::program("cheops-agent")?;
    let output = federation.host("Berlin").run(&program.to_string_lossy(), &["--config", &second.to_string_lossy()])?;
    exits(&output, NO);
    assert!(
        super::complaint(&output).contains("another agent answers at this socket"),
        "{}",
        super::complaint(&output)
    );
    exits(&agent.cheops(&["status"])?, YES);
    Ok(())
}

#[test]
fn a_socket_that_a_killed_agent_left_is_replaced() -> anyhow::Result<()> {
    let mut federation = quiet()?;
    let agent = federation.agent_mut("Berlin");
    agent.kill9()?;
    assert!(agent.files().socket().exists());
    agent.launch()?;
    agent.wait_ready(SOON)?;
    exits(&agent.cheops(&["status"])?, YES);
    agent.stop()?;
    assert!(!agent.files().socket().exists(), "an orderly stop leaves no socket");
    Ok(())
}

#[test]
fn sigterm_lets_an_exchange_end_and_takes_no_more() -> anyhow::Result<()> {
    let mut federation = draining_for("30s")?;
    let mut client = federation.connect("Berlin", "app")?;
    client.send(get("/slow/5000"))?;
    federation.service("Berlin", "app").wait_for(1, SOON)?;
    let began = Instant::now();
    federation.agent("Berlin").signal(Signal::SIGTERM)?;
    let draining = eventually(SOON, || json(federation.agent("Berlin"), &["status"])["state"] == "draining");
    assert!(draining, "the status shows the drain");
    let status = json(federation.agent("Berlin"), &["status"]);
    assert_eq!((&status["ready"], &status["connections"]["open"]), (&false.into(), &1.into()), "{status}");
    assert_eq!(federation.agent("Berlin").admin("/readyz")?.status, 503);
    assert_eq!(client.answer()?.status, 200, "the exchange ends as it would have");
    drop(client);
    let ended = federation.agent_mut("Berlin").wait_end(SOON)?;
    assert!(ended.success(), "{ended}");
    assert!(began.elapsed() < Duration::from_secs(25), "it doesn't wait for the drain's whole time");
    assert_eq!(federation.get("Berlin", "app", "/", None)?.status, 200, "the service is reached directly");
    Ok(())
}

#[test]
fn the_drain_has_an_end_and_a_second_signal_means_now() -> anyhow::Result<()> {
    for second in [false, true] {
        let mut federation = draining_for(if second { "60s" } else { "8s" })?;
        let mut client = federation.connect("Berlin", "app")?;
        client.send(get("/silent"))?;
        federation.service("Berlin", "app").wait_for(1, SOON)?;
        let began = Instant::now();
        federation.agent("Berlin").signal(Signal::SIGTERM)?;
        let draining = eventually(SOON, || json(federation.agent("Berlin"), &["status"])["state"] == "draining");
        assert!(draining, "the status shows the drain");
        if second {
            federation.agent("Berlin").signal(Signal::SIGTERM)?;
        } else {
            // What was let go is not taken again, though names and aliases are looked after all the time.
            let again = || json(federation.agent("Berlin"), &["status"])["capture"]["guarded"] != 0;
            assert!(!eventually(Duration::from_millis(2500), again), "guarded again during the drain");
            assert_eq!(federation.get("Berlin", "app", "/", None)?.status, 200, "reached directly");
        }
        assert!(federation.agent_mut("Berlin").wait_end(SOON)?.success());
        let took = began.elapsed();
        assert!(if second { took < Duration::from_secs(30) } else { took >= Duration::from_secs(7) }, "{took:?}");
        let expected = if second { "told again: the rest is cut" } else { "timeouts.drain is over; the rest is cut" };
        assert!(federation.agent("Berlin").log().contains(expected));
    }
    Ok(())
}

#[test]
fn the_state_is_shown_while_connections_are_taken() -> anyhow::Result<()> {
    let federation = taking()?;
    let agent = federation.agent("Berlin");
    let status = json(agent, &["status"]);
    assert_eq!(status["capture"]["state"], "attached", "{status}");
    assert_eq!((&status["capture"]["guarded"], &status["capture"]["probe"]), (&1.into(), &"ok".into()), "{status}");
    let check = agent.cheops(&["check"])?;
    exits(&check, YES);
    assert!(out(&check).contains("ok    self-probe"), "{}", out(&check));
    let plan = json(agent, &["explain", "GET", "http://10.77.1.1:8080/"]);
    assert_eq!((&plan["captured"], &plan["rule"]), (&true.into(), &"10.77.1.1:8080 is a guarded endpoint".into()));
    Ok(())
}

#[test]
fn an_alias_is_taken_once_it_accepts() -> anyhow::Result<()> {
    let alias: std::net::SocketAddr = "127.0.0.1:8080".parse()?;
    let federation = Federation::builder()
        .sites(&["Berlin"])
        .service(Offered::new("app", 8080))
        .configure(|_, table| {
            let endpoints = table["services"][0]["endpoints"].as_table_mut().expect("endpoints");
            let urls = ["http://10.77.1.1:8080", "http://127.0.0.1:8080"].map(Value::from);
            endpoints.insert("Berlin".into(), Value::Array(urls.into()));
        })
        .start()?;
    let agent = federation.agent("Berlin");
    let guarded = || json(agent, &["status"])["capture"]["guarded"].clone();
    assert_eq!(guarded(), 1);
    let check = out(&agent.cheops(&["check"])?);
    assert!(check.contains("127.0.0.1:8080 is not guarded: it never accepted a connection"), "{check}");
    let refused = federation.host("Berlin").connect(alias).and_then(|mut client| client.exchange(get("/")));
    assert!(refused.is_err(), "nobody listens there, with or without the agent");

    let service = Service::start(federation.host("Berlin"), "alias", &[alias])?;
    assert!(eventually(Duration::from_secs(90), || guarded() == 2), "{}", out(&agent.cheops(&["check"])?));
    let mut client = federation.host("Berlin").connect(alias)?;
    assert_eq!(client.exchange(get("/"))?.status, 200);
    let taken = agent.metric("cheops_requests_total{service=\"app\",plan=\"direct\",outcome=\"2xx\"}")?;
    assert_eq!(taken, Some(1.0), "it went through the agent");
    assert!(service.connections() >= 1);
    Ok(())
}

#[test]
fn the_watchdog_is_fed_while_the_data_path_lives() -> anyhow::Result<()> {
    let mut federation = quiet()?;
    federation.agent_mut("Berlin").stop()?;
    let agent = federation.agent("Berlin");
    let path = agent.files().directory().join("watchdog.sock");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(SOON))?;
    let mut command = federation.host("Berlin").command(cheops_tests::lab::program("cheops-agent")?);
    command.arg("--config").arg(agent.files().config()).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "600000");
    let mut process = Killed(command.stderr(Stdio::null()).spawn()?);
    let mut buffer = [0; 1024];
    let (mut ready, mut fed) = (false, 0);
    while fed < 3 {
        let length = socket.recv(&mut buffer)?;
        let told = String::from_utf8_lossy(&buffer[..length]).into_owned();
        ready |= told.contains("READY=1");
        fed += usize::from(told.contains("WATCHDOG=1"));
        assert!(ready || fed == 0, "ready comes first");
    }
    process.0.kill()?;
    Ok(())
}

/// A process that ends with the test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}
