//! The databases that every site's begin as copies of: migrations take half a minute, a copy takes none.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};

use super::config::{self, database, scripts};
use crate::lab::tell;

/// Whose versions decide what the databases look like.
const PACKAGES: [&str; 5] =
    ["python3-keystone", "python3-glance", "python3-placement", "python3-nova", "python3-openstackclient"];

/// Raised when the steps below change.
const VERSION: u32 = 1;

/// A step: its name, its command, and its arguments behind `--config-file FILE`.
struct Step(&'static str, &'static str, &'static [&'static str]);

/// Two lines of steps that know nothing of each other.
const LINES: [&[Step]; 2] = [
    &[
        Step("keystone", "keystone-manage", &["db_sync"]),
        Step("keystone", "seed", &[]),
        Step("glance", "glance-manage", &["db", "sync"]),
    ],
    &[
        Step("nova", "nova-manage", &["api_db", "sync"]),
        Step("nova", "nova-manage", &["db", "sync", "--local_cell"]),
        Step("placement", "placement-manage", &["db", "sync"]),
    ],
];

/// Where the template is. It is built when there is none for the installed packages, by one process of several.
pub(super) fn ensure() -> anyhow::Result<PathBuf> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/openstack");
    fs::create_dir_all(&base).with_context(|| format!("can't make {}", base.display()))?;
    let base = base.canonicalize()?;
    let whole = base.join(format!("template-{:016x}", key()?));
    if whole.exists() {
        return Ok(whole);
    }
    let lock = fs::File::create(base.join("lock"))?;
    let Ok(_held) = Flock::lock(lock, FlockArg::LockExclusive) else { bail!("can't lock {}", base.display()) };
    if !whole.exists() {
        clear(&base)?;
        let building = base.join("building");
        build(&building)?;
        fs::rename(&building, &whole).with_context(|| format!("can't make {}", whole.display()))?;
    }
    Ok(whole)
}

/// Of what the template is made from.
fn key() -> anyhow::Result<u64> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${db:Status-Status} ${Package} ${Version}\n"]).args(PACKAGES);
    let output = query.stderr(Stdio::null()).output().context("can't run dpkg-query; OpenStack is Debian's here")?;
    let versions = String::from_utf8_lossy(&output.stdout).into_owned();
    if versions.lines().filter(|line| line.starts_with("installed ")).count() != PACKAGES.len() {
        bail!("OpenStack's packages are missing; run: cargo xtask setup");
    }
    let mut hasher = DefaultHasher::new();
    (versions, fs::read(scripts().join("seed.py"))?, VERSION).hash(&mut hasher);
    Ok(hasher.finish())
}

/// Takes away templates of other packages, and what an interrupted build left.
fn clear(base: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(base)?.flatten() {
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn build(folder: &Path) -> anyhow::Result<()> {
    tell("openstack", "making the template of the databases, once (about half a minute)");
    for name in ["db", "etc", "log", "keys/fernet", "keys/credential"] {
        fs::create_dir_all(folder.join(name))?;
    }
    let file = |name: &str, text: String| fs::write(folder.join("etc").join(name), text);
    let nova = format!("[api_database]\n{}[database]\n{}", database(folder, "nova_api"), database(folder, "nova"));
    file("keystone.conf", config::keystone(folder, 3600))?;
    file("glance.conf", format!("[database]\n{}", database(folder, "glance")))?;
    file("placement.conf", format!("[placement_database]\n{}", database(folder, "placement")))?;
    file("nova.conf", nova)?;
    let done = std::thread::scope(|scope| {
        let lines = LINES.map(|steps| scope.spawn(move || steps.iter().try_for_each(|step| step.run(folder))));
        lines.map(|line| line.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    done.into_iter().collect::<anyhow::Result<()>>()?;
    let databases = folder.join("db");
    fs::copy(databases.join("nova.db"), databases.join("nova_cell0.db"))?;
    for entry in fs::read_dir(&databases)?.flatten() {
        fs::rename(entry.path(), folder.join(entry.file_name()))?;
    }
    Ok(())
}

impl Step {
    fn run(&self, folder: &Path) -> anyhow::Result<()> {
        let Self(name, program, arguments) = self;
        let begin = Instant::now();
        let configuration = folder.join("etc").join(format!("{name}.conf"));
        let mut command = if *program == "seed" {
            let mut python = Command::new("/usr/bin/python3");
            python.arg(scripts().join("seed.py")).arg(&configuration);
            python
        } else {
            let mut command = Command::new(format!("/usr/bin/{program}"));
            command.arg("--config-file").arg(&configuration).args(*arguments);
            command
        };
        super::site::plain_environment(&mut command, folder);
        let output = command.stdin(Stdio::null()).output().with_context(|| format!("can't run {program}"))?;
        let line = [&[*program], *arguments].concat().join(" ");
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("{line}: {}: {}", output.status, super::site::tail(&said, 20));
        }
        tell("openstack", &format!("  {line}: {:.1} s", begin.elapsed().as_secs_f64()));
        Ok(())
    }
}
