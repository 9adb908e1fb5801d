//! Taking programs away that somebody else keeps.

use std::collections::BTreeMap;

use aya::programs::loaded_links;

use super::found;
use super::tree::{Namespace, Tree};
use super::{KernelError, sys};
use crate::config::Config;

/// Takes the programs of this configuration's cgroup tree and this network namespace away, whoever keeps them: also a
/// running agent's, whose services are reached directly from then on. Says which.
///
/// # Errors
/// When the kernel refuses.
pub fn detach(config: &Config) -> Result<Vec<String>, KernelError> {
    let system = |what| move |error| KernelError::System { what, error };
    let tree = Tree::open(&config.intercept.cgroup)?;
    let namespace = Namespace::own()?;
    let found = found::own(&tree, &namespace).map_err(system("can't ask for attached programs"))?;
    let programs: BTreeMap<u32, &found::Found> = found.iter().map(|program| (program.id, program)).collect();
    let mut gone = Vec::new();
    for link in loaded_links().filter_map(Result::ok) {
        if let Some(program) = programs.get(&link.program_id()) {
            sys::detach_link(link.id()).map_err(system("can't detach a program"))?;
            gone.push(format!("{} at {}", program.name, program.hook));
        }
    }
    Ok(gone)
}
