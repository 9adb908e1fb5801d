//! The other demo: OpenStack at each of three sites, unmodified, its own command, and a scope.

mod scenes;

use std::time::Instant;

use anyhow::Context;
use cheops_tests::interrupt;
use cheops_tests::lab::openstack::{Cloud, Image};
use tempfile::TempDir;

use crate::show::{Shell, note};

/// Sites, and the image that each one's Glance has, and no other's.
const IMAGES: [(&str, &str); 3] = [("Berlin", "cirros"), ("Paris", "debian"), ("Nantes", "alpine")];

/// How many servers Berlin's Nova lets a project have.
const QUOTA: u32 = 2;

/// How the command comes to know what `--scope` is.
const ALIAS: &str = "alias openstack='cheops exec -- openstack'";

pub struct Stage {
    pub berlin: Shell,
    pub paris: Shell,
    pub nantes: Shell,
    pub cloud: Cloud,
    folder: TempDir,
}

/// Builds the stage, plays, and leaves it up if that is wanted.
pub fn run(begin: Instant, keep: bool) -> anyhow::Result<()> {
    let mut stage = Stage::build()?;
    let played = scenes::play(&mut stage);
    if played.is_err() && interrupt::check().is_ok() {
        eprintln!("{}", stage.cloud.agents_words(25));
    }
    played?;
    println!("\nEvery answer was checked; {:.1} s.", begin.elapsed().as_secs_f64());
    if keep {
        stage.keep()?;
    }
    Ok(())
}

impl Stage {
    fn build() -> anyhow::Result<Self> {
        println!(
            "Three sites, each with Keystone, Glance, Placement and Nova (Debian's, unmodified) and Cheops's agent:"
        );
        let folder = tempfile::Builder::new().prefix("cheops-demo-").tempdir().context("can't make a folder")?;
        let mut builder = Cloud::builder();
        for (site, image) in IMAGES {
            builder = builder.image(site, Image::public(image, &format!("{image}, from {site}. "), 1 << 20));
        }
        let mut cloud = builder.at("Berlin", |plan| plan.instances = QUOTA).start()?;
        for (site, image) in IMAGES {
            cloud.federation.agent_mut(site).quiet();
            note(&format!("{site:<7} its Glance has one image: {image}; users, projects, keys: its own"));
        }
        note(
            "Berlin and Paris are 20 ms apart, Nantes is 60 ms from both. Each shell below is demo's, who is no admin.",
        );
        note(&format!("In each of them: {ALIAS}"));
        let (berlin, paris, nantes) = (shell(&cloud, "Berlin")?, shell(&cloud, "Paris")?, shell(&cloud, "Nantes")?);
        Ok(Self { berlin, paris, nantes, cloud, folder })
    }

    /// Leaves everything up until a signal comes, and says how to enter.
    fn keep(&mut self) -> anyhow::Result<()> {
        let berlin = self.cloud.federation.agent_mut("Berlin");
        if berlin.pid().is_none() {
            berlin.restart()?;
        }
        println!("\nThe sites stay up. Enter a machine from another terminal by");
        for shell in [&self.berlin, &self.paris, &self.nantes] {
            println!("  sh {}", shell.script(self.folder.path())?.display());
        }
        println!("and try there: openstack image list --scope '{{Glance: Paris}}'; cheops status");
        println!("End it by Ctrl-C here, or by: kill {}", std::process::id());
        interrupt::wait();
        println!("\nTaken down.");
        Ok(())
    }
}

/// The shell of a site's user at the host of its services: it finds `openstack` and `cheops`.
fn shell(cloud: &Cloud, name: &str) -> anyhow::Result<Shell> {
    let site = cloud.site(name);
    let here = std::env::current_exe()?;
    let programs = here.parent().context("the demo's own folder")?;
    let own = [
        ("PATH", format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", programs.display())),
        ("CHEOPS_SOCKET", cloud.agent(name).files().socket().display().to_string()),
        (
            "DISKS",
            site.directory().join("nova").join(format!("instances-{}", site.host().name())).display().to_string(),
        ),
        // Nothing of whoever runs the demo: no clouds.yaml.
        ("HOME", site.directory().display().to_string()),
    ];
    let variables = site.environment("demo").into_iter().chain(own);
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(Shell { host: site.host().clone(), variables, before: ALIAS })
}
