//! `uninstall`: takes away what `install` left behind.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::{LIST, Root};
use crate::run;

#[derive(Args)]
pub struct Options {
    /// Below this directory instead of the system's own.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Also the configuration, the state, and the user and groups.
    #[arg(long)]
    purge: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let root = Root::new(&options.root)?;
    let files = root.list()?;
    if root.is_system() && !files.is_empty() {
        stop()?;
    }
    let mut removed = 0;
    for file in files.iter().map(String::as_str).chain([LIST]) {
        removed += usize::from(root.remove(file)?);
    }
    if options.purge {
        removed += purge(&root)?;
    }
    if root.is_system() && Path::new("/run/systemd/system").exists() {
        run::succeed(run::command("systemctl").arg("daemon-reload"))?;
    }
    println!("removed below {}: {removed} files", root.path.display());
    if !options.purge && root.at("etc/cheops").exists() {
        println!("{} is left; --purge takes it away too", root.at("etc/cheops").display());
    }
    Ok(())
}

/// The agent's stop takes its kernel programs away.
fn stop() -> Result<()> {
    if !Path::new("/run/systemd/system").exists() {
        return Ok(());
    }
    println!("▸ stopping the agent");
    let mut systemctl = run::command("systemctl");
    run::succeed(systemctl.args(["disable", "--now", "--quiet", "cheops-agent.service"]))
}

fn purge(root: &Root) -> Result<usize> {
    let mut removed = 0;
    for directory in ["etc/cheops", "var/lib/cheops"] {
        let path = root.at(directory);
        match fs::remove_dir_all(&path) {
            Ok(()) => {
                println!("  - {}", path.display());
                removed += 1;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("can't remove {}", path.display())),
        }
    }
    if root.is_system() {
        for (program, name) in [("userdel", "cheops-agent"), ("groupdel", "cheops"), ("groupdel", "cheops-admin")] {
            // It may never have been there.
            println!(
                "  - {name}: {}",
                if run::succeed(run::command(program).arg(name)).is_ok() { "gone" } else { "left" }
            );
        }
    }
    Ok(removed)
}
