//! The metadata cluster itself: who its members are. Told by the backend, where there is one.

use std::collections::BTreeSet;
use std::time::Duration;

/// The cluster as the backend listed it last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Those that vote.
    pub members: Vec<Member>,
    /// The leader's name, where somebody says it.
    pub leader: Option<String>,
}

/// A member that votes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    /// Where clients and other members reach it.
    pub urls: Vec<String>,
    /// Whether it answered; `None` where it wasn't asked.
    pub up: Option<bool>,
    /// Its timers, where it tells them.
    pub timers: Option<Timers>,
    /// What it said when it was asked.
    pub told: Option<Told>,
}

/// What a member says of itself, and of the cluster as it sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub id: u64,
    /// Of the member that it follows, or itself; none while it knows of no leader.
    pub leader: Option<u64>,
    pub version: String,
    /// It doesn't vote yet.
    pub learner: bool,
    /// How many of the cluster's decisions it has carried out.
    pub applied: u64,
    /// Bytes of its database.
    pub database: u64,
    /// Each with the id of the member that has raised it.
    pub alarms: BTreeSet<(u64, String)>,
}

impl Cluster {
    /// Members that said something.
    fn told(&self) -> impl Iterator<Item = (&Member, &Told)> {
        self.members.iter().filter_map(|member| Some((member, member.told.as_ref()?)))
    }

    /// Whether any member knows a leader; nothing where none said anything.
    pub fn led(&self) -> Option<bool> {
        let mut told = self.told().peekable();
        told.peek()?;
        Some(told.any(|(_, told)| told.leader.is_some()))
    }

    /// The alarms, each with the name of the member that has raised it, or else its id. Each ends all writes.
    pub fn alarms(&self) -> BTreeSet<(String, String)> {
        let name = |id: u64| self.told().find(|(_, told)| told.id == id).map(|(member, _)| member.name.clone());
        let all = self.told().flat_map(|(_, told)| &told.alarms);
        all.map(|(id, alarm)| (name(*id).unwrap_or_else(|| format!("{id:x}")), alarm.clone())).collect()
    }
}

/// How soon members miss their leader. etcd's own: 100 ms and 1 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    pub heartbeat: Duration,
    pub election: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self { heartbeat: Duration::from_millis(100), election: Duration::from_secs(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(told: [Option<Told>; 2]) -> Cluster {
        let member = |(name, told): (&str, Option<Told>)| Member { name: name.into(), told, ..Member::default() };
        Cluster { members: ["a", "b"].into_iter().zip(told).map(member).collect(), leader: None }
    }

    #[test]
    fn members_tell_whether_somebody_leads() {
        let led = |leaders: [Option<Option<u64>>; 2]| {
            cluster(leaders.map(|told| Some(Told { leader: told?, ..Told::default() }))).led()
        };
        assert_eq!(led([None, None]), None, "nobody was asked");
        assert_eq!(led([None, Some(None)]), Some(false));
        assert_eq!(led([Some(None), Some(Some(7))]), Some(true));
    }

    #[test]
    fn alarms_are_told_once_and_by_name() {
        let alarms = BTreeSet::from([(1, "NOSPACE".to_owned()), (9, "CORRUPT".to_owned())]);
        let told = |id| Some(Told { id, alarms: alarms.clone(), ..Told::default() });
        let of = |name: &str, alarm: &str| (name.to_owned(), alarm.to_owned());
        let all = cluster([told(1), told(2)]).alarms();
        assert_eq!(Vec::from_iter(all), [of("9", "CORRUPT"), of("a", "NOSPACE")]);
        assert!(cluster([None, None]).alarms().is_empty());
    }
}
