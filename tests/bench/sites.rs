//! Three sites: Berlin, where the load comes from, Paris, 20 ms away, and Potsdam, next to Berlin.
//!
//! Each site has two hosts with the same service and sink: one with an agent, and one for the other proxies, where no
//! agent's kernel programs run. Potsdam's are joined to Berlin's in the kernel, the others by the lab's own network.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use cheops_agent::peer::PeerIdentity;
use cheops_agent::peer::trust::Validity;
use cheops_tests::lab::{Federation, Host, Offered, eventually};
use tempfile::TempDir;

use crate::haproxy::{self, Certificates};
use crate::program::Program;
use crate::system::System;
use crate::{envoy, nginx};

/// As installed, but for one thread, as everything else that is measured has, and for the 10,000 idle connections of one
/// client.
const CONFIGURATION: &str =
    "threads = 1\n[log]\nlevel = \"info\"\n[limits]\nconnections = 32768\nconnections-per-client = 32768\n";

/// Connections that nginx has room for, unless they are to be idle.
pub const CONNECTIONS: u32 = 4096;

const SITES: [&str; 3] = ["Berlin", "Paris", "Potsdam"];

/// A proxy other than the agent, at a site's plain host.
struct Proxy {
    system: System,
    site: &'static str,
    program: Program,
}

pub struct Sites {
    proxies: Vec<Proxy>,
    _services: Vec<Program>,
    pub federation: Federation,
    pub folder: TempDir,
    envoy: Option<PathBuf>,
}

impl Sites {
    /// Starts all of it.
    pub fn build(systems: &[System], envoy: Option<&Path>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("can't make a temporary folder")?;
        let services = RefCell::new(Vec::new());
        let mut federation = Federation::builder()
            .sites(&SITES)
            .service(Offered::new("Web", System::Agent.port()).unserved())
            .service(Offered::new("Sink", System::Agent.upload_port()).unserved())
            .overlay(CONFIGURATION)
            .prepare(|host| start_services(host, folder.path(), &mut services.borrow_mut()))
            .start()?;
        for site in SITES {
            federation.agent_mut(site).quiet();
            let plain = plain(&federation, site)?;
            start_services(&plain, folder.path(), &mut services.borrow_mut())?;
        }
        let mut sites = Self {
            proxies: Vec::new(),
            _services: services.into_inner(),
            federation,
            folder,
            envoy: envoy.map(Path::to_owned),
        };
        sites.join_neighbours()?;
        for system in systems.iter().filter(|system| !matches!(system, System::Direct | System::Agent)) {
            sites.start(*system, CONNECTIONS)?;
        }
        Ok(sites)
    }

    /// Berlin's and Potsdam's hosts by a wire of their own.
    fn join_neighbours(&self) -> anyhow::Result<()> {
        let pairs = [
            (self.federation.host("Berlin").clone(), self.federation.host("Potsdam").clone()),
            (self.plain("Berlin")?, self.plain("Potsdam")?),
        ];
        for (one, other) in pairs {
            one.ip(&format!("link add near0 type veth peer name near0 netns {}\n", other.namespace()))?;
            for (here, there) in [(&one, &other), (&other, &one)] {
                here.ip(&format!("link set near0 up\nroute add {}/32 dev near0 src {}\n", there.ipv4(), here.ipv4()))?;
            }
        }
        Ok(())
    }

    /// A site's host without agent.
    pub fn plain(&self, site: &str) -> anyhow::Result<Host> {
        plain(&self.federation, site)
    }

    /// Where the load for a system comes from.
    pub fn client(&self, system: System) -> anyhow::Result<Host> {
        if system == System::Agent { Ok(self.federation.host("Berlin").clone()) } else { self.plain("Berlin") }
    }

    /// Starts a proxy, and HAProxy with a rule at the other sites too.
    fn start(&mut self, system: System, connections: u32) -> anyhow::Result<()> {
        let sites = if system == System::Haproxy { &SITES[..] } else { &SITES[..1] };
        for site in sites {
            let host = self.plain(site)?;
            let folder = self.folder.path().join(format!("{}-{}", host.name(), system.name()));
            let program = match system {
                System::Direct | System::Agent => continue,
                System::Nginx => nginx::proxy(&host, &folder, connections)?,
                System::Envoy => {
                    let Some(envoy) = &self.envoy else { continue };
                    envoy::start(&host, &folder, envoy)?
                }
                System::Haproxy | System::HaproxyLua => {
                    let others = [self.plain("Paris")?, self.plain("Potsdam")?];
                    haproxy::start(&host, &folder, system == System::HaproxyLua, &self.certificates(&host)?, &others)?
                }
            };
            self.proxies.push(Proxy { system, site, program });
        }
        Ok(())
    }

    fn certificates(&self, host: &Host) -> anyhow::Result<Certificates> {
        let authority = self.federation.authority();
        let identity = PeerIdentity { federation: "lab".into(), site: host.site().into(), host: host.name().into() };
        let issued = authority.issue(&identity, Validity::days(1))?;
        Ok(Certificates {
            authority: authority.certificate().to_owned(),
            certificate: issued.certificate,
            key: issued.key,
        })
    }

    /// Starts a system anew, with room for that many connections.
    pub fn renew(&mut self, system: System, connections: u32) -> anyhow::Result<()> {
        if system == System::Agent {
            // No drain: nothing is under way.
            let agent = self.federation.agent_mut("Berlin");
            agent.kill9()?;
            return agent.restart();
        }
        self.proxies.retain(|proxy| proxy.system != system);
        self.start(system, connections)
    }

    /// The processes that are a system at these sites.
    pub fn processes(&self, system: System, sites: &[&str]) -> Vec<u32> {
        if system == System::Agent {
            return sites.iter().filter_map(|site| self.federation.agent(site).pid()).collect();
        }
        let proxies = self.proxies.iter().filter(|proxy| proxy.system == system && sites.contains(&proxy.site));
        proxies.map(|proxy| proxy.program.pid()).collect()
    }

    /// The cgroup of everything that runs at the sites.
    pub fn cgroup(&self) -> PathBuf {
        let cgroup = self.federation.host("Berlin").cgroup();
        cgroup.parent().unwrap_or(cgroup).to_owned()
    }

    /// Copies the agents' logs to where the results would have gone.
    pub fn keep_logs(&self, out: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(out).with_context(|| format!("can't make {}", out.display()))?;
        for agent in self.federation.members().iter().filter_map(|member| member.agent.as_ref()) {
            let to = out.join(format!("agent-{}.log", agent.host().name()));
            fs::copy(agent.log_path(), &to).with_context(|| format!("can't write {}", to.display()))?;
            eprintln!("the agent's log at {}: {}", agent.host().site(), to.display());
        }
        Ok(())
    }

    /// Requests that a site's agent has finished.
    pub fn taken(&self, site: &str) -> anyhow::Result<u64> {
        let taken = self.federation.agent(site).metric("cheops_requests_total")?;
        Ok(taken.unwrap_or_default() as u64)
    }

    /// Checks that the agent did take that many: a bench of connections that pass it by would look splendid.
    pub fn check_taken(&self, site: &str, before: u64, requests: u64) -> anyhow::Result<()> {
        let mut taken = 0;
        // A request is counted once its answer has gone, so the last ones are counted after wrk has ended.
        let all = eventually(Duration::from_secs(5), || {
            taken = self.taken(site).unwrap_or_default().saturating_sub(before);
            taken >= requests
        });
        if !all {
            bail!("of {requests} requests only {taken} went through the agent at {site}");
        }
        Ok(())
    }
}

fn plain(federation: &Federation, site: &str) -> anyhow::Result<Host> {
    federation.world().host(site, &format!("{}-plain", site.to_lowercase()))
}

/// The service and the sink, and ports enough for idle connections on both sides of a proxy.
fn start_services(host: &Host, folder: &Path, services: &mut Vec<Program>) -> anyhow::Result<()> {
    host.within(|| fs::write("/proc/sys/net/ipv4/ip_local_port_range", "10000 65000"))??;
    let folder = folder.join(format!("{}-service", host.name()));
    services.push(nginx::service(host, &folder)?);
    let at = host.at(System::Direct.upload_port());
    let mut sink = host.command(std::env::current_exe()?);
    sink.args(["sink", &at.to_string()]);
    services.push(Program::start(host, &mut sink, &folder.join("sink.log"), at)?);
    Ok(())
}
