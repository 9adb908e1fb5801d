//! From Keystone's catalog to the endpoints that can be guarded: each service once, its interfaces as aliases, without
//! versions and project ids.

use std::collections::BTreeSet;

use super::keystone::{Endpoint, Entry, Token};
use crate::config::{EndpointUrl, endpoint_url};
use crate::names;

/// What of a catalog is one site's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    pub services: Vec<Found>,
    pub left_out: Vec<LeftOut>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// From the catalog's name: a scope can say it.
    pub name: String,
    pub kind: String,
    /// Each once, the public one first.
    pub urls: Vec<EndpointUrl>,
}

/// What is not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub what: String,
    pub why: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("the catalog has several regions: {0}; say which with --region, or region_name (OS_REGION_NAME)")]
    Regions(String),
    #[error("the catalog has no region \"{0}\"; it has: {1}")]
    NoRegion(String, String),
}

/// In the order in which their addresses count.
pub const INTERFACES: [&str; 3] = ["public", "internal", "admin"];

impl Catalog {
    /// Of a token's catalog: this region's, and of these interfaces.
    ///
    /// # Errors
    /// When it isn't clear, or not so, which region is meant.
    pub fn of(token: &Token, region: Option<&str>, interfaces: &[String]) -> Result<Self, CatalogError> {
        let entries = token.catalog.as_deref().unwrap_or_default();
        let project = token.project.as_ref().map(|project| project.id.as_str());
        let region = chosen(entries, region)?;
        let mut catalog = Self::default();
        for entry in entries {
            let in_region = |endpoint: &&Endpoint| endpoint.region().is_none_or(|one| Some(one) == region);
            let endpoints: Vec<&Endpoint> = entry.endpoints.iter().filter(in_region).collect();
            catalog.add(entry, &endpoints, interfaces, project);
        }
        catalog.unite();
        catalog.name_apart();
        Ok(catalog)
    }

    fn add(&mut self, entry: &Entry, endpoints: &[&Endpoint], interfaces: &[String], project: Option<&str>) {
        let mut urls: Vec<EndpointUrl> = Vec::new();
        let wanted = |interface: &&&str| interfaces.is_empty() || interfaces.iter().any(|one| one == *interface);
        for interface in INTERFACES.iter().filter(wanted) {
            for endpoint in endpoints.iter().filter(|endpoint| endpoint.interface == *interface) {
                match guarded(&endpoint.url, project) {
                    Ok(url) if urls.contains(&url) => {}
                    Ok(url) => urls.push(url),
                    Err(why) => self.leave(entry, format!("its {interface} endpoint can't be guarded: {why}")),
                }
            }
        }
        if let Err(fault) = names::check(&entry.kind) {
            self.leave(entry, format!("its type can't stand in a scope: {fault}"));
        } else if !urls.is_empty() {
            self.services.push(Found { name: name(entry), kind: entry.kind.clone(), urls });
        } else if endpoints.is_empty() {
            self.leave(entry, "it has no endpoint in this region".to_owned());
        } else if !self.left_out.iter().any(|left| left.what == told(entry)) {
            self.leave(entry, "it has no endpoint of a wanted interface".to_owned());
        }
    }

    fn leave(&mut self, entry: &Entry, why: String) {
        self.left_out.push(LeftOut { what: told(entry), why });
    }

    /// Entries that share an address are one service, whose type is the plainest: a catalog lists versions of an API
    /// (`volumev2`, `volumev3`) side by side.
    fn unite(&mut self) {
        let mut whole: Vec<Found> = Vec::new();
        for found in std::mem::take(&mut self.services) {
            let same = |known: &&mut Found| known.urls.iter().any(|url| found.urls.contains(url));
            let Some(known) = whole.iter_mut().find(same) else {
                whole.push(found);
                continue;
            };
            let further: Vec<EndpointUrl> =
                found.urls.iter().filter(|url| !known.urls.contains(url)).cloned().collect();
            known.urls.extend(further);
            let mut other = found;
            if plainness(&other.kind) < plainness(&known.kind) {
                std::mem::swap(&mut known.name, &mut other.name);
                std::mem::swap(&mut known.kind, &mut other.kind);
            }
            let what = format!("{} ({})", other.name, other.kind);
            let why = format!("it is at the same address as {} ({})", known.name, known.kind);
            self.left_out.push(LeftOut { what, why });
        }
        self.services = whole;
    }

    /// No two services have one name.
    fn name_apart(&mut self) {
        let mut taken = BTreeSet::new();
        for found in &mut self.services {
            if !taken.insert(found.name.to_lowercase()) {
                found.name.clone_from(&found.kind);
                taken.insert(found.name.to_lowercase());
            }
        }
    }
}

fn told(entry: &Entry) -> String {
    if entry.name.is_empty() { entry.kind.clone() } else { format!("{} ({})", entry.name, entry.kind) }
}

/// The region that is meant: the one that was named, or the only one.
fn chosen<'a>(entries: &'a [Entry], region: Option<&'a str>) -> Result<Option<&'a str>, CatalogError> {
    let all: BTreeSet<&str> = entries.iter().flat_map(|entry| &entry.endpoints).filter_map(Endpoint::region).collect();
    let told = || all.iter().copied().collect::<Vec<_>>().join(", ");
    match region {
        Some(region) if all.contains(region) => Ok(Some(region)),
        Some(region) => Err(CatalogError::NoRegion(region.to_owned(), told())),
        None if all.len() > 1 => Err(CatalogError::Regions(told())),
        None => Ok(all.into_iter().next()),
    }
}

/// `nova` is `Nova`, `cinderv3` is `Cinder`; the type, if the catalog has no name that a scope could say.
fn name(entry: &Entry) -> String {
    let bare = match entry.name.trim_end_matches(|c: char| c.is_ascii_digit()) {
        whole if whole.len() == entry.name.len() => whole,
        unversioned => unversioned.strip_suffix('v').unwrap_or(&entry.name),
    };
    let mut letters = bare.chars();
    let name: String = match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    };
    if names::check(&name).is_ok() { name } else { entry.kind.clone() }
}

/// Types without a version first, then short ones, then late versions.
fn plainness(kind: &str) -> (bool, usize, std::cmp::Reverse<&str>) {
    let versioned = kind.ends_with(|c: char| c.is_ascii_digit()) || kind.ends_with("_legacy");
    (versioned, kind.len(), std::cmp::Reverse(kind))
}

/// The endpoint that an address of the catalog lies in: up to the version, the project, or a placeholder for it.
///
/// # Errors
/// What is wrong with it, in words.
fn guarded(url: &str, project: Option<&str>) -> Result<EndpointUrl, String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("\"{url}\" is not a URL"))?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let of_the_site = path.split('/').take_while(|segment| !is_of_request(segment, project));
    let kept: String = of_the_site.filter(|segment| !segment.is_empty()).flat_map(|segment| ["/", segment]).collect();
    endpoint_url(&format!("{scheme}://{authority}{kept}"))
}

/// Whether a segment differs from request to request: `v2.1`, a project's id, `%(project_id)s`, `AUTH_…`.
fn is_of_request(segment: &str, project: Option<&str>) -> bool {
    let version = segment.strip_prefix('v').is_some_and(|number| {
        number.starts_with(|c: char| c.is_ascii_digit()) && number.chars().all(|c| c.is_ascii_digit() || c == '.')
    });
    let is_id = segment.len() == 32 && segment.bytes().all(|byte| byte.is_ascii_hexdigit());
    version
        || is_id
        || segment.starts_with("AUTH_")
        || segment.contains("%(")
        || segment.contains("$(")
        || project.is_some_and(|project| segment == project)
}

#[cfg(test)]
mod tests;
