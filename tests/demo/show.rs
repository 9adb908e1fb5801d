//! What a spectator sees: each command as it was typed, its real answer, and why.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use cheops_tests::lab::{Host, eventually};

use cheops_tests::interrupt;

/// How long a spectator waits at most.
const PATIENCE: Duration = Duration::from_secs(120);

/// A place where commands are typed: a host, and what the shell there knows.
pub struct Shell {
    pub host: Host,
    pub variables: Vec<(String, String)>,
    /// What was typed there before everything else, such as an alias.
    pub before: &'static str,
}

/// What a command said.
pub struct Said {
    pub out: String,
    pub error: String,
    pub code: i32,
}

impl Shell {
    /// The command that runs `line` by a shell at this place.
    pub fn command(&self, line: &str) -> Command {
        let mut command = self.host.command("sh");
        command.args(["-c", &format!("{}\n{line}", self.before)]).stdin(Stdio::null());
        command.env("NO_COLOR", "1").envs(self.variables.iter().cloned());
        command
    }

    /// Runs a line without showing it.
    pub fn quietly(&self, line: &str) -> anyhow::Result<Said> {
        let output = self.command(line).output().with_context(|| format!("can't run {line}"))?;
        Ok(Said::from(&output))
    }

    /// Runs a line, shows it and its answer, and checks the answer.
    pub fn shows(&self, line: &str, check: impl FnOnce(&Said) -> bool) -> anyhow::Result<Said> {
        typed(self.host.name(), line);
        let said = self.quietly(line)?;
        interrupt::check()?;
        said.print();
        if !check(&said) {
            bail!("that is not the answer it should be (exit code {}): {line}", said.code);
        }
        Ok(said)
    }

    /// Waits, without showing it, until a line's output fits.
    pub fn until(&self, what: &str, line: &str, fits: impl Fn(&Said) -> bool) -> anyhow::Result<()> {
        let mut last = String::new();
        let mut good = || match self.quietly(line) {
            Ok(said) if fits(&said) => true,
            Ok(said) => {
                last = format!("{}{}", said.out, said.error);
                false
            }
            Err(error) => {
                last = format!("{error:#}");
                false
            }
        };
        let fitted = eventually(PATIENCE, || interrupt::check().is_err() || good());
        interrupt::check()?;
        if !fitted {
            bail!("{what}: not within {} s; {line} says: {last}", PATIENCE.as_secs());
        }
        Ok(())
    }
}

impl Shell {
    /// Writes a script that enters the place: its cgroup, where the kernel programs look, and its network.
    pub fn script(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let name = self.host.name();
        let (path, rc) = (folder.join(format!("enter-{name}")), folder.join(format!("rc-{name}")));
        let variables: Vec<String> = self.variables.iter().map(|(name, value)| format!("{name}='{value}'")).collect();
        let text = format!(
            "echo $$ > {}/cgroup.procs && exec nsenter --net=/run/netns/{} env {} bash --rcfile {}\n",
            self.host.cgroup().display(),
            self.host.namespace(),
            variables.join(" "),
            rc.display(),
        );
        fs::write(&rc, format!("PS1='{name} $ '\n{}\n", self.before))?;
        fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
        Ok(path)
    }
}

impl Said {
    pub fn from(output: &Output) -> Self {
        Self {
            out: String::from_utf8_lossy(&output.stdout).replace('\r', ""),
            error: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code().unwrap_or(-1),
        }
    }

    /// Whether both streams together hold `text`.
    pub fn has(&self, text: &str) -> bool {
        self.out.contains(text) || self.error.contains(text)
    }

    /// Prints what was said; of an HTTP answer's head only what the spectator looks for, and how much else there was.
    fn print(&self) {
        let mut in_head = self.out.starts_with("HTTP/");
        let mut left_out = 0;
        for line in self.out.lines() {
            if in_head && line.is_empty() {
                in_head = false;
                if left_out > 0 {
                    answer(&dim(&format!("(and {left_out} more header lines)")));
                }
            } else if in_head && !shown(line) {
                left_out += 1;
            } else {
                answer(line);
            }
        }
        self.error.lines().for_each(answer);
        if self.code != 0 {
            answer(&dim(&format!("(exit code {})", self.code)));
        }
        _ = std::io::stdout().flush();
    }
}

/// Whether a line of an answer's head is what the spectator looks for.
fn shown(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
    line.starts_with("HTTP/") || name.starts_with("x-cheops-") || name == "server" || name == "content-type"
}

/// Begins a scene.
pub fn scene(number: &mut u32, title: &str) {
    *number += 1;
    println!("\n{}", bold(&format!("── {number}. {title}")));
}

/// Says why the answer is as it is.
pub fn why(text: &str) {
    println!("  {} {text}", bold("⇒"));
}

/// Says what is being done that isn't a command of the spectator's.
pub fn note(text: &str) {
    println!("  {text}");
}

/// Shows a command as typed.
pub fn typed(place: &str, line: &str) {
    println!("  {} {}", dim(&format!("{place} $")), bold(line));
}

/// Shows a line of an answer.
pub fn answer(line: &str) {
    println!("    {line}");
}

fn bold(text: &str) -> String {
    styled("1", text)
}

fn dim(text: &str) -> String {
    styled("2", text)
}

fn styled(style: &str, text: &str) -> String {
    let plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if plain { text.to_owned() } else { format!("\u{1b}[{style}m{text}\u{1b}[0m") }
}
