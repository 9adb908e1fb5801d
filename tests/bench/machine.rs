//! What the figures were measured on.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Processor, kernel, and the version of each program.
pub fn describe(envoy: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("of an unknown kind");
    let agent = std::env::var("CHEOPS_AGENT_BIN").unwrap_or_default();
    let mut lines = vec![
        format!("{} processors: {}", std::thread::available_parallelism()?, model.trim_start_matches([' ', '\t', ':'])),
        format!("Linux {}", nix::sys::utsname::uname()?.release().to_string_lossy()),
        version(Path::new(&agent), "--version"),
        version(Path::new("/usr/sbin/nginx"), "-v"),
        version(Path::new("/usr/sbin/haproxy"), "-v"),
        version(Path::new("wrk"), "-v"),
    ];
    lines.push(match envoy {
        Some(envoy) => version(envoy, "--version"),
        None => "Envoy is absent: its package from PyPI couldn't be installed on this machine".to_owned(),
    });
    Ok(lines)
}

/// The first line of what a program says of itself.
fn version(program: &Path, flag: &str) -> String {
    let said = Command::new(program).arg(flag).output().map(|output| [output.stdout, output.stderr].concat());
    let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
    let line = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    // Envoy names its own path, which says nothing.
    format!("{name}: {}", line.rsplit_once("  version: ").map_or(line, |(_, version)| version))
}
