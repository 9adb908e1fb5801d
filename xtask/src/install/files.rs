//! What is installed, and where.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::build;
use crate::run;

/// One file: where it comes from, and where it goes, relative to the root.
pub struct File {
    pub from: PathBuf,
    pub to: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Program,
    Data,
    /// The administrator's once it is there.
    Configuration,
}

impl Kind {
    pub fn mode(self) -> u32 {
        if self == Self::Program { 0o755 } else { 0o644 }
    }
}

/// Shell, the file of its completions for `cheops`, and for `cheops-agent`.
const COMPLETIONS: &[(&str, &str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/cheops", "usr/share/bash-completion/completions/cheops-agent"),
    ("zsh", "usr/share/zsh/vendor-completions/_cheops", "usr/share/zsh/vendor-completions/_cheops-agent"),
    (
        "fish",
        "usr/share/fish/vendor_completions.d/cheops.fish",
        "usr/share/fish/vendor_completions.d/cheops-agent.fish",
    ),
];

const UNITS: &[(&str, &str)] = &[
    ("cheops-agent.service", "usr/lib/systemd/system/cheops-agent.service"),
    ("cheops.sysusers", "usr/lib/sysusers.d/cheops.conf"),
    ("cheops.tmpfiles", "usr/lib/tmpfiles.d/cheops.conf"),
];

/// Everything; what the programs print themselves (man pages, completions) is made in `made`.
pub fn all(release: bool, made: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for name in ["cheops", "cheops-agent"] {
        files.push(file(build::program(name, release), format!("usr/bin/{name}"), Kind::Program));
    }
    let systemd = run::root().join("systemd");
    files.extend(UNITS.iter().map(|(from, to)| file(systemd.join(from), *to, Kind::Data)));
    for (path, name) in in_directory(&run::root().join("cheops-agent/profiles"))? {
        files.push(file(path, format!("usr/share/cheops/profiles/{name}"), Kind::Data));
    }
    let cheops = build::program("cheops", release);
    pages(&cheops, made, &mut files)?;
    completions(&cheops, made, &mut files)?;
    files.push(file(systemd.join("agent.toml"), "etc/cheops/agent.toml", Kind::Configuration));
    Ok(files)
}

fn pages(cheops: &Path, made: &Path, files: &mut Vec<File>) -> Result<()> {
    let directory = made.join("man");
    run::succeed(Command::new(cheops).args(["man", "--out"]).arg(&directory))?;
    for (path, name) in in_directory(&directory)? {
        let section = name.rsplit('.').next().unwrap_or("1").to_owned();
        files.push(file(path, format!("usr/share/man/man{section}/{name}"), Kind::Data));
    }
    Ok(())
}

fn completions(cheops: &Path, made: &Path, files: &mut Vec<File>) -> Result<()> {
    for (shell, for_cheops, for_agent) in COMPLETIONS {
        for (to, more) in [(for_cheops, [].as_slice()), (for_agent, &["--agent"])] {
            let output = Command::new(cheops).args(["completion", shell]).args(more).output();
            let output = output.with_context(|| format!("can't start {}", cheops.display()))?;
            anyhow::ensure!(output.status.success(), "no completion for {shell}: {}", output.status);
            let path = made.join(format!("{shell}{}", more.len()));
            fs::write(&path, output.stdout).with_context(|| format!("can't write {}", path.display()))?;
            files.push(file(path, *to, Kind::Data));
        }
    }
    Ok(())
}

fn file(from: PathBuf, to: impl Into<String>, kind: Kind) -> File {
    File { from, to: to.into(), kind }
}

/// The files in a directory with their names, in the order of these.
fn in_directory(directory: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("can't read {}", directory.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) {
            found.push((path, name));
        }
    }
    found.sort();
    Ok(found)
}
