//! The ids that are live, and the scopes that each stands for. Pure: the time comes from outside.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::counters::Refused;
use super::links::{Kind, Link, Links};
use crate::http::{Code, Problem};
use crate::names::{ServiceName, SiteName};
use crate::plan;
use crate::scope::{Completed, ScopeError};

/// A scope that calls inherit.
#[derive(Debug, PartialEq, Eq)]
pub struct Inherited {
    pub scope: Completed,
    /// The workflow's entry site.
    pub entry: SiteName,
}

/// What a request inherits by its ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Of the first id that stands for it.
    pub(super) kind: Kind,
    pub scope: Arc<Inherited>,
    /// Where earlier calls were served, of services for which the scope leaves that open.
    pub placed: Vec<(ServiceName, SiteName)>,
    /// [`Maker::brief`].
    pub brief: bool,
}

impl Found {
    /// As the plan takes it.
    pub fn workflow(&self) -> plan::Workflow<'_> {
        plan::Workflow { scope: &self.scope.scope, entry: &self.scope.entry, placed: &self.placed }
    }
}

/// Services of one workflow that are placed, at most.
const MOST_PLACED: usize = 32;

/// A scoped request whose ids become live.
#[derive(Clone, Copy, Debug)]
pub struct Maker<'a> {
    /// Its completed scope, as text.
    pub scope: &'a str,
    pub entry: &'a SiteName,
    /// What it addresses, if the scope is its own; nothing for a call within a workflow.
    pub addressed: Option<&'a ServiceName>,
    /// `X-Cheops-Request`.
    pub request: &'a str,
    /// It only reads: nothing goes on after its answer but what it began before.
    pub brief: bool,
}

/// Why a request can't be linked to one scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkflowError {
    #[error("the id in {link} is live under the scope of request {request}, which is another")]
    InUse { link: String, request: String },
    #[error("its ids link it to request {one} and to request {other}, whose scopes differ")]
    Ambiguous { one: String, other: String },
    #[error("{0} ids of scoped requests are live, and no more are kept")]
    Full(usize),
    /// Of a peer: this agent's own are well-formed.
    #[error("{0}")]
    Scope(#[from] ScopeError),
}

impl WorkflowError {
    /// The answer that the request gets.
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::InUse { .. } => Code::RequestIdInUse,
            Self::Ambiguous { .. } => Code::AmbiguousWorkflow,
            Self::Full(_) => Code::TooManyWorkflows,
            Self::Scope(error) => return error.problem(),
        };
        Problem::new(code, self.to_string())
    }

    pub(super) fn counted(&self) -> Option<Refused> {
        match self {
            Self::InUse { .. } => Some(Refused::InUse),
            Self::Ambiguous { .. } => Some(Refused::Ambiguous),
            Self::Full(_) => Some(Refused::Full),
            Self::Scope(_) => None,
        }
    }
}

/// An id under one scope. Requests that share both share the record.
#[derive(Debug)]
struct Record {
    scope: Arc<Inherited>,
    /// The first request that made it.
    request: String,
    /// What the requests addressed that brought the scope with them.
    addressed: Vec<ServiceName>,
    /// Where its calls are served.
    placed: Vec<(ServiceName, SiteName)>,
    /// Requests that have no answer yet.
    open: usize,
    /// When it ends, once none is open.
    until: Instant,
    /// Whether it stands among those that will end.
    ending: bool,
    /// None of the requests that brought the scope with them did more than read.
    brief: bool,
}

impl Record {
    fn is_live(&self, now: Instant) -> bool {
        self.open > 0 || self.until > now
    }
}

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

    /// The one scope for which these ids stand, and the first of them that does.
    pub(super) fn find(&mut self, links: &Links, now: Instant) -> Result<Option<Found>, WorkflowError> {
        self.sweep(now);
        let mut found: Option<(Kind, &Record)> = None;
        let mut placed: Vec<(ServiceName, SiteName)> = Vec::new();
        for (kind, link) in links {
            let records = self.by_link.get(link).map(Vec::as_slice).unwrap_or_default();
            for record in records.iter().filter(|record| record.is_live(now)) {
                match found {
                    None => found = Some((*kind, record)),
                    Some((_, first)) if Arc::ptr_eq(&first.scope, &record.scope) => {}
                    Some((_, first)) => {
                        let (one, other) = (first.request.clone(), record.request.clone());
                        return Err(WorkflowError::Ambiguous { one, other });
                    }
                }
                placed.extend(record.placed.iter().cloned());
            }
        }
        Ok(found.map(|(kind, record)| Found { kind, scope: record.scope.clone(), placed, brief: record.brief }))
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

    /// Makes these ids live: all or none.
    pub(super) fn hold(
        &mut self,
        links: Vec<Link>,
        maker: Maker<'_>,
        limit: usize,
        now: Instant,
    ) -> Result<(Vec<Arc<Link>>, Arc<Inherited>), WorkflowError> {
        self.sweep(now);
        let scope = self.scope(maker)?;
        let mut new = 0;
        for link in &links {
            let records = self.by_link.get(link).map(Vec::as_slice).unwrap_or_default();
            let others = || records.iter().filter(|record| !Arc::ptr_eq(&record.scope, &scope) && record.is_live(now));
            let used = maker.addressed.and_then(|service| others().find(|other| other.addressed.contains(service)));
            if let Some(used) = used {
                return Err(WorkflowError::InUse { link: link.name.clone(), request: used.request.clone() });
            }
            new += usize::from(!records.iter().any(|record| Arc::ptr_eq(&record.scope, &scope)));
        }
        if new > 0 && self.records + new > limit {
            return Err(WorkflowError::Full(limit));
        }
        let links = links.into_iter().map(|link| self.open(link, &scope, maker, now)).collect();
        Ok((links, scope))
    }

    fn open(&mut self, link: Link, scope: &Arc<Inherited>, maker: Maker<'_>, now: Instant) -> Arc<Link> {
        let link = match self.by_link.get_key_value(&link) {
            Some((known, _)) => known.clone(),
            None => Arc::new(link),
        };
        let records = self.by_link.entry(link.clone()).or_default();
        let at = records.iter().position(|record| Arc::ptr_eq(&record.scope, scope)).unwrap_or_else(|| {
            let (scope, request) = (scope.clone(), maker.request.to_owned());
            let (addressed, placed) = (Vec::new(), Vec::new());
            let brief = maker.brief;
            records.push(Record { scope, request, addressed, placed, open: 0, until: now, ending: false, brief });
            self.records += 1;
            records.len() - 1
        });
        if let Some(record) = records.get_mut(at) {
            record.open += 1;
            // A call within a workflow doesn't say how long that goes on.
            record.brief &= maker.brief || maker.addressed.is_none();
            if let Some(service) = maker.addressed.filter(|service| !record.addressed.contains(service)) {
                record.addressed.push(service.clone());
            }
        }
        link
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

    /// The maker's scope, shared with every record of the same.
    fn scope(&mut self, maker: Maker<'_>) -> Result<Arc<Inherited>, WorkflowError> {
        if self.scopes.len() > 2 * self.records + 16 {
            self.scopes.retain(|_, same| same.iter().any(|scope| scope.strong_count() > 0));
        }
        let known = self.scopes.get(maker.scope).into_iter().flatten().filter_map(Weak::upgrade);
        if let Some(known) = known.into_iter().find(|known| known.entry == *maker.entry) {
            return Ok(known);
        }
        let scope = Arc::new(Inherited { scope: Completed::parse(maker.scope)?, entry: maker.entry.clone() });
        let same = self.scopes.entry(maker.scope.to_owned()).or_default();
        same.retain(|scope| scope.strong_count() > 0);
        same.push(Arc::downgrade(&scope));
        Ok(scope)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
            let maker = Maker { scope, entry: &entry, addressed: addressed.as_ref(), request: &request, brief: false };
            self.table.hold(ids.iter().map(|id| link(id)).collect(), maker, self.limit, now)
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
            let maker = Maker { scope: PARIS, entry: &entry, addressed, request: "r", brief };
            let now = desk.at(0);
            let kept = desk.table.hold(vec![link(id)], maker, 10, now).expect("held");
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
        let maker = Maker { scope, entry: &entry, addressed: Some(&service), request: "r-1", brief: false };
        assert!(matches!(desk.table.hold(vec![link("t")], maker, 10, now), Err(WorkflowError::InUse { .. })));
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
}
