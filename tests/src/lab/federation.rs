//! Sites with agents and services, ready to be asked.

mod joining;
mod linked;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cheops_agent::peer::PeerIdentity;
use cheops_agent::peer::trust::{Authority, Issued, Validity};
use toml::{Table, Value};

use super::agent::{Agent, Files, Settings, files};
use super::client::{Answer, Client};
use super::etcd::{Etcd, EtcdCluster};
use super::host::Host;
use super::service::Service;
use super::world::World;

/// Sites, each with an agent and services. Taken down when dropped.
pub struct Federation {
    // In this order: agents end first, the world last.
    members: Vec<Member>,
    etcd: Option<Etcd>,
    authority: Authority,
    world: World,
    offered: Vec<Offered>,
    configure: Vec<Arc<Configure>>,
}

/// A site of a federation.
pub struct Member {
    pub agent: Option<Agent>,
    /// In the order in which they were offered; those the site doesn't have are left out.
    pub services: Vec<(String, Service)>,
    pub host: Host,
}

/// A service that sites offer, at `10.77.N.1:port` of each.
#[derive(Clone, Debug)]
pub struct Offered {
    name: String,
    port: u16,
    prefix: String,
    sites: Option<Vec<String>>,
    keys: Table,
    serve: bool,
}

impl Offered {
    /// A service of that name and port, with the profile `rest`, at every site.
    pub fn new(name: &str, port: u16) -> Self {
        let keys = Table::from_iter([("profile".to_owned(), Value::from("rest"))]);
        Self { name: name.into(), port, prefix: String::new(), sites: None, keys, serve: true }
    }

    /// Only at these sites.
    #[must_use]
    pub fn at(mut self, sites: &[&str]) -> Self {
        self.sites = Some(sites.iter().map(|site| (*site).to_owned()).collect());
        self
    }

    /// Below this path, such as `/image`. Services with one port and different prefixes are one recording service,
    /// named as the first.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.to_owned();
        self
    }

    /// Another key of the `[[services]]` table, such as `type` or `parameter`.
    #[must_use]
    pub fn key(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.keys.insert(name.to_owned(), value.into());
        self
    }

    /// Only in the configuration: the test serves itself (or nobody does).
    #[must_use]
    pub fn unserved(mut self) -> Self {
        self.serve = false;
        self
    }

    fn is_at(&self, site: &str) -> bool {
        self.sites.as_ref().is_none_or(|sites| sites.iter().any(|known| known == site))
    }

    /// With endpoints at these hosts.
    fn table(&self, hosts: &[Host]) -> Table {
        let mut table = self.keys.clone();
        let endpoints = hosts.iter().filter(|host| self.is_at(host.site()));
        let endpoints = endpoints
            .map(|host| (host.site().to_owned(), format!("http://{}{}", host.at(self.port), self.prefix).into()));
        table.insert("name".into(), self.name.clone().into());
        table.insert("endpoints".into(), Value::Table(endpoints.collect()));
        table
    }
}

type Configure = dyn Fn(&str, &mut Table) + Send + Sync;

type Prepare<'a> = dyn Fn(&Host) -> anyhow::Result<()> + 'a;

type Before<'a> = dyn FnOnce(&World, &[Host]) -> anyhow::Result<()> + 'a;

/// What a federation is to be.
pub struct Builder<'a> {
    sites: Vec<String>,
    offered: Vec<Offered>,
    configure: Vec<Arc<Configure>>,
    prepare: Vec<Box<Prepare<'a>>>,
    before: Option<Box<Before<'a>>>,
    agents: bool,
    alone: bool,
    mtu: Option<u16>,
    etcd: Option<EtcdCluster>,
}

impl<'a> Builder<'a> {
    /// These sites instead of Berlin, Paris and Nantes.
    #[must_use]
    pub fn sites(mut self, sites: &[&str]) -> Self {
        self.sites = sites.iter().map(|site| (*site).to_owned()).collect();
        self
    }

    /// One more service.
    #[must_use]
    pub fn service(mut self, offered: Offered) -> Self {
        self.offered.push(offered);
        self
    }

    /// Changes each site's configuration before its agent starts.
    #[must_use]
    pub fn configure(mut self, change: impl Fn(&str, &mut Table) + Send + Sync + 'static) -> Self {
        self.configure.push(Arc::new(change));
        self
    }

    /// Does this at each site before its agent starts: a service that isn't the lab's own is started here.
    #[must_use]
    pub fn prepare(mut self, prepare: impl Fn(&Host) -> anyhow::Result<()> + 'a) -> Self {
        self.prepare.push(Box::new(prepare));
        self
    }

    /// Does this once, when all hosts are there and before anything runs at them: what takes long is started at all sites
    /// at once.
    #[must_use]
    pub fn before_agents(mut self, before: impl FnOnce(&World, &[Host]) -> anyhow::Result<()> + 'a) -> Self {
        self.before = Some(Box::new(before));
        self
    }

    /// Lays this TOML over each site's configuration, such as `[timeouts]\nconnect = "1s"`.
    #[must_use]
    pub fn overlay(self, text: &str) -> Self {
        let text = text.to_owned();
        self.configure(move |site, table| {
            if let Err(error) = files::overlay(table, &text) {
                panic!("the overlay for {site}: {error:#}");
            }
        })
    }

    /// No agents, as if they were not installed: what they must not change.
    #[must_use]
    pub fn without_agents(mut self) -> Self {
        self.agents = false;
        self
    }

    /// Packets of this length between sites; see [`World::with_mtu`].
    #[must_use]
    pub fn mtu(mut self, mtu: u16) -> Self {
        self.mtu = Some(mtu);
        self
    }

    /// A cluster of etcd with a member at each site, or where the cluster says; `[metadata]` of each site's agent names it.
    #[must_use]
    pub fn etcd(mut self, cluster: EtcdCluster) -> Self {
        self.etcd = Some(cluster);
        self
    }

    /// Makes the world, starts services and agents, and waits until all are ready.
    pub fn start(mut self) -> anyhow::Result<Federation> {
        let world = self.mtu.map_or_else(World::new, World::with_mtu)?;
        let hosts = self.sites.iter().map(|site| world.site(site)).collect::<anyhow::Result<Vec<_>>>()?;
        let authority = Authority::new(files::FEDERATION, Validity::days(2))?;
        distances(&world, &self.sites);
        let etcd = self.etcd.take().map(|cluster| cluster.start(&hosts)).transpose()?;
        if let Some(before) = self.before.take() {
            before(&world, &hosts)?;
        }
        let mut members = Vec::new();
        for host in &hosts {
            let services = self.services(host)?;
            self.prepare.iter().try_for_each(|prepare| prepare(host))?;
            let agent = if self.agents { Some(self.agent(host, &hosts, &authority, etcd.as_ref())?) } else { None };
            members.push(Member { agent, services, host: host.clone() });
        }
        let (offered, configure) = (self.offered, self.configure);
        let mut federation = Federation { members, etcd, authority, world, offered, configure };
        federation.launch()?;
        Ok(federation)
    }

    fn services(&self, host: &Host) -> anyhow::Result<Vec<(String, Service)>> {
        let mut ports = Vec::new();
        let mut services = Vec::new();
        for offered in self.offered.iter().filter(|offered| offered.serve && offered.is_at(host.site())) {
            if !ports.contains(&offered.port) {
                ports.push(offered.port);
                services.push((offered.name.clone(), Service::start(host, &offered.name, &[host.at(offered.port)])?));
            }
        }
        Ok(services)
    }

    fn agent(&self, host: &Host, hosts: &[Host], authority: &Authority, etcd: Option<&Etcd>) -> anyhow::Result<Agent> {
        let told = |other: &&Host| !self.alone || other.site() == host.site();
        let known: Vec<Host> = hosts.iter().filter(told).cloned().collect();
        let others = known.iter().filter(|other| other.site() != host.site());
        let sites = others.map(|other| (other.site().to_owned(), vec![other.at(files::PEER_PORT).to_string()]));
        let offered = self.offered.iter().filter(|offered| known.iter().any(|host| offered.is_at(host.site())));
        let services = offered.map(|offered| offered.table(&known)).collect();
        let peer = Some((authority, issued(authority, host)?));
        let settings = Settings { peer, sites: sites.collect(), services };
        prepare(host, settings, etcd, &self.configure)
    }
}

/// A certificate for a host of the federation.
fn issued(authority: &Authority, host: &Host) -> anyhow::Result<Issued> {
    let identity =
        PeerIdentity { federation: files::FEDERATION.into(), site: host.site().into(), host: host.name().into() };
    Ok(authority.issue(&identity, Validity::days(1))?)
}

fn prepare(
    host: &Host,
    settings: Settings<'_>,
    etcd: Option<&Etcd>,
    configure: &[Arc<Configure>],
) -> anyhow::Result<Agent> {
    let mut files = Files::write(host, settings)?;
    if let Some(etcd) = etcd {
        files.change(|table| _ = table.insert("metadata".into(), etcd.section(host.site()).into()))?;
    }
    files.change(|table| configure.iter().for_each(|change| change(host.site(), table)))?;
    Agent::prepare(host, files)
}

impl Federation {
    /// Berlin, Paris and Nantes, with agents, and no service yet.
    pub fn builder<'a>() -> Builder<'a> {
        let sites = ["Berlin", "Paris", "Nantes"].map(str::to_owned).into();
        Builder {
            sites,
            offered: Vec::new(),
            configure: Vec::new(),
            prepare: Vec::new(),
            before: None,
            agents: true,
            alone: false,
            mtu: None,
            etcd: None,
        }
    }

    /// Berlin, Paris and Nantes with the service `app` (profile `rest`) on port 8080. A round trip takes 20 ms between
    /// Berlin and Paris and 60 ms from either to Nantes.
    pub fn three() -> anyhow::Result<Self> {
        Self::builder().service(Offered::new("app", 8080)).start()
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        let mut agents: Vec<&mut Agent> = self.members.iter_mut().filter_map(|member| member.agent.as_mut()).collect();
        agents.iter_mut().try_for_each(|agent| agent.launch())?;
        agents.iter_mut().try_for_each(|agent| agent.wait_ready(super::agent::READY))
    }

    /// The network and its hosts.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Issues certificates of this federation.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The cluster of etcd.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn etcd(&self) -> &Etcd {
        self.etcd.as_ref().unwrap_or_else(|| panic!("this federation has no etcd"))
    }

    /// All sites.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// A site.
    ///
    /// # Panics
    /// When there is none of that name, as everything below: a test's mistake.
    #[track_caller]
    pub fn member(&self, site: &str) -> &Member {
        let found = self.members.iter().find(|member| member.host.site() == site);
        found.unwrap_or_else(|| panic!("this federation has no site {site}"))
    }

    /// A site, to stop or change what is there.
    #[track_caller]
    pub fn member_mut(&mut self, site: &str) -> &mut Member {
        let found = self.members.iter_mut().find(|member| member.host.site() == site);
        found.unwrap_or_else(|| panic!("this federation has no site {site}"))
    }

    /// A site's first host.
    #[track_caller]
    pub fn host(&self, site: &str) -> &Host {
        &self.member(site).host
    }

    /// A site's agent.
    #[track_caller]
    pub fn agent(&self, site: &str) -> &Agent {
        self.member(site).agent.as_ref().unwrap_or_else(|| panic!("{site} has no agent"))
    }

    /// A site's agent, to stop, start or reload.
    #[track_caller]
    pub fn agent_mut(&mut self, site: &str) -> &mut Agent {
        self.member_mut(site).agent.as_mut().unwrap_or_else(|| panic!("{site} has no agent"))
    }

    /// A service of a site.
    #[track_caller]
    pub fn service(&self, site: &str, name: &str) -> &Service {
        let found = self.member(site).services.iter().find(|(known, _)| known == name);
        found.map_or_else(|| panic!("{site} has no service {name}"), |(_, service)| service)
    }

    /// A service of a site, to stop or start.
    #[track_caller]
    pub fn service_mut(&mut self, site: &str, name: &str) -> &mut Service {
        let found = self.member_mut(site).services.iter_mut().find(|(known, _)| known == name);
        found.map_or_else(|| panic!("{site} has no service {name}"), |(_, service)| service)
    }

    /// Where a site's service is.
    #[track_caller]
    pub fn address(&self, site: &str, service: &str) -> SocketAddr {
        let offered = self.offered.iter().find(|offered| offered.name == service);
        let port = offered.unwrap_or_else(|| panic!("no service {service} is offered")).port;
        self.host(site).at(port)
    }

    /// A connection from a site's host to its own service, as a user's.
    pub fn connect(&self, site: &str, service: &str) -> anyhow::Result<Client> {
        self.host(site).connect(self.address(site, service))
    }

    /// Asks the site's own service for `path` from there, with `scope` in `X-Scope`, on a new connection.
    pub fn get(&self, site: &str, service: &str, path: &str, scope: Option<&str>) -> anyhow::Result<Answer> {
        let scope = scope.map(|scope| format!("X-Scope: {scope}\r\n")).unwrap_or_default();
        let host = self.address(site, service);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{scope}\r\n");
        let mut client = self.connect(site, service)?;
        client.exchange(request).with_context(|| format!("GET {path} at {site} {scope}"))
    }
}

/// 20 ms between the first two, 60 ms otherwise.
fn distances(world: &World, sites: &[String]) {
    for (index, one) in sites.iter().enumerate() {
        for (other_index, other) in sites.iter().enumerate().skip(index + 1) {
            let time = if (index, other_index) == (0, 1) { 20 } else { 60 };
            world.link(one, other).round_trip(Duration::from_millis(time));
        }
    }
}
