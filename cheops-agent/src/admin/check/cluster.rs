//! Checks of the metadata cluster: how many members it has and where, and whether its timers fit the distances.

use std::time::Duration;

use super::timers;
use crate::admin::{Agent, outlook};
use crate::metadata::latency::Distances;
use crate::metadata::outlook::{Outlook, Placed};
use crate::names::SiteName;
use crate::observe::{Check, Grade};

const MEMBERS: &str = "metadata-members";
const TIMERS: &str = "metadata-timers";
const GUIDE: &str = "etcd wants --heartbeat-interval at about the longest round trip between members, and \
                     --election-timeout at ten times that, the same at every member";

/// Every check of it; none without a cluster.
pub fn checks(agent: &Agent) -> Vec<Check> {
    if agent.metadata.is_embedded() {
        return Vec::new();
    }
    let cluster = agent.metadata.cluster().map(|cluster| timers::told(&cluster));
    let outlook = outlook::with(agent, cluster.as_ref());
    let mut checks = vec![members(&outlook)];
    checks.extend(placeless(&outlook));
    checks.extend(fit(&outlook, &agent.shared.liveness.distances()));
    checks
}

fn members(outlook: &Outlook) -> Check {
    let told: Vec<String> = outlook.members.iter().map(told).collect();
    let (count, told) = (told.len(), told.join(", "));
    let down: Vec<&str> =
        outlook.members.iter().filter(|member| member.up == Some(false)).map(|member| member.name.as_str()).collect();
    let fatal = outlook.fatal().into_iter().map(SiteName::as_str).collect::<Vec<_>>().join(" or ");
    match count {
        0 => Check::not(
            MEMBERS,
            Grade::Warn,
            "the cluster has not told its members yet",
            "Look at metadata.endpoints, and whether this host reaches one of them",
        ),
        2 => Check::not(
            MEMBERS,
            Grade::Fail,
            format!(
                "the cluster has two members, {told}: if either goes, nothing can be written, so two are worse than one"
            ),
            "Add a third at another site (etcdctl member add), or remove one",
        ),
        _ if !down.is_empty() => Check::not(
            MEMBERS,
            Grade::Warn,
            format!("{} of {count} members: {} is down", count - down.len(), down.join(", ")),
            "Look at that member; until it is back, fewer may fail",
        ),
        _ if !fatal.is_empty() => Check::not(
            MEMBERS,
            Grade::Warn,
            format!("{told}: if {fatal} goes, metadata can't be written"),
            "Spread 3, 5 or 7 members over at least three sites, so that no site has a majority",
        ),
        _ if count.is_multiple_of(2) => Check::not(
            MEMBERS,
            Grade::Warn,
            format!("{count} members, {told}: an even number stands no more losses than one less"),
            "Have 3, 5 or 7 members",
        ),
        _ => Check::ok(MEMBERS, format!("{told}; any one site may go")),
    }
}

fn told(member: &Placed) -> String {
    let place = member.site.as_ref().map_or_else(|| "an unknown place".to_owned(), SiteName::to_string);
    format!("{} at {place}{}", member.name, if member.leads { " (leads)" } else { "" })
}

fn placeless(outlook: &Outlook) -> Option<Check> {
    let names: Vec<&str> =
        outlook.members.iter().filter(|member| member.site.is_none()).map(|member| member.name.as_str()).collect();
    let found = format!("at which site {} is isn't known", names.join(", "));
    let remedy = "Let its URLs have an address of the site's hosts, or name it as a host";
    (!names.is_empty()).then(|| Check::not(MEMBERS, Grade::Warn, found, remedy))
}

/// Whether members miss their leader only when it is gone.
fn fit(outlook: &Outlook, distances: &Distances) -> Option<Check> {
    if outlook.members.len() < 2 {
        return None;
    }
    let (timers, known) = outlook.timers();
    let source = if known { "its members say" } else { "it doesn't tell its timers; etcd's own are" };
    let ms = |time: Duration| format!("{} ms", time.as_millis());
    let said = format!("{source} heartbeat {}, election {}", ms(timers.heartbeat), ms(timers.election));
    let Some((rtt, one, other)) = outlook.farthest(distances) else {
        let found = format!("{said}; no distance between members' sites is known");
        return Some(Check::not(TIMERS, Grade::Warn, found, "Ask again in a moment; see cheops map"));
    };
    let found = format!("{said}; {} from {one} to {other}", ms(rtt));
    let doubt = if known { Grade::Fail } else { Grade::Warn };
    Some(if timers.election < rtt * 10 {
        Check::not(TIMERS, doubt, format!("{found}: elections begin while the leader lives"), GUIDE)
    } else if timers.heartbeat < rtt / 2 || timers.election < timers.heartbeat * 5 {
        Check::not(TIMERS, Grade::Warn, format!("{found}: they don't fit"), GUIDE)
    } else {
        Check::ok(TIMERS, found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::cluster::{Cluster, Member, Timers};
    use crate::metadata::latency::{Measured, State};
    use crate::metadata::outlook::Kept;
    use crate::metadata::record::Standing;
    use crate::metadata::{Site, Snapshot};

    const SITES: [&str; 3] = ["Berlin", "Paris", "Nantes"];

    fn snapshot() -> Snapshot {
        let site = |name: &str| Site {
            name: name.into(),
            own: name == "Berlin",
            peers: Vec::new(),
            hosts: Vec::new(),
            standing: Standing::Active,
        };
        Snapshot { sites: SITES.map(|name| (name.into(), site(name))).into(), services: Vec::new() }
    }

    /// Members by the sites that they are named after.
    fn outlook(names: &[&str], timers: Option<(u64, u64)>) -> Outlook {
        let millis = Duration::from_millis;
        let timers =
            timers.map(|(heartbeat, election)| Timers { heartbeat: millis(heartbeat), election: millis(election) });
        let members = names.iter().map(|name| Member { name: (*name).into(), timers, ..Member::default() }).collect();
        let cluster = Cluster { members, leader: Some("Paris".into()) };
        let kept = Kept::Cluster { members: Some(&cluster), answers: true };
        Outlook::of(kept, &snapshot(), &Distances::default(), &[])
    }

    fn distances(ms: u64) -> Distances {
        let mut distances = Distances::default();
        let rtt = Duration::from_millis(ms);
        let measured =
            Measured { rtt, usual: rtt, age: Duration::ZERO, by: "Berlin".into(), state: State::Alive, hears: true };
        distances.add(&"Paris".into(), measured);
        distances
    }

    #[test]
    fn two_members_are_refused() {
        let check = members(&outlook(&["Berlin", "Paris"], None));
        assert_eq!(check.grade, Grade::Fail);
        assert!(check.found.contains("two members, Berlin at Berlin, Paris at Paris (leads)"), "{check:?}");
        assert!(check.remedy.starts_with("Add a third"), "{check:?}");
    }

    #[test]
    fn where_members_are_is_graded() {
        for (names, grade, part) in [
            (&["Berlin", "Paris", "Nantes"] as &[&str], Grade::Ok, "any one site may go"),
            (&["Berlin"], Grade::Warn, "if Berlin goes, metadata can't be written"),
            (&["Berlin", "Berlin", "Paris"], Grade::Warn, "if Berlin goes"),
            (&["Berlin", "Paris", "Nantes", "x"], Grade::Warn, "an even number"),
            (&[], Grade::Warn, "has not told its members"),
        ] {
            let check = members(&outlook(names, None));
            assert!(check.grade == grade && check.found.contains(part), "{names:?}: {check:?}");
        }
        let mut lame = outlook(&["Berlin", "Paris", "Nantes"], None);
        lame.members[1].up = Some(false);
        assert!(members(&lame).found.contains("2 of 3 members: Paris is down"));
        assert!(placeless(&lame).is_none());
        assert!(placeless(&outlook(&["Berlin", "x"], None)).expect("a warning").found.contains('x'));
    }

    #[test]
    fn timers_are_compared_with_distances() {
        for (told, ms, grade, part) in [
            (Some((100, 1000)), 80, Grade::Ok, "its members say heartbeat 100 ms, election 1000 ms; 80 ms from"),
            (Some((100, 1000)), 120, Grade::Fail, "elections begin while the leader lives"),
            (Some((20, 1000)), 80, Grade::Warn, "don't fit"),
            (Some((300, 1000)), 80, Grade::Warn, "don't fit"),
            (None, 20, Grade::Ok, "it doesn't tell its timers; etcd's own are heartbeat 100 ms"),
            (None, 120, Grade::Warn, "elections begin"),
        ] {
            let check = fit(&outlook(&SITES, told), &distances(ms)).expect("a check");
            assert!(check.grade == grade && check.found.contains(part), "{told:?} {ms}: {check:?}");
        }
        let unknown = fit(&outlook(&SITES, None), &Distances::default()).expect("a check");
        assert!(unknown.grade == Grade::Warn && unknown.found.contains("no distance"), "{unknown:?}");
        assert!(fit(&outlook(&["Berlin"], None), &Distances::default()).is_none());
    }
}
