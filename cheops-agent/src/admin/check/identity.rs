//! Whether users of other sites can be let in, and this site's users elsewhere.

use super::super::Agent;
use crate::config::Trust;
use crate::metadata::{Service, Snapshot};
use crate::observe::{Check, Grade};
use crate::profile::Profiles;

/// Of services that issue credentials: whether the sites that are trusted can be asked, and whether this one can.
pub(super) fn checks(agent: &Agent) -> Vec<Check> {
    let (config, snapshot, profiles) = (agent.config(), agent.snapshot(), agent.shared.profiles.load());
    let issuers: Vec<&Service> = issuers(&snapshot, &profiles).collect();
    let mut checks = Vec::new();
    if let Trust::Sites(trusted) = &config.identity.trust {
        for site in trusted.iter().filter(|site| !snapshot.sites.contains_key(*site)) {
            let found = format!("identity.trust names {site}, and no such site is known");
            let remedy =
                "Correct the name in agent.toml; see cheops sites. A site that is to join is known once it has";
            checks.push(Check::not("identity", Grade::Warn, found, remedy));
        }
    }
    for site in snapshot.sites.values().filter(|site| !site.own && config.identity.trust.includes(&site.name)) {
        let knows = |service: &&Service| service.endpoints.get(&site.name).is_some_and(|at| !at.is_empty());
        if !issuers.iter().any(knows) {
            let found = format!("tokens of {} are trusted, and no identity service is known there", site.name);
            let remedy = "Name its endpoint there in [[services]], with the type that its profile gives that class";
            checks.push(Check::not("identity", Grade::Warn, found, remedy));
        }
    }
    let others = snapshot.sites.values().any(|site| !site.own);
    let own = |service: &&&Service| snapshot.own_site().is_some_and(|own| service.endpoints.contains_key(&own.name));
    for service in issuers.iter().filter(|service| others && !service.export).filter(own) {
        let found = format!("no other site can ask {} here whether this site's tokens are valid", service.name);
        let remedy = "Set export = true for it, if users of this site are to be believed at other sites";
        checks.push(Check::not("identity", Grade::Warn, found, remedy));
    }
    checks
}

fn issuers<'a>(snapshot: &'a Snapshot, profiles: &'a Profiles) -> impl Iterator<Item = &'a Service> {
    let issues = |service: &&Service| profiles.get_or_default(&service.profile).issues(service.kind.as_deref());
    snapshot.services.iter().map(|service| &**service).filter(issues)
}
