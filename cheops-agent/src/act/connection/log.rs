//! What is told of a request once it is over.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Connection;
use super::known::Addressed;
use crate::accept;
use crate::act::exchange::Finished;
use crate::act::ids;
use crate::http::{Problem, RequestHead};
use crate::names::SiteName;
use crate::observe::{self, EventLink, RequestEvent, request_id};
use crate::plan::{CarriedScope, Plan, target};
use crate::workflow::Linked;

/// A request that is being served, as counters and watchers will see it.
pub(super) struct Log<'a> {
    head: Option<&'a RequestHead>,
    addressed: Arc<Addressed>,
    plan: Option<&'a Plan>,
    /// Whether it carries a scope, be it one that can't be honoured.
    scoped: bool,
    sites: &'a [SiteName],
    /// What it was linked to the request that caused it by.
    link: Option<EventLink>,
    /// Known only of requests that somebody will see.
    began: Option<Instant>,
    id: OnceCell<String>,
}

impl<'a> Log<'a> {
    pub(super) fn new(connection: &mut Connection, head: &'a RequestHead) -> Self {
        let addressed = connection.addressed(head.target());
        Self { head: Some(head), ..Self::of(connection, addressed) }
    }

    /// For a request whose head could not be read.
    pub(super) fn unreadable(connection: &Connection) -> Self {
        Self::of(connection, connection.first_at_address())
    }

    fn of(connection: &Connection, addressed: Arc<Addressed>) -> Self {
        Self {
            head: None,
            addressed,
            plan: None,
            scoped: false,
            sites: &[],
            link: None,
            began: connection.shared.observer.tapped().then(Instant::now),
            id: OnceCell::new(),
        }
    }

    /// The request's id; made when it is first asked for, as most requests need none.
    pub(super) fn id(&self) -> &str {
        self.id.get_or_init(request_id)
    }

    /// Whether the addressed service issues credentials.
    pub(super) fn of_issuer(&self) -> bool {
        self.addressed.issues
    }

    /// It carries a scope that can't be honoured.
    pub(super) fn with_scope(self) -> Self {
        Self { scoped: true, ..self }
    }

    /// It was caused by another request.
    pub(super) fn linked(&mut self, cause: Option<&Linked>) {
        self.link = cause.map(ids::shown);
    }

    /// A scope decided about it.
    pub(super) fn planned(&mut self, plan: &'a Plan) {
        self.plan = Some(plan);
        self.scoped = true;
        self.began.get_or_insert_with(Instant::now);
    }

    /// These sites were tried.
    pub(super) fn tried(self, sites: &'a [SiteName]) -> Self {
        Self { sites, ..self }
    }

    /// The client has its answer.
    pub(super) fn answered(self, connection: &Connection, finished: &Finished) {
        let (status, bytes) = (Some(finished.status), (finished.bytes_in, finished.bytes_out));
        self.tell(connection, self.plan.map_or("direct", |plan| plan.route.name()), status, None, bytes);
    }

    /// The agent answered by itself.
    pub(super) fn refused(self, connection: &Connection, problem: &Problem) {
        let (status, code) = (Some(problem.code.status()), Some(problem.code.as_str()));
        self.tell(connection, "refused", status, code, (0, 0));
    }

    /// The connection ended before the client had its answer.
    pub(super) fn aborted(self, connection: &Connection) {
        self.tell(connection, self.plan.map_or("direct", |plan| plan.route.name()), None, None, (0, 0));
    }

    fn tell(
        &self,
        connection: &Connection,
        plan: &'static str,
        status: Option<u16>,
        code: Option<&'static str>,
        (bytes_in, bytes_out): (u64, u64),
    ) {
        let observer = &connection.shared.observer;
        if plan == "direct" && code.is_none() && !self.scoped && !observer.tapped() {
            return observer.passed(&self.addressed.counts, status, bytes_in, bytes_out);
        }
        let took = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        let service = self.plan.map_or(self.addressed.counts.service(), |plan| plan.service.as_str());
        let finished =
            observe::Finished { service, scoped: self.scoped, plan, status, code, bytes_in, bytes_out, took };
        observer.finished(finished, || RequestEvent {
            id: self.id().to_owned(),
            client: connection.taken.client.to_string(),
            uid: owner(connection),
            service: service.to_owned(),
            method: self.head.map_or("-", |head| head.method()).to_owned(),
            path: self.head.map_or("-", |head| without_query(head.target())).to_owned(),
            scope: self.scope().map(|scope| scope.normal.clone()),
            scope_source: self.scope().map(|scope| scope.source.name()),
            link: self.link.clone(),
            plan,
            sites: self.sites(plan).map(SiteName::to_string).collect(),
            status,
            code,
            bytes: bytes_out,
            took,
        });
    }
}

impl Log<'_> {
    fn scope(&self) -> Option<&CarriedScope> {
        self.plan.and_then(|plan| plan.scope.as_ref())
    }

    /// The sites that were tried: of an unscoped request, the addressed one.
    fn sites(&self, plan: &str) -> impl Iterator<Item = &SiteName> {
        let direct = self.addressed.site.iter().filter(move |_| plan == "direct" && self.sites.is_empty());
        self.sites.iter().chain(direct)
    }
}

/// Whose process the client is, for a watcher who may only see its own; nobody else asks.
fn owner(connection: &Connection) -> Option<u32> {
    if !connection.shared.observer.tapped() {
        return None;
    }
    accept::owner::uid(&connection.client.stream).ok().flatten()
}

/// A query may hold secrets, and so may the user information of an absolute target.
fn without_query(target: &str) -> &str {
    let path = target::path_range(target).and_then(|range| target.get(range));
    path.unwrap_or_else(|| target.split(['?', '@']).next().unwrap_or_default())
}
