//! `cheops man --out DIR`: the man pages, one a verb, out of the same definitions as `--help`.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory};
use clap_mangen::Man;

use super::{Cli, Exit, agent};

/// The section of commands that administrators use (man(1)).
const SYSTEM: &str = "8";

#[derive(Debug, Args)]
pub struct Arguments {
    /// The directory that the pages are written to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let out = &arguments.out;
    let failed = || format!("can't write to {}", out.display());
    fs::create_dir_all(out).with_context(failed)?;
    Man::new(agent::Arguments::command()).section(SYSTEM).manual("Cheops").generate_to(out).with_context(failed)?;
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), out).with_context(failed)?;
    Ok(Exit::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page() {
        let directory = tempfile::tempdir().expect("a directory");
        run(&Arguments { out: directory.path().to_path_buf() }).expect("pages");
        let cheops = Cli::command();
        for verb in cheops.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let page = directory.path().join(format!("cheops-{}.1", verb.get_name()));
            let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
            assert!(text.contains(".SH SYNOPSIS"), "{text}");
        }
        for page in ["cheops.1", "cheops-agent.8"] {
            assert!(directory.path().join(page).exists(), "{page}");
        }
        assert!(!directory.path().join("cheops-man.1").exists());
    }
}
