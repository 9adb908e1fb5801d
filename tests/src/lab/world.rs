//! A world: hosts, and the network between their sites.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};

use super::host::{Host, Plan};
use super::relay::{Carried, Relay, Way, Weather};
use super::{cleaning, lock};

/// A packet's size between sites, as on most of the Internet.
const MTU: u16 = 1500;

static WORLDS: AtomicUsize = AtomicUsize::new(0);

/// Hosts and the network between them. All of it is taken down when this is dropped, also by a panic; what a killed
/// test left behind, by the next world.
pub struct World {
    name: String,
    cgroup: PathBuf,
    mtu: u16,
    sites: Mutex<Vec<Site>>,
    relay: Option<Arc<Relay>>,
}

struct Site {
    name: String,
    hosts: Vec<Made>,
}

/// What was made for a host, whether or not all of it could be.
struct Made {
    namespace: String,
    host: Option<Host>,
}

impl World {
    /// A world without hosts.
    ///
    /// # Errors
    /// Without root, cgroup2 or a program that the lab needs; the error says what to do.
    pub fn new() -> anyhow::Result<Self> {
        Self::with_mtu(MTU)
    }

    /// A world whose packets between sites are that long. Longer ones (up to 65,000) carry more bytes a second.
    pub fn with_mtu(mtu: u16) -> anyhow::Result<Self> {
        cleaning::need_root()?;
        let cgroups = cleaning::cgroups()?;
        cleaning::sweep(&cgroups);
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{}-{number}", cleaning::PREFIX, std::process::id());
        let cgroup = cgroups.join(&name);
        std::fs::create_dir(&cgroup).with_context(|| format!("can't make the cgroup {}", cgroup.display()))?;
        Ok(Self { name, cgroup, mtu, sites: Mutex::default(), relay: Some(Arc::new(Relay::start())) })
    }

    /// The site's first host; the site is made when it isn't there. Sites are numbered from 1 as they are made.
    pub fn site(&self, site: &str) -> anyhow::Result<Host> {
        self.host(site, &plain(site))
    }

    /// A further host of a site, in a namespace and cgroup of its own: a client, a second service, a second agent.
    pub fn host(&self, site: &str, name: &str) -> anyhow::Result<Host> {
        let mut sites = lock(&self.sites);
        let index = sites.iter().position(|known| known.name == site).unwrap_or(sites.len());
        if index == sites.len() {
            sites.push(Site { name: site.to_owned(), hosts: Vec::new() });
        }
        let Some(known) = sites.get_mut(index) else { bail!("no site") };
        let same = known.hosts.iter().filter_map(|made| made.host.as_ref()).find(|host| host.name() == name);
        if let Some(host) = same {
            return Ok(host.clone());
        }
        let plan = Plan {
            site: site.to_owned(),
            name: name.to_owned(),
            namespace: format!("{}-{}-{}", self.name, index + 1, plain(name)),
            cgroup: self.cgroup.join(format!("{}-{}", index + 1, plain(name))),
            site_number: u8::try_from(index + 1).context("a world has 255 sites at most")?,
            host_number: u8::try_from(known.hosts.len() + 1).context("a site has 255 hosts at most")?,
            mtu: self.mtu,
        };
        known.hosts.push(Made { namespace: plan.namespace.clone(), host: None });
        let relay = self.relay.as_ref().context("the world is gone")?;
        let host = Host::build(&plan, relay).with_context(|| format!("can't make the host {name} of {site}"))?;
        if let Some(made) = known.hosts.last_mut() {
            made.host = Some(host.clone());
        }
        Ok(host)
    }

    /// Both directions between two sites. The sites must be there.
    ///
    /// # Panics
    /// When one of them is not: a test's mistake.
    #[track_caller]
    pub fn link(&self, one: &str, other: &str) -> Link {
        Link { ways: [self.way(one, other), self.way(other, one)].into() }
    }

    /// The direction from one site to another.
    ///
    /// # Panics
    /// When one of them is not there.
    #[track_caller]
    pub fn one_way(&self, from: &str, to: &str) -> Link {
        Link { ways: [self.way(from, to)].into() }
    }

    /// Cuts a site off from all others, or ends that.
    #[track_caller]
    pub fn isolate(&self, site: &str, cut: bool) {
        let others: Vec<String> = lock(&self.sites).iter().map(|other| other.name.clone()).collect();
        for other in others.iter().filter(|other| *other != site) {
            self.link(site, other).change(|weather| weather.cut = cut);
        }
    }

    /// The world's name: the beginning of its namespaces' and cgroup's.
    pub fn name(&self) -> &str {
        &self.name
    }

    #[track_caller]
    fn way(&self, from: &str, to: &str) -> Arc<Way> {
        let sites = lock(&self.sites);
        let number = |name: &str| {
            let index = sites.iter().position(|site| site.name == name);
            let number = index.and_then(|index| u8::try_from(index + 1).ok());
            number.unwrap_or_else(|| panic!("this world has no site {name}"))
        };
        let (from, to) = (number(from), number(to));
        let Some(relay) = &self.relay else { panic!("the world is gone") };
        relay.way(from, to)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        cleaning::kill(&self.cgroup);
        for made in lock(&self.sites).iter().flat_map(|site| &site.hosts) {
            cleaning::remove_namespace(&made.namespace);
        }
        self.relay = None;
        cleaning::remove_cgroup(&self.cgroup);
    }
}

/// One or both directions between two sites. What is changed holds at once, also for open connections.
pub struct Link {
    ways: Vec<Arc<Way>>,
}

impl Link {
    /// Changes the weather.
    pub fn change(&self, mut change: impl FnMut(&mut Weather)) -> &Self {
        for way in &self.ways {
            way.change(&mut change);
        }
        self
    }

    /// Half of this passes each way.
    pub fn round_trip(&self, time: Duration) -> &Self {
        self.change(|weather| weather.delay = time / 2)
    }

    /// Packets take this long, each way.
    pub fn delay(&self, time: Duration) -> &Self {
        self.change(|weather| weather.delay = time)
    }

    /// Packets take up to this longer.
    pub fn jitter(&self, time: Duration) -> &Self {
        self.change(|weather| weather.jitter = time)
    }

    /// This part of packets is lost: 0 to 1.
    pub fn loss(&self, part: f64) -> &Self {
        self.change(|weather| weather.loss = part)
    }

    /// Bytes a second.
    pub fn rate(&self, bytes: u64) -> &Self {
        self.change(|weather| weather.rate = Some(bytes))
    }

    /// Nothing passes any more, and nobody is told.
    pub fn cut(&self) -> &Self {
        self.change(|weather| weather.cut = true)
    }

    /// Ends a cut.
    pub fn heal(&self) -> &Self {
        self.change(|weather| weather.cut = false)
    }

    /// The weather; of the first direction, if it's both.
    pub fn weather(&self) -> Weather {
        self.ways.first().map(|way| way.weather()).unwrap_or_default()
    }

    /// What passed until now, in all.
    pub fn carried(&self) -> Carried {
        self.ways.iter().map(|way| way.carried()).fold(Carried::default(), |sum, way| Carried {
            packets: sum.packets + way.packets,
            bytes: sum.bytes + way.bytes,
            lost: sum.lost + way.lost,
        })
    }
}

/// A name as a part of a namespace's.
fn plain(name: &str) -> String {
    name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
