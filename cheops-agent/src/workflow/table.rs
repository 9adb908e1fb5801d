//! The ids that are live, and the scopes that each stands for. Pure: the time comes from outside.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::line::Line;
use super::links::{Kind, Link, Links};
use super::record::{Found, Inherited, Maker, Record, Sole, WorkflowError, used};
use super::story::Story;
use crate::names::{ServiceName, SiteName};
use crate::scope::Completed;

/// Services of one workflow that are placed, at most.
const MOST_PLACED: usize = 32;

/// All records.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_link: HashMap<Arc<Link>, Vec<Record>>,
    records: usize,
    /// Each scope once, however many ids stand for it.
    scopes: HashMap<String, Vec<Weak<Inherited>>>,
    /// Records that may end, about in the order in which they do; each at most once.
    ending: VecDeque<(Instant, Arc<Link>, Arc<Inherited>)>,
}

impl Table {
    /// The records, also those that have ended and were not swept yet.
    pub(super) fn len(&self) -> usize {
        self.records
    }

    /// Every id with its record.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Arc<Link>, &Record)> {
        self.by_link.iter().flat_map(|(link, records)| records.iter().map(move |record| (link, record)))
    }

    /// The records of an id.
    pub(super) fn of(&self, link: &Link) -> impl Iterator<Item = &Record> {
        self.by_link.get(link).into_iter().flatten()
    }

    /// The one scope for which these ids stand, and the first of them that does. Credentials are no ids.
    pub(super) fn find(&mut self, links: &Links, now: Instant) -> Result<Option<Found>, WorkflowError> {
        self.sweep(now);
        let mut found: Option<(Kind, &Arc<Link>, &Record)> = None;
        let mut placed: Vec<(ServiceName, SiteName)> = Vec::new();
        for (kind, link) in links.iter().filter(|(kind, _)| *kind != Kind::Credential) {
            let Some((link, records)) = self.by_link.get_key_value(link) else { continue };
            for record in records.iter().filter(|record| record.is_live(now)) {
                match found {
                    None => found = Some((*kind, link, record)),
                    Some((_, _, first)) if Arc::ptr_eq(&first.scope, &record.scope) => {}
                    Some((_, _, first)) => {
                        let (one, other) = (first.story.request.clone(), record.story.request.clone());
                        return Err(WorkflowError::Ambiguous { one, other });
                    }
                }
                placed.extend(record.placed.iter().cloned());
            }
        }
        Ok(found.map(|(kind, link, record)| record.found(kind, link, placed)))
    }

    /// What the request's credential links it to, if exactly one live scope uses it.
    pub(super) fn find_by_credential(&self, links: &Links, now: Instant) -> Sole {
        let mut sole: Option<(&Arc<Link>, &Record)> = None;
        for (_, link) in links.iter().filter(|(kind, _)| *kind == Kind::Credential) {
            let Some((link, records)) = self.by_link.get_key_value(link) else { continue };
            for record in records.iter().filter(|record| record.is_live(now)) {
                match sole {
                    Some((_, first)) if !Arc::ptr_eq(&first.scope, &record.scope) => return Sole::Several,
                    _ => sole = Some((link, record)),
                }
            }
        }
        match sole {
            None => Sole::Nothing,
            Some((link, record)) => Sole::One(record.found(Kind::Credential, link, record.placed.clone())),
        }
    }

    /// Says where the workflow's calls of a service go from now on; None: it is open again. Whether it was open.
    pub(super) fn place(
        &mut self,
        links: &[Arc<Link>],
        scope: &Arc<Inherited>,
        service: &ServiceName,
        site: Option<&SiteName>,
    ) -> bool {
        let mut was_open = true;
        for link in links {
            let Some(record) = self.record(link, scope) else { continue };
            let before = record.placed.len();
            record.placed.retain(|(name, _)| name != service);
            was_open &= record.placed.len() == before;
            if let Some(site) = site.filter(|_| record.placed.len() < MOST_PLACED) {
                record.placed.push((service.clone(), site.clone()));
            }
        }
        was_open
    }

    fn record(&mut self, link: &Arc<Link>, scope: &Arc<Inherited>) -> Option<&mut Record> {
        self.by_link.get_mut(link)?.iter_mut().find(|record| Arc::ptr_eq(&record.scope, scope))
    }

    /// Makes these ids live: all or none. `began`: Unix time in milliseconds, for whoever looks.
    pub(super) fn hold(
        &mut self,
        links: Vec<Link>,
        maker: Maker<'_>,
        limit: usize,
        (now, began): (Instant, u64),
    ) -> Result<(Vec<Arc<Link>>, Arc<Inherited>), WorkflowError> {
        self.sweep(now);
        let scope = self.scope(maker.scope, maker.entry)?;
        let (mut new, mut story) = (0, None);
        for link in &links {
            let records = self.by_link.get(link).map(Vec::as_slice).unwrap_or_default();
            let live = || records.iter().filter(|record| record.is_live(now));
            if let Some(addressed) = maker.addressed.filter(|_| !link.is_credential()) {
                used(link, live(), &scope, addressed, &maker)?;
            }
            let same = records.iter().find(|record| Arc::ptr_eq(&record.scope, &scope));
            new += usize::from(same.is_none());
            // A credential has more than one workflow.
            let known = same.filter(|record| record.is_live(now) && !link.is_credential());
            story = story.or_else(|| known.map(|record| record.story.clone()));
        }
        if new > 0 && self.records + new > limit {
            return Err(WorkflowError::Full(limit));
        }
        let story = story.unwrap_or_else(|| Arc::new(Story::new(maker.request, maker.addressed, began)));
        let links = links.into_iter().map(|link| self.open(link, &scope, &maker, &story, now)).collect();
        Ok((links, scope))
    }

    fn open(
        &mut self,
        link: Link,
        scope: &Arc<Inherited>,
        maker: &Maker<'_>,
        story: &Arc<Story>,
        now: Instant,
    ) -> Arc<Link> {
        let link = self.known(link);
        let Some(record) = self.at(&link, scope, story, now) else { return link };
        if record.open == 0 && record.until <= now {
            (record.brief, record.caller) = (maker.brief, maker.caller.cloned());
        } else if maker.addressed.is_some()
            && record.caller.as_ref().is_some_and(|known| maker.is_other(known) != Some(false))
        {
            // Of two whose credentials can't be compared, or of which one has none, nobody knows whose the calls are.
            record.caller = None;
        }
        record.open += 1;
        // A call within a workflow doesn't say how long that goes on.
        record.brief &= maker.brief || maker.addressed.is_none();
        if let Some(service) = maker.addressed.filter(|service| !record.addressed.contains(service)) {
            record.addressed.push(service.clone());
        }
        link
    }

    fn known(&self, link: Link) -> Arc<Link> {
        self.by_link.get_key_value(&link).map_or_else(|| Arc::new(link), |(known, _)| known.clone())
    }

    /// The id's record under this scope; it is made if there is none.
    fn at(
        &mut self,
        link: &Arc<Link>,
        scope: &Arc<Inherited>,
        story: &Arc<Story>,
        now: Instant,
    ) -> Option<&mut Record> {
        let records = self.by_link.entry(link.clone()).or_default();
        let at = records.iter().position(|record| Arc::ptr_eq(&record.scope, scope)).unwrap_or_else(|| {
            records.push(Record {
                scope: scope.clone(),
                story: story.clone(),
                addressed: Vec::new(),
                placed: Vec::new(),
                caller: None,
                open: 0,
                until: now,
                ending: false,
                brief: true,
            });
            self.records += 1;
            records.len() - 1
        });
        records.get_mut(at)
    }

    /// Takes over what another agent, or an earlier process of this one, knows, until then. Whether there was room.
    pub(super) fn adopt(&mut self, line: &Line, limit: usize, now: Instant, until: Instant) -> bool {
        let Ok(scope) = self.scope(&line.scope, &line.entry) else { return false };
        let link = self.known(line.link.clone());
        let known = self.by_link.get(&link).into_iter().flatten();
        let same = known.into_iter().find(|record| Arc::ptr_eq(&record.scope, &scope));
        if same.is_none() && self.records >= limit {
            return false;
        }
        // The ids of one workflow have one story here, too.
        let story = same.map(|record| record.story.clone()).or_else(|| self.story(&line.request, &scope));
        let story = story.unwrap_or_else(|| Arc::new(Story::new(&line.request, line.service.as_ref(), line.since)));
        let Some(record) = self.at(&link, &scope, &story, now) else { return false };
        if record.open == 0 {
            (record.caller, record.brief) = (line.caller.clone(), line.brief);
        }
        for service in &line.addressed {
            if record.addressed.len() < MOST_PLACED && !record.addressed.contains(service) {
                record.addressed.push(service.clone());
            }
        }
        for place in &line.placed {
            if record.placed.len() < MOST_PLACED && !record.placed.iter().any(|(service, _)| *service == place.0) {
                record.placed.push(place.clone());
            }
        }
        record.until = record.until.max(until);
        let until = record.until;
        if !std::mem::replace(&mut record.ending, true) {
            self.ending.push_back((until, link, scope));
        }
        true
    }

    fn story(&self, request: &str, scope: &Arc<Inherited>) -> Option<Arc<Story>> {
        // Only what was just taken over is looked for: there are few others then.
        let newest = self.ending.iter().rev().take(8);
        let mut records = newest.filter_map(|(_, link, _)| self.by_link.get(link)).flatten();
        let same = |record: &&Record| record.story.request == request && Arc::ptr_eq(&record.scope, scope);
        records.find(same).map(|record| record.story.clone())
    }

    /// A request has its answer: its records end when `after` says, if nothing keeps them; it is told whether they are
    /// brief.
    pub(super) fn release(&mut self, links: &[Arc<Link>], scope: &Arc<Inherited>, after: impl Fn(bool) -> Instant) {
        for link in links {
            let Some(record) = self.record(link, scope) else { continue };
            record.open = record.open.saturating_sub(1);
            record.until = record.until.max(after(record.brief));
            let until = record.until;
            if !std::mem::replace(&mut record.ending, true) {
                self.ending.push_back((until, link.clone(), scope.clone()));
            }
        }
    }

    /// A call was made that isn't served by the workflow's scope: it goes on all the same.
    pub(super) fn touch(&mut self, found: &Found, after: impl Fn(bool) -> Instant) {
        if let Some(record) = self.record(&found.link, &found.scope) {
            record.until = record.until.max(after(record.brief));
        }
    }

    /// Drops what has ended.
    pub(super) fn sweep(&mut self, now: Instant) {
        while self.ending.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, link, scope)) = self.ending.pop_front() else { return };
            let Some(records) = self.by_link.get_mut(&link) else { continue };
            let Some(at) = records.iter().position(|record| Arc::ptr_eq(&record.scope, &scope)) else { continue };
            match records.get_mut(at) {
                Some(record) if record.open > 0 => record.ending = false,
                Some(record) if record.until > now => self.ending.push_back((record.until, link, scope)),
                _ => {
                    drop(records.swap_remove(at));
                    self.records -= 1;
                    if records.is_empty() {
                        self.by_link.remove(&link);
                    }
                }
            }
        }
    }

    /// The scope, shared with every record of the same.
    fn scope(&mut self, text: &str, entry: &SiteName) -> Result<Arc<Inherited>, WorkflowError> {
        if self.scopes.len() > 2 * self.records + 16 {
            self.scopes.retain(|_, same| same.iter().any(|scope| scope.strong_count() > 0));
        }
        let known = self.scopes.get(text).into_iter().flatten().filter_map(Weak::upgrade);
        if let Some(known) = known.into_iter().find(|known| known.entry == *entry) {
            return Ok(known);
        }
        let scope = Arc::new(Inherited { scope: Completed::parse(text)?, entry: entry.clone() });
        let same = self.scopes.entry(text.to_owned()).or_default();
        same.retain(|scope| scope.strong_count() > 0);
        same.push(Arc::downgrade(&scope));
        Ok(scope)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::Code;
    use crate::workflow::caller::Caller;

    const SECOND: Duration = Duration::from_secs(1);
    const PARIS: &str = r#"{"A":"Paris","default":"Berlin"}"#;
    const NANTES: &str = r#"{"A":"Nantes","default":"Berlin"}"#;

    /// A table and its clock, in seconds.
    struct Desk {
        table: Table,
        start: Instant,
        limit: usize,
    }

    type Kept = (Vec<Arc<Link>>, Arc<Inherited>);

    fn link(value: &str) -> Link {
        Link { name: "trace".to_owned(), value: value.to_owned() }
    }

    impl Desk {
        fn new(limit: usize) -> Self {
            Self { table: Table::default(), start: Instant::now(), limit }
        }

        fn at(&self, second: u32) -> Instant {
            self.start + SECOND * second
        }

        /// A request with an own scope to this service; none: a call within a workflow.
        fn hold(&mut self, ids: &[&str], scope: &str, to: Option<&str>, second: u32) -> Result<Kept, WorkflowError> {
            let (addressed, entry, now) = (to.map(ServiceName::from), SiteName::from("Berlin"), self.at(second));
            let request = format!("r-{second}");
            let maker = Maker {
                scope,
                entry: &entry,
                addressed: addressed.as_ref(),
                request: &request,
                brief: false,
                caller: None,
                credential: None,
            };
            self.table.hold(ids.iter().map(|id| link(id)).collect(), maker, self.limit, (now, 0))
        }

        fn answered(&mut self, (links, scope): &Kept, until: u32) {
            let until = self.at(until);
            self.table.release(links, scope, |_| until);
        }

        fn found(&mut self, ids: &[&str], second: u32) -> Result<Option<String>, WorkflowError> {
            let links: Links = ids.iter().map(|id| (Kind::Traceparent, link(id))).collect();
            let now = self.at(second);
            Ok(self.table.find(&links, now)?.map(|found| found.scope.scope.to_string()))
        }

        fn placed(&mut self, ids: &[&str], second: u32) -> Vec<(String, String)> {
            let links: Links = ids.iter().map(|id| (Kind::Traceparent, link(id))).collect();
            let now = self.at(second);
            let found = self.table.find(&links, now).expect("one scope").map(|found| found.placed);
            found.into_iter().flatten().map(|(service, site)| (service.to_string(), site.to_string())).collect()
        }
    }

    #[test]
    fn an_id_is_live_while_its_request_is_open_and_some_time_after() {
        let mut desk = Desk::new(10);
        assert_eq!(desk.found(&["t"], 0), Ok(None));
        let kept = desk.hold(&["t", "u"], PARIS, Some("A"), 0).expect("held");
        for id in ["t", "u"] {
            assert_eq!(desk.found(&[id], 1_000), Ok(Some(PARIS.to_owned())), "{id}");
        }
        assert_eq!(desk.found(&["v"], 1_000), Ok(None));
        desk.answered(&kept, 1_060);
        assert_eq!(desk.found(&["v", "t"], 1_059), Ok(Some(PARIS.to_owned())));
        assert_eq!(desk.found(&["t"], 1_060), Ok(None));
        assert_eq!((desk.table.len(), desk.table.by_link.len(), desk.table.ending.len()), (0, 0, 0));
    }

    #[test]
    fn requests_that_share_an_id_and_a_scope_keep_it_until_the_last_has_ended() {
        let mut desk = Desk::new(10);
        let first = desk.hold(&["t"], PARIS, Some("A"), 0).expect("held");
        let call = desk.hold(&["t"], PARIS, None, 1).expect("held");
        assert_eq!(desk.table.len(), 1);
        desk.answered(&call, 20);
        assert_eq!(desk.found(&["t"], 30), Ok(Some(PARIS.to_owned())), "the first is open");
        desk.answered(&first, 90);
        let late = desk.hold(&["t"], PARIS, None, 40).expect("held");
        desk.answered(&late, 100);
        assert_eq!(desk.found(&["t"], 99), Ok(Some(PARIS.to_owned())));
        assert_eq!(desk.found(&["t"], 100), Ok(None));
        assert_eq!((desk.table.len(), desk.table.ending.len()), (0, 0));
    }

    /// What only read lives shorter, unless the same workflow also changed something; its calls don't matter.
    #[test]
    fn reads_are_brief() {
        let mut desk = Desk::new(10);
        let entry = SiteName::from("Berlin");
        let service = ServiceName::from("A");
        let hold = |desk: &mut Desk, id: &str, brief, own: bool| {
            let addressed = own.then_some(&service);
            let maker =
                Maker { scope: PARIS, entry: &entry, addressed, request: "r", brief, caller: None, credential: None };
            let now = desk.at(0);
            let kept = desk.table.hold(vec![link(id)], maker, 10, (now, 0)).expect("held");
            let after = |brief| desk.start + SECOND * if brief { 10 } else { 100 };
            desk.table.release(&kept.0, &kept.1, after);
        };
        hold(&mut desk, "read", true, true);
        hold(&mut desk, "read", false, false);
        hold(&mut desk, "made", false, true);
        hold(&mut desk, "made", true, false);
        hold(&mut desk, "both", true, true);
        hold(&mut desk, "both", false, true);
        let live = |desk: &mut Desk, second| ["read", "made", "both"].map(|id| desk.found(&[id], second) != Ok(None));
        assert_eq!(live(&mut desk, 9), [true, true, true]);
        assert_eq!(live(&mut desk, 10), [false, true, true]);
        assert_eq!(live(&mut desk, 100), [false, false, false]);
    }

    #[test]
    fn a_used_id_under_another_scope_is_refused_at_the_same_service() {
        let mut desk = Desk::new(10);
        let kept = desk.hold(&["t"], PARIS, Some("A"), 0).expect("held");
        let used = WorkflowError::InUse { link: "trace".to_owned(), request: "r-0".to_owned() };
        assert_eq!(desk.hold(&["new", "t"], NANTES, Some("A"), 1), Err(used.clone()));
        assert_eq!(used.problem().code, Code::RequestIdInUse);
        assert_eq!((desk.found(&["new"], 1), desk.table.len()), (Ok(None), 1), "all or none");
        desk.answered(&kept, 60);
        assert_eq!(desk.hold(&["t"], NANTES, Some("A"), 59), Err(used));
        assert!(desk.hold(&["t"], NANTES, Some("A"), 60).is_ok());
        assert_eq!(desk.found(&["t"], 61), Ok(Some(NANTES.to_owned())));
    }

    #[test]
    fn the_same_scope_from_another_entry_site_is_another() {
        let mut desk = Desk::new(10);
        let scope = r#"{"A":"Paris","default":null}"#;
        desk.hold(&["t"], scope, Some("A"), 0).expect("held");
        let (entry, service, now) = (SiteName::from("Paris"), ServiceName::from("A"), desk.at(1));
        let maker = Maker {
            scope,
            entry: &entry,
            addressed: Some(&service),
            request: "r-1",
            brief: false,
            caller: None,
            credential: None,
        };
        assert!(matches!(desk.table.hold(vec![link("t")], maker, 10, (now, 0)), Err(WorkflowError::InUse { .. })));
    }

    #[test]
    fn a_call_with_an_own_scope_leaves_its_ids_ambiguous() {
        let mut desk = Desk::new(10);
        desk.hold(&["t"], PARIS, Some("A"), 0).expect("held");
        let own = desk.hold(&["t", "u"], NANTES, Some("B"), 1).expect("a call to another service");
        let several = WorkflowError::Ambiguous { one: "r-0".to_owned(), other: "r-1".to_owned() };
        assert_eq!(desk.found(&["t"], 2), Err(several.clone()));
        assert_eq!(several.problem().code, Code::AmbiguousWorkflow);
        assert_eq!(desk.found(&["u"], 2), Ok(Some(NANTES.to_owned())));
        desk.answered(&own, 10);
        assert_eq!(desk.found(&["t"], 10), Ok(Some(PARIS.to_owned())));
    }

    #[test]
    fn two_ids_of_two_scopes_are_ambiguous_and_of_one_scope_are_not() {
        let mut desk = Desk::new(10);
        desk.hold(&["t"], PARIS, Some("A"), 0).expect("held");
        desk.hold(&["u"], NANTES, Some("A"), 1).expect("held");
        desk.hold(&["v"], PARIS, Some("A"), 2).expect("held");
        assert!(matches!(desk.found(&["t", "u"], 3), Err(WorkflowError::Ambiguous { .. })));
        assert_eq!(desk.found(&["t", "v"], 3), Ok(Some(PARIS.to_owned())));
    }

    /// Places are those of one workflow: other ids under the same scope have their own, and they end with their record.
    #[test]
    fn a_place_is_kept_as_long_as_its_workflow() {
        let mut desk = Desk::new(10);
        let kept = desk.hold(&["t", "u"], PARIS, Some("A"), 0).expect("held");
        desk.hold(&["other"], PARIS, Some("A"), 0).expect("held");
        let (a, b) = (ServiceName::from("A"), ServiceName::from("B"));
        let (nantes, lyon) = (SiteName::from("Nantes"), SiteName::from("Lyon"));
        let pair = |service: &str, site: &str| (service.to_owned(), site.to_owned());
        assert!(desk.table.place(&kept.0, &kept.1, &a, Some(&nantes)));
        assert!(desk.table.place(&kept.0, &kept.1, &b, Some(&nantes)));
        assert!(!desk.table.place(&kept.0, &kept.1, &a, Some(&lyon)), "it had a place");
        assert_eq!(desk.placed(&["u"], 1), [pair("B", "Nantes"), pair("A", "Lyon")]);
        assert_eq!(desk.placed(&["other"], 1), []);
        let call = desk.hold(&["t"], PARIS, None, 1).expect("held");
        desk.answered(&kept, 10);
        assert!(!desk.table.place(&call.0, &call.1, &b, None));
        assert_eq!(desk.placed(&["t"], 20), [pair("A", "Lyon")], "the call keeps it");
        desk.answered(&call, 30);
        assert_eq!(desk.placed(&["t"], 30), []);
        for number in 0..100 {
            desk.table.place(&kept.0, &kept.1, &format!("s{number}").into(), Some(&lyon));
        }
        let again = desk.hold(&["t"], PARIS, None, 40).expect("held");
        for number in 0..100 {
            desk.table.place(&again.0, &again.1, &format!("s{number}").into(), Some(&lyon));
        }
        assert_eq!(desk.placed(&["t"], 41).len(), MOST_PLACED);
    }

    #[test]
    fn beyond_the_limit_nothing_is_held_until_something_ends() {
        let mut desk = Desk::new(2);
        let kept = desk.hold(&["t", "u"], PARIS, Some("A"), 0).expect("held");
        assert_eq!(desk.hold(&["v"], PARIS, Some("A"), 1), Err(WorkflowError::Full(2)));
        assert!(desk.hold(&["t"], PARIS, None, 1).is_ok(), "nothing new");
        desk.answered(&kept, 5);
        assert_eq!(desk.hold(&["v"], PARIS, Some("A"), 4), Err(WorkflowError::Full(2)));
        assert!(desk.hold(&["v"], PARIS, Some("A"), 5).is_ok());
    }

    #[test]
    fn what_has_ended_leaves_nothing_behind() {
        let mut desk = Desk::new(10_000);
        for second in 0..2_000 {
            let site = format!(r#"{{"A":"Site{second}","default":"Berlin"}}"#);
            let kept = desk.hold(&[&format!("t{second}")], &site, Some("A"), second).expect("held");
            desk.answered(&kept, second + 10);
        }
        assert!(desk.table.len() <= 11 && desk.table.ending.len() <= 11, "{}", desk.table.len());
        assert!(desk.table.scopes.len() <= 2 * 11 + 17, "{}", desk.table.scopes.len());
        let now = desk.at(3_000);
        desk.table.sweep(now);
        assert_eq!((desk.table.len(), desk.table.by_link.len(), desk.table.ending.len()), (0, 0, 0));
    }

    #[test]
    fn a_malformed_scope_of_a_peer_is_refused() {
        let mut desk = Desk::new(10);
        for scope in ["", "{", r#"{"A":"Paris"}"#, r#"{"A":"Paris &","default":"Berlin"}"#] {
            let error = desk.hold(&["t"], scope, None, 0).expect_err(scope);
            assert_eq!(error.problem().code, Code::InvalidScope, "{scope}");
        }
    }

    /// A request of somebody to `service`, with that id and scope.
    fn by(
        desk: &mut Desk,
        id: &str,
        scope: &str,
        service: Option<&str>,
        token: Option<&str>,
    ) -> Result<Kept, WorkflowError> {
        let (entry, addressed, now) = (SiteName::from("Berlin"), service.map(ServiceName::from), desk.at(0));
        let request = format!("r-{}", token.unwrap_or_default());
        let caller = token.map(|token| Caller::of(token.as_bytes(), &request));
        let maker = Maker {
            scope,
            entry: &entry,
            addressed: addressed.as_ref(),
            request: &request,
            brief: false,
            caller: caller.as_ref(),
            credential: token.map(str::as_bytes),
        };
        desk.table.hold(vec![link(id)], maker, 10, (now, 0))
    }

    fn whose(desk: &mut Desk, id: &str, token: Option<&str>) -> Option<bool> {
        let links: Links = vec![(Kind::Profile, link(id))];
        let now = desk.at(0);
        let found = desk.table.find(&links, now).expect("one scope")?;
        Some(found.is_of(token.map(str::as_bytes)))
    }

    #[test]
    fn a_call_follows_its_callers_workflow_and_no_other_callers() {
        let mut desk = Desk::new(10);
        by(&mut desk, "t", PARIS, Some("A"), Some("alice")).expect("held");
        assert_eq!(whose(&mut desk, "t", Some("alice")), Some(true));
        assert_eq!(whose(&mut desk, "t", Some("nova")), Some(false));
        assert_eq!(whose(&mut desk, "t", None), Some(true), "without a credential it follows its cause");
        by(&mut desk, "u", PARIS, Some("A"), None).expect("held");
        assert_eq!(whose(&mut desk, "u", Some("nova")), Some(true), "nobody knows whose it is");
    }

    #[test]
    fn an_id_that_is_live_for_another_caller_is_refused() {
        let mut desk = Desk::new(10);
        by(&mut desk, "t", PARIS, Some("A"), Some("alice")).expect("held");
        for (scope, service) in [(PARIS, "A"), (NANTES, "A"), (NANTES, "B")] {
            let error = by(&mut desk, "t", scope, Some(service), Some("bob")).expect_err("bob's");
            assert_eq!(error.problem().code, Code::RequestIdInUse, "{service}");
            assert!(error.to_string().contains("another caller"), "{error}");
        }
        // The same caller's same workflow, and a call within it by whoever.
        by(&mut desk, "t", PARIS, Some("A"), Some("alice")).expect("hers");
        by(&mut desk, "t", PARIS, None, Some("nova")).expect("a call");
        assert_eq!(whose(&mut desk, "t", Some("nova")), Some(false));
    }

    /// An agent that hears of two requests by two ways can't compare their marks.
    #[test]
    fn marks_that_can_not_be_compared_are_nobodys() {
        let mut desk = Desk::new(10);
        by(&mut desk, "t", PARIS, Some("A"), Some("alice")).expect("held");
        let (entry, service, caller) =
            (SiteName::from("Berlin"), ServiceName::from("A"), Caller::of(b"bob", "another"));
        let maker = Maker {
            scope: PARIS,
            entry: &entry,
            addressed: Some(&service),
            request: "another",
            brief: false,
            caller: Some(&caller),
            credential: None,
        };
        let now = desk.at(0);
        desk.table.hold(vec![link("t")], maker, 10, (now, 0)).expect("held");
        assert_eq!(whose(&mut desk, "t", Some("carol")), Some(true));
    }

    #[test]
    fn a_credential_links_when_one_scope_uses_it() {
        let head = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let head = crate::http::RequestHead::parse(head.into(), 10).expect("well-formed");
        let links = |token: &str| {
            let named = super::super::links::Named { correlation: &[], credential: Some(token.as_bytes()) };
            super::super::links::of(&head, named)
        };
        let mut desk = Desk::new(10);
        let entry = SiteName::from("Berlin");
        let service = ServiceName::from("A");
        let hold = |desk: &mut Desk, scope: &str, token: &str, id: &str| {
            let maker = Maker {
                scope,
                entry: &entry,
                addressed: Some(&service),
                request: id,
                brief: false,
                caller: None,
                credential: None,
            };
            let all = links(token).into_iter().map(|(_, link)| link).chain([link(id)]).collect();
            let now = desk.at(0);
            desk.table.hold(all, maker, 10, (now, 0)).expect("held");
        };
        let sole = |desk: &Desk, token| match desk.table.find_by_credential(&links(token), desk.at(0)) {
            Sole::Nothing => "nothing".to_owned(),
            Sole::One(found) => format!("{} {}", found.kind.as_str(), found.scope.scope),
            Sole::Several => "several".to_owned(),
        };
        hold(&mut desk, PARIS, "alice", "1");
        hold(&mut desk, PARIS, "alice", "2");
        assert_eq!(sole(&desk, "alice"), format!("credential {PARIS}"));
        assert_eq!(sole(&desk, "bob"), "nothing");
        let now = desk.at(0);
        assert!(desk.table.find(&links("alice"), now).expect("none").is_none(), "it is the last resort");
        hold(&mut desk, NANTES, "alice", "3");
        assert_eq!(sole(&desk, "alice"), "several");
    }
}
