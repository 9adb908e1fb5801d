//! The stage: three sites, Kinto and an agent at each, and a laptop at Berlin that knows of neither.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use cheops_tests::lab::{Agent, Etcd, EtcdCluster, Federation, Host, Offered, World};
use tempfile::TempDir;

use crate::kinto;
use crate::show::{Shell, note};
use cheops_tests::interrupt;

/// Sites, and the image that each one's Kinto holds.
const IMAGES: [(&str, &str); 3] = [("Berlin", "debian"), ("Paris", "fedora"), ("Nantes", "alpine")];

pub struct Stage {
    /// A machine at Berlin without an agent.
    pub laptop: Shell,
    /// The machine of Berlin's Kinto and agent.
    pub berlin: Shell,
    /// The machine of Paris's Kinto and agent.
    pub paris: Shell,
    /// The machine of Nantes's Kinto and agent.
    pub nantes: Shell,
    federation: Federation,
    folder: TempDir,
}

impl Stage {
    pub fn build(kinto: &Path) -> anyhow::Result<Self> {
        println!("Three sites, each with Kinto (a JSON store made by others, unmodified) and Cheops's agent:");
        let folder = tempfile::Builder::new().prefix("cheops-demo-").tempdir().context("can't make a folder")?;
        let mut federation = Federation::builder()
            .service(Offered::new("Kinto", kinto::PORT).key("type", "records").unserved())
            .overlay("[log]\nlevel = \"info\"\n")
            .prepare(|host| start_kinto(host, kinto, folder.path()))
            .joining(EtcdCluster::debian())
            .start()?;
        for (site, _) in IMAGES {
            federation.agent_mut(site).quiet();
        }
        note("Berlin and Paris are 20 ms apart, Nantes is 60 ms from both. A member of etcd is at each.");
        let laptop = Shell {
            host: federation.world().host("Berlin", "laptop")?,
            variables: vec![api(federation.host("Berlin"))],
            before: "",
        };
        note("In each shell below, $API is the images' URL at that shell's own site, such as");
        laptop.variables.iter().for_each(|(name, value)| note(&format!("  {name}={value}")));
        let (berlin, paris, nantes) =
            (at_agent(&federation, "Berlin")?, at_agent(&federation, "Paris")?, at_agent(&federation, "Nantes")?);
        Ok(Self { laptop, berlin, paris, nantes, federation, folder })
    }

    pub fn world(&self) -> &World {
        self.federation.world()
    }

    /// The metadata cluster.
    pub fn etcd(&self) -> &Etcd {
        self.federation.etcd()
    }

    /// The agent at a site.
    pub fn agent(&mut self, site: &str) -> &mut Agent {
        self.federation.agent_mut(site)
    }

    /// The ends of the agents' logs, for a failure.
    pub fn print_logs(&self) {
        for agent in self.federation.members().iter().filter_map(|member| member.agent.as_ref()) {
            let log = agent.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the agent at {}", agent.host().site());
            lines.iter().skip(lines.len().saturating_sub(25)).for_each(|line| eprintln!("{line}"));
        }
    }

    /// Leaves everything up until a signal comes, and says how to enter.
    pub fn keep(&mut self) -> anyhow::Result<()> {
        let berlin = self.agent("Berlin");
        if berlin.pid().is_none() {
            berlin.launch()?;
            berlin.wait_ready(Duration::from_secs(30))?;
        }
        println!("\nThe sites stay up. Enter a machine from another terminal by");
        for shell in [&self.laptop, &self.berlin, &self.paris, &self.nantes] {
            println!("  sh {}", shell.script(self.folder.path())?.display());
        }
        println!("and try there: curl -i -H 'X-Scope: {{Kinto: Paris}}' $API; cheops status (not on the laptop)");
        println!("End it by Ctrl-C here, or by: kill {}", std::process::id());
        interrupt::wait();
        println!("\nTaken down.");
        Ok(())
    }
}

fn start_kinto(host: &Host, kinto: &Path, folder: &Path) -> anyhow::Result<()> {
    let image = IMAGES.iter().find(|(site, _)| *site == host.site()).map(|(_, image)| *image).context("no image")?;
    kinto::start(host, kinto, folder, image)?;
    note(&format!("{:<7} http://{}  its store holds one image: {image}", host.site(), host.at(kinto::PORT)));
    Ok(())
}

/// A shell at a host that has an agent: it finds `cheops`, and `cheops` its agent.
fn at_agent(federation: &Federation, site: &str) -> anyhow::Result<Shell> {
    let host = federation.host(site).clone();
    let here = std::env::current_exe()?;
    let programs = here.parent().context("the demo's own folder")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let socket = federation.agent(site).files().socket();
    let variables = vec![
        api(&host),
        ("CHEOPS_SOCKET".to_owned(), socket.display().to_string()),
        ("PATH".to_owned(), format!("{}:{path}", programs.display())),
    ];
    Ok(Shell { host, variables, before: "" })
}

fn api(host: &Host) -> (String, String) {
    ("API".to_owned(), format!("http://{}/v1/buckets/images/collections/disks/records", host.at(kinto::PORT)))
}
