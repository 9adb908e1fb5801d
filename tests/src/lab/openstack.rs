//! OpenStack at sites: Keystone, Glance, Placement and Nova of Debian's packages, unmodified, and nothing shared between
//! two sites: users, ids, keys, databases and images are each site's own.
//!
//! A [`Cloud`] is a federation with such a site at each of Berlin, Paris and Nantes. Nova's driver fetches images as
//! libvirt's does and keeps each server's disk as a file: [`Site::disk`]. A small stand-in takes Neutron's place.
//!
//! ```no_run
//! use cheops_tests::lab::openstack::{Api, Ask, Cloud, Image};
//!
//! # fn main() -> anyhow::Result<()> {
//! let cloud = Cloud::builder().image("Paris", Image::public("debian", "Paris's debian ", 4096)).start()?;
//! let (berlin, paris) = (cloud.site("Berlin"), cloud.site("Paris"));
//! let token = berlin.token("demo")?;
//! let ask = Ask::server("my-vm", &paris.image("debian")?).token(&token).scope("{Nova: Berlin, Glance: Paris}");
//! let server = berlin.create(&ask)?;
//! berlin.active(&token, &server)?;
//! assert_eq!(berlin.disk(&server)?, paris.plan().images[0].bytes);
//! print!("{}", berlin.run("demo", &["server", "list"])?);
//! # Ok(())
//! # }
//! ```

mod ask;
mod config;
mod guard;
mod plan;
mod program;
mod rabbit;
mod seed;
mod shared;
mod site;
mod template;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use tempfile::TempDir;

use super::federation::{Builder, Federation, Offered};
use super::host::Host;
use super::world::World;
use super::{Agent, tell};
pub use ask::{Api, Ask, COMPUTE, Token, well};
use guard::Guard;
pub use plan::{Bus, Image, SitePlan};
pub use program::{Passwords, Program};
pub use shared::{IMAGES, shared};
pub use site::Site;

/// The name of the second host of a site that has one, behind the site's.
const SECOND: &str = "-compute";

/// Sites with OpenStack and agents. Taken down when dropped, also by a panic, and when the process ends otherwise.
pub struct Cloud {
    // In this order: the world ends first, with all processes.
    pub federation: Federation,
    sites: Vec<Site>,
    _folder: TempDir,
    _guard: Guard,
}

type Change = dyn FnOnce(Builder<'_>) -> Builder<'_>;

/// What a cloud is to be.
pub struct CloudBuilder {
    sites: Vec<String>,
    plan: SitePlan,
    own: BTreeMap<String, SitePlan>,
    federation: Vec<Box<Change>>,
}

impl CloudBuilder {
    /// These sites instead of Berlin, Paris and Nantes.
    #[must_use]
    pub fn sites(mut self, sites: &[&str]) -> Self {
        self.sites = sites.iter().map(|site| (*site).to_owned()).collect();
        self
    }

    /// Changes what every site is to be. Before [`CloudBuilder::at`].
    #[must_use]
    pub fn every(mut self, change: impl Fn(&mut SitePlan)) -> Self {
        change(&mut self.plan);
        self.own.values_mut().for_each(change);
        self
    }

    /// Changes what one site is to be.
    #[must_use]
    pub fn at(mut self, site: &str, change: impl FnOnce(&mut SitePlan)) -> Self {
        change(self.own.entry(site.to_owned()).or_insert_with(|| self.plan.clone()));
        self
    }

    /// One more image that a site's Glance begins with.
    #[must_use]
    pub fn image(self, site: &str, image: Image) -> Self {
        self.at(site, |plan| plan.images.push(image))
    }

    /// Changes the federation: configuration, agents, further services.
    #[must_use]
    pub fn federation(mut self, change: impl FnOnce(Builder<'_>) -> Builder<'_> + 'static) -> Self {
        self.federation.push(Box::new(change));
        self
    }

    /// Starts all sites at once, then agents; waits until all are ready.
    pub fn start(self) -> anyhow::Result<Cloud> {
        let begin = Instant::now();
        let template = template::ensure()?;
        // All that sites write is in it, so that the guard knows of it before the first of them starts.
        let folder = tempfile::Builder::new().prefix("cheops-lab-openstack-").tempdir()?;
        let mut sites = Vec::new();
        let mut guard = None;
        let names: Vec<&str> = self.sites.iter().map(String::as_str).collect();
        // Sites let each other's users in.
        let mut builder = Federation::builder().sites(&names).overlay("[identity]\ntrust = '*'");
        for api in Api::ALL {
            builder = builder.service(offered(api));
        }
        for change in self.federation {
            builder = change(builder);
        }
        let (plan, own, template, within) = (&self.plan, &self.own, template.as_path(), folder.path());
        let start = |world: &World, hosts: &[Host]| -> anyhow::Result<()> {
            let cgroup = hosts.first().and_then(|host| host.cgroup().parent()).context("a cloud without sites")?;
            guard = Some(Guard::set(cgroup, world.name(), &[within.to_owned()])?);
            let starts = hosts.iter().map(|host| {
                let plan = own.get(host.site()).unwrap_or(plan);
                let second = plan.second.then(|| world.host(host.site(), &format!("{}{SECOND}", host.name())));
                Ok((host, second.transpose()?, plan))
            });
            let starts = starts.collect::<anyhow::Result<Vec<_>>>()?;
            let started = std::thread::scope(|scope| {
                let start =
                    |(host, second, plan)| scope.spawn(move || Site::start(host, second, plan, template, within));
                let threads: Vec<_> = starts.into_iter().map(start).collect();
                let joined = threads.into_iter().map(|thread| thread.join());
                joined.map(|site| site.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
            });
            let started: Vec<anyhow::Result<Site>> = started;
            sites = started.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
            Ok(())
        };
        let federation = builder.before_agents(start).start()?;
        let cloud = Cloud::guarded(federation, sites, folder)?;
        drop(guard);
        cloud.tell_cost(begin.elapsed());
        Ok(cloud)
    }
}

/// A service of OpenStack, at every site, as a federation's agents know it.
fn offered(api: Api) -> Offered {
    Offered::new(api.name(), api.port()).key("type", api.kind()).key("profile", PROFILE).unserved()
}

/// The profile of all services.
const PROFILE: &str = "openstack";

impl Cloud {
    /// Berlin, Paris and Nantes, one process for each one's Nova, and no image.
    pub fn builder() -> CloudBuilder {
        let sites = ["Berlin", "Paris", "Nantes"].map(str::to_owned).into();
        CloudBuilder { sites, plan: SitePlan::default(), own: BTreeMap::new(), federation: Vec::new() }
    }

    /// With a guard that knows of all directories, too.
    fn guarded(federation: Federation, sites: Vec<Site>, folder: TempDir) -> anyhow::Result<Self> {
        let agents = federation.members().iter().filter_map(|member| member.agent.as_ref());
        let directories = agents.map(|agent| agent.files().directory().to_owned());
        let directories: Vec<_> = directories.chain([folder.path().to_owned()]).collect();
        let world = federation.world();
        let cgroup = sites.first().and_then(|site| site.host().cgroup().parent()).context("a cloud without sites")?;
        let guard = Guard::set(cgroup, world.name(), &directories)?;
        Ok(Self { federation, sites, _folder: folder, _guard: guard })
    }

    fn tell_cost(&self, whole: Duration) {
        let costs = self.sites.iter().map(|site| {
            let (pss, rss) = site.memory();
            format!("{} {:.1} s, {pss} MiB (RSS {rss})", site.name(), site.up().as_secs_f64())
        });
        let costs: Vec<String> = costs.collect();
        tell(
            "openstack",
            &format!("{} in {:.1} s with agents: {}", costs.len(), whole.as_secs_f64(), costs.join("; ")),
        );
    }

    /// All sites.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// A site.
    ///
    /// # Panics
    /// When there is none of that name: a test's mistake.
    #[track_caller]
    pub fn site(&self, name: &str) -> &Site {
        let found = self.sites.iter().find(|site| site.name() == name);
        found.unwrap_or_else(|| panic!("this cloud has no site {name}"))
    }

    /// A site's agent.
    #[track_caller]
    pub fn agent(&self, site: &str) -> &Agent {
        self.federation.agent(site)
    }

    /// `cheops exec` at a site, for a user there. Arguments follow: `--scope`, `--`, `openstack`, …
    pub fn exec(&self, site: &str, user: &str) -> anyhow::Result<Command> {
        let agent = self.agent(site);
        let mut command = agent.cheops_command()?;
        self.site(site).dress(&mut command, user);
        command.env("CHEOPS_SOCKET", agent.files().socket()).arg("exec");
        Ok(command)
    }

    /// The ends of what agents and services logged.
    pub fn last_words(&self) -> String {
        let sites = self.sites.iter().map(Site::last_words);
        std::iter::once(self.agents_words(100)).chain(sites).collect()
    }

    /// The last lines of agents' logs.
    pub fn agents_words(&self, count: usize) -> String {
        let agents = self.federation.members().iter().filter_map(|member| member.agent.as_ref());
        let words =
            |agent: &Agent| format!("--- the agent at {}\n{}", agent.host().name(), site::tail(&agent.log(), count));
        agents.map(words).collect()
    }

    /// Whether everything that should run does.
    fn whole(&mut self) -> bool {
        let members = self.federation.members().iter().map(|member| member.host.site().to_owned());
        let members: Vec<String> = members.collect();
        let agents = members.iter().all(|site| {
            let agent = self.federation.member_mut(site).agent.as_mut();
            agent.is_none_or(|agent| matches!(agent.ended(), Ok(None)))
        });
        agents && self.sites.iter().all(|site| site.ended().is_none())
    }
}
