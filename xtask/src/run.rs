//! Running other programs, with progress and with what they said when they fail.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Where set-up keeps its tools and the logs of what it ran.
pub fn tools() -> PathBuf {
    root().join("target/tools")
}

/// A command in the project's root, free of what `cargo run` set for this process: another toolchain's cargo would be
/// misled by it.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    clean(&mut command);
    command
}

/// This workspace's cargo, and its compiler: without the toolchain's name rustup would look for another one where a
/// dependency says which one its own authors use.
pub fn cargo() -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    if let Some(toolchain) = std::env::var_os("RUSTUP_TOOLCHAIN") {
        cargo.env("RUSTUP_TOOLCHAIN", toolchain);
    }
    cargo
}

fn clean(command: &mut Command) {
    const KEPT: &[&str] = &[
        "CARGO_HOME",
        "CARGO_TARGET_DIR",
        "CARGO_NET_OFFLINE",
        "CARGO_HTTP_CAINFO",
        "CARGO_TERM_COLOR",
        "CARGO_BUILD_JOBS",
    ];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let cargos = text.starts_with("CARGO") && !text.starts_with("CARGO_REGISTRIES_") && !KEPT.contains(&&*text);
        let compilers =
            ["RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN", "RUST_RECURSION_COUNT", "LD_LIBRARY_PATH"];
        if cargos || compilers.contains(&&*text) {
            command.env_remove(&name);
        }
    }
}

/// A `PATH` that begins with `first`.
pub fn path_with(first: &Path) -> std::ffi::OsString {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(first.to_path_buf()).chain(std::env::split_paths(&rest));
    std::env::join_paths(all).unwrap_or(rest)
}

/// Runs `command` with this terminal as its own; an error if it doesn't end well.
pub fn succeed(command: &mut Command) -> Result<()> {
    let name = describe(command);
    let status = command.status().with_context(|| format!("can't start {name}"))?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(())
}

/// What `command` prints, or `None` if it can't be started or doesn't end well.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where the output of a step goes.
pub fn log(name: &str) -> PathBuf {
    tools().join(format!("log/{name}.log"))
}

/// Runs `command` for a step of the set-up: its output goes to a log file, and every few seconds a line tells how far
/// it is. If it fails, the end of the log is shown.
pub fn step(name: &str, command: &mut Command) -> Result<()> {
    let path = log(name);
    let logs = path.parent().unwrap_or(&path);
    fs::create_dir_all(logs).with_context(|| format!("can't make {}", logs.display()))?;
    let log = File::create(&path).with_context(|| format!("can't write {}", path.display()))?;
    let described = describe(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("can't start {described}"))?;
    let begin = Instant::now();
    let mut told = begin;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if told.elapsed() > Duration::from_secs(5) {
            told = Instant::now();
            println!("    {:>3} s  {}", begin.elapsed().as_secs(), last_line(&path));
            std::io::stdout().flush()?;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    if !status.success() {
        let log = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(30)) {
            eprintln!("    | {line}");
        }
        bail!("{described}: {status} (all of it: {})", path.display());
    }
    println!("    done in {:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// A command as a person would type it, shortened.
fn describe(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .take(8)
        .map(|word| word.to_string_lossy())
        .collect();
    words.join(" ")
}

fn last_line(path: &Path) -> String {
    let lines = File::open(path).ok().map(|file| BufReader::new(file).lines().map_while(|line| line.ok()));
    let last = lines.and_then(|lines| lines.filter(|line| !line.trim().is_empty()).last()).unwrap_or_default();
    last.chars().take(100).collect()
}
