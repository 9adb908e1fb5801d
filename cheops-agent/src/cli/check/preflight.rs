//! Checks that need no running agent: `cheops check --pre` and `cheops-agent --check`.

use std::path::Path;

use crate::config;
use crate::observe::{Check, Grade};

/// Looks at the configuration and at what this host offers. Changes nothing.
pub fn checks(config: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    match config::load(config) {
        Ok(loaded) => {
            checks.push(configuration(config, &loaded));
            checks.extend(host(&loaded.config));
        }
        Err(error) => checks.push(Check::not(
            "configuration",
            Grade::Fail,
            error.to_string().lines().next().unwrap_or_default(),
            format!("See all of it with: cheops-agent --check-config --config {}", config.display()),
        )),
    }
    checks
}

fn host(config: &config::Config) -> Vec<Check> {
    match config.intercept.mode {
        config::InterceptMode::Ebpf => crate::kernel::preflight(config),
        config::InterceptMode::Off => vec![Check::ok("kernel", "intercept.mode is off: no kernel programs are needed")],
    }
}

fn configuration(path: &Path, loaded: &config::Loaded) -> Check {
    match loaded.warnings.first() {
        None => Check::ok("configuration", format!("{} is valid", path.display())),
        Some(first) => Check::not(
            "configuration",
            Grade::Warn,
            format!("{} warnings, the first: {}", loaded.warnings.len(), first.message),
            format!("See all of them with: cheops-agent --check-config --config {}", path.display()),
        ),
    }
}
