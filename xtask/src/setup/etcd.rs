//! etcd as it is today, beside Debian's older one: built from its public Go module, which `tests/etcd` names.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

/// The server, and the tool that restores snapshots, as Go names their packages.
const PACKAGES: &[&str] = &["go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/etcdutl/v3"];

/// The first Go that fetches by itself the one that a module asks for.
const LEAST: (u32, u32) = (1, 21);

fn module() -> PathBuf {
    run::root().join("tests/etcd")
}

fn folder() -> PathBuf {
    run::tools().join("etcd")
}

/// What was built is told by the definition that it was built from.
fn mark() -> PathBuf {
    folder().join("built-from")
}

/// What is missing, if it is.
pub fn missing() -> Option<String> {
    let wanted = fs::read_to_string(module().join("go.mod")).unwrap_or_default();
    let built = fs::read_to_string(mark()).unwrap_or_default();
    (wanted != built).then(|| "etcd of today (built from tests/etcd): the lab's clusters".to_owned())
}

/// Builds it into the project's own tools, unless it is there.
pub fn ensure() -> Result<()> {
    if missing().is_none() {
        return Ok(());
    }
    println!("▸ building etcd of today into target/tools/etcd: sites of the lab keep metadata in it");
    need_go()?;
    let mut build = Command::new("go");
    build.current_dir(module()).env("CGO_ENABLED", "0");
    build.args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"]).arg(folder().join("bin/"));
    fs::create_dir_all(folder().join("bin"))?;
    run::step("etcd", build.args(PACKAGES))?;
    fs::copy(module().join("go.mod"), mark()).with_context(|| format!("can't write {}", mark().display()))?;
    Ok(())
}

fn need_go() -> Result<()> {
    let Some(said) = run::output(Command::new("go").args(["env", "GOVERSION"])) else {
        bail!("etcd of today is built with Go, which isn't here: install Go {}.{} or newer", LEAST.0, LEAST.1);
    };
    if parse(&said).is_none_or(|version| version < LEAST) {
        bail!("Go {}.{} or newer is needed to build etcd of today; this is {}", LEAST.0, LEAST.1, said.trim());
    }
    Ok(())
}

/// The version in `go1.26.8`.
fn parse(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.trim().strip_prefix("go")?.split('.');
    let major = numbers.next()?.parse().ok()?;
    let minor: String = numbers.next()?.chars().take_while(char::is_ascii_digit).collect();
    Some((major, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go_are_read() {
        assert_eq!(parse("go1.26.8\n"), Some((1, 26)));
        assert_eq!(parse("go1.21rc2"), Some((1, 21)));
        assert_eq!(parse("devel"), None);
    }
}
