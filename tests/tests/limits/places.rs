//! How many there may be: connections in all, of one client, of a service that doesn't accept, refused ones that are
//! told, those that the kernel keeps, and descriptors.

use std::io::ErrorKind;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use cheops_tests::lab::{Answer, Client, End, eventually};
use nix::unistd::{SysconfVar, sysconf};
use socket2::{Domain, Socket, Type};

use super::scene::{Case, GET, SOON, Scene, is_problem};

pub const CASES: &[Case] = &[
    Case {
        name: "connections in all",
        limit: "connections",
        keys: "limits.connections = 3",
        play: |scene| {
            ensure!(eventually(SOON, || scene.metric("cheops_connections_open").is_ok_and(|open| open == 1.0)));
            full(scene, 2, "limits.connections ")
        },
    },
    Case {
        name: "connections of one client",
        limit: "connections-per-client",
        keys: "limits.connections-per-client = 2",
        play: |scene| {
            full(scene, 2, "limits.connections-per-client")?;
            ensure!(scene.other()?.exchange(GET)?.status == 200, "another client is served");
            Ok(())
        },
    },
    Case {
        name: "connections that wait for their service",
        limit: "pending",
        keys: "limits.pending = 2",
        play: pending,
    },
    Case { name: "refused connections that are told", limit: "refusals", keys: REFUSALS, play: refusals },
    Case { name: "connections that the kernel keeps", limit: "backlog", keys: "limits.backlog = 1", play: backlog },
    Case { name: "descriptors", limit: "descriptors", keys: "limits.descriptors = 96", play: descriptors },
];

const REFUSALS: &str = "limits.connections-per-client = 1\nlimits.refusals = 1";

/// The client has `most` connections; one more is told, until one of the others has gone.
fn full(scene: &Scene, most: usize, key: &str) -> anyhow::Result<()> {
    let mut clients = (0..most).map(|_| scene.client()).collect::<anyhow::Result<Vec<_>>>()?;
    for client in &mut clients {
        ensure!(client.exchange(GET)?.status == 200);
    }
    let mut refused = scene.client()?;
    is_problem(&refused.exchange(GET)?, 503, "too-many-connections", key)?;
    ensure!(refused.ends()? == End::Closed);
    let mut other = scene.client()?;
    other.send(b"\x16\x03\x01\x00\x05hello")?;
    ensure!(other.ends()? == End::Reset, "what isn't HTTP is reset");
    for client in &mut clients {
        ensure!(client.exchange(GET)?.status == 200, "those that are there go on");
    }
    clients.pop();
    let served = || scene.client().and_then(|mut client| client.exchange(GET)).is_ok_and(|answer| answer.status == 200);
    ensure!(eventually(SOON, served), "a place came back");
    Ok(())
}

/// A service that accepts nobody, with as many connections as its kernel keeps: another waits for ever.
pub struct Full {
    _listener: TcpListener,
    _kept: Vec<TcpStream>,
}

impl Full {
    /// At the address of the case's own service.
    pub fn new(scene: &Scene) -> anyhow::Result<Self> {
        let at = scene.own();
        // Not of the host's cgroup, so that the agent's programs leave it alone.
        scene.berlin().within(move || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&at.into())?;
            socket.listen(0)?;
            let mut kept = Vec::new();
            while let Ok(stream) = TcpStream::connect_timeout(&at, Duration::from_millis(300)) {
                kept.push(stream);
                ensure!(kept.len() < 10, "its backlog is never full");
            }
            Ok(Self { _listener: socket.into(), _kept: kept })
        })?
    }
}

fn pending(scene: &Scene) -> anyhow::Result<()> {
    let full = Full::new(scene)?;
    let open = scene.metric("cheops_connections_open")?;
    let connect = || scene.host().connect(scene.own());
    let waiting = [connect()?, connect()?];
    ensure!(scene.eventually_metric("cheops_connections_open", open + 2.0));
    is_problem(&connect()?.exchange(GET)?, 503, "too-many-connections", "limits.pending")?;
    ensure!(scene.client()?.exchange(GET)?.status == 200, "another service isn't concerned");
    drop((full, waiting));
    let refused = || connect().and_then(|mut client| client.exchange(GET)).is_ok_and(|answer| answer.status == 502);
    ensure!(eventually(SOON, refused), "a place came back");
    Ok(())
}

/// A refused connection that stays silent is being told for a second; another one is reset meanwhile.
fn refusals(scene: &Scene) -> anyhow::Result<()> {
    let _served = scene.client()?;
    let tries = || -> anyhow::Result<bool> {
        let (mut told, mut reset) = (scene.client()?, scene.client()?);
        let ended = reset.ends().is_ok_and(|end| end == End::Reset);
        let answer = told.exchange(GET);
        Ok(ended && answer.is_ok_and(|answer| is_problem(&answer, 503, "too-many-connections", "limits").is_ok()))
    };
    ensure!(eventually(SOON, || tries().unwrap_or_default()), "one is told and one is reset");
    Ok(())
}

fn backlog(scene: &Scene) -> anyhow::Result<()> {
    let listening = || -> anyhow::Result<bool> {
        let output = scene.berlin().run("ss", &["-Hltn", "src", "127.0.0.1"])?.stdout;
        let text = String::from_utf8_lossy(&output).into_owned();
        Ok(text.split_whitespace().nth(2) == Some("1"))
    };
    ensure!(eventually(SOON, || listening().unwrap_or_default()), "the kernel is told");
    let tries = || -> anyhow::Result<bool> {
        scene.agent().sigstop()?;
        // One after the other: the kernel answers all that come at once before it sees that they are too many. And soon:
        // after the lease's time they would go past the agent.
        let connect = |_| scene.host().connect_from(None, scene.app(), Duration::from_millis(300)).ok();
        let connected: Vec<_> = (0..5).filter_map(connect).collect();
        scene.agent().sigcont()?;
        let some = (1..5).contains(&connected.len());
        for stream in connected {
            ensure!(Client::new(stream)?.exchange(GET)?.status == 200, "those that are kept are served");
        }
        Ok(some)
    };
    let mut last = Ok(false);
    eventually(SOON, || {
        last = tries();
        !matches!(last, Ok(false))
    });
    ensure!(last?, "all are kept, or none");
    Ok(())
}

/// How one of many clients fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fared {
    Served,
    Told,
    Reset,
    /// Nothing came yet.
    Waits,
}

fn descriptors(scene: &Scene) -> anyhow::Result<()> {
    let mut kept = scene.other()?;
    ensure!(kept.exchange(GET)?.status == 200);
    let lines = scene.agent().log().lines().count();
    let crowd = (0..150).map(|_| crowd(scene)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut fared = Vec::new();
    ensure!(
        eventually(SOON, || {
            fared = crowd.iter().map(look).collect();
            fared.iter().all(|fared| *fared != Fared::Waits)
        }),
        "some wait for ever: {fared:?}"
    );
    let count = |wanted| fared.iter().filter(|fared| **fared == wanted).count();
    // How many are told depends on how many are accepted before services are dialled for them.
    ensure!(count(Fared::Served) > 0 && count(Fared::Reset) > 5, "{fared:?}");
    // Nothing comes and goes any more, and nothing is to be done.
    let (begin, before) = (std::time::Instant::now(), processor_time(scene)?);
    for _ in 0..10 {
        ensure!(kept.exchange(GET)?.status == 200, "who is connected is served");
        std::thread::sleep(Duration::from_millis(100));
    }
    let (took, used) = (begin.elapsed(), processor_time(scene)? - before);
    ensure!(used < took.mul_f64(0.5), "it used a processor for {used:?} of {took:?}");
    drop(crowd);
    let served = || scene.client().and_then(|mut client| client.exchange(GET)).is_ok_and(|answer| answer.status == 200);
    ensure!(eventually(SOON, served), "it recovers by itself");
    let lines = scene.agent().log().lines().count() - lines;
    ensure!(lines < 100, "{lines} lines of log");
    ensure!(scene.metric("cheops_connections_refused_total{reason=\"descriptors\"}")? >= 1.0);
    Ok(())
}

/// A connection with a request; none when it was reset before that.
fn crowd(scene: &Scene) -> anyhow::Result<Option<TcpStream>> {
    let stream = match scene.host().connect_from(None, scene.app(), SOON) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut client = Client::new(stream)?;
    // It may be reset meanwhile; looking at it tells.
    _ = client.send(GET);
    let stream = client.into_stream();
    stream.set_nonblocking(true)?;
    Ok(Some(stream))
}

/// Without taking anything from the stream.
fn look(stream: &Option<TcpStream>) -> Fared {
    let Some(stream) = stream else { return Fared::Reset };
    let mut begins = [0; 4096];
    match stream.peek(&mut begins) {
        Ok(0) => Fared::Reset,
        Ok(length) => {
            let answer = Answer::last_of(begins.get(..length).unwrap_or_default());
            let told = answer
                .as_ref()
                .is_ok_and(|answer| is_problem(answer, 503, "too-many-connections", "limits.descriptors").is_ok());
            match answer {
                Ok(answer) if answer.status == 200 => Fared::Served,
                _ if told => Fared::Told,
                _ => Fared::Waits,
            }
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Fared::Waits,
        Err(_) => {
            _ = stream.shutdown(Shutdown::Both);
            Fared::Reset
        }
    }
}

/// What the agent has used of processors, in all its threads (proc_pid_stat(5), fields 14 and 15).
fn processor_time(scene: &Scene) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", scene.agent().pid().context("runs")?))?;
    let (_, fields) = stat.rsplit_once(") ").context("a stat line")?;
    let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("a clock")?;
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}
