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
    /// With what each member, in their order, said: nothing where it didn't answer, and an error where it refused to.
    #[must_use]
    pub fn asked(mut self, answers: Vec<Result<Told, Silence>>) -> Self {
        for (member, answer) in self.members.iter_mut().zip(answers) {
            member.up = Some(!matches!(answer, Err(Silence::Down)));
            member.told = answer.ok();
        }
        // Followers know their leader by an id alone.
        let ids = self.told().filter_map(|(_, told)| told.leader);
        let led: BTreeSet<u64> = ids.collect();
        let leads = self.told().find(|(_, told)| led.contains(&told.id)).map(|(member, _)| member.name.clone());
        // Who doesn't answer may lead still, as it was listed.
        self.leader = leads.or(self.leader.take().filter(|_| !led.is_empty() || self.told().next().is_none()));
        self
    }

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

/// Why a member said nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It can't be reached, or doesn't answer in time.
    Down,
    /// It answered, but told nothing.
    Refused,
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

    fn cluster() -> Cluster {
        let member = |name: &str| Member { name: name.into(), ..Member::default() };
        Cluster { members: ["a", "b", "c"].map(member).into(), leader: Some("b".into()) }
    }

    fn told(id: u64, leader: Option<u64>) -> Result<Told, Silence> {
        Ok(Told { id, leader, ..Told::default() })
    }

    #[test]
    fn members_tell_who_is_up_and_who_leads() {
        use Silence::{Down, Refused};
        let asked = |answers| cluster().asked(answers);
        let up = |cluster: &Cluster| cluster.members.iter().map(|member| member.up).collect::<Vec<_>>();
        let all = asked(vec![told(1, Some(3)), told(2, Some(3)), told(3, Some(3))]);
        assert_eq!((up(&all), all.leader.as_deref(), all.led()), (vec![Some(true); 3], Some("c"), Some(true)));
        let lame = asked(vec![told(1, Some(2)), Err(Down), Err(Refused)]);
        assert_eq!(up(&lame), [Some(true), Some(false), Some(true)]);
        assert_eq!((lame.leader.as_deref(), lame.led()), (Some("b"), Some(true)), "as it was listed");
        let alone = asked(vec![told(1, None), Err(Down), Err(Down)]);
        assert_eq!((alone.leader.as_deref(), alone.led()), (None, Some(false)));
        let none = asked(vec![Err(Down), Err(Down), Err(Down)]);
        assert_eq!((up(&none), none.led()), (vec![Some(false); 3], None));
        assert_eq!((cluster().led(), cluster().members[0].up), (None, None));
    }

    #[test]
    fn alarms_are_told_once_and_by_name() {
        let alarms = BTreeSet::from([(1, "NOSPACE".to_owned()), (9, "CORRUPT".to_owned())]);
        let told = |id| Ok(Told { id, leader: Some(1), alarms: alarms.clone(), ..Told::default() });
        let asked = cluster().asked(vec![told(1), told(2), Err(Silence::Down)]);
        let of = |name: &str, alarm: &str| (name.to_owned(), alarm.to_owned());
        assert_eq!(Vec::from_iter(asked.alarms()), [of("9", "CORRUPT"), of("a", "NOSPACE")]);
        assert!(cluster().alarms().is_empty());
    }
}
