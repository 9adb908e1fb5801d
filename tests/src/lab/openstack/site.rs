//! One site's OpenStack: its files and its processes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use super::ask::{Api, Ask};
use super::config::{Values, scripts};
use super::plan::{Bus, SitePlan};
use super::program::{Passwords, Program};
use super::rabbit;
use crate::lab::{Host, eventually, lock};

/// How long a site may take to be up, however busy the machine.
const UP: Duration = Duration::from_secs(180);

/// Lines of a log that an error shows.
const SHOWN: usize = 25;

/// An OpenStack of one site: real services, nothing shared with another site's. Its processes end when this is dropped.
pub struct Site {
    host: Host,
    second: Option<Host>,
    plan: SitePlan,
    passwords: Passwords,
    processes: Mutex<BTreeMap<Program, Child>>,
    directory: TempDir,
    up: Mutex<Duration>,
}

impl Site {
    /// Starts the services of a site, and waits until all of them work and its images are there.
    pub(super) fn start(
        host: &Host,
        second: Option<Host>,
        plan: &SitePlan,
        template: &Path,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let begin = Instant::now();
        let directory = tempfile::Builder::new().prefix(host.name()).tempdir_in(folder)?;
        let site = Self {
            host: host.clone(),
            second,
            plan: plan.clone(),
            passwords: Passwords::new(),
            processes: Mutex::default(),
            directory,
            up: Mutex::default(),
        };
        site.files(template)?;
        if site.plan.bus == Bus::Rabbit {
            site.start_program(Program::Rabbit)?;
        }
        for program in [Program::Keystone, Program::Placement, Program::Glance, Program::Neutron] {
            site.start_program(program)?;
        }
        if site.plan.bus == Bus::Rabbit {
            site.wait(Program::Rabbit)?;
        }
        let computes = site.nova_programs();
        computes.iter().try_for_each(|program| site.start_program(*program))?;
        site.running().into_iter().try_for_each(|program| site.wait(program))?;
        site.wait_computes()?;
        site.seed()?;
        *lock(&site.up) = begin.elapsed();
        Ok(site)
    }

    fn files(&self, template: &Path) -> anyhow::Result<()> {
        let directory = self.directory.path();
        for name in ["db", "etc", "log", "keys", "images", "staging", "cache", "lock", "nova"] {
            fs::create_dir_all(directory.join(name))?;
        }
        let values = Values { host: &self.host, directory, passwords: &self.passwords, plan: &self.plan };
        values.write()?;
        rabbit::write(directory, &self.host, self.passwords.of("rabbit"))?;
        let mut hosts = vec![self.host.name()];
        if let Some(second) = &self.second {
            values.write_compute(second)?;
            hosts.push(second.name());
        }
        let passwords: BTreeMap<_, _> = self.passwords.all().filter(|(user, _)| *user != "rabbit").collect();
        let settings = serde_json::json!({
            "address": self.host.ipv4().to_string(), "passwords": passwords, "hosts": hosts, "bus": values.bus(),
            "database": values.nova_database("%s"),
        });
        let mut command = Command::new("/usr/bin/python3");
        plain_environment(&mut command, directory);
        command.arg(scripts().join("site.py")).arg(template).arg(directory);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(settings.to_string().as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("site.py: {}", tail(&String::from_utf8_lossy(&output.stderr), SHOWN));
        }
        Ok(())
    }

    fn nova_programs(&self) -> Vec<Program> {
        if self.plan.bus == Bus::Fake {
            return vec![Program::Nova];
        }
        let mut programs = vec![Program::NovaConductor, Program::NovaScheduler, Program::NovaApi, Program::NovaCompute];
        programs.extend(self.second.is_some().then_some(Program::SecondCompute));
        programs
    }

    /// The programs that run, or should.
    pub fn running(&self) -> Vec<Program> {
        lock(&self.processes).keys().copied().collect()
    }

    fn start_program(&self, program: Program) -> anyhow::Result<()> {
        let mut command = self.command(program);
        let log = File::options().create(true).append(true).open(self.output(program))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("can't start {}", program.name()))?;
        lock(&self.processes).insert(program, child);
        Ok(())
    }

    fn command(&self, program: Program) -> Command {
        let directory = self.directory.path();
        let etc = |name: &str| directory.join("etc").join(name);
        let log = directory.join("log").join(format!("{}.log", program.name()));
        let nova = |host: &Host, configuration: &str| {
            let mut command = host.command("/usr/bin/python3");
            command.arg(scripts().join("entry.py")).arg(match program {
                Program::SecondCompute => "nova-compute",
                program => program.name(),
            });
            command.arg("--config-file").arg(etc(configuration)).arg("--log-file").arg(&log);
            command
        };
        let mut command = match program {
            Program::Keystone => self.uwsgi(Api::Keystone, "/usr/bin/keystone-wsgi-public"),
            Program::Placement => self.uwsgi(Api::Placement, "/usr/bin/placement-api"),
            Program::Glance => nova(&self.host, "glance-api.conf"),
            Program::Neutron => {
                let mut command = self.host.command("/usr/bin/python3");
                command.arg(scripts().join("neutron.py")).arg(self.host.ipv4().to_string());
                command
            }
            Program::Rabbit => rabbit::command(&self.host),
            Program::SecondCompute => {
                let host = self.second.as_ref().unwrap_or(&self.host);
                nova(host, &format!("nova-{}.conf", host.name()))
            }
            _ => nova(&self.host, "nova.conf"),
        };
        plain_environment(&mut command, directory);
        command.env("OS_KEYSTONE_CONFIG_DIR", directory.join("etc"));
        command.env("OS_PLACEMENT_CONFIG_DIR", directory.join("etc"));
        if program == Program::Rabbit {
            rabbit::environment(&mut command, directory);
        }
        command
    }

    fn uwsgi(&self, api: Api, application: &str) -> Command {
        let mut command = self.host.command("/usr/bin/uwsgi");
        command.args(["--plugin", "python3", "--http-socket", &self.host.at(api.port()).to_string()]);
        // One thread: where eventlet is installed, oslo's libraries use locks of its own, which know no other threads.
        command.args(["--wsgi-file", application, "--need-app", "--processes", "1", "--threads", "1"]);
        // uwsgi ends connections without saying so, and clients would use them again.
        command.args(["--add-header", "Connection: close", "--die-on-term", "--buffer-size", "65535"]);
        command
    }

    fn output(&self, program: Program) -> PathBuf {
        self.directory.path().join("log").join(format!("{}.out", program.name()))
    }

    /// Waits until a program serves.
    fn wait(&self, program: Program) -> anyhow::Result<()> {
        let serves = || match program.api() {
            Some(api) => self.ask(api, &Ask::get("/")).is_ok_and(|answer| answer.status < 500),
            None => program != Program::Rabbit || self.host.connect(self.host.at(rabbit::PORT)).is_ok(),
        };
        self.wait_for(&format!("{} serves", program.name()), serves)
    }

    fn wait_for(&self, what: &str, mut holds: impl FnMut() -> bool) -> anyhow::Result<()> {
        let mut ended = None;
        let done = eventually(UP, || {
            ended = self.ended();
            ended.is_some() || holds() || {
                std::thread::sleep(Duration::from_millis(50));
                false
            }
        });
        if let Some(program) = ended {
            bail!("{} at {} has ended:\n{}", program.name(), self.name(), self.said(program));
        }
        if !done {
            bail!("at {} it doesn't come to it that {what}:\n{}", self.name(), self.last_words());
        }
        Ok(())
    }

    /// A program that has ended by itself.
    pub fn ended(&self) -> Option<Program> {
        let mut processes = lock(&self.processes);
        let ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        processes.iter_mut().find_map(|(program, child)| ended(child).then_some(*program))
    }

    /// Waits until every compute service can take servers.
    fn wait_computes(&self) -> anyhow::Result<()> {
        let token = self.token("admin")?;
        let hosts = 1 + usize::from(self.second.is_some());
        let path = "/allocation_candidates?resources=VCPU:1,MEMORY_MB:1,DISK_GB:1";
        let ask = Ask::get(path).token(&token).header("OpenStack-API-Version", "placement 1.10");
        self.wait_for("its computes can take servers", || {
            let answer = self.ask(Api::Placement, &ask).and_then(|answer| answer.json()).unwrap_or_default();
            answer["provider_summaries"].as_object().is_some_and(|providers| providers.len() == hosts)
        })
    }

    /// Kills a program of the site: its service is down then.
    pub fn stop(&self, program: Program) -> anyhow::Result<()> {
        let child = lock(&self.processes).remove(&program);
        let mut child = child.with_context(|| format!("{} doesn't run at {}", program.name(), self.name()))?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Starts a program that was stopped, and waits until it serves.
    pub fn restart(&self, program: Program) -> anyhow::Result<()> {
        self.start_program(program)?;
        self.wait(program)
    }

    /// The site's name.
    pub fn name(&self) -> &str {
        self.host.site()
    }

    /// The host that its services are at.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The host of the second compute service.
    pub fn second(&self) -> Option<&Host> {
        self.second.as_ref()
    }

    /// What it was to be.
    pub fn plan(&self) -> &SitePlan {
        &self.plan
    }

    /// Its users' passwords.
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// How long it took until it was up.
    pub fn up(&self) -> Duration {
        *lock(&self.up)
    }

    /// All that its services write: `db`, `log`, `images`, `nova`; and `etc` and `keys`, which hold secrets.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What its programs logged, each file.
    pub fn logs(&self) -> Vec<PathBuf> {
        files_in(&self.directory.path().join("log"))
    }

    /// Its databases, each file.
    pub fn databases(&self) -> Vec<PathBuf> {
        files_in(&self.directory.path().join("db"))
    }

    /// From now on the first host's compute service fetches no image until it may again.
    pub fn hold_images(&self, hold: bool) -> anyhow::Result<()> {
        let instances = self.directory.path().join("nova").join(format!("instances-{}", self.host.name()));
        let file = instances.join("hold");
        if !hold {
            return Ok(fs::remove_file(file)?);
        }
        fs::create_dir_all(instances)?;
        Ok(fs::write(file, "")?)
    }

    /// A server's disk, as the compute service keeps it.
    pub fn disk(&self, server: &str) -> anyhow::Result<Vec<u8>> {
        let nova = self.directory.path().join("nova");
        let hosts = [Some(&self.host), self.second.as_ref()];
        let names = hosts.into_iter().flatten().map(|host| nova.join(format!("instances-{}", host.name())));
        let mut disks = names.map(|instances| instances.join(server).join("disk"));
        let path = disks.find(|path| path.exists());
        let path = path.with_context(|| format!("no compute service at {} has a disk of {server}", self.name()))?;
        fs::read(&path).with_context(|| format!("can't read {}", path.display()))
    }

    /// Proportional and resident memory of its processes, in MiB.
    pub fn memory(&self) -> (u64, u64) {
        let pids = [Some(&self.host), self.second.as_ref()].into_iter().flatten();
        let pids = pids.flat_map(|host| crate::lab::cleaning::processes(host.cgroup()));
        let ours = pids.filter(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            !name.starts_with("cheops")
        });
        let sums = ours.fold((0, 0), |(pss, rss), pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let field = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default()
            };
            (pss + field("Pss:"), rss + field("Rss:"))
        });
        (sums.0 / 1024, sums.1 / 1024)
    }

    /// The ends of all logs.
    pub fn last_words(&self) -> String {
        let programs = self.running();
        programs.into_iter().map(|program| self.said(program)).collect()
    }

    fn said(&self, program: Program) -> String {
        let log = self.directory.path().join("log").join(format!("{}.log", program.name()));
        let read = |path: &Path| tail(&fs::read_to_string(path).unwrap_or_default(), SHOWN);
        format!("--- {} at {}\n{}{}", program.name(), self.name(), read(&self.output(program)), read(&log))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for child in lock(&self.processes).values_mut() {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}

/// The last lines of a text.
pub(super) fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(count)..).unwrap_or_default();
    last.iter().map(|line| format!("{line}\n")).collect()
}

/// Debian's programs alone, and nothing of whoever runs the tests.
pub(super) fn plain_environment(command: &mut Command, home: &Path) {
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8").env("HOME", home);
    // The checkout stays as it is.
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("TMPDIR", home);
}
