//! What a measurement costs: processor time of the proxy and of all that takes part, the proxy's memory, and what the
//! machine did besides.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

use crate::figure::{Figure, Sample};

/// Looks at the processes of a proxy and at the cgroup of everything that the bench runs.
pub struct Meter {
    proxies: Vec<u32>,
    cgroup: PathBuf,
}

/// Processor time until a moment, in microseconds.
struct Used {
    proxy: f64,
    /// The bench's cgroup, and the bench itself, which carries packets between sites.
    ours: f64,
    machine: f64,
    at: Instant,
}

impl Meter {
    pub fn new(proxies: Vec<u32>, cgroup: &Path) -> Self {
        Self { proxies, cgroup: cgroup.to_owned() }
    }

    /// Runs `load`, which says how many units (requests, MiB) it did, and adds what they cost to its sample.
    pub fn measure(&self, load: impl FnOnce() -> anyhow::Result<(f64, Sample)>) -> anyhow::Result<Sample> {
        for pid in &self.proxies {
            // From here on the kernel keeps a new peak.
            fs::write(format!("/proc/{pid}/clear_refs"), "5").context("can't reset a peak")?;
        }
        let before = self.used()?;
        let (units, mut sample) = load()?;
        let after = self.used()?;
        if !self.proxies.is_empty() {
            sample.insert(Figure::ProxyCpu, (after.proxy - before.proxy) / units);
            sample.insert(Figure::Rss, self.memory("VmHWM:")? / 1024.0);
        }
        let ours = after.ours - before.ours;
        sample.insert(Figure::AllCpu, ours / units);
        let processors = std::thread::available_parallelism()?.get() as f64;
        let whole = (after.at - before.at).as_micros() as f64 * processors;
        sample.insert(Figure::Foreign, ((after.machine - before.machine - ours) / whole * 100.0).max(0.0));
        Ok(sample)
    }

    /// A line of the proxies' `status`, such as `VmRSS:`, in KiB.
    pub fn memory(&self, line: &str) -> anyhow::Result<f64> {
        let mut sum = 0.0;
        for pid in &self.proxies {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).context("a proxy has ended")?;
            let value = status.lines().find_map(|text| text.strip_prefix(line)).context("no such line")?;
            sum += value.trim().trim_end_matches(" kB").parse::<f64>()?;
        }
        Ok(sum)
    }

    fn used(&self) -> anyhow::Result<Used> {
        let mut proxy = 0.0;
        for pid in &self.proxies {
            proxy += process_time(*pid).context("a proxy has ended")?;
        }
        let stat = fs::read_to_string(self.cgroup.join("cpu.stat")).context("cpu.stat")?;
        let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).context("no usage_usec")?;
        let ours = usage.trim().parse::<f64>()? + process_time(std::process::id())?;
        let machine = busy(&fs::read_to_string("/proc/stat")?).context("/proc/stat")?;
        Ok(Used { proxy, ours, machine, at: Instant::now() })
    }
}

/// User and system time of all threads of a process, also of those that have ended.
fn process_time(pid: u32) -> anyhow::Result<f64> {
    let clock: ClockId = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?))?;
    let time = clock.now()?;
    Ok(time.tv_sec() as f64 * 1e6 + time.tv_nsec() as f64 / 1e3)
}

/// Microseconds in which processors were neither idle nor waiting for a disk. One tick is 10 ms.
fn busy(stat: &str) -> Option<f64> {
    let ticks: Vec<f64> = stat.lines().next()?.split_whitespace().skip(1).flat_map(str::parse).collect();
    // user nice system idle iowait irq softirq steal; the guests' are in the user's.
    let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|index| ticks.get(*index)).sum::<f64>();
    Some(busy * 10_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_neither_idle_nor_waiting() {
        assert_eq!(busy("cpu  1 2 3 1000 2000 4 5 6 70 80\ncpu0 1"), Some(210_000.0));
        assert_eq!(busy(""), None);
    }

    #[test]
    fn a_process_that_works_uses_time() -> anyhow::Result<()> {
        let before = process_time(std::process::id())?;
        let mut sum = 0_u64;
        for number in 0..3_000_000 {
            sum = std::hint::black_box(sum.wrapping_add(number));
        }
        assert!(process_time(std::process::id())? > before);
        Ok(())
    }
}
