use std::time::Duration;

use super::*;
use crate::config::from_text;
use crate::metadata::latency::Measured;
use crate::metadata::{Names, build};

/// Berlin (here), Paris and Nantes at 10.0.1.1, 10.0.2.1 and 10.0.3.1.
fn snapshot() -> Snapshot {
    let text = "site = \"Berlin\"\nhost = \"b1\"\n\
        [peer]\nlisten = \"10.0.1.1:7117\"\nca = \"/ca\"\ncert = \"/cert\"\nkey = \"/key\"\n\
        [[sites]]\nname = \"Paris\"\npeer = \"10.0.2.1:7117\"\n\
        [[sites]]\nname = \"Nantes\"\npeer = [\"10.0.3.1:7117\", \"[fd00::3]:7117\"]\n\
        [[services]]\nname = \"S\"\nendpoints = { Berlin = \"http://10.0.1.9:80\", Paris = \"http://10.0.2.9:80\" }";
    build(&from_text(text).unwrap_or_else(|error| panic!("{error}")).config, &Names::default())
}

fn cluster(hosts: &[&str]) -> Cluster {
    let member = |(number, host): (usize, &&str)| Member {
        name: format!("m{number}"),
        urls: vec![format!("https://{host}:2380")],
        ..Member::default()
    };
    Cluster { members: hosts.iter().enumerate().map(member).collect(), leader: Some("m0".into()) }
}

fn own() -> Vec<IpAddr> {
    vec!["127.0.0.1".parse().expect("an address"), "10.0.1.1".parse().expect("an address")]
}

fn outlook(cluster: &Cluster) -> Outlook {
    let kept = Kept::Cluster { members: Some(cluster), answers: true };
    Outlook::of(kept, &snapshot(), &Distances::default(), &own())
}

/// `Berlin Nantes Paris`: whether metadata can be written if it goes.
fn if_gone(outlook: &Outlook) -> Vec<(&str, Answer, usize)> {
    let all = outlook.if_gone.iter();
    assert!(outlook.if_gone.iter().all(|gone| gone.requests == Answer::Yes));
    all.map(|gone| (gone.site.as_str(), gone.metadata_writes, gone.members_left)).collect()
}

fn fatal(outlook: &Outlook) -> Vec<&str> {
    outlook.fatal().into_iter().map(SiteName::as_str).collect()
}

#[test]
fn members_are_placed_by_their_addresses_or_names() {
    let mut cluster = cluster(&["10.0.1.1", "10.0.2.9", "[fd00::3]", "10.9.9.9", "paris.example", "127.0.0.1"]);
    cluster.members[4].name = "paris".into();
    cluster.members[5].name = "B1".into();
    let outlook = outlook(&cluster);
    let places: Vec<_> = outlook.members.iter().map(|member| member.site.as_ref().map(SiteName::as_str)).collect();
    assert_eq!(places, [Some("Berlin"), Some("Paris"), Some("Nantes"), None, Some("Paris"), Some("Berlin")]);
    assert!(outlook.members[0].leads && !outlook.members[1].leads);
}

#[test]
fn one_of_three_may_go() {
    use Answer::{No, Yes};
    let mut cluster = cluster(&["10.0.1.1", "10.0.2.1", "10.0.3.1"]);
    let all = outlook(&cluster);
    assert_eq!((all.metadata_writes, all.quorum, all.two_members()), (Yes, 2, false));
    assert_eq!(if_gone(&all), [("Berlin", Yes, 2), ("Nantes", Yes, 2), ("Paris", Yes, 2)]);
    assert!(all.fatal().is_empty());

    cluster.members[2].up = Some(false);
    let two_left = outlook(&cluster);
    assert_eq!(two_left.metadata_writes, Yes);
    assert_eq!(if_gone(&two_left), [("Berlin", No, 1), ("Nantes", Yes, 2), ("Paris", No, 1)]);

    cluster.members[1].up = Some(false);
    let one_left = outlook(&cluster);
    assert_eq!(one_left.metadata_writes, No);
    assert!(one_left.if_gone.iter().all(|gone| gone.metadata_writes == No));
}

/// Two sites can't survive the loss of either: with two members, with three of which two are at one site.
#[test]
fn two_sites_are_not_enough() {
    use Answer::{No, Yes};
    let two = outlook(&cluster(&["10.0.1.1", "10.0.2.1"]));
    assert!(two.two_members());
    assert_eq!(if_gone(&two), [("Berlin", No, 1), ("Nantes", Yes, 2), ("Paris", No, 1)]);
    assert_eq!(fatal(&two), ["Berlin", "Paris"]);
    let lopsided = outlook(&cluster(&["10.0.1.1", "10.0.1.9", "10.0.2.1"]));
    assert_eq!(if_gone(&lopsided), [("Berlin", No, 1), ("Nantes", Yes, 3), ("Paris", Yes, 2)]);
    assert_eq!(fatal(&outlook(&cluster(&["10.0.3.1"]))), ["Nantes"]);
}

#[test]
fn what_is_not_known_is_not_guessed() {
    use Answer::{No, Unknown, Yes};
    let strange = outlook(&cluster(&["10.0.1.1", "10.0.2.1", "10.9.9.9"]));
    assert_eq!(if_gone(&strange), [("Berlin", Unknown, 1), ("Nantes", Yes, 2), ("Paris", Unknown, 1)]);
    let of = |kept| Outlook::of(kept, &snapshot(), &Distances::default(), &own());
    let never = of(Kept::Cluster { members: None, answers: true });
    assert_eq!((never.metadata_writes, never.quorum), (Unknown, 0));
    assert!(never.if_gone.iter().all(|gone| gone.metadata_writes == Unknown && gone.requests == Yes));
    let one = cluster(&["10.0.1.1"]);
    let silent = of(Kept::Cluster { members: Some(&one), answers: false });
    assert_eq!(silent.metadata_writes, No);
    let embedded = of(Kept::Embedded);
    assert_eq!(embedded.metadata_writes, Yes);
    assert!(embedded.if_gone.iter().all(|gone| gone.metadata_writes == Yes));
}

#[test]
fn distances_and_states_are_those_that_are_measured() {
    let mut distances = Distances::default();
    distances.stands(&"Paris".into(), State::Dead);
    for (by, to, ms) in [("Berlin", "Paris", 20), ("Berlin", "Nantes", 60)] {
        let usual = Duration::from_millis(ms);
        let measured =
            Measured { rtt: usual / 2, usual, age: Duration::ZERO, by: by.into(), state: State::Alive, hears: true };
        distances.add(&to.into(), measured);
    }
    let cluster = cluster(&["10.0.1.1", "10.0.2.1", "10.0.3.1"]);
    let kept = Kept::Cluster { members: Some(&cluster), answers: true };
    let outlook = Outlook::of(kept, &snapshot(), &distances, &own());
    assert_eq!(outlook.down.iter().map(SiteName::as_str).collect::<Vec<_>>(), ["Paris"]);
    let (rtt, one, other) = outlook.farthest(&distances).expect("measured");
    assert_eq!((rtt.as_millis(), one.as_str(), other.as_str()), (60, "Berlin", "Nantes"));
    assert_eq!(outlook.timers(), (Timers::default(), false));
}

#[test]
fn an_alarm_or_no_leader_ends_writes() {
    use crate::metadata::cluster::Told;
    let asked = |leader, alarms: &[&str]| {
        let mut cluster = cluster(&["10.0.1.1", "10.0.2.1", "10.0.3.1"]);
        for (id, member) in (1..).zip(&mut cluster.members) {
            let alarms = alarms.iter().map(|alarm| (1, (*alarm).to_owned())).collect();
            member.told = Some(Told { id, leader, version: "3.6.5".into(), database: 7, alarms, ..Told::default() });
        }
        outlook(&cluster)
    };
    let good = asked(Some(1), &[]);
    assert!(good.metadata_writes == Answer::Yes && good.alarms.is_empty());
    assert_eq!((good.members[1].version.as_deref(), good.members[1].database_bytes), (Some("3.6.5"), Some(7)));
    let full = asked(Some(1), &["NOSPACE"]);
    assert_eq!(full.alarms, [Raised { member: "m0".into(), alarm: "NOSPACE".into() }]);
    assert!(full.metadata_writes == Answer::No && if_gone(&full).iter().all(|(_, writes, _)| *writes == Answer::No));
    assert_eq!(asked(None, &[]).metadata_writes, Answer::No);
}
