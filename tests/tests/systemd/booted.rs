//! The agent installed into a system and run by its systemd: one of the test's own, as process 1 of namespaces of its
//! own, with a cgroup tree of its own, whose files are a layer over this machine's.

use std::fs::File;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::bail;
use cheops_agent::kernel::cgroup::{self, Group};
use cheops_tests::lab::eventually;

use super::*;

const SOON: Duration = Duration::from_secs(20);

/// Nothing of the machine is written: /etc and /usr are layers, /run, /tmp, /var and /dev are the system's own. Only the
/// units of `$0/units` exist, so that nothing else of a boot is done. The checkout `$1` is seen also where what stood
/// around it is hidden.
const BOOT: &str = r#"set -e
echo $$ > "$1/cgroup.procs"
exec unshare --fork --kill-child --pid --mount --net --cgroup --uts --ipc sh -ec '
    mount --make-rprivate /
    mount -t proc proc /proc
    exec 9< "$1"
    for own in run tmp var; do mount -t tmpfs tmpfs /$own; done
    if ! test -e "$1"; then mkdir -p "$1"; mount --no-canonicalize --bind /proc/self/fd/9 "$1"; fi
    exec 9<&-
    mkdir -p /run/lock /run/generators /var/lib /var/tmp
    for layer in etc usr; do
        mkdir -p /run/layers/$layer/upper /run/layers/$layer/work
        mount -t overlay overlay -o "lowerdir=/$layer,upperdir=/run/layers/$layer/upper,workdir=/run/layers/$layer/work" /$layer
    done
    mount -t tmpfs tmpfs /run/lock
    mkdir /run/lock/dev
    mount -t tmpfs -o mode=755 tmpfs /run/lock/dev
    for node in null zero full random urandom tty kmsg; do cp -a /dev/$node /run/lock/dev/; done
    mkdir /run/lock/dev/shm /run/lock/dev/pts
    mount -t devpts devpts /run/lock/dev/pts
    ln -s pts/ptmx /run/lock/dev/ptmx
    ln -s /proc/self/fd /run/lock/dev/fd
    mount --move /run/lock/dev /dev
    umount -R /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    ip link set lo up
    exec env -i container=lab PATH=/usr/sbin:/usr/bin SYSTEMD_UNIT_PATH="$0/units" \
        SYSTEMD_GENERATOR_PATH=/run/generators \
        /lib/systemd/systemd --system --unit=lab.target --log-target=null --show-status=no
' "$0" "$2"
"#;

const CONFIGURATION: &str = r#"
site = "Berlin"
[[sites]]
name = "Paris"
peer = "127.0.0.1:7197"
[[services]]
name = "app"
endpoints = { Berlin = "http://127.0.0.1:8080", Paris = "http://10.77.2.1:8080" }
"#;

/// A booted system. Everything of it is killed when dropped.
struct System {
    boot: Child,
    init: String,
    group: Group,
    directory: TempDir,
}

impl System {
    fn boot() -> anyhow::Result<Self> {
        let directory = directory()?;
        units(directory.path())?;
        let group = Group::create(&cgroup::mount()?, &format!("cheops-systemd-{}", std::process::id()))?;
        let log = File::create(directory.path().join("log"))?;
        let mut command = Command::new("sh");
        command.args(["-c", BOOT]).arg(directory.path()).arg(group.path()).arg(project().canonicalize()?);
        let boot = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut system = Self { init: String::new(), boot, group, directory };
        let children = format!("/proc/{0}/task/{0}/children", system.boot.id());
        let booted = || {
            let child = std::fs::read_to_string(&children).ok()?.trim().to_owned();
            (!child.is_empty()).then_some(child)
        };
        if !eventually(SOON, || booted().is_some_and(|init| system.is_up(&init))) {
            bail!("systemd doesn't come up: {}", system.log());
        }
        system.init = booted().context("it is gone again")?;
        Ok(system)
    }

    fn is_up(&self, init: &str) -> bool {
        let state = self.inside(init, &["systemctl", "is-active", "lab.target"]);
        state.is_ok_and(|output| out(&output).trim() == "active")
    }

    fn inside(&self, init: &str, command: &[&str]) -> anyhow::Result<Output> {
        let all = ["--mount", "--net", "--pid", "--cgroup", "--uts", "--ipc", "--wd=/"];
        Ok(Command::new("nsenter").args(["--target", init]).args(all).arg("--").args(command).output()?)
    }

    /// Runs a command in the system.
    fn run(&self, command: &[&str]) -> anyhow::Result<String> {
        let output = self.inside(&self.init, command)?;
        let text = out(&output) + &complaint(&output);
        ensure!(output.status.success(), "{}: {text}{}", command.join(" "), self.log());
        Ok(text)
    }

    /// Runs a command in the system, as a process of its cgroup tree.
    fn user(&self, command: &[&str]) -> anyhow::Result<String> {
        const ENTER: &str =
            r#"mkdir -p /sys/fs/cgroup/users && echo $$ > /sys/fs/cgroup/users/cgroup.procs && exec "$@""#;
        self.run(&[&["sh", "-c", ENTER, "sh"], command].concat())
    }

    fn property(&self, name: &str) -> anyhow::Result<String> {
        Ok(self.run(&["systemctl", "show", "cheops-agent.service", "--value", "--property", name])?.trim().to_owned())
    }

    fn log(&self) -> String {
        let script = "cat /run/agent.log; systemctl status --no-pager --lines=0 cheops-agent.service";
        let said = self.inside(&self.init, &["sh", "-c", script]).map(|output| out(&output)).unwrap_or_default();
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default() + &said
    }
}

impl Drop for System {
    fn drop(&mut self) {
        _ = std::fs::write(self.group.path().join("cgroup.kill"), "1");
        _ = self.boot.wait();
        eventually(SOON, || self.group.remove().is_ok());
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// The targets that units are ordered by, empty, and links to what will be installed, with a shorter watchdog.
fn units(directory: &Path) -> anyhow::Result<()> {
    let units = directory.join("units");
    std::fs::create_dir_all(units.join("cheops-agent.service.d"))?;
    let targets = ["lab", "sysinit", "basic", "sockets", "shutdown", "umount", "multi-user", "network-online"];
    for target in targets {
        std::fs::write(units.join(format!("{target}.target")), "[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\n")?;
    }
    for name in ["cheops-agent.service", "cheops-agent.socket"] {
        std::os::unix::fs::symlink(Path::new("/usr/lib/systemd/system").join(name), units.join(name))?;
    }
    // There is no journal.
    let short = "[Service]\nWatchdogSec=3s\nStandardOutput=file:/run/agent.log\nStandardError=file:/run/agent.log\n";
    std::fs::write(units.join("cheops-agent.service.d/lab.conf"), short)?;
    let serve = "[Unit]\nDefaultDependencies=no\n[Service]\nWorkingDirectory=/usr/share/doc\nExecStart=python3 -m http.server --bind 127.0.0.1 8080\nStandardOutput=null\nStandardError=null\n";
    std::fs::write(units.join("app.service"), serve)?;
    Ok(())
}

#[test]
fn the_agent_is_installed_lives_in_its_sandbox_and_is_taken_away() -> anyhow::Result<()> {
    let system = System::boot()?;
    let xtask = program("xtask")?.display().to_string();
    let said = system.run(&[&xtask, "install", "--debug"])?;
    assert!(said.contains("+ /usr/bin/cheops-agent") && said.contains("next: "), "{said}");
    let configure = format!("cat > /etc/cheops/agent.d/lab.toml <<'END'\n{CONFIGURATION}END\n");
    system.run(&["sh", "-c", &configure])?;
    system.run(&["cheops-agent", "--check-config"])?;
    system.run(&["systemctl", "start", "app.service"])?;
    system.run(&["systemctl", "enable", "--now", "cheops-agent.service"])?;
    lives(&system)?;
    outlives(&system)?;

    let said = system.run(&[&xtask, "uninstall", "--purge"])?;
    assert!(said.contains("- cheops-admin: gone"), "{said}");
    assert!(system.user(&["curl", "-si", URL])?.contains("200 OK"), "the API is reached directly");
    let find = format!(
        "find /usr /etc /run /var /sys/fs/cgroup -path {} -prune -o -path /run/layers -prune -o -iname '*cheops*' -print; \
        getent group | grep cheops; true",
        project().canonicalize()?.display()
    );
    assert_eq!(system.run(&["sh", "-c", &find])?, "", "left behind");
    Ok(())
}

const URL: &str = "http://127.0.0.1:8080/";

/// It serves, as a user of its own.
fn lives(system: &System) -> anyhow::Result<()> {
    let status = system.user(&["cheops", "status", "--wait=10s"])?;
    assert!(status.contains("Berlin"), "{status}");
    assert_eq!(system.property("User")?, "cheops-agent");
    // It makes groups and moves root's processes, though it isn't root.
    let scoped = system.user(&["cheops", "exec", "--scope", "{app: Berlin}", "--", "curl", "-si", URL])?;
    assert!(scoped.contains("X-Cheops-Site: Berlin"), "{scoped}");
    system.run(&["systemctl", "reload", "cheops-agent.service"])?;
    Ok(())
}

/// It is started again when it is killed, and when it hangs.
fn outlives(system: &System) -> anyhow::Result<()> {
    let is_back = |before: &str| {
        let (pid, state) = (system.property("MainPID").ok(), system.property("ActiveState").ok());
        state.as_deref() == Some("active") && pid.is_some_and(|pid| pid != "0" && pid != before)
    };
    for (signal, trouble) in [("-KILL", "it was killed"), ("-STOP", "it hung")] {
        let before = system.property("MainPID")?;
        system.run(&["kill", signal, &before])?;
        assert!(eventually(SOON, || is_back(&before)), "not started again when {trouble}: {}", system.log());
    }
    assert_eq!(system.property("NRestarts")?, "2");
    system.user(&["cheops", "status", "--wait=10s"]).map(drop)
}
