//! `install`: the release build, units, profiles, man pages and completions, to where a Debian package would put them;
//! `uninstall` takes them away again, by the list that the installation left.

mod files;
mod remove;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::unistd::geteuid;

use crate::build;
use crate::run;
use crate::setup::{self, Need};

use files::{File, Kind};
pub use remove::{Options as UninstallOptions, run as uninstall};

/// What was installed, one path a line.
const LIST: &str = "usr/share/cheops/installed";

#[derive(Args)]
pub struct Options {
    /// Below this directory instead of the system's own: for packages, and to look at it. Starts and tells nothing.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// The unoptimised build.
    #[arg(long, hide = true)]
    debug: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let root = Root::new(&options.root)?;
    if !options.debug {
        setup::ensure(&[Need::Build])?;
        println!("▸ building");
        build::ebpf()?;
        build::agent(true)?;
    }
    let made = tempfile::tempdir().context("can't make a directory for man pages and completions")?;
    let files = files::all(!options.debug, made.path())?;
    let mut counts = Counts::default();
    for file in &files {
        counts.add(root.put(file)?);
    }
    counts.removed = root.drop_stale(&files)?;
    root.write_list(&files)?;
    println!("installed below {}: {counts}", root.path.display());
    if root.is_system() { settle(counts.written + counts.removed > 0) } else { Ok(()) }
}

/// Users, directories and units become known to the running system, and an agent that runs hands over to what is new.
fn settle(is_new: bool) -> Result<()> {
    for (program, arguments) in
        [("systemd-sysusers", ["cheops.conf"].as_slice()), ("systemd-tmpfiles", &["--create", "cheops.conf"])]
    {
        run::succeed(run::command(program).args(arguments))?;
    }
    if Path::new("/run/systemd/system").exists() {
        run::succeed(run::command("systemctl").arg("daemon-reload"))?;
        if run::output(run::command("systemctl").args(["is-active", "cheops-agent.service"])).is_some() {
            return if is_new { hand_over() } else { Ok(()) };
        }
    }
    println!("next: say in /etc/cheops/agent.toml which site this is, and which services there are, then");
    println!("  cheops-agent --check-config && cheops-agent --check && systemctl enable --now cheops-agent");
    Ok(())
}

/// What a unit newly says of its sandbox holds from the next restart on.
fn hand_over() -> Result<()> {
    let failed =
        "the new files are there, and the agent that ran goes on: see its log, then systemctl restart cheops-agent";
    run::succeed(run::command("cheops").arg("upgrade")).context(failed)
}

/// The directory that everything is installed below.
struct Root {
    path: PathBuf,
}

/// What became of a file.
enum Done {
    Written,
    Unchanged,
    Kept,
}

impl Root {
    fn new(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).context("the root isn't a path")?;
        if path == Path::new("/") && !geteuid().is_root() {
            bail!("installing into the system needs root; --root DIR installs below a directory of your own");
        }
        Ok(Self { path })
    }

    fn is_system(&self) -> bool {
        self.path == Path::new("/")
    }

    fn at(&self, file: &str) -> PathBuf {
        self.path.join(file)
    }

    /// Writes a file whole or not at all; a running program keeps the one that it began with.
    fn put(&self, file: &File) -> Result<Done> {
        let to = self.at(&file.to);
        let failed = || format!("can't install {}", to.display());
        let content = fs::read(&file.from).with_context(|| format!("can't read {}", file.from.display()))?;
        match fs::read(&to) {
            Ok(_) if file.kind == Kind::Configuration => return Ok(Done::Kept),
            Ok(old) if old == content && mode(&to)? == file.kind.mode() => return Ok(Done::Unchanged),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).with_context(failed),
            Ok(_) | Err(_) => {}
        }
        let directory = to.parent().context("a file has a directory")?;
        fs::create_dir_all(directory).with_context(failed)?;
        let mut fresh = tempfile::NamedTempFile::new_in(directory).with_context(failed)?;
        std::io::Write::write_all(&mut fresh, &content).with_context(failed)?;
        fs::set_permissions(fresh.path(), fs::Permissions::from_mode(file.kind.mode())).with_context(failed)?;
        fresh.persist(&to).with_context(failed)?;
        println!("  + {}", to.display());
        Ok(Done::Written)
    }

    /// Removes what an earlier version installed and this one doesn't.
    fn drop_stale(&self, files: &[File]) -> Result<usize> {
        let mut removed = 0;
        for old in self.list()?.iter().filter(|old| !files.iter().any(|file| file.to == **old)) {
            removed += usize::from(self.remove(old)?);
        }
        Ok(removed)
    }

    /// Removes a file, and directories of ours that become empty; whether it was there.
    fn remove(&self, file: &str) -> Result<bool> {
        let path = self.at(file);
        match fs::remove_file(&path) {
            Ok(()) => println!("  - {}", path.display()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).with_context(|| format!("can't remove {}", path.display())),
        }
        for directory in Path::new(file).ancestors().skip(1).filter(|directory| !directory.as_os_str().is_empty()) {
            // In the system itself only directories of ours; one that isn't empty stays.
            let is_ours = directory.iter().any(|name| name == "cheops");
            if self.is_system() && !is_ours || fs::remove_dir(self.path.join(directory)).is_err() {
                break;
            }
        }
        Ok(true)
    }

    /// What is installed; nothing where nothing is.
    fn list(&self) -> Result<Vec<String>> {
        match fs::read_to_string(self.at(LIST)) {
            Ok(list) => Ok(list.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).context("can't read what is installed"),
        }
    }

    fn write_list(&self, files: &[File]) -> Result<()> {
        let installed = files.iter().filter(|file| file.kind != Kind::Configuration);
        let list: String = installed.map(|file| format!("{}\n", file.to)).collect();
        fs::write(self.at(LIST), list).context("can't write down what is installed")
    }
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

#[derive(Default)]
struct Counts {
    written: usize,
    unchanged: usize,
    kept: usize,
    removed: usize,
}

impl Counts {
    fn add(&mut self, done: Done) {
        match done {
            Done::Written => self.written += 1,
            Done::Unchanged => self.unchanged += 1,
            Done::Kept => self.kept += 1,
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { written, unchanged, kept, removed } = self;
        write!(f, "{written} files written, {unchanged} as they were, {removed} of an earlier version removed")?;
        if *kept > 0 { write!(f, ", {kept} of yours in etc kept") } else { Ok(()) }
    }
}
