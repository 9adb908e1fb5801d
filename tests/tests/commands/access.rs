//! Who may ask what: the unix socket by its caller, the TCP listener by method and Host.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use cheops_tests::lab::{Federation, eventually, program};

use super::{REFUSED, UNREACHABLE, YES, complaint, exits, out, quiet};

const GROUPS: &str = "root:x:0:\ncheops:x:5000:anna,otto\ncheops-admin:x:5001:otto\n";
const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nanna:x:6001:6001::/:/bin/sh\notto:x:6002:6002::/:/bin/sh\nmallory:x:6003:6003::/:/bin/sh\n";

/// An agent that sees other users and groups than this machine's, which stay as they are.
struct Elsewhere {
    process: Child,
    federation: Federation,
}

impl Elsewhere {
    fn start(mut federation: Federation) -> anyhow::Result<Self> {
        federation.agent_mut("Berlin").stop()?;
        let agent = federation.agent("Berlin");
        let directory = agent.files().directory();
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))?;
        std::fs::write(directory.join("group"), GROUPS)?;
        std::fs::write(directory.join("passwd"), USERS)?;
        let script = "mount --make-rprivate / && mount --bind \"$0/group\" /etc/group && mount --bind \"$0/passwd\" /etc/passwd && exec \"$1\" --config \"$0/agent.toml\"";
        let process = federation
            .host("Berlin")
            .command("unshare")
            .args(["--mount", "sh", "-c", script])
            .arg(directory)
            .arg(program("cheops-agent")?)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("can't run unshare: install util-linux")?;
        let elsewhere = Self { process, federation };
        let status = || elsewhere.federation.agent("Berlin").cheops(&["status"]);
        if !eventually(Duration::from_secs(20), || status().is_ok_and(|output| output.status.success())) {
            bail!("the agent doesn't start: {}", complaint(&status()?));
        }
        Ok(elsewhere)
    }

    /// `cheops` as a user with these groups.
    fn as_user(&self, user: u32, groups: &str, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = self.command(user, groups, &program("cheops")?);
        command.arg("--socket").arg(self.federation.agent("Berlin").files().socket());
        command.args(arguments).stdin(Stdio::null()).output().context("can't run setpriv: install util-linux")
    }

    /// A program at Berlin's host, as a user with these groups.
    fn command(&self, user: u32, groups: &str, program: &Path) -> Command {
        let mut command = self.federation.host("Berlin").command("setpriv");
        command.args([&format!("--reuid={user}"), &format!("--regid={user}")]);
        if groups.is_empty() {
            command.arg("--clear-groups");
        } else {
            command.arg(format!("--groups={groups}"));
        }
        command.arg("--").arg(program);
        command
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

#[test]
fn users_admins_and_strangers() -> anyhow::Result<()> {
    let elsewhere = Elsewhere::start(quiet()?)?;
    let socket = elsewhere.federation.agent("Berlin").files().socket();
    let metadata = std::fs::metadata(&socket)?;
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
    assert_eq!(std::os::unix::fs::MetadataExt::gid(&metadata), 5000, "the group cheops");

    let url = "http://10.77.1.1:8080/";
    for verb in [&["status"] as &[&str], &["sites"], &["services"], &["explain", "GET", url]] {
        exits(&elsewhere.as_user(6001, "5000", verb)?, YES);
    }
    let output = elsewhere.as_user(6001, "5000", &["check"])?;
    exits(&output, REFUSED);
    assert!(complaint(&output).contains("uid 6001 is not in the group cheops-admin"), "{}", complaint(&output));
    exits(&elsewhere.as_user(6002, "5000,5001", &["check"])?, YES);

    exits(&elsewhere.as_user(6001, "5000", &["bug-report", "--file", "-"])?, super::PARTIAL);

    let stranger = elsewhere.as_user(6003, "", &["status"])?;
    exits(&stranger, UNREACHABLE);
    assert!(complaint(&stranger).contains("join the group cheops"), "{}", complaint(&stranger));
    // Even when the socket lets them in, the agent asks the kernel who they are.
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666))?;
    let stranger = elsewhere.as_user(6003, "", &["status"])?;
    exits(&stranger, REFUSED);
    assert!(complaint(&stranger).contains("uid 6003 is not in the group cheops"), "{}", complaint(&stranger));
    Ok(())
}

#[test]
fn a_user_taps_its_own_requests_only() -> anyhow::Result<()> {
    let elsewhere = Elsewhere::start(super::life::taking()?)?;
    let agent = elsewhere.federation.agent("Berlin");
    let mut tap = elsewhere.command(6001, "5000", &program("cheops")?);
    let tap =
        tap.arg("--socket").arg(agent.files().socket()).args(["tap", "-n", "1"]).stdout(Stdio::piped()).spawn()?;
    let open = || agent.metric("cheops_taps_open").ok().flatten() == Some(1.0);
    assert!(eventually(Duration::from_secs(10), open), "the tap doesn't open");
    let url = |path: &str| format!("http://{}{path}", elsewhere.federation.address("Berlin", "app"));
    for (user, path) in [(6002, "/of-another"), (6001, "/of-anna")] {
        let mut curl = elsewhere.command(user, "", Path::new("curl"));
        exits(&curl.args(["-s", "-o", "/dev/null", &url(path)]).output()?, YES);
    }
    assert_eq!(elsewhere.federation.get("Berlin", "app", "/of-root", None)?.status, 200);
    let output = tap.wait_with_output()?;
    exits(&output, YES);
    assert!(out(&output).contains(" app GET /of-anna "), "{}", out(&output));
    Ok(())
}

#[test]
fn the_tcp_listener_only_shows_and_only_to_loopback_names() -> anyhow::Result<()> {
    let federation = quiet()?;
    let host = federation.host("Berlin");
    let ask = |arguments: &[&str]| host.curl(&[arguments, &["-s"]].concat());
    let base = "http://127.0.0.1:7118";
    for path in
        ["/v1/status", "/v1/sites", "/v1/map", "/v1/services", "/metrics", "/healthz", "/readyz", "/openapi.json"]
    {
        assert_eq!(ask(&[&format!("{base}{path}")])?.status, 200, "{path}");
    }
    for path in ["/v1/tap", "/v1/explain", "/v1/config", "/v1/sessions", "/v1/nothing"] {
        assert_eq!(ask(&[&format!("{base}{path}")])?.status, 404, "{path}");
    }
    for name in ["evil.example", "10.77.1.1", "127.0.0.1.evil.example"] {
        let answer = ask(&["-H", &format!("Host: {name}"), &format!("{base}/v1/status")])?;
        assert_eq!(answer.status, 403, "{name}");
        assert_eq!(answer.json()?["code"], "forbidden");
    }
    assert_eq!(ask(&["-H", "Host: localhost", &format!("{base}/v1/status")])?.status, 200);
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(ask(&["-X", method, &format!("{base}/v1/status")])?.status, 403, "{method}");
    }
    Ok(())
}

#[test]
fn the_api_describes_itself_and_its_errors() -> anyhow::Result<()> {
    let federation = quiet()?;
    let agent = federation.agent("Berlin");
    let description = agent.admin("/openapi.json")?.json()?;
    assert_eq!(description["openapi"], "3.1.0");
    for (path, _) in description["paths"].as_object().into_iter().flatten() {
        if path == "/v1/tap" {
            continue; // it doesn't end
        }
        let answer = agent.admin(path)?;
        assert_ne!(answer.status, 404, "{path} is described but not there");
    }
    let missing = agent.admin("/v1/nothing")?;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.header("content-type").as_deref(), Some("application/problem+json"));
    let problem = missing.json()?;
    assert_eq!((&problem["source"], &problem["code"]), (&"cheops".into(), &"not-found".into()));
    assert_eq!(agent.admin("/healthz")?.text(), "ok\n");
    assert_eq!(agent.admin("/readyz")?.text(), "ok\n");
    assert!(out(&agent.cheops(&["status", "-o", "name"])?).contains("Berlin"));
    Ok(())
}
