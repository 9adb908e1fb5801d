//! Hosts that join by the commands that people type, instead of by certificates that the lab lays down.

use std::time::Duration;

use anyhow::{Context, bail};
use toml::Value;

use super::{Builder, Federation, Offered, Settings, issued, prepare};
use crate::lab::agent::Agent;
use crate::lab::etcd::EtcdCluster;
use crate::lab::{Service, eventually};

/// How long it may take until all know each other, however busy the machine.
const KNOWN: Duration = Duration::from_secs(60);

impl Builder<'_> {
    /// Hosts without certificates, `[peer]` with `listen` alone: they have joined no federation yet.
    #[must_use]
    pub fn unjoined(self) -> Self {
        self.configure(|_, table| {
            if let Some(Value::Table(peer)) = table.get_mut("peer") {
                peer.retain(|key, _| !matches!(key, "ca" | "cert" | "key"));
            }
        })
    }

    /// Each site's file names no other site, and of services only its own endpoints.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Sites that know nothing of each other but the metadata cluster; [`Federation::join_all`] has them join.
    #[must_use]
    pub fn joining(self, cluster: EtcdCluster) -> Self {
        self.unjoined().alone().etcd(cluster)
    }
}

impl Federation {
    /// Makes the federation at the first site and has all others join it, one command at each; waits until every site
    /// sees every other one live.
    pub fn join_all(&self) -> anyhow::Result<()> {
        let sites: Vec<&str> = self.members().iter().map(|member| member.host.site()).collect();
        let (first, others) = sites.split_first().context("a federation without sites")?;
        run(self.agent(first), &["site", "init"])?;
        for site in others {
            let token = self.issue(first, &[site])?;
            run(self.agent(site), &["site", "join", &token])?;
        }
        self.wait_known(&sites)
    }

    /// Has a site issue a token: `issue("Berlin", &["Paris", "--host", "p2"])`.
    pub fn issue(&self, at: &str, line: &[&str]) -> anyhow::Result<String> {
        Ok(run(self.agent(at), &[&["token", "issue"], line].concat())?.trim().to_owned())
    }

    /// Waits until each of these sites sees each other one live.
    pub fn wait_known(&self, sites: &[&str]) -> anyhow::Result<()> {
        let known = || sites.iter().all(|at| sites.iter().all(|of| at == of || self.lives(at, of)));
        if !eventually(KNOWN, known) {
            let told: String = sites.iter().map(|at| format!("{at}: {}\n", self.told(at))).collect();
            bail!("the sites don't know each other within {KNOWN:?}:\n{told}");
        }
        Ok(())
    }

    /// Whether a site sees another one live.
    pub fn lives(&self, at: &str, of: &str) -> bool {
        let sites = self.agent(at).admin("/v1/sites").and_then(|answer| answer.json()).unwrap_or_default();
        let mut sites = sites["sites"].as_array().into_iter().flatten();
        sites.any(|site| site["name"] == of && site["state"] == "up")
    }

    fn told(&self, at: &str) -> String {
        self.agent(at).admin("/v1/sites").map(|answer| answer.text()).unwrap_or_else(|error| format!("{error:#}"))
    }

    /// A further host of a site, whose agent runs and has joined nothing, with services of its own that it alone serves and
    /// whose endpoints its file alone names. Drop it before the federation.
    pub fn further(&self, site: &str, name: &str, offered: &[Offered]) -> anyhow::Result<(Agent, Vec<Service>)> {
        let host = self.world().host(site, name)?;
        let served = offered.iter().filter(|offered| offered.serve);
        let services = served.map(|offered| Service::start(&host, &offered.name, &[host.at(offered.port)]));
        let services = services.collect::<anyhow::Result<Vec<_>>>()?;
        let tables = offered.iter().map(|offered| offered.table(std::slice::from_ref(&host))).collect();
        let peer = Some((self.authority(), issued(self.authority(), &host)?));
        let settings = Settings { peer, sites: Vec::new(), services: tables };
        let mut agent = prepare(&host, settings, self.etcd.as_ref(), &self.configure)?;
        agent.launch()?;
        agent.wait_ready(crate::lab::agent::READY)?;
        Ok((agent, services))
    }
}

/// What `cheops` prints on standard output; it must say yes.
fn run(agent: &Agent, line: &[&str]) -> anyhow::Result<String> {
    let output = agent.cheops(line)?;
    if !output.status.success() {
        // A token is a secret: it is not shown, neither here nor elsewhere.
        let shown = line.iter().map(|word| if word.starts_with("cheops-1-") { "TOKEN" } else { word });
        let shown = shown.collect::<Vec<_>>().join(" ");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("cheops {shown} at {}: {}: {said}", agent.host().name(), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
