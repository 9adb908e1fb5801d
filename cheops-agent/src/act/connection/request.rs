//! One request of a connection: decided about, served, told of.

use bytes::Bytes;

use super::Connection;
use super::close::Close;
use super::log::Log;
use crate::act::exchange::{Answering, Cause, ExchangeError, Finished, Judged, Next, Sending, Side, exchange};
use crate::act::ids;
use crate::act::link::Link;
use crate::act::marks::{Marks, marked};
use crate::act::run::run;
use crate::act::scoped::{Ran, RunError, Scoped};
use crate::act::tokens;
use crate::act::upstream::DialError;
use crate::http::reply::{self, Manner};
use crate::http::{AnswerHead, BodyLength, Code, Form, Problem, RequestHead};
use crate::names::SiteName;
use crate::observe::{Limit, Passthrough, Refused};
use crate::plan::{self, Asked, Choice, Decision, Destination, Plan, Route, ScopeSource, World};
use crate::scope::carriers;
use crate::workflow::{Came, Failure, Linked};

/// A scoped request of which it is known what is done with it.
struct Decided<'a> {
    plan: &'a Plan,
    /// The request's head without its scope.
    cut: Bytes,
    /// What it is linked to.
    cause: Option<&'a Linked>,
}

/// What came of an exchange with the service that was dialled for the client.
pub(super) enum Over {
    Ended(Result<Finished, ExchangeError>),
    /// It can't be reached.
    Down(Problem),
    /// It was reached, and has ended since.
    Gone,
}

impl Connection {
    /// Serves one request.
    ///
    /// # Errors
    /// How the connection ends after it.
    pub(super) async fn serve_request(&mut self, head: &RequestHead) -> Result<(), Close> {
        let mut log = Log::new(self, head);
        if let Some(ids) = ids::unknown(&self.shared, &self.config, head, self.taken) {
            Box::pin(ids::ask(&self.shared, ids)).await;
        }
        let (decision, cause) = self.decide(head)?;
        log.linked(cause.as_deref());
        match decision {
            Decision::Unscoped if log.of_issuer() => Box::pin(self.ask_issuer(head, log)).await,
            Decision::Scoped { plan, .. } if log.of_issuer() && inherits(&plan) && self.checks(head) => {
                Box::pin(self.ask_issuer(head, log)).await
            }
            Decision::Unscoped => self.direct(head, log).await,
            Decision::Scoped { plan, head: cut } => {
                let decided = Decided { plan: &plan, cut, cause: cause.as_deref() };
                // Boxed: a connection that never sees a scope doesn't carry the room for one.
                Box::pin(self.scoped(head, decided, log)).await
            }
            Decision::Refused(problem) => self.refuse_request(head, &problem, !has_body(head), log.with_scope()).await,
        }
    }

    /// What is done with it, and what it is linked to.
    fn decide(&self, head: &RequestHead) -> Result<(Decision, Option<Box<Linked>>), Close> {
        if self.taken.session.is_none()
            && self.shared.workflows.is_empty()
            && !carriers::may_carry(head, &self.config.scope)
        {
            return Ok((Decision::Unscoped, None));
        }
        let session = match self.taken.session {
            None => None,
            // A tunnel has no requests that could carry the session's scope.
            Some(_) if head.method() == "CONNECT" => return Err(self.refuse(Refused::ScopeNotHonoured)),
            Some(session) => match self.shared.sessions.scope(session) {
                None => return Err(self.refuse(Refused::ScopeNotHonoured)),
                scope => scope,
            },
        };
        let (snapshot, profiles) = (self.shared.snapshot.load(), self.shared.profiles.load());
        let (carriers, here, distances) = (&self.config.scope, &self.config.site, self.shared.liveness.distances());
        let world = World { snapshot: &snapshot, distances: &distances, profiles: &profiles, carriers, here };
        let asked = Asked { head, orig: self.taken.orig, session: session.as_deref(), workflow: None };
        let inherited = ids::inherited(&self.shared, &self.config, &snapshot, head, self.taken.orig);
        Ok(match inherited {
            Ok(inherited) => {
                let follows = inherited.as_ref().filter(|cause| cause.follows);
                let workflow = follows.map(|cause| cause.found.workflow());
                (plan::decide(&Asked { workflow, ..asked }, &world), inherited.map(Box::new))
            }
            // Its own scope would outrank them all.
            Err(error) => match plan::decide(&Asked { session: None, ..asked }, &world) {
                Decision::Unscoped => (Decision::Refused(error.problem()), None),
                decision => (decision, None),
            },
        })
    }

    /// By the addressed endpoint, byte for byte, over the connection that was dialled for the client.
    pub(super) async fn direct(&mut self, head: &RequestHead, log: Log<'_>) -> Result<(), Close> {
        self.over_link(head, head.raw().clone(), Answering::AS_IT_IS, log).await
    }

    /// By the addressed endpoint: `sent` is the request's head as it goes on.
    async fn over_link(
        &mut self,
        head: &RequestHead,
        sent: Bytes,
        answering: Answering<'_>,
        log: Log<'_>,
    ) -> Result<(), Close> {
        let over = self.try_link(head, sent, answering).await;
        self.after(head, over, log).await
    }

    /// [`over_link`](Self::over_link), up to what came of it.
    pub(super) async fn try_link(&mut self, head: &RequestHead, sent: Bytes, answering: Answering<'_>) -> Over {
        if self.link.is_down() {
            // It may have come up since the last request.
            let waiting = self.shared.admission.wait(self.taken.orig.get(), &self.config.limits);
            self.link = Link::dial(&self.shared, self.taken, waiting);
        }
        let service = match self.link.wire().await {
            Ok(Some(service)) => service,
            Ok(None) => return Over::Gone,
            Err(error) => return Over::Down(error.problem()),
        };
        let sending = Sending { request: head, head: sent, kept: None };
        // The judge's own lifetime is longer than this exchange's.
        let judge = answering.judge.map(|judge| judge as _);
        let answering = Answering { judge, closing: Some(&self.shared.closing), ..answering };
        Over::Ended(exchange(&mut self.client, service, sending, answering, self.bounds).await)
    }

    /// Tells of an exchange at the addressed endpoint, and says what follows.
    pub(super) async fn after(&mut self, head: &RequestHead, over: Over, log: Log<'_>) -> Result<(), Close> {
        match over {
            Over::Gone => {
                log.aborted(self);
                Err(Close::Fin)
            }
            Over::Down(problem) => self.refuse_request(head, &problem, !has_body(head), log).await,
            Over::Ended(Ok(finished)) => {
                if self.client.pending.len() >= self.bounds.pipelined {
                    self.shared.observer.limit(Limit::PipelinedBytes);
                }
                log.answered(self, &finished);
                self.then(head, finished).await
            }
            Over::Ended(Err(error)) => Err(self.failed(head, error, log).await),
        }
    }

    /// What follows a finished exchange at the addressed endpoint.
    async fn then(&mut self, head: &RequestHead, finished: Finished) -> Result<(), Close> {
        match finished.next {
            Next::Request => Ok(()),
            Next::End => Err(Close::Finish),
            Next::Closing => Err(Close::Fin),
            Next::Tunnel => {
                let connect = head.method() == "CONNECT";
                Err(self.tunnel(if connect { Passthrough::Connect } else { Passthrough::Upgrade }).await)
            }
        }
    }

    /// An exchange at the addressed endpoint failed: the client sees what it would see without the agent, or why the agent
    /// let nothing through.
    async fn failed(&mut self, head: &RequestHead, error: ExchangeError, log: Log<'_>) -> Close {
        if let Some(limit) = error.limit() {
            self.shared.observer.limit(limit);
        }
        let told = match error.cause {
            Cause::Framing(_) | Cause::Timeout(..) => error.problem(),
            _ => None,
        };
        if let Some(problem) = told {
            if let Some(service) = self.link.up() {
                super::reset(&service.stream);
            }
            self.link.end();
            let refused = self.refuse_request(head, &problem, false, log).await;
            return refused.err().unwrap_or(Close::Fin);
        }
        log.aborted(self);
        match error.cause {
            Cause::Closed if error.side == Side::Service => Close::Fin,
            Cause::Closed | Cause::Io(_) | Cause::Declined(_) => Close::Reset,
            Cause::Framing(_) | Cause::Timeout(..) => Close::Reset,
        }
    }

    /// Where the plan says.
    async fn scoped(&mut self, head: &RequestHead, decided: Decided<'_>, mut log: Log<'_>) -> Result<(), Close> {
        let Decided { plan, cut, cause } = decided;
        log.planned(plan);
        let id = log.id().to_owned();
        let entered = match ids::enter(&self.shared, head, cut, plan) {
            Ok(entered) => entered,
            Err(problem) => return self.refuse_request(head, &problem, !has_body(head), log).await,
        };
        let ids::Entered { head: sent, links, restored } = entered;
        let told = ids::told(&self.shared, head, &links, plan, &id, cause);
        let told = ids::Told { home: tokens::told(&self.shared, head, plan), ..told };
        let credential = ids::credential_for(&self.shared, head, &plan.service);
        let kept = match ids::keep(&self.shared, &links, plan, &id, &told, credential).await {
            Ok(kept) => kept,
            Err(problem) => return self.refuse_request(head, &problem, !has_body(head), log).await,
        };
        if plan.route == Route::Direct {
            let here = Destination {
                site: plan.addressed.clone(),
                own: plan.addressed == self.config.site,
                authority: plan.authority.clone(),
                prefix: plan.prefix.clone(),
            };
            let (shared, snapshot) = (self.shared.clone(), self.shared.snapshot.load_full());
            let service = snapshot.service(plan.service.as_str());
            let (mut answered, mut refused) = (None, None);
            let mut judge = |answer: &AnswerHead| {
                answered = Some(answer.status());
                if let Some(service) = service {
                    tokens::issued(&shared, service, head, answer, &plan.addressed);
                    refused = tokens::why_refused(&shared, service, head, answer.status());
                }
                let kept = kept.as_ref();
                refused = refused.take().or_else(|| kept?.why_failed(&shared, answer.status()));
                if refused.is_some() {
                    return Judged::Refuse;
                }
                let marks = Marks { request: &id, restored: &restored, tried: &[] };
                Judged::Instead(marked(answer, plan, &here, &marks))
            };
            let answering = Answering { judge: Some(&mut judge), ..Answering::AS_IT_IS };
            if let Some(kept) = kept.as_ref().filter(|_| plan.choice == Choice::Open) {
                kept.place(&plan.addressed);
            }
            let log = log.tried(std::slice::from_ref(&plan.addressed));
            let over = self.try_link(head, sent, answering).await;
            let ended = match (over, refused) {
                (Over::Ended(Err(ExchangeError { cause: Cause::Declined(_), .. })), Some(refusal)) => {
                    // What else the service says of it is not read.
                    self.link.end();
                    let problem = tokens::problem_of(&shared, &refusal);
                    self.refuse_request(head, &problem, false, log).await
                }
                (over, _) => self.after(head, over, log).await,
            };
            if let Some(kept) = &kept {
                let came = answered.ok_or_else(|| Failure::new(Code::ServiceUnreachable, &no_answer(&plan.addressed)));
                kept.settle(plan, Some(&plan.addressed), came);
            }
            return ended;
        }
        let (client, connection) = (self.taken.client, self.number);
        let scoped = Scoped {
            request: head,
            head: &sent,
            plan,
            client,
            connection,
            id: &id,
            links: &links,
            kept: kept.as_ref(),
            restored: &restored,
            told: &told,
        };
        let Ran { sites, ended } = run(&self.shared, &mut self.client, scoped).await;
        if let Some(kept) = &kept {
            kept.settle(plan, sites.last(), came(&ended));
        }
        let log = log.tried(&sites);
        match ended {
            Ok(finished) => {
                log.answered(self, &finished);
                // The service that was not asked may have closed or spoken meanwhile: not about this request.
                if finished.next != Next::Request || self.link_spoke().await { Err(Close::Fin) } else { Ok(()) }
            }
            Err(RunError::Refused { problem, body_taken }) => {
                self.refuse_request(head, &problem, body_taken, log).await
            }
            Err(RunError::Exchange(error)) => Err(self.failed(head, error, log).await),
        }
    }

    /// Whether the service that was not asked has closed or said something meanwhile.
    async fn link_spoke(&mut self) -> bool {
        let Some(service) = self.link.up() else { return false };
        std::future::poll_fn(|cx| std::task::Poll::Ready(service.ended() || service.poll_fill(cx).is_ready())).await
    }

    /// Answers instead of a service. `body_taken`: none of the request's body is still to come.
    async fn refuse_request(
        &mut self,
        head: &RequestHead,
        problem: &Problem,
        body_taken: bool,
        log: Log<'_>,
    ) -> Result<(), Close> {
        let manner = Manner::of(head, body_taken && !self.shared.closing.is_set());
        let answer = self.in_its_form(head, problem, log.id(), manner);
        let sent = self.client.send(answer).await;
        log.refused(self, problem);
        match sent {
            Err(_) => Err(Close::Reset),
            Ok(()) if manner.persists => Ok(()),
            Ok(()) => Err(Close::Fin),
        }
    }
}

impl Connection {
    /// As the addressed service's clients expect an error.
    fn in_its_form(&self, head: &RequestHead, problem: &Problem, id: &str, manner: Manner) -> Bytes {
        let (snapshot, profiles) = (self.shared.snapshot.load(), self.shared.profiles.load());
        let orig = self.taken.orig;
        let service = match plan::target::addressed(&snapshot, orig, head.target()) {
            Ok(found) => Some(found.service),
            Err(_) => snapshot.at(orig.get()).next().map(|found| found.service),
        };
        let profile = service.map(|service| profiles.get_or_default(&service.profile));
        reply::problem_in(problem, id, manner, profile.map_or(Form::STANDARD, |profile| profile.form()))
    }
}

/// Whether its scope is that of the request that caused it.
fn inherits(plan: &Plan) -> bool {
    plan.scope.as_ref().is_some_and(|scope| scope.source == ScopeSource::Workflow)
}

fn came(ended: &Result<Finished, RunError>) -> Came {
    match ended {
        Ok(finished) => Ok(finished.status),
        Err(RunError::Refused { problem, .. }) => Err(Failure::new(problem.code, &problem.detail)),
        Err(RunError::Exchange(error)) => Err(Failure::new(Code::OutcomeUnknown, &error.cause.to_string())),
    }
}

fn no_answer(site: &SiteName) -> String {
    format!("the service at {site} gave no answer")
}

fn has_body(head: &RequestHead) -> bool {
    !matches!(head.length(), BodyLength::None | BodyLength::Exact(0))
}

/// As what a connection is counted that is reset for it.
pub(super) fn refusal(error: &DialError) -> Refused {
    match error {
        DialError::Loop(_) => Refused::Loop,
        DialError::Announce(_) => Refused::Announce,
        DialError::Pending(_) => Refused::Pending,
        error if error.limit() == Some(Limit::Descriptors) => Refused::Descriptors,
        DialError::Io { .. } | DialError::Timeout { .. } => Refused::ServiceUnreachable,
    }
}
