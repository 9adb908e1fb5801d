//! `cheops services import openstack`: from Keystone's catalogs to a drop-in of the configuration.

mod report;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueEnum};

use self::report::{Report, Row};
use super::drop_in::{DropIn, State, Written};
use crate::cli::openstack::{self, Catalog, Environment, Found};
use crate::cli::{Context, Exit};
use crate::config::diagnostic::did_you_mean;
use crate::config::{self, Config, ConfigError, EndpointUrl};
use crate::names;
use crate::peer::trust::files;
use crate::profile::Profiles;

#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct Arguments {
    /// Whose catalog it is
    #[arg(value_enum)]
    platform: Platform,
    /// A cloud of clouds.yaml, and the site that it is; several for several sites
    #[arg(long = "cloud", value_name = "[SITE=]CLOUD")]
    clouds: Vec<String>,
    /// The site that the cloud is; by default this host's
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// The catalog's region, where it has several
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Only endpoints of this interface; without it, those of all are aliases
    #[arg(long = "interface", value_name = "INTERFACE", value_parser = openstack::catalog::INTERFACES)]
    interfaces: Vec<String>,
    /// Says what would be written, and writes nothing
    #[arg(long)]
    dry_run: bool,
    /// The drop-in; by default openstack.toml among those of the configuration. - is standard output
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The configuration that it is for
    #[arg(long, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Platform {
    Openstack,
}

/// What services of the catalog are described by.
const PROFILE: &str = "openstack";

// Paragraphs in one line each: they are wrapped as wide as the terminal is.
const HELP: &str = "\
Credentials are found as OpenStack's own command finds them: clouds.yaml and secure.yaml in the working directory, \
~/.config/openstack or /etc/openstack, or the OS_* variables of an openrc. Passwords, tokens and application credentials \
(auth v3) will do, with a certificate (cert, key) where Keystone wants one; nothing of them is kept. Keystone is asked \
directly, by no proxy. With a cloud for each site
    cheops services import openstack --cloud Berlin=berlin --cloud Paris=paris
all of them are written. What the file says of other sites stays, and what other files say of a service at a site holds.

The configuration is checked with the new drop-in before that is written. systemctl reload cheops-agent takes it up.";

pub fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Exit> {
    let Platform::Openstack = arguments.platform;
    let file = arguments.file.clone().unwrap_or_else(|| config::drop_ins(&arguments.config).join("openstack.toml"));
    let is_standard_output = file.as_os_str() == "-";
    let before = if is_standard_output { String::new() } else { text_of(&file)? };
    let unusable = || format!("{} can't be changed", file.display());
    let drop_in = DropIn::read(&before).with_context(unusable)?;
    let others = others(&arguments.config, &file, &drop_in)?;
    let sites = sites(arguments, others.as_ref())?;
    let mut import = Import { drop_in, others, report: Report::new(&file, arguments.dry_run) };
    let environment = Environment::of_process();
    for (site, cloud) in &sites {
        let read = environment.cloud(cloud.as_deref()).map_err(anyhow::Error::from);
        let read = read.and_then(|cloud| openstack::read(&cloud, arguments.region.as_deref(), &arguments.interfaces));
        match read {
            Ok(catalog) => import.take(site, catalog).with_context(unusable)?,
            Err(error) => import.report.failed(site, &error),
        }
    }
    let Import { drop_in, others, mut report } = import;
    report.text = drop_in.text();
    if report.failed.len() < sites.len() {
        if others.is_some() {
            let checked = if is_standard_output { "openstack.toml".into() } else { file.clone() };
            check(&arguments.config, &checked, &report.text)?;
        } else {
            let path = arguments.config.display();
            report.warnings.push(format!("there is no {path}: what is written was not checked with it"));
        }
        if is_standard_output || arguments.dry_run {
            // Nothing is changed.
        } else if report.text != before {
            write(&file, &report.text).with_context(|| format!("can't write {}", file.display()))?;
            report.written = true;
        }
    }
    report.print(context.output, is_standard_output)?;
    Ok(match report.failed.len() {
        0 => Exit::Yes,
        failed if failed == sites.len() => Exit::No,
        _ => Exit::Partial,
    })
}

/// The configuration without the drop-in; none if there is no file.
fn others(config: &Path, file: &Path, drop_in: &DropIn) -> anyhow::Result<Option<Config>> {
    if !config.try_exists().with_context(|| format!("can't look at {}", config.display()))? {
        return Ok(None);
    }
    if let Ok(loaded) = config::load_with(config, file, None) {
        return Ok(Some(loaded.config));
    }
    // Another file may say something of a service whose endpoints only the drop-in has.
    let loaded = config::load(config).map_err(|error| broken(config, &error, "is broken already"))?;
    let mut others = loaded.config;
    others.services.retain(|service| drop_in.services().all(|(name, _)| name != service.name.as_str()));
    Ok(Some(others))
}

fn broken(config: &Path, error: &ConfigError, how: &str) -> anyhow::Error {
    anyhow!("the configuration {} {how}; nothing was written\n{error}", config.display())
}

/// Whether an agent could start with it.
fn check(config: &Path, file: &Path, text: &str) -> anyhow::Result<()> {
    let loaded = config::load_with(config, file, Some(text));
    let loaded = loaded.map_err(|error| broken(config, &error, "would be broken by it"))?;
    Profiles::for_config(&loaded.config).with_context(|| format!("{} would not load", config.display()))?;
    Ok(())
}

/// Each site, and its cloud's name, if it has one.
fn sites(arguments: &Arguments, config: Option<&Config>) -> anyhow::Result<Vec<(String, Option<String>)>> {
    let own = config.map(|config| config.site.to_string());
    let default = arguments.site.clone().or(own);
    let mut sites: Vec<(String, Option<String>)> = Vec::new();
    for written in &arguments.clouds {
        let (site, cloud) = match written.split_once('=') {
            Some((site, cloud)) => (Some(site.to_owned()), cloud),
            None if arguments.clouds.len() > 1 => {
                bail!("of several clouds each needs its site: --cloud SITE={written}")
            }
            None => (default.clone(), written.as_str()),
        };
        sites.push((site.ok_or_else(|| unknown_here(&arguments.config))?, Some(cloud.to_owned())));
    }
    if sites.is_empty() {
        sites.push((default.ok_or_else(|| unknown_here(&arguments.config))?, None));
    }
    let mut seen = BTreeSet::new();
    for (site, _) in &sites {
        names::check(site).map_err(|fault| anyhow!("\"{site}\" is no site's name: {fault}"))?;
        if !seen.insert(site) {
            bail!("{site} is named twice: a site is one cloud");
        }
        if let Some(config) = config {
            is_known(site, config)?;
        }
    }
    Ok(sites)
}

fn unknown_here(config: &Path) -> anyhow::Error {
    anyhow!("which site this is isn't known, as there is no {}: say it with --site SITE", config.display())
}

/// An agent refuses endpoints of a site that it doesn't know.
fn is_known(site: &str, config: &Config) -> anyhow::Result<()> {
    let known: Vec<&str> =
        [config.site.as_str()].into_iter().chain(config.sites.iter().map(|site| site.name.as_str())).collect();
    if known.contains(&site) {
        return Ok(());
    }
    let near = did_you_mean(site, known.iter().copied());
    let remedy = if near.is_empty() {
        format!(": add it to the configuration first ([[sites]] with name = \"{site}\" and peer), or import it there")
    } else {
        near
    };
    bail!("the configuration has no site \"{site}\"{remedy}")
}

fn text_of(file: &Path) -> anyhow::Result<String> {
    match std::fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.with_context(|| format!("can't read {}", file.display())),
    }
}

/// Whole or not at all.
fn write(file: &Path, text: &str) -> io::Result<()> {
    const MODE: u32 = 0o644;
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    files::replace(file, text.as_bytes(), MODE)
}

struct Import {
    drop_in: DropIn,
    others: Option<Config>,
    report: Report,
}

impl Import {
    /// The catalog is this site's.
    fn take(&mut self, site: &str, catalog: Catalog) -> Result<(), super::drop_in::DropInError> {
        for left in catalog.left_out {
            self.report.left(site, &left.what, left.why);
        }
        let mut written = BTreeSet::new();
        for found in catalog.services {
            let (name, is_ours) = self.name(&found);
            if self.stands_elsewhere(&name, site) {
                let what = format!("{name} ({})", found.kind);
                self.report.left(site, &what, "another file of the configuration says where it is here".to_owned());
                continue;
            }
            self.doubt(site, &name, &found.urls);
            let about = is_ours.then_some((found.kind.as_str(), PROFILE));
            let state = self.drop_in.put(Written { name: &name, about, urls: &found.urls }, site)?;
            let urls = found.urls.iter().map(EndpointUrl::url).collect();
            self.report.rows.push(Row { name: name.clone(), kind: found.kind, site: site.to_owned(), urls, state });
            written.insert(name);
        }
        let kept = written.iter().map(String::as_str).collect();
        for name in self.drop_in.keep_only(&kept, site)? {
            let (kind, urls) = ("-".to_owned(), Vec::new());
            self.report.rows.push(Row { name, kind, site: site.to_owned(), urls, state: State::Removed });
        }
        Ok(())
    }

    /// The service's name here, and whether the drop-in is what says its type and profile.
    fn name(&self, found: &Found) -> (String, bool) {
        let others = self.others.iter().flat_map(|config| &config.services);
        if let Some(known) = others.clone().find(|known| known.kind.as_deref() == Some(&found.kind)) {
            return (known.name.to_string(), false);
        }
        if let Some((name, _)) = self.drop_in.services().find(|(_, kind)| *kind == Some(&found.kind)) {
            return (name.to_owned(), true);
        }
        let here = self.drop_in.services().map(|(name, _)| name);
        let is_taken = others.map(|known| known.name.as_str()).chain(here).any(|name| name == found.name);
        (if is_taken { found.kind.clone() } else { found.name.clone() }, true)
    }

    fn stands_elsewhere(&self, name: &str, site: &str) -> bool {
        let mut others = self.others.iter().flat_map(|config| &config.services);
        others.any(|known| known.name.as_str() == name && known.endpoints.contains_key(site))
    }

    /// What works otherwise than one may think.
    fn doubt(&mut self, site: &str, name: &str, urls: &[EndpointUrl]) {
        for url in urls {
            let shown = url.url();
            if url.https {
                let why =
                    "is https: without a certificate for it the agent passes connections on, and scopes don't count";
                self.report.warnings.push(format!("{name} at {site}: {shown} {why}"));
            }
            let addresses: Vec<IpAddr> = match (url.host.as_str(), url.port).to_socket_addrs() {
                Ok(found) => found.map(|address| address.ip()).collect(),
                Err(error) => {
                    let why = format!("can't be resolved here ({error}): it is not guarded until it can");
                    self.report.warnings.push(format!("{name} at {site}: {shown} {why}"));
                    continue;
                }
            };
            if addresses.iter().any(IpAddr::is_loopback) {
                let why = "is a loopback address: it means each host itself, and no other host reaches it";
                self.report.warnings.push(format!("{name} at {site}: {shown} {why}"));
            }
        }
    }
}
