//! Host names of endpoints and the addresses that they stand for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::announced::names_in;
use super::store::View;
use crate::address::canonical_ip;
use crate::config::Config;

/// How often names are asked again.
pub const EVERY: Duration = Duration::from_secs(60);
/// How long one name may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Addresses that one name may stand for.
const MAX_ADDRESSES: usize = 64;

/// What is known of each host name. A name that can't be resolved any more keeps its last addresses.
#[derive(Clone, Debug, Default)]
pub struct Names {
    known: BTreeMap<String, Name>,
}

/// One name, as `status` and `check` show it.
#[derive(Clone, Debug)]
pub struct Name {
    /// Sorted; of the last time that it could be resolved.
    pub addresses: Vec<IpAddr>,
    /// When that was.
    pub resolved: Option<Instant>,
    /// Why it can't be resolved now.
    pub trouble: Option<String>,
}

impl Names {
    /// Asks for every name of the configuration and of endpoints that other sites announced, all at once, and forgets
    /// names that neither has any more.
    pub async fn refresh(&mut self, config: &Config, view: &View) {
        let wanted = wanted(config, view);
        self.known.retain(|name, _| wanted.contains(name));
        self.ask(wanted).await;
    }

    /// Asks for those names alone that were never asked for.
    pub async fn complete(&mut self, config: &Config, view: &View) {
        let new = wanted(config, view).into_iter().filter(|name| !self.known.contains_key(name)).collect();
        self.ask(new).await;
    }

    async fn ask(&mut self, wanted: BTreeSet<String>) {
        let answers = futures_util::future::join_all(wanted.into_iter().map(|name| async {
            let answer = resolve(&name).await;
            (name, answer)
        }));
        for (name, answer) in answers.await {
            self.learn(name, answer);
        }
    }

    fn learn(&mut self, name: String, answer: Result<Vec<IpAddr>, String>) {
        match answer {
            Ok(addresses) => {
                self.known.insert(name, Name { addresses, resolved: Some(Instant::now()), trouble: None });
            }
            Err(trouble) => {
                tracing::warn!(%name, %trouble, "can't resolve an endpoint's host name");
                let unknown = Name { addresses: Vec::new(), resolved: None, trouble: None };
                self.known.entry(name).or_insert(unknown).trouble = Some(trouble);
            }
        }
    }

    /// The addresses of a host as written; an address stands for itself.
    pub fn addresses(&self, host: &str) -> Vec<IpAddr> {
        match host.parse() {
            Ok(address) => vec![canonical_ip(address)],
            Err(_) => self.known.get(host).map(|name| name.addresses.clone()).unwrap_or_default(),
        }
    }

    /// Every name and what is known of it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Name)> {
        self.known.iter().map(|(name, known)| (name.as_str(), known))
    }
}

/// Hosts of endpoints that are names.
fn wanted(config: &Config, view: &View) -> BTreeSet<String> {
    let urls = config.services.iter().flat_map(|service| service.endpoints.values().flatten());
    let hosts = urls.map(|url| url.host.clone()).filter(|host| host.parse::<IpAddr>().is_err());
    hosts.chain(names_in(config, view)).collect()
}

async fn resolve(name: &str) -> Result<Vec<IpAddr>, String> {
    let answer = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name, 0))).await;
    let found =
        answer.map_err(|_| format!("no answer for {} s", PATIENCE.as_secs()))?.map_err(|error| error.to_string())?;
    let addresses: BTreeSet<IpAddr> = found.map(|address| canonical_ip(address.ip())).take(MAX_ADDRESSES).collect();
    if addresses.is_empty() { Err("it has no address".into()) } else { Ok(addresses.into_iter().collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_text;

    #[tokio::test]
    async fn a_name_that_fails_later_keeps_its_addresses() {
        let config = from_text("site = \"B\"\n[[services]]\nname = \"S\"\nendpoints = { B = \"http://localhost:1\" }")
            .expect("valid")
            .config;
        let mut names = Names::default();
        names.refresh(&config, &View::default()).await;
        let first = names.addresses("localhost");
        assert!(first.iter().any(IpAddr::is_loopback), "{first:?}");
        names.learn("localhost".into(), Err("gone".into()));
        assert_eq!(names.addresses("localhost"), first);
        assert_eq!(names.iter().next().and_then(|(_, name)| name.trouble.clone()).as_deref(), Some("gone"));
        assert!(names.addresses("unknown.invalid").is_empty());
        names.refresh(&from_text("site = \"B\"").expect("valid").config, &View::default()).await;
        assert_eq!(names.iter().count(), 0);
    }

    #[test]
    fn an_address_stands_for_itself_in_its_one_form() {
        assert_eq!(Names::default().addresses("::ffff:10.0.0.1"), ["10.0.0.1".parse::<IpAddr>().expect("an address")]);
    }
}
