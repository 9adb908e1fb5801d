//! The load: `wrk`, with the bench's heads.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cheops_tests::lab::Host;
use serde::Deserialize;

use crate::figure::{Figure, Sample};
use crate::head;

/// Prints the result as JSON. Latencies are in microseconds.
const SCRIPT: &str = r#"
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"micros":%d,"p50":%d,"p99":%d,"bytes":%d,"bad":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), summary.bytes,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;

/// What one run of `wrk` found.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Ran {
    pub requests: u64,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// Half of the requests took at most this, in microseconds.
    pub p50: u64,
    /// 99 % of the requests took at most this, in microseconds.
    pub p99: u64,
    /// Bytes that came, with the heads.
    pub bytes: u64,
    /// Connections and requests that failed, and answers that were not 2xx or 3xx.
    pub bad: u64,
}

impl Ran {
    /// Reads what the script printed.
    fn parse(text: &str) -> anyhow::Result<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("RESULT ")).context("wrk prints no result")?;
        let ran: Self = serde_json::from_str(line).context("wrk's result")?;
        if ran.requests == 0 || ran.bad > 0 {
            bail!("{} requests, {} failed", ran.requests, ran.bad);
        }
        Ok(ran)
    }

    /// Rate and latencies.
    pub fn sample(&self) -> Sample {
        let rate = self.requests as f64 * 1e6 / self.micros.max(1) as f64;
        Sample::from([(Figure::Rate, rate), (Figure::P50, self.p50 as f64), (Figure::P99, self.p99 as f64)])
    }

    /// An error if the answers can't have had bodies of that many bytes.
    pub fn check_bodies(&self, length: u64) -> anyhow::Result<()> {
        if self.bytes < self.requests * length {
            bail!("{} answers of at least {length} bytes came in {} bytes", self.requests, self.bytes);
        }
        Ok(())
    }
}

/// The load generator of one host.
pub struct Wrk<'a> {
    host: &'a Host,
    script: PathBuf,
    seconds: u32,
}

impl<'a> Wrk<'a> {
    /// Its script is written into `folder`.
    pub fn new(host: &'a Host, folder: &Path, seconds: u32) -> anyhow::Result<Self> {
        let script = folder.join("result.lua");
        std::fs::write(&script, SCRIPT).with_context(|| format!("can't write {}", script.display()))?;
        Ok(Self { host, script, seconds })
    }

    /// Loads `url` over that many connections; `scope` goes into the header `X-Scope`.
    pub fn run(&self, url: &str, connections: u32, scope: Option<&str>) -> anyhow::Result<Ran> {
        let mut wrk = self.host.command("wrk");
        wrk.args(["--threads", "1", "--connections", &connections.to_string()]);
        wrk.args(["--duration", &format!("{}s", self.seconds), "--timeout", "10s", "--script"]).arg(&self.script);
        for (name, value) in head::headers() {
            wrk.args(["--header", &format!("{name}: {value}")]);
        }
        if let Some(scope) = scope {
            wrk.args(["--header", &format!("X-Scope: {scope}")]);
        }
        let output = wrk.arg(url).output().context("can't start wrk; install the Debian package wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let said = || format!("wrk {url}, {connections} connections: {}: {text}", output.status);
        Ran::parse(&text).with_context(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_read_between_wrks_own_lines() -> anyhow::Result<()> {
        let line = r#"RESULT {"requests":300,"micros":2000000,"p50":70,"p99":400,"bytes":60000,"bad":0}"#;
        let ran = Ran::parse(&format!("Running 2s test\n{line}\nbye"))?;
        assert_eq!(ran.sample().get(&Figure::Rate), Some(&150.0));
        assert_eq!(ran.sample().get(&Figure::P99), Some(&400.0));
        ran.check_bodies(200)?;
        assert!(ran.check_bodies(201).is_err());
        Ok(())
    }

    #[test]
    fn failed_requests_are_an_error() {
        let failed = r#"RESULT {"requests":3,"micros":2,"p50":7,"p99":4,"bytes":6,"bad":1}"#;
        assert!(Ran::parse(failed).is_err_and(|error| error.to_string().contains("1 failed")));
        assert!(Ran::parse("unable to connect").is_err());
    }
}
