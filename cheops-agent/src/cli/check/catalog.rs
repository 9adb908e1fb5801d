//! What a site's catalog says of its services, compared with what is configured of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::Path;

use clap::Args;
use serde_json::Value;

use crate::cli::openstack::{self, Catalog, Environment, Found};
use crate::cli::output::{field, items};
use crate::config::{self, EndpointUrl, endpoint_url};
use crate::observe::{Check, Grade};

#[derive(Debug, Args)]
pub struct CatalogArguments {
    /// Compares the services with the catalog of this cloud of clouds.yaml; by default with that of OS_CLOUD, or of an
    /// openrc's OS_* variables, if they are set
    #[arg(long, value_name = "[SITE=]CLOUD")]
    cloud: Option<String>,
    /// The catalog's region, where it has several
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

/// Services that the catalog should have if they have this profile.
const PROFILE: &str = "openstack";

/// A service as it is configured.
#[derive(Debug)]
struct Service {
    name: String,
    kind: Option<String>,
    profile: String,
    /// Site → URLs.
    endpoints: BTreeMap<String, Vec<EndpointUrl>>,
}

/// What is configured.
#[derive(Debug)]
pub struct Configured {
    /// This host's site.
    site: String,
    services: Vec<Service>,
}

impl Configured {
    /// By the agent's own word.
    pub fn of_agent(status: &Value, services: &Value) -> Self {
        let service = |service: &Value| {
            let mut endpoints: BTreeMap<String, Vec<EndpointUrl>> = BTreeMap::new();
            for endpoint in items(service, "endpoints") {
                if let Ok(url) = endpoint_url(&field(endpoint, "url")) {
                    endpoints.entry(field(endpoint, "site")).or_default().push(url);
                }
            }
            let kind = service.get("type").and_then(Value::as_str).map(str::to_owned);
            Service { name: field(service, "name"), kind, profile: field(service, "profile"), endpoints }
        };
        Self { site: field(status, "site"), services: items(services, "services").iter().map(service).collect() }
    }

    /// By the file; none if it can't be used, which is a check of its own.
    pub fn of_file(path: &Path) -> Option<Self> {
        let config = config::load(path).ok()?.config;
        let services = config.services.into_iter().map(|service| Service {
            name: service.name.to_string(),
            kind: service.kind,
            profile: service.profile,
            endpoints: service.endpoints.into_iter().map(|(site, urls)| (site.to_string(), urls)).collect(),
        });
        Some(Self { site: config.site.to_string(), services: services.collect() })
    }
}

/// The differences; nothing if no cloud is named.
///
/// # Errors
/// When what is configured can't be had.
pub fn checks(
    arguments: &CatalogArguments,
    configured: impl FnOnce() -> anyhow::Result<Option<Configured>>,
) -> anyhow::Result<Vec<Check>> {
    let environment = Environment::of_process();
    if arguments.cloud.is_none() && !environment.names_a_cloud() {
        return Ok(Vec::new());
    }
    let Some(configured) = configured()? else { return Ok(Vec::new()) };
    let (site, cloud) = match arguments.cloud.as_deref().map(|written| (written, written.split_once('='))) {
        Some((_, Some((site, cloud)))) => (site, Some(cloud)),
        Some((cloud, None)) => (configured.site.as_str(), Some(cloud)),
        None => (configured.site.as_str(), None),
    };
    let read = environment.cloud(cloud).map_err(anyhow::Error::from);
    let read = read.and_then(|cloud| openstack::read(&cloud, arguments.region.as_deref(), &[]));
    Ok(match read {
        Ok(catalog) => compare(site, &catalog, &configured.services, &resolved),
        Err(error) => {
            // Variables may be set for another purpose.
            let grade = if arguments.cloud.is_some() { Grade::Fail } else { Grade::Warn };
            let remedy =
                "Put right what is named, or unset the OS_* variables: without credentials nothing is compared";
            vec![Check::not("catalog", grade, format!("{site}'s catalog can't be read: {error:#}"), remedy)]
        }
    })
}

fn resolved(url: &EndpointUrl) -> Vec<IpAddr> {
    let found = (url.host.as_str(), url.port).to_socket_addrs();
    found.into_iter().flatten().map(|address| address.ip()).collect()
}

/// Each difference with its remedy, or that there is none.
fn compare(
    site: &str,
    catalog: &Catalog,
    services: &[Service],
    resolved: &dyn Fn(&EndpointUrl) -> Vec<IpAddr>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut known = Vec::new();
    for found in &catalog.services {
        let service = services.iter().find(|service| is_same(service, site, found));
        let urls = service.and_then(|service| service.endpoints.get(site)).map(Vec::as_slice).unwrap_or_default();
        known.extend(service.map(|service| service.name.as_str()));
        checks.extend(service_check(site, found, urls, resolved));
    }
    for service in services.iter().filter(|service| service.profile == PROFILE && service.endpoints.contains_key(site))
    {
        if !known.contains(&service.name.as_str()) {
            let name = &service.name;
            checks.push(Check::not(
                "catalog-lacks",
                Grade::Warn,
                format!("{name} is configured at {site}, and {site}'s catalog doesn't have it"),
                format!("Take {name}'s endpoint at {site} out of the configuration, or enter it in the catalog"),
            ));
        }
    }
    if checks.is_empty() {
        let count = catalog.services.len();
        checks
            .push(Check::ok("catalog", format!("all {count} services of {site}'s catalog are configured as they are")));
    }
    checks
}

/// The catalog's service is the configured one: by its type, else by its name, else by an address.
fn is_same(service: &Service, site: &str, found: &Found) -> bool {
    match &service.kind {
        Some(kind) if *kind == found.kind => true,
        _ => {
            let urls = service.endpoints.get(site).map(Vec::as_slice).unwrap_or_default();
            service.name.eq_ignore_ascii_case(&found.name) || urls.iter().any(|url| found.urls.contains(url))
        }
    }
}

fn service_check(
    site: &str,
    found: &Found,
    configured: &[EndpointUrl],
    resolved: &dyn Fn(&EndpointUrl) -> Vec<IpAddr>,
) -> Option<Check> {
    const IMPORT: &str =
        "Take it up: cheops services import openstack (see --help), then systemctl reload cheops-agent";
    let name = format!("{} ({})", found.name, found.kind);
    let listed = |urls: &[&EndpointUrl]| urls.iter().map(|url| url.url()).collect::<Vec<_>>().join(", ");
    let all: Vec<&EndpointUrl> = found.urls.iter().collect();
    if configured.is_empty() {
        let what = format!(
            "{name} is in {site}'s catalog, at {}, and not configured there: scopes don't reach it",
            listed(&all)
        );
        return Some(Check::not("catalog-service", Grade::Warn, what, IMPORT));
    }
    let open: Vec<&EndpointUrl> = all.iter().copied().filter(|url| !is_guarded(url, configured, resolved)).collect();
    if open.is_empty() {
        return None;
    }
    // A client that goes by the catalog is taken nowhere, or not everywhere.
    let grade = if open.len() == all.len() { Grade::Fail } else { Grade::Warn };
    let here: Vec<&EndpointUrl> = configured.iter().collect();
    let what = format!(
        "{name} is at {} by {site}'s catalog, where no connection is taken; configured is {}",
        listed(&open),
        listed(&here)
    );
    Some(Check::not("catalog-address", grade, what, IMPORT))
}

/// Whether connections to `url` are taken: it is configured, or an endpoint at the same addresses is.
fn is_guarded(url: &EndpointUrl, configured: &[EndpointUrl], resolved: &dyn Fn(&EndpointUrl) -> Vec<IpAddr>) -> bool {
    if configured.contains(url) {
        return true;
    }
    let same = |one: &&EndpointUrl| one.https == url.https && one.port == url.port && one.prefix == url.prefix;
    let taken: Vec<IpAddr> = configured.iter().filter(same).flat_map(resolved).collect();
    let wanted = resolved(url);
    !wanted.is_empty() && wanted.iter().all(|address| taken.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(text: &str) -> Vec<EndpointUrl> {
        text.split_whitespace().map(|url| endpoint_url(url).expect("a URL")).collect()
    }

    fn found(name: &str, kind: &str, at: &str) -> Found {
        Found { name: name.to_owned(), kind: kind.to_owned(), urls: urls(at) }
    }

    fn service(name: &str, kind: &str, at: &str) -> Service {
        let endpoints = BTreeMap::from([("Paris".to_owned(), urls(at))]);
        Service { name: name.to_owned(), kind: Some(kind.to_owned()), profile: PROFILE.to_owned(), endpoints }
    }

    /// Grade and name of each check, with what was found.
    fn told(catalog: Vec<Found>, services: &[Service]) -> Vec<(Grade, String, String)> {
        let resolve = |url: &EndpointUrl| match url.host.as_str() {
            "controller" => vec!["10.0.0.1".parse().expect("an address")],
            "nowhere" => Vec::new(),
            host => host.parse().into_iter().collect(),
        };
        let catalog = Catalog { services: catalog, left_out: Vec::new() };
        let checks = compare("Paris", &catalog, services, &resolve);
        for check in &checks {
            assert_eq!(check.remedy.is_empty(), check.grade == Grade::Ok, "{check:?}");
        }
        checks.into_iter().map(|check| (check.grade, check.name, check.found)).collect()
    }

    #[test]
    fn what_agrees_is_one_line() {
        let catalog =
            vec![found("Glance", "image", "http://controller:9292"), found("Nova", "compute", "http://10.0.0.1:8774")];
        let services = [
            service("Glance", "image", "http://10.0.0.1:9292 http://127.0.0.1:9292"),
            service("nova", "vm", "http://10.0.0.1:8774"),
        ];
        let told = told(catalog, &services);
        assert_eq!(
            told,
            [(Grade::Ok, "catalog".into(), "all 2 services of Paris's catalog are configured as they are".into())]
        );
    }

    #[test]
    fn each_difference_is_named() {
        let catalog = vec![
            found("Glance", "image", "http://10.0.0.9:9292"),
            found("Nova", "compute", "http://10.0.0.1:8774 http://nowhere:8774"),
            found("Cinder", "block-storage", "http://10.0.0.1:8776"),
            found("Barbican", "key-manager", "https://10.0.0.1:9311"),
        ];
        let rest = Service { profile: "rest".to_owned(), ..service("App", "app", "http://10.0.0.1:80") };
        let services = [
            service("Glance", "image", "http://10.0.0.1:9292"),
            service("Nova", "compute", "http://10.0.0.1:8774"),
            service("Barbican", "key-manager", "http://10.0.0.1:9311"),
            service("Swift", "object-store", "http://10.0.0.1:8080"),
            rest,
        ];
        let told = told(catalog, &services);
        let short: Vec<(Grade, &str)> = told.iter().map(|(grade, name, _)| (*grade, name.as_str())).collect();
        assert_eq!(
            short,
            [
                (Grade::Fail, "catalog-address"),
                (Grade::Warn, "catalog-address"),
                (Grade::Warn, "catalog-service"),
                (Grade::Fail, "catalog-address"),
                (Grade::Warn, "catalog-lacks"),
            ]
        );
        for (part, (_, _, text)) in
            ["10.0.0.9:9292", "nowhere:8774 by", "Cinder", "https://10.0.0.1:9311", "Swift"].iter().zip(&told)
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn the_agents_word_is_read() {
        let status = serde_json::json!({ "site": "Paris" });
        let services = serde_json::json!({ "services": [{ "name": "Glance", "type": "image", "profile": "openstack",
            "endpoints": [{ "site": "Paris", "url": "http://10.0.0.1:9292" }, { "site": "Paris", "url": "http://a:1/image" },
                          { "site": "Berlin", "url": "http://10.0.1.1:9292" }] }] });
        let configured = Configured::of_agent(&status, &services);
        assert_eq!((configured.site.as_str(), configured.services.len()), ("Paris", 1));
        assert_eq!(configured.services[0].endpoints["Paris"], urls("http://10.0.0.1:9292 http://a:1/image"));
    }
}
