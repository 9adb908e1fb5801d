//! What people see of it when their request can't be served: the unmodified command shows the agent's own sentence.

use std::process::Output;

use anyhow::{Context, bail};
use cheops_tests::lab::openstack::shared;
use cheops_tests::lab::tell;

use super::*;

/// The unmodified command at Berlin under `cheops exec`, for the ordinary member.
fn run(cloud: &Cloud, scope: &str, line: &str) -> anyhow::Result<Output> {
    let mut command = cloud.exec("Berlin", "demo")?;
    command.args(["--scope", scope, "--", "openstack"]).args(line.split(' '));
    command.output().context("can't run cheops exec")
}

/// One sentence that names the site, whichever library the command uses for the service.
#[test]
fn a_site_that_is_away_is_named_by_the_unmodified_command() -> anyhow::Result<()> {
    shared(|cloud| {
        let refused = |scope: &str, line: &str, parts: &[&str]| {
            let output = run(cloud, scope, line)?;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            tell("lists", &format!("openstack {line} --scope {scope}: {}", text.trim()));
            if output.status.success() || !parts.iter().all(|part| text.contains(part)) {
                bail!("{scope}: {line}: {text}");
            }
            Ok(())
        };
        let cases = || {
            // openstacksdk, novaclient, and keystoneauth's own.
            refused("{Glance: Paris}", "image list", &["The other site can't be reached", "Paris"])?;
            refused("{Nova: Paris}", "server list", &["The other site can't be reached", "Paris"])?;
            refused("{Keystone: Paris}", "token issue", &["The other site can't be reached", "Paris"])
        };
        cloud.federation.world().isolate("Paris", true);
        let away = cases();
        cloud.federation.world().isolate("Paris", false);
        away?;
        refused("{Glance: Berlin % Paris}", "image list", &["This collaboration is not available yet"])?;
        Ok(())
    })
}
