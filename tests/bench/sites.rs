//! Two sites: Berlin, where the load comes from, and Paris, 20 ms away.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use cheops_tests::lab::{Federation, Host, Offered, eventually};
use tempfile::TempDir;

use crate::nginx::{self, Nginx};

/// As installed, but for one thread, as everything else that is measured has.
const CONFIGURATION: &str = "threads = 1\n[log]\nlevel = \"info\"\n";

pub struct Sites {
    pub federation: Federation,
    pub folder: TempDir,
    _nginx: Vec<Nginx>,
}

impl Sites {
    pub fn build() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("can't make a temporary folder")?;
        let nginx = RefCell::new(Vec::new());
        let mut federation = Federation::builder()
            .sites(&["Berlin", "Paris"])
            .service(Offered::new("Web", nginx::GUARDED).unserved())
            .overlay(CONFIGURATION)
            .prepare(|host| {
                let folder = folder.path().join(host.name());
                nginx.borrow_mut().push(Nginx::service(host, &folder)?);
                nginx.borrow_mut().push(Nginx::proxy(host, &folder)?);
                Ok(())
            })
            .start()?;
        for site in ["Berlin", "Paris"] {
            federation.agent_mut(site).quiet();
        }
        Ok(Self { federation, folder, _nginx: nginx.into_inner() })
    }

    /// Where the load comes from.
    pub fn berlin(&self) -> &Host {
        self.federation.host("Berlin")
    }

    /// A site's service, by one of its ports.
    pub fn url(&self, site: &str, port: u16) -> String {
        format!("http://{}/v1/servers", self.federation.host(site).at(port))
    }

    /// Copies the agents' logs to where the results would have gone.
    pub fn keep_logs(&self, out: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(out).with_context(|| format!("can't make {}", out.display()))?;
        for agent in self.federation.members().iter().filter_map(|member| member.agent.as_ref()) {
            let to = out.join(format!("agent-{}.log", agent.host().name()));
            fs::copy(agent.log_path(), &to).with_context(|| format!("can't write {}", to.display()))?;
            eprintln!("the agent's log at {}: {}", agent.host().site(), to.display());
        }
        Ok(())
    }

    /// Requests that Berlin's agent has finished.
    pub fn taken(&self) -> anyhow::Result<u64> {
        let taken = self.federation.agent("Berlin").metric("cheops_requests_total")?;
        Ok(taken.unwrap_or_default() as u64)
    }

    /// Checks that the agent did take that many: a bench of connections that pass it by would look splendid.
    pub fn check_taken(&self, before: u64, requests: u64) -> anyhow::Result<()> {
        let mut taken = 0;
        // A request is counted once its answer has gone, so the last ones are counted after wrk has ended.
        let all = eventually(Duration::from_secs(5), || {
            taken = self.taken().unwrap_or_default().saturating_sub(before);
            taken >= requests
        });
        if !all {
            bail!("of {requests} requests only {taken} went through the agent");
        }
        Ok(())
    }
}
