//! A system with an agent, two services that count what they are sent, and clients that never try anything twice.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Clients, Counted, Counting, Fared, Kinds, Load, PROGRAM, Scope, now};
use crate::lab::{Answer, Boot, System, eventually, program};
use anyhow::{Context, ensure};

pub const SOON: Duration = Duration::from_secs(20);

/// The unit of the agent.
pub const UNIT: &str = "cheops-agent.service";

/// Longer than any test lets an agent be away.
const PATIENCE: Duration = Duration::from_secs(30);

const SCOPE: &str = "{pass: Berlin}";

/// A service: it is reached directly while the agent is down, or refused then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Pass,
    Refuse,
}

impl Service {
    pub fn at(self) -> SocketAddr {
        let port = match self {
            Self::Pass => 8080,
            Self::Refuse => 8081,
        };
        ([127, 0, 0, 1], port).into()
    }
}

/// Everything of it, taken down when dropped.
pub struct Site {
    pub counting: [Counting; 2],
    pub system: System,
}

impl Site {
    /// With more of a configuration, and more of the agent's unit.
    pub fn new(configuration: &str, unit: &str) -> anyhow::Result<Self> {
        let boot = System::builder()?.drop_in(UNIT, "lab.conf", unit)?;
        let system = Boot::start(boot)?;
        let start = |service: Service| Counting::start(user(&system)?, service.at());
        let counting = [start(Service::Pass)?, start(Service::Refuse)?];
        let services = "site = \"Berlin\"\n\
            [[services]]\nname = \"pass\"\nendpoints = { Berlin = \"http://127.0.0.1:8080\" }\n\
            [[services]]\nname = \"refuse\"\nwhen-agent-down = \"refuse\"\n\
            endpoints = { Berlin = \"http://127.0.0.1:8081\" }\n";
        system.install(&format!("{services}{configuration}"))?;
        system.run(&["systemctl", "start", UNIT])?;
        let site = Self { counting, system };
        site.ready()?;
        Ok(site)
    }

    pub fn ready(&self) -> anyhow::Result<()> {
        self.system.user(&["cheops", "status", "--wait=20s"]).map(drop)
    }

    /// Clients at a service, each of whose requests may take so long.
    pub fn clients(
        &self,
        name: &str,
        (to, patience): (Service, Duration),
        kinds: Kinds,
        scope: Scope,
    ) -> anyhow::Result<Load> {
        let patience = patience.as_millis() as u64;
        let clients = Clients { to: to.at(), name: name.to_owned(), kinds, rest: 10, patience, scope };
        let command = match &clients.scope {
            Scope::None | Scope::Header(_) => user(&self.system)?,
            Scope::Session => {
                let mut command = self.system.user_command("cheops");
                command.args(["exec", "--scope", SCOPE, "--"]).arg(program(PROGRAM)?);
                command
            }
        };
        Load::start(command, clients)
    }

    /// Clients of every kind at both services.
    pub fn crowd(&self, tunnels: usize) -> anyhow::Result<Crowd> {
        let kinds = Kinds { keeping: 6, fresh: 4, streaming: 2, tunnels: 0 };
        let few = Kinds { keeping: 3, fresh: 3, streaming: 1, tunnels: 0 };
        let header = Scope::Header("{pass: Berlin, refuse: Berlin}".to_owned());
        let only = Kinds { tunnels, ..Kinds::default() };
        let loads = [
            ("pass", Service::Pass, kinds, Scope::None),
            ("refuse", Service::Refuse, few, Scope::None),
            ("header", Service::Pass, few, header.clone()),
            ("strict", Service::Refuse, few, header),
            ("session", Service::Pass, few, Scope::Session),
            ("tunnels", Service::Pass, only, Scope::None),
        ];
        let loads = loads.into_iter().map(|(name, to, kinds, scope)| {
            let load = self.clients(name, (to, PATIENCE), kinds, scope).with_context(|| name.to_owned())?;
            Ok((name, load))
        });
        Ok(Crowd { loads: loads.collect::<anyhow::Result<_>>()? })
    }

    /// What both services were sent.
    pub fn counted(&mut self) -> anyhow::Result<[Counted; 2]> {
        let [pass, refuse] = &mut self.counting;
        Ok([pass.counted()?, refuse.counted()?])
    }

    /// The process of the agent.
    pub fn pid(&self) -> anyhow::Result<String> {
        self.system.property("MainPID")
    }

    pub fn kill(&self, signal: &str) -> anyhow::Result<()> {
        self.system.run(&["kill", signal, &self.pid()?]).map(drop)
    }

    /// Waits until another process than this one is the agent, and is ready.
    pub fn replaced(&self, before: &str) -> anyhow::Result<()> {
        let is = || self.pid().is_ok_and(|pid| pid != before && pid != "0");
        ensure!(eventually(SOON, is), "no other agent: {}", self.system.log());
        self.ready()
    }

    /// Whether the agent's programs are attached, and no others, such as an earlier agent's.
    pub fn one_set(&self) -> anyhow::Result<()> {
        let said = self.system.user(&["cheops", "check"])?;
        let line = said.lines().find(|line| line.contains("other-programs")).unwrap_or_default();
        ensure!(line.starts_with("ok ") && line.contains("none on the same hooks"), "{said}");
        Ok(())
    }

    /// One request at the service, by a process of the system's tree.
    pub fn get(&self, at: Service, scope: &str) -> anyhow::Result<Answer> {
        let fields = format!("Host: app\r\nX-Lab-Id: single-{}\r\n{scope}", now());
        self.system.connect(at.at())?.exchange(format!("GET /item HTTP/1.1\r\n{fields}\r\n"))
    }

    /// The agent's descriptors.
    pub fn descriptors(&self) -> anyhow::Result<usize> {
        let listed = self.system.run(&["ls", &format!("/proc/{}/fd", self.pid()?)])?;
        Ok(listed.lines().count())
    }

    /// The addresses at which the agent's own listeners are.
    pub fn listeners(&self) -> anyhow::Result<Vec<String>> {
        let status = self.system.run(&["ss", "-Hltnp"])?;
        let agents = status.lines().filter(|line| line.contains("\"cheops-agent\""));
        let mut all: Vec<String> =
            agents.filter_map(|line| line.split_whitespace().nth(3)).map(str::to_owned).collect();
        all.sort_unstable();
        Ok(all)
    }
}

/// The load's program, as a process of the system's tree.
fn user(system: &System) -> anyhow::Result<Command> {
    Ok(system.user_command(&program(PROGRAM)?.display().to_string()))
}

/// Clients at work.
pub struct Crowd {
    loads: Vec<(&'static str, Load)>,
}

impl Crowd {
    /// How each fared until now.
    pub fn fared(&mut self) -> anyhow::Result<Vec<(&'static str, Fared)>> {
        self.loads.iter_mut().map(|(name, load)| Ok((*name, load.fared()?))).collect()
    }

    /// Requests whose answers were right.
    pub fn right(&mut self) -> anyhow::Result<u64> {
        Ok(self.fared()?.iter().map(|(_, fared)| fared.right).sum())
    }

    /// Waits until so many more requests were answered.
    pub fn goes_on(&mut self, more: u64) -> anyhow::Result<()> {
        let least = self.right()? + more;
        self.reaches(least)
    }

    /// Waits until so many requests were answered in all.
    pub fn reaches(&mut self, least: u64) -> anyhow::Result<()> {
        let end = Instant::now() + SOON;
        while self.right()? < least {
            ensure!(Instant::now() < end, "the clients don't get on: {:?}", self.fared()?);
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    pub fn finish(self) -> anyhow::Result<Vec<(&'static str, Fared)>> {
        self.loads.into_iter().map(|(name, load)| Ok((name, load.finish()?))).collect()
    }
}

/// The sum, if no request failed and none passed the agent by.
pub fn unharmed(all: &[(&'static str, Fared)]) -> anyhow::Result<u64> {
    for (name, fared) in all {
        ensure!(
            fared.failed == 0,
            "{name}: {} failed: {:#?}",
            fared.failed,
            fared.failures.iter().take(5).collect::<Vec<_>>()
        );
        ensure!(fared.bypassed == 0, "{name}: {} scoped requests were served without their scope", fared.bypassed);
        ensure!(fared.marked == 0, "{name}: {} answers without a scope were marked", fared.marked);
    }
    Ok(all.iter().map(|(_, fared)| fared.begun).sum())
}

/// Both services got each of `requests` exactly once, and none with a scope.
pub fn once(counted: &[Counted; 2], requests: u64) -> anyhow::Result<()> {
    for counted in counted {
        ensure!(counted.twice.is_empty(), "more than once: {:?}", counted.twice);
        ensure!(counted.unscoped.is_empty(), "with their scope: {:?}", counted.unscoped);
    }
    let all: usize = counted.iter().map(|counted| counted.requests).sum();
    ensure!(all as u64 == requests, "the services got {all} of {requests} requests");
    Ok(())
}
