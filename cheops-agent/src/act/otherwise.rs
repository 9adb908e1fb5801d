//! `A || B`: at A; at B only where nothing can have happened at A, or where A's answer says that B shall be asked. Never
//! both (AMENDMENTS 15). A plan with a single site is the shortest case of it.

mod peek;

use tokio::io::{AsyncRead, AsyncWrite};

use super::exchange::{Finished, Kept};
use super::forward::{Failed, Tried, Turn, attempt};
use super::run::{Ran, RunError, Scoped};
use super::shared::Shared;
use super::wire::Wire;
use crate::http::Problem;
use crate::observe::Limit;
use crate::peer::Refusal;
use crate::plan::GoesOn;

/// Asks the plan's sites in order until one has, or may have, done something with the request.
pub(super) async fn first_of<C>(shared: &Shared, client: &mut Wire<C>, scoped: &Scoped<'_>) -> Ran
where
    C: AsyncRead + AsyncWrite + Unpin,
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
    C: AsyncRead + AsyncWrite + Unpin,
{
    let next_on = &scoped.plan.next_on;
    let declines = |status| next_on.status(status) != GoesOn::No;
    let mut details: Vec<String> = Vec::new();
    let mut left = scoped.plan.route.destinations().iter().peekable();
    while let Some(to) = left.next() {
        let more = left.peek().is_some();
        let mut kept = more.then(|| Kept::new(shared.config.load().limits.otherwise_spool));
        let turn = Turn { to, tried: tried.as_slice(), more, declines: &declines };
        let failed = attempt(shared, client, scoped, &turn, kept.as_mut()).await;
        let mut asked = Tried { site: to.site.clone(), outcome: "answered" };
        let refusal = match failed {
            Ok(finished) => {
                tried.push(asked);
                return Ok(finished);
            }
            Err(Failed::Final(error)) => {
                tried.push(asked);
                return Err(error);
            }
            Err(Failed::NotSent(refusal)) => Some(refusal),
            Err(Failed::Declined(declined)) => {
                let returned = kept.as_mut().is_some_and(|kept| kept.give_back(client));
                match peek::stands(shared, client, scoped, &turn, *declined, returned).await {
                    Some(ended) => {
                        tried.push(asked);
                        return ended;
                    }
                    None => None,
                }
            }
        };
        asked.outcome = if refusal.is_some() { "unreachable" } else { "declined" };
        tried.push(asked);
        if let Some(refusal) = refusal {
            details.push(refusal.detail.clone());
            let returned = kept.as_mut().is_some_and(|kept| kept.give_back(client));
            if !returned {
                return Err(ends(shared, scoped, refusal, &details, more));
            }
        }
    }
    let refusal = Refusal::not_sent(crate::http::Code::Internal, "the plan names no site that is left to ask");
    Err(ends(shared, scoped, refusal, &details, false))
}

/// No site is left, or none may be asked any more because too much of the body was sent.
fn ends(shared: &Shared, scoped: &Scoped<'_>, refusal: Refusal, details: &[String], more: bool) -> RunError {
    let mut problem = Problem::new(refusal.code, details.join("; "));
    if details.is_empty() {
        problem.detail = refusal.detail;
    }
    if more {
        shared.observer.limit(Limit::OtherwiseSpool);
        problem.detail.push_str("; the next site was not asked, since more of the body was sent than is kept");
        problem.hint = Some("Raise limits.otherwise-spool in agent.toml, or send less.".to_owned());
    }
    RunError::refused(problem, scoped.request)
}
