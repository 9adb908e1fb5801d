//! The load: `wrk`, with a head of about 800 bytes, as browsers and API clients send.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cheops_tests::lab::Host;
use serde::{Deserialize, Serialize};

/// Prints the result as JSON. Latencies are in microseconds.
const SCRIPT: &str = r#"
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"micros":%d,"p50":%d,"p99":%d,"bad":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;

/// What one run of `wrk` found.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Sample {
    pub requests: u64,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// Half of the requests took at most this, in microseconds.
    pub p50: u64,
    /// 99 % of the requests took at most this, in microseconds.
    pub p99: u64,
    /// Connections and requests that failed, and answers that were not 2xx or 3xx.
    pub bad: u64,
}

impl Sample {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 * 1e6 / self.micros.max(1) as f64
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
    pub fn run(&self, url: &str, connections: u32, scope: Option<&str>) -> anyhow::Result<Sample> {
        let mut wrk = self.host.command("wrk");
        wrk.args(["--threads", "1", "--connections", &connections.to_string()]);
        wrk.args(["--duration", &format!("{}s", self.seconds), "--timeout", "10s", "--script"]).arg(&self.script);
        for (name, value) in headers() {
            wrk.args(["--header", &format!("{name}: {value}")]);
        }
        if let Some(scope) = scope {
            wrk.args(["--header", &format!("X-Scope: {scope}")]);
        }
        let output = wrk.arg(url).output().context("can't start wrk; install the Debian package wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let result = text.lines().find_map(|line| line.strip_prefix("RESULT "));
        let Some(result) = result else {
            bail!("wrk {url}: {}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        };
        let sample: Sample = serde_json::from_str(result).context("wrk's result")?;
        if sample.requests == 0 || sample.bad > 0 {
            bail!("wrk {url}, {connections} connections: {} requests, {} failed: {text}", sample.requests, sample.bad);
        }
        Ok(sample)
    }
}

/// With wrk's own lines about 800 bytes.
fn headers() -> [(&'static str, String); 6] {
    [
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0".to_owned()),
        ("Accept", "application/json, text/html;q=0.9, */*;q=0.8".to_owned()),
        ("Accept-Language", "en-GB,en;q=0.7,de;q=0.3".to_owned()),
        ("X-Auth-Token", "g".repeat(255)),
        ("Cookie", format!("session={}; theme=light", "0123456789abcdef".repeat(12))),
        ("X-Client-Name", "an ordinary client that knows nothing of sites".to_owned()),
    ]
}
