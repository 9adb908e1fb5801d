//! `A || B`: at A; at B only where nothing can have happened at A, or where A's answer says that B shall be asked. Never
//! both (AMENDMENTS 15). A plan with a single site is the shortest case of it.

mod peek;

pub(super) use peek::played;

use super::exchange::{Finished, Kept};
use super::forward::{Failed, Turn, attempt};
use super::marks::Tried;
use super::scoped::{Ran, RunError, Scoped};
use super::shared::Shared;
use super::stream::Stream;
use super::wire::Wire;
use crate::http::{Code, Problem};
use crate::observe::Limit;
use crate::peer::Refusal;
use crate::plan::{Choice, Destination, GoesOn};

/// Asks the plan's sites in order until one has, or may have, done something with the request.
pub(super) async fn first_of<C>(shared: &Shared, client: &mut Wire<C>, scoped: &Scoped<'_>) -> Ran
where
    C: Stream,
{
    let mut tried = Vec::new();
    let ended = ask_all(shared, client, scoped, &mut tried).await;
    Ran { sites: tried.into_iter().map(|tried| tried.site).collect(), ended }
}

async fn ask_all<C>(
    shared: &Shared,
    client: &mut Wire<C>,
    scoped: &Scoped<'_>,
    tried: &mut Vec<Tried>,
) -> Result<Finished, RunError>
where
    C: Stream,
{
    let mut details: Vec<String> = Vec::new();
    let mut left = scoped.plan.route.destinations().iter().peekable();
    while let Some(to) = left.next() {
        let more = left.peek().is_some();
        let turned = turn(shared, client, scoped, to, tried, more).await;
        let outcome = match &turned {
            Turned::Ended(_) => "answered",
            Turned::Declined => "declined",
            Turned::Failed { outcome, .. } => outcome,
        };
        tried.push(Tried { site: to.site.clone(), outcome });
        match turned {
            Turned::Ended(ended) => return ended,
            Turned::Declined => {}
            Turned::Failed { refusal, returned, .. } => {
                details.push(refusal.detail.clone());
                let stays = scoped.plan.next_on.stays;
                if stays || !returned {
                    return Err(ends(scoped, refusal, &details, more && !stays));
                }
            }
        }
    }
    let refusal = Refusal::not_sent(Code::Internal, "the plan names no site that is left to ask");
    Err(ends(scoped, refusal, &details, false))
}

/// What one site's turn came to.
enum Turned {
    Ended(Result<Finished, RunError>),
    Declined,
    /// Nothing happened, or nothing that matters. `returned`: the request is whole again, and another site can be asked.
    Failed {
        refusal: Refusal,
        outcome: &'static str,
        returned: bool,
    },
}

async fn turn<C>(
    shared: &Shared,
    client: &mut Wire<C>,
    scoped: &Scoped<'_>,
    to: &Destination,
    tried: &[Tried],
    more: bool,
) -> Turned
where
    C: Stream,
{
    let declines = |status| scoped.plan.next_on.status(status) != GoesOn::No;
    let turn = Turn { to, tried, more, declines: &declines };
    if let Some(kept) = scoped.kept.filter(|_| scoped.plan.choice == Choice::Open) {
        kept.place(&to.site);
    }
    let mut kept = more.then(|| Kept::new(shared.config.load().limits.otherwise_spool));
    let attempted = attempt(shared, client, scoped, &turn, kept.as_mut()).await;
    if kept.as_ref().is_some_and(Kept::overflowed) {
        shared.observer.limit(Limit::OtherwiseSpool);
    }
    let failed = match attempted {
        Ok(finished) => return Turned::Ended(Ok(finished)),
        Err(failed) => failed,
    };
    // Only for a request that goes on: whoever reads the client's next request must not find this one's body.
    let mut give_back = || kept.as_mut().is_some_and(|kept| kept.give_back(client));
    match failed {
        Failed::Final(RunError::Refused { problem, .. }) if more && scoped.plan.next_on.failed => {
            let outcome = if problem.code == Code::Timeout { "timeout" } else { "broken" };
            Turned::Failed { refusal: Refusal::sent(problem.code, problem.detail), outcome, returned: give_back() }
        }
        Failed::Final(error) => Turned::Ended(Err(error)),
        Failed::NotSent(refusal) => Turned::Failed { refusal, outcome: "unreachable", returned: give_back() },
        Failed::Declined(declined) => {
            let returned = give_back();
            let stands = peek::stands(shared, client, scoped, &turn, *declined, returned).await;
            stands.map_or(Turned::Declined, Turned::Ended)
        }
    }
}

/// No site is left, or none may be asked any more because too much of the body was sent.
fn ends(scoped: &Scoped<'_>, refusal: Refusal, details: &[String], more: bool) -> RunError {
    let mut problem = Problem::new(refusal.code, details.join("; "));
    if details.is_empty() {
        problem.detail = refusal.detail;
    }
    if more {
        problem.detail.push_str("; the next site was not asked, since more of the body was sent than is kept");
        problem.hint = Some("Raise limits.otherwise-spool in agent.toml, or send less.".to_owned());
    }
    RunError::refused(problem, scoped.request)
}
