//! A systemd of the test's own: process 1 of namespaces of its own, with a cgroup tree of its own, whose files are a
//! layer over this machine's.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use super::agent::files::threads;
use super::door::Door;
use super::{CONNECT, Client, Service, cleaning, eventually, program};

const SOON: Duration = Duration::from_secs(60);

const BOOT: &str = include_str!("system/boot.sh");

/// What units are ordered by; all of these are empty.
const TARGETS: [&str; 8] = ["lab", "sysinit", "basic", "sockets", "shutdown", "umount", "multi-user", "network-online"];

/// The agent's unit.
pub const AGENT: &str = "cheops-agent.service";

/// Where the agent's unit writes what it logs, in the system: there is no journal.
pub const AGENT_LOG: &str = "/run/agent.log";

/// Puts the process that becomes the program into the system's cgroup tree, outside of every unit.
const ENTER: &str = r#"echo $$ > /sys/fs/cgroup/users/cgroup.procs && exec "$@""#;

/// What a system is booted with.
pub struct Boot {
    directory: TempDir,
}

impl Boot {
    /// A file of the name in the directory of units.
    pub fn unit(self, name: &str, text: &str) -> anyhow::Result<Self> {
        std::fs::write(self.units().join(name), text)?;
        Ok(self)
    }

    /// A drop-in of the name for a unit, such as `limits.conf`.
    pub fn drop_in(self, unit: &str, name: &str, text: &str) -> anyhow::Result<Self> {
        let directory = self.units().join(format!("{unit}.d"));
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(name), text)?;
        Ok(self)
    }

    /// A service that runs `command`; see systemd.service(5) for how it is written. Not started.
    pub fn service(self, name: &str, command: &str) -> anyhow::Result<Self> {
        let text = format!(
            "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart={command}\nWorkingDirectory=/usr/share/doc\n\
            StandardOutput=null\nStandardError=null\n"
        );
        self.unit(&format!("{name}.service"), &text)
    }

    /// Boots it.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub fn start(self) -> anyhow::Result<System> {
        System::start(self.directory)
    }

    fn units(&self) -> PathBuf {
        self.directory.path().join("units")
    }
}

/// A booted system. Everything of it is killed when dropped, and nothing of it is left.
pub struct System {
    boot: Child,
    init: String,
    door: Option<Arc<Door>>,
    cgroup: PathBuf,
    directory: TempDir,
}

impl System {
    /// A system with the agent's unit, as it will be installed, and no other.
    ///
    /// # Errors
    /// When this isn't root, or files can't be written.
    pub fn builder() -> anyhow::Result<Boot> {
        cleaning::need_root()?;
        // Beside the programs: /tmp is hidden from the system.
        let beside = program("cheops-agent")?;
        let beside = beside.parent().context("a program has a directory")?;
        let directory = tempfile::Builder::new().prefix(cleaning::PREFIX).tempdir_in(beside)?;
        let boot = Boot { directory };
        std::fs::create_dir_all(boot.units())?;
        for target in TARGETS {
            std::fs::write(
                boot.units().join(format!("{target}.target")),
                "[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\n",
            )?;
        }
        std::os::unix::fs::symlink(Path::new("/usr/lib/systemd/system").join(AGENT), boot.units().join(AGENT))?;
        let log = format!("[Service]\nStandardOutput=append:{AGENT_LOG}\nStandardError=append:{AGENT_LOG}\n");
        boot.drop_in(AGENT, "00-lab-log.conf", &log)
    }

    fn start(directory: TempDir) -> anyhow::Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let cgroups = cleaning::cgroups()?;
        cleaning::sweep(&cgroups);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let cgroup = cgroups.join(format!("{}{}-system-{count}", cleaning::PREFIX, std::process::id()));
        std::fs::create_dir(&cgroup).with_context(|| format!("can't make the cgroup {}", cgroup.display()))?;
        let log = File::create(directory.path().join("log"))?;
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
        let mut command = Command::new("sh");
        command.args(["-c", BOOT]).arg(directory.path()).arg(&cgroup).arg(checkout);
        let boot = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut system = Self { boot, init: String::new(), door: None, cgroup, directory };
        let children = format!("/proc/{0}/task/{0}/children", system.boot.id());
        let booted = || {
            let child = std::fs::read_to_string(&children).ok()?.trim().to_owned();
            (!child.is_empty()).then_some(child)
        };
        if !eventually(SOON, || booted().is_some_and(|init| system.is_up(&init))) {
            bail!("systemd doesn't come up: {}", system.log());
        }
        system.init = booted().context("it is gone again")?;
        let door = Door::open(&mut system.user_command(&program("cheops-lab-door")?.display().to_string()))?;
        system.door = Some(Arc::new(door));
        Ok(system)
    }

    fn is_up(&self, init: &str) -> bool {
        let state = inside(init, "systemctl").args(["is-active", "lab.target"]).output();
        state.is_ok_and(|output| output.stdout.trim_ascii() == b"active")
    }

    /// A command that runs `program` in the system, in the cgroup that this process is in: kernel programs of the system
    /// don't see its connections.
    pub fn command(&self, program: &str) -> Command {
        inside(&self.init, program)
    }

    /// A command that runs `program` in the system, as a process of its cgroup tree.
    pub fn user_command(&self, program: &str) -> Command {
        let mut command = inside(&self.init, "sh");
        command.args(["-c", ENTER, "sh", program]);
        command
    }

    /// Runs a command in the system; what it said.
    ///
    /// # Errors
    /// When it fails.
    pub fn run(&self, command: &[&str]) -> anyhow::Result<String> {
        self.finish(command, Self::command)
    }

    /// Runs a command in the system, as a process of its cgroup tree; what it said.
    ///
    /// # Errors
    /// When it fails.
    pub fn user(&self, command: &[&str]) -> anyhow::Result<String> {
        self.finish(command, Self::user_command)
    }

    /// Runs a shell script in the system; what it said.
    ///
    /// # Errors
    /// When it fails.
    pub fn script(&self, script: &str) -> anyhow::Result<String> {
        self.run(&["sh", "-ec", script])
    }

    fn finish(&self, command: &[&str], make: impl Fn(&Self, &str) -> Command) -> anyhow::Result<String> {
        let (program, arguments) = command.split_first().context("no command")?;
        let output = make(self, program).args(arguments).stdin(Stdio::null()).output()?;
        let text = said(&output);
        ensure!(output.status.success(), "{}: {text}{}", command.join(" "), self.log());
        Ok(text)
    }

    /// A connection out of the system's cgroup tree: what its kernel programs take.
    ///
    /// # Errors
    /// As connect(2).
    pub fn connect(&self, to: SocketAddr) -> anyhow::Result<Client> {
        Client::new(self.connect_stream(to, CONNECT).with_context(|| format!("to {to}"))?)
    }

    /// As [`System::connect`], with the kernel's own error.
    ///
    /// # Errors
    /// As connect(2).
    pub fn connect_stream(&self, to: SocketAddr, within: Duration) -> std::io::Result<TcpStream> {
        self.door.as_ref().ok_or_else(|| std::io::Error::other("the system has no door"))?.connect(None, to, within)
    }

    /// A recording service at these addresses of the system, whose site calls itself `Berlin`.
    ///
    /// # Errors
    /// When it can't listen there.
    pub fn serve(&self, name: &str, at: &[SocketAddr]) -> anyhow::Result<Service> {
        let door = self.door.clone().context("the system has no door")?;
        let listen = move |at| door.listen(at).with_context(|| format!("can't listen at {at} of the system"));
        Service::open("Berlin", name, at, Arc::new(listen))
    }

    /// What the kernel programs counted since they were first loaded, by hook and by what they did.
    ///
    /// # Errors
    /// When no agent answers.
    pub fn counter(&self, hook: &str, what: &str) -> anyhow::Result<u64> {
        let metrics = self.user(&["curl", "-s", "--unix-socket", "/run/cheops/admin.sock", "http://agent/metrics"])?;
        let label = |name: &str, value: &str| format!("{name}=\"{value}\"");
        let line = metrics.lines().find(|line| {
            line.starts_with("cheops_kernel_total")
                && line.contains(&label("hook", hook))
                && line.contains(&label("reason", what))
        });
        let line = line.with_context(|| format!("there is no counter {hook} {what}: {metrics}"))?;
        Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
    }

    /// How many programs are attached: those that systemd keeps and those of the agent, each once; 8 are one set.
    ///
    /// # Errors
    /// When systemd doesn't tell.
    pub fn attached(&self) -> anyhow::Result<usize> {
        let ids = "cat /proc/1/fdinfo/* /proc/[0-9]*/fdinfo/* 2>/dev/null | grep '^link_id:' | sort -u | wc -l";
        Ok(self.script(ids)?.trim().parse()?)
    }

    /// What the agent's unit has as this property, such as `MainPID` or `NRestarts`.
    ///
    /// # Errors
    /// When systemd doesn't tell.
    pub fn property(&self, name: &str) -> anyhow::Result<String> {
        Ok(self.run(&["systemctl", "show", AGENT, "--value", "--property", name])?.trim().to_owned())
    }

    /// Installs the agent by `cargo xtask install`, and gives it this configuration besides the shipped one.
    ///
    /// # Errors
    /// When it can't be installed, or the configuration isn't valid.
    pub fn install(&self, configuration: &str) -> anyhow::Result<String> {
        let xtask = program("xtask")?.display().to_string();
        let said = self.run(&[&xtask, "install", "--debug"])?;
        self.configure(configuration)?;
        self.run(&["cheops-agent", "--check-config"])?;
        Ok(said)
    }

    /// Replaces the configuration that stands besides the shipped one. The agent isn't told.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn configure(&self, configuration: &str) -> anyhow::Result<()> {
        // Before everything that may be a table's.
        let threads = threads()?.map(|threads| format!("threads = {threads}\n")).unwrap_or_default();
        self.script(&format!("cat > /etc/cheops/agent.d/lab.toml <<'END'\n{threads}{configuration}\nEND\n")).map(drop)
    }

    /// The process of the system's systemd, as this machine numbers it.
    pub fn init(&self) -> &str {
        &self.init
    }

    /// The cgroup that is the system's tree, as this machine sees it.
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// What the boot and the agent said, and how its unit is.
    pub fn log(&self) -> String {
        let script = format!("cat {AGENT_LOG}; systemctl status --no-pager --lines=0 {AGENT}");
        let said = self.command("sh").args(["-c", &script]).output().map(|output| said(&output)).unwrap_or_default();
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default() + &said
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        self.door = None;
        cleaning::kill(&self.cgroup);
        _ = self.boot.kill();
        _ = self.boot.wait();
        cleaning::remove_cgroup(&self.cgroup);
    }
}

/// A command in the namespaces of the process.
fn inside(init: &str, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command
        .args(["--target", init, "--mount", "--net", "--pid", "--cgroup", "--uts", "--ipc", "--wd=/", "--", program]);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
