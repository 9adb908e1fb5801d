//! A site's own broker, in its namespace, with its own epmd.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::lab::Host;

/// Where it listens at the site's first host.
pub(super) const PORT: u16 = 5672;

/// Debian's wrappers run it as another user, who couldn't write here.
const LIBRARY: &str = "/usr/lib/rabbitmq/lib";

/// Its configuration, below the site's directory.
pub(super) fn write(directory: &Path, host: &Host, password: &str) -> anyhow::Result<()> {
    let text = format!(
        "listeners.tcp.1 = {}\ndefault_user = nova\ndefault_pass = {password}\nloopback_users = none\n\
        log.file = {}/log/rabbitmq.log\nlog.file.level = warning\n",
        host.at(PORT),
        directory.display()
    );
    let etc = directory.join("etc");
    fs::create_dir_all(directory.join("rabbit"))?;
    fs::write(etc.join("rabbitmq.conf"), text).context("can't write rabbitmq.conf")?;
    fs::write(etc.join("rabbitmq-env.conf"), "")?;
    Ok(fs::write(etc.join("rabbitmq-plugins"), "[].\n")?)
}

pub(super) fn command(host: &Host) -> Command {
    let releases = fs::read_dir(LIBRARY).into_iter().flatten().flatten();
    let server = releases.map(|release| release.path().join("sbin/rabbitmq-server")).find(|path| path.exists());
    host.command(server.unwrap_or_else(|| "rabbitmq-server".into()))
}

pub(super) fn environment(command: &mut Command, directory: &Path) {
    let etc = directory.join("etc");
    command.env("RABBITMQ_NODENAME", "rabbit@localhost").env("ERL_EPMD_ADDRESS", "127.0.0.1");
    command.env("RABBITMQ_CONF_ENV_FILE", etc.join("rabbitmq-env.conf"));
    command.env("RABBITMQ_CONFIG_FILE", etc.join("rabbitmq.conf"));
    command.env("RABBITMQ_ENABLED_PLUGINS_FILE", etc.join("rabbitmq-plugins"));
    command.env("RABBITMQ_MNESIA_BASE", directory.join("rabbit")).env("RABBITMQ_LOG_BASE", directory.join("log"));
    let one = "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}";
    command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", one);
}
