//! Both ends keep seeing each other: what unmodified programs print of their own connections, with and without an agent.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use cheops_tests::lab::{self, Federation, Host, eventually, program};
use serde_json::{Value, json};

const SEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transparency/seer.py");
const VIEWS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transparency/views.py");
const PORT: u16 = 8080;
const V4: &str = "10.77.1.1";
const V6: &str = "fd77:0:0:1::1";
const MAPPED: &str = "::ffff:10.77.1.1";
const SOON: Duration = Duration::from_secs(40);

fn tell(cases: usize, what: &str) {
    lab::tell("transparency", &format!("{cases} cases: {what}"));
}

/// Every way that `views.py` knows to make a connection.
const EVERY: [&str; 16] = [
    "plain",
    "thread",
    "fork_then_connect",
    "connect_then_fork",
    "used_after_its_makers_end",
    "spawned",
    "connect_then_exec",
    "passed",
    "copied",
    "nonblocking",
    "evented",
    "again",
    "fast_open",
    "fast_open_by_sendto",
    "bound",
    "many",
];

/// Berlin with the service that says what it sees, and Nantes.
struct Views {
    federation: Federation,
    _service: Child,
    berlin: Host,
    nantes: Host,
}

impl Views {
    /// `listening`: the service's addresses; `agent`: whether there is one.
    fn new(listening: &[&str], agent: bool) -> anyhow::Result<Self> {
        Self::at(listening, agent, |_| Ok(()))
    }

    /// At a host that is prepared like this.
    fn at(listening: &[&str], agent: bool, prepare: fn(&Host) -> anyhow::Result<()>) -> anyhow::Result<Self> {
        let service = std::cell::RefCell::new(None);
        let listen = |host: &Host| {
            prepare(host)?;
            *service.borrow_mut() = Some(see(host, listening)?);
            Ok(())
        };
        let mut builder = Federation::builder().sites(&["Berlin"]).configure(|_, table| {
            let endpoint = |name: &str, address: &str| -> toml::Value {
                let endpoints = toml::Table::from_iter([("Berlin".into(), format!("http://{address}:{PORT}").into())]);
                toml::Table::from_iter([("name".into(), name.into()), ("endpoints".into(), endpoints.into())]).into()
            };
            table.insert("services".into(), vec![endpoint("app", V4), endpoint("app6", &format!("[{V6}]"))].into());
        });
        if !agent {
            builder = builder.without_agents();
        }
        let federation = builder.prepare(listen).start()?;
        let berlin = federation.host("Berlin").clone();
        let nantes = federation.world().site("Nantes")?;
        let service = service.borrow_mut().take().context("no service")?;
        Ok(Self { federation, _service: service, berlin, nantes })
    }

    fn pending(&self) -> anyhow::Result<Value> {
        let agent = program("cheops-agent")?;
        let config = self.federation.agent("Berlin").files().config();
        let output = self.berlin.command(agent).arg("--dump-maps").arg("--config").arg(config).output()?;
        Ok(printed(&output)?["pending"].clone())
    }

    fn taken(&self) -> anyhow::Result<f64> {
        let taken = self.federation.agent("Berlin").metric("cheops_connections_taken_total")?;
        taken.context("no such metric")
    }
}

/// Starts the service; it listens when this returns.
fn see(host: &Host, listening: &[&str]) -> anyhow::Result<Child> {
    let mut python = host.command("python3");
    let mut process = python.arg(SEER).arg(PORT.to_string()).args(listening).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().context("a pipe")?).read_line(&mut line)?;
    ensure!(line == "listening\n", "the service didn't start: {line:?}");
    Ok(process)
}

fn printed(output: &Output) -> anyhow::Result<Value> {
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Python at the host; a client that hangs fails.
fn within_a_minute(host: &Host) -> Command {
    let mut command = host.command("timeout");
    command.args(["60", "python3"]);
    command
}

/// What the client prints for each of `hows`.
fn views(mut python: Command, address: &str, hows: &[&str]) -> anyhow::Result<Vec<Value>> {
    let output = python.arg(VIEWS).arg(address).arg(PORT.to_string()).args(hows).output()?;
    let said = printed(&output).with_context(|| format!("{hows:?} to {address}"))?;
    Ok(said.as_array().cloned().unwrap_or_default())
}

/// The two ends agree on each other's addresses and ports: what the client prints, and what the service does.
fn agree(entry: &Value, address: &str) -> anyhow::Result<()> {
    let v4 = |of: &Value| json!([of[0].as_str().map(|ip| ip.trim_start_matches("::ffff:")), of[1]]);
    let service = &entry["service"];
    let named = json!([address, PORT]);
    let right = entry["peer"] == named
        && v4(&service["local"]) == v4(&named)
        && v4(&service["accept"]) == v4(&entry["local"])
        && service["peer"] == service["accept"]
        && service["copied"] == service["accept"];
    ensure!(right, "to {address}: {entry}");
    Ok(())
}

/// The entry without the ports that the kernel chose.
fn without_ports(entry: &Value) -> Value {
    let mut entry = entry.clone();
    entry["local"][1] = Value::Null;
    for end in ["accept", "peer", "copied"] {
        entry["service"][end][1] = Value::Null;
    }
    entry
}

/// Whoever connects from wherever, however, to whatever the service listens at: all that either program can ask for is
/// what it is without an agent.
#[test]
fn every_program_sees_what_it_sees_without_an_agent() -> anyhow::Result<()> {
    let mut count = 0;
    for listening in [&[V4, V6][..], &["*"]] {
        let mut all = Vec::new();
        for agent in [false, true] {
            let views_of = Views::new(listening, agent)?;
            let mut seen = Vec::new();
            for client in [&views_of.berlin, &views_of.nantes] {
                for address in [V4, V6, MAPPED] {
                    let entries = views(within_a_minute(client), address, &EVERY)?;
                    ensure!(entries.len() == EVERY.len() + 49, "{} entries", entries.len());
                    entries.iter().try_for_each(|entry| agree(entry, address))?;
                    seen.extend(entries.iter().map(without_ports));
                }
            }
            if agent {
                ensure!(views_of.taken()? >= seen.len() as f64, "{} were taken", views_of.taken()?);
                let mut last = Value::Null;
                let mut empty = || {
                    views_of.pending().is_ok_and(|pending| {
                        last = pending;
                        last == json!([])
                    })
                };
                ensure!(eventually(SOON, &mut empty), "entries outlive their connections: {last}");
            }
            all.push(seen);
        }
        let [straight, through] = all.as_slice() else { bail!("two runs") };
        for (straight, through) in straight.iter().zip(through) {
            ensure!(straight == through, "{listening:?}:\n  straight {straight}\n  through  {through}");
            count += 1;
        }
    }
    tell(count, "connections of unmodified programs, with and without an agent");
    Ok(())
}

/// A host that has IPv6 switched off, as administrators do: IPv4 is taken all the same, also of clients that speak IPv6.
#[test]
fn a_host_without_ipv6_is_taken_too() -> anyhow::Result<()> {
    let off = |host: &Host| {
        let off = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6";
        ensure!(host.run("sh", &["-ec", off])?.status.success());
        let addresses = host.run("ip", &["-6", "-oneline", "address"])?.stdout;
        ensure!(addresses.is_empty(), "{}", String::from_utf8_lossy(&addresses));
        Ok(())
    };
    let hows = ["plain", "thread", "spawned", "bound"];
    let all = Views::at(&[V4], true, off)?;
    let mut count = 0;
    for client in [&all.berlin, &all.nantes] {
        for address in [V4, MAPPED] {
            for entry in views(within_a_minute(client), address, &hows)? {
                agree(&entry, address)?;
                count += 1;
            }
        }
    }
    ensure!(count == 4 * hows.len() && all.taken()? >= f64::from(u8::try_from(count)?), "{} were taken", all.taken()?);
    tell(count, "connections at a host without IPv6");
    Ok(())
}

/// The same port of different hosts, again and again, each connection right after a reset: no service is shown the client
/// of an earlier connection.
#[test]
fn a_port_that_is_used_again_names_nobody_else() -> anyhow::Result<()> {
    let all = Views::new(&["*"], true)?;
    let hows = ["bound"; 25];
    for _ in 0..3 {
        for client in [&all.berlin, &all.nantes] {
            for address in [V4, V6] {
                for entry in views(within_a_minute(client), address, &hows)? {
                    agree(&entry, address)?;
                    let own = if address == V4 { client.ipv4().to_string() } else { client.ipv6().to_string() };
                    ensure!(entry["local"][0] == json!(own), "{entry}");
                }
            }
        }
    }
    ensure!(eventually(SOON, || all.pending().is_ok_and(|pending| pending == json!([]))), "nothing is left");
    ensure!(all.taken()? >= 300.0);
    tell(300, "connections from ports that were used just before");
    Ok(())
}

/// A container of the host's network: namespaces and a cgroup of its own.
#[test]
fn a_container_of_the_hosts_network_is_taken_as_it_leaves() -> anyhow::Result<()> {
    let all = Views::new(&[V4, V6], true)?;
    let cgroup = all.berlin.cgroup().join("container");
    std::fs::create_dir(&cgroup)?;
    let unshare = ["--mount", "--pid", "--fork", "--mount-proc", "--uts", "--ipc", "--cgroup"];
    for address in [V4, V6, MAPPED] {
        let before = all.taken()?;
        let mut command = in_cgroup(&all.berlin, &cgroup, "timeout");
        command.args(["60", "unshare"]).args(unshare).arg("python3");
        for entry in views(command, address, &["plain", "fork_then_connect", "spawned"])? {
            agree(&entry, address)?;
        }
        ensure!(all.taken()? - before >= 3.0, "they were taken");
    }
    tell(9, "connections of a container of the host's network");
    Ok(std::fs::remove_dir(&cgroup)?)
}

/// A container with a network of its own, joined to the host by a veth pair: its connections arrive.
#[test]
fn a_container_with_its_own_network_is_taken_as_it_arrives() -> anyhow::Result<()> {
    let all = Views::new(&[V4, V6], true)?;
    let cgroup = all.berlin.cgroup().join("pod");
    std::fs::create_dir(&cgroup)?;
    for (address, own) in [(V4, "10.99.0.2"), (V6, "fd99::2"), (MAPPED, "::ffff:10.99.0.2")] {
        let before = all.taken()?;
        let output = in_pod(&all.berlin, &cgroup, address)?;
        for entry in printed(&output)?.as_array().into_iter().flatten() {
            agree(entry, address)?;
            ensure!(entry["local"][0] == json!(own), "{entry}");
        }
        ensure!(all.taken()? - before >= 3.0, "they were taken");
    }
    tell(9, "connections of a container with a network of its own");
    Ok(std::fs::remove_dir(&cgroup)?)
}

const POD: &str = r#"
read -r go
ip link set lo up
ip addr add 10.99.0.2/24 dev pod1
ip addr add fd99::2/64 dev pod1 nodad
ip link set pod1 up
ip route add default via 10.99.0.1
ip -6 route add default via fd99::1
exec timeout 60 python3 "$@"
"#;

fn in_pod(host: &Host, cgroup: &std::path::Path, address: &str) -> anyhow::Result<Output> {
    let mut command = in_cgroup(host, cgroup, "unshare");
    command.args(["--net", "--mount", "--uts", "--", "sh", "-c", POD, "sh", VIEWS, address, &PORT.to_string()]);
    command.args(["plain", "thread", "fork_then_connect"]);
    let mut pod = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let link = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/net"));
    let (own, id) = (std::fs::metadata(format!("/run/netns/{}", host.namespace()))?, pod.id().to_string());
    let inode = std::os::linux::fs::MetadataExt::st_ino(&own);
    let apart = || {
        let network = link(&id).ok();
        network.is_some_and(|network| {
            network != link("self").unwrap_or_default() && !network.ends_with(format!("net:[{inode}]"))
        })
    };
    ensure!(eventually(SOON, apart), "the pod has no network of its own");
    host.ip(&format!(
        "link add pod0 type veth peer name pod1 netns {id}\naddr add 10.99.0.1/24 dev pod0\naddr add fd99::1/64 dev pod0 nodad\nlink set pod0 up\n"
    ))?;
    pod.stdin.take().context("a pipe")?.write_all(b"go\n")?;
    let output = pod.wait_with_output()?;
    // The pair goes with the pod's namespace, which the kernel takes down in its own time.
    let gone = || host.run("ip", &["link", "show", "pod0"]).is_ok_and(|output| !output.status.success());
    ensure!(eventually(SOON, gone), "the pod's device stays");
    Ok(output)
}

/// A command that runs in the host's namespace and in that cgroup.
fn in_cgroup(host: &Host, cgroup: &std::path::Path, program: &str) -> Command {
    let mut command = Command::new("sh");
    let enter = r#"echo $$ > "$1/cgroup.procs" && shift && exec nsenter --net="$0" -- "$@""#;
    command.args(["-c", enter]).arg(format!("/run/netns/{}", host.namespace())).arg(cgroup).arg(program);
    command
}

/// curl says whom it talks to and from where, and the service agrees.
#[test]
fn curl_says_whom_it_talks_to() -> anyhow::Result<()> {
    let all = Views::new(&[V4, V6], true)?;
    for client in [&all.berlin, &all.nantes] {
        for to in [SocketAddr::new(V4.parse()?, PORT), SocketAddr::new(V6.parse()?, PORT)] {
            let url = format!("http://{to}/");
            let format = "\n%{remote_ip} %{remote_port} %{local_ip} %{local_port}";
            let output = client.run("curl", &["--silent", "--noproxy", "*", "-w", format, &url])?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let (body, said) = text.rsplit_once('\n').with_context(|| format!("{output:?}"))?;
            let service: Value = serde_json::from_str(body)?;
            let said: Vec<&str> = said.split(' ').collect();
            let [remote, port, local, local_port] = said.as_slice() else { bail!("{said:?}") };
            ensure!(remote == &to.ip().to_string() && port == &PORT.to_string(), "{said:?}");
            let own = json!([local, local_port.parse::<u16>()?]);
            ensure!(service["accept"] == own && service["peer"] == own, "{own} and {service}");
        }
    }
    tell(4, "what curl says of its connections");
    Ok(())
}
