//! Checks of the metadata cluster: how many members it has and where, and whether its timers fit the distances.

use std::time::Duration;

use super::timers;
use crate::admin::{self, Agent, outlook};
use crate::metadata::cluster::{Cluster, Member};
use crate::metadata::latency::Distances;
use crate::metadata::outlook::{Answer, Outlook, Placed, Raised, host_of};
use crate::names::SiteName;
use crate::observe::{Check, Grade};

const MEMBERS: &str = "metadata-members";
const ENDPOINTS: &str = "metadata-endpoints";
const ALARMS: &str = "metadata-alarms";
const TIMERS: &str = "metadata-timers";
const GUIDE: &str = "etcd wants --heartbeat-interval at about the longest round trip between members, and \
                     --election-timeout at ten times that, the same at every member";

/// Every check of it; none without a cluster.
pub fn checks(agent: &Agent) -> Vec<Check> {
    if agent.metadata.is_embedded() {
        return Vec::new();
    }
    let cluster = agent.metadata.cluster().map(|cluster| timers::told(&cluster));
    let outlook = outlook::of(agent, cluster.as_ref());
    let mut checks = vec![members(&outlook)];
    checks.extend(alarms(&outlook));
    checks.extend(placeless(&outlook));
    checks.extend(cluster.as_ref().and_then(|cluster| endpoints(cluster, &admin::metadata::endpoints(agent))));
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
        _ if !down.is_empty() => lame(count, &down, outlook.quorum),
        _ if outlook.metadata_writes == Answer::No && outlook.alarms.is_empty() => Check::not(
            MEMBERS,
            Grade::Fail,
            format!("{told}: they agree on no leader, so nothing can be written"),
            "Look at the ways between the members, and at what they log",
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

/// Some members don't answer from here.
fn lame(count: usize, down: &[&str], quorum: usize) -> Check {
    let left = count - down.len();
    let are = if down.len() == 1 { "is" } else { "are" };
    let found = format!("{left} of {count} members answer: {} {are} down", down.join(", "));
    if left < quorum {
        let found = format!("{found}; nothing can be written with less than {quorum}");
        return Check::not(
            MEMBERS,
            Grade::Fail,
            found,
            "Bring them back, or the way to them; requests don't need them",
        );
    }
    Check::not(MEMBERS, Grade::Warn, found, "Look at that member; until it is back, fewer may fail")
}

fn alarms(outlook: &Outlook) -> Vec<Check> {
    let remedy = |alarm: &str| match alarm {
        "NOSPACE" => {
            "Its database has reached its quota: etcdctl compact, defrag, if need be a larger --quota-backend-bytes, \
             then alarm disarm"
        }
        _ => "See etcd's guide to that alarm; then etcdctl alarm disarm",
    };
    let check = |raised: &Raised| {
        let found = format!("{} raises {}: nothing can be written to the cluster", raised.member, raised.alarm);
        Check::not(ALARMS, Grade::Fail, found, remedy(&raised.alarm))
    };
    outlook.alarms.iter().map(check).collect()
}

/// Members that this agent doesn't know where to ask: without the others it has nobody.
fn endpoints(cluster: &Cluster, configured: &[String]) -> Option<Check> {
    let hosts: Vec<&str> = configured.iter().filter_map(|url| host_of(url)).collect();
    let has = |member: &Member| member.urls.iter().filter_map(|url| host_of(url)).any(|host| hosts.contains(&host));
    let missing: Vec<&str> =
        cluster.members.iter().filter(|member| !has(member)).map(|member| member.name.as_str()).collect();
    // An endpoint that no member calls itself may be any member's other name.
    let other = |host: &&&str| {
        !cluster.members.iter().any(|member| member.urls.iter().filter_map(|url| host_of(url)).any(|url| url == **host))
    };
    if missing.len() <= hosts.iter().filter(other).count() {
        return None;
    }
    let found = format!(
        "metadata.endpoints lacks {} of {} members: {}",
        missing.len(),
        cluster.members.len(),
        missing.join(", ")
    );
    Some(Check::not(ENDPOINTS, Grade::Warn, found, "Add them: an agent that can ask one member alone is lost with it"))
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
    use crate::metadata::cluster::{Timers, Told};
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
        assert!(members(&lame).found.contains("2 of 3 members answer: Paris is down"));
        lame.members[0].up = Some(false);
        let lost = members(&lame);
        assert!(lost.grade == Grade::Fail && lost.found.contains("Berlin, Paris are down; nothing can be"), "{lost:?}");
        assert!(placeless(&lame).is_none());
        assert!(placeless(&outlook(&["Berlin", "x"], None)).expect("a warning").found.contains('x'));
    }

    #[test]
    fn what_members_complain_about_is_told() {
        let cluster = |leader| {
            let told = Told { id: 2, leader, alarms: [(2, "NOSPACE".to_owned())].into(), ..Told::default() };
            let told = |name: &str| (name == "Paris").then(|| told.clone());
            let member = |name: &str| Member { name: name.into(), told: told(name), ..Member::default() };
            Cluster { members: SITES.map(member).into(), leader: None }
        };
        let of = |cluster: &Cluster| {
            let kept = Kept::Cluster { members: Some(cluster), answers: true };
            Outlook::of(kept, &snapshot(), &Distances::default(), &[])
        };
        let full = alarms(&of(&cluster(Some(2))));
        assert_eq!(full[0].grade, Grade::Fail);
        assert!(full[0].found.contains("Paris raises NOSPACE") && full[0].remedy.contains("alarm disarm"), "{full:?}");
        let mut torn = of(&cluster(None));
        torn.alarms.clear();
        assert!(alarms(&torn).is_empty());
        assert!(members(&torn).found.contains("agree on no leader"), "{:?}", members(&torn));
    }

    #[test]
    fn members_that_are_not_in_the_file_are_told() {
        let member = |host: &str| Member {
            name: host.into(),
            urls: vec![format!("http://{host}:2380"), format!("https://{host}:2379")],
            ..Member::default()
        };
        let cluster = Cluster { members: ["10.0.1.1", "10.0.2.1", "[fd00::3]"].map(member).into(), leader: None };
        let check = |urls: &[&str]| endpoints(&cluster, &urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>());
        assert!(check(&["https://10.0.1.1:2379", "https://10.0.2.1:2379", "https://[fd00::3]:2379"]).is_none());
        assert!(check(&["https://10.0.1.1:2379", "https://b.example", "https://c.example"]).is_none(), "other names");
        let lacks = check(&["https://10.0.1.1:2379"]).expect("a warning");
        assert!(lacks.found.ends_with("lacks 2 of 3 members: 10.0.2.1, [fd00::3]"), "{lacks:?}");
        assert!(check(&["https://10.0.1.1:2379", "https://b.example"]).expect("a warning").found.contains("lacks 2"));
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
