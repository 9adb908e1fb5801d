//! Runs the plan of a scoped request whose service isn't the one that was dialled for its client.

use super::gather::gather;
use super::otherwise;
use super::scoped::{Ran, RunError, Scoped};
use super::shared::Shared;
use super::stream::Stream;
use super::wire::Wire;
use crate::http::{Code, Problem, RequestHead};
use crate::plan::Route;

/// Serves the request at the sites of its plan. Tunnels that come of it are run to their end. A plan that is
/// [`Direct`](crate::plan::Route::Direct) is not for here: it has the connection that was dialled for its client.
pub async fn run<C>(shared: &Shared, client: &mut Wire<C>, scoped: Scoped<'_>) -> Ran
where
    C: Stream,
{
    let max_fields = shared.config.load().limits.headers;
    match RequestHead::parse(scoped.head.clone(), max_fields) {
        Ok(cut) if matches!(scoped.plan.route, Route::Gather(_)) => {
            gather(shared, client, &Scoped { request: &cut, ..scoped }, scoped.request).await
        }
        Ok(cut) => otherwise::first_of(shared, client, &Scoped { request: &cut, ..scoped }).await,
        Err(error) => {
            let problem = Problem::new(Code::Internal, format!("the head without its scope: {error}"));
            Ran { sites: Vec::new(), ended: Err(RunError::refused(problem, scoped.request)) }
        }
    }
}

#[cfg(test)]
mod tests;
