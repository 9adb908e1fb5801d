//! `/v1/upgrade`: the program that is installed now takes over from the one that runs, as on SIGUSR2.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::{Agent, ApiError, Phase, document};

/// Somebody waits for the hand-over's outcome: the successor's process, or why there is none.
pub struct Asked(oneshot::Sender<Result<i32, String>>);

/// Both ends of the questions: the agent's and that of whoever hands over. One may wait at a time.
pub fn questions() -> (mpsc::Sender<Asked>, mpsc::Receiver<Asked>) {
    mpsc::channel(1)
}

impl Asked {
    /// Tells how it ended. Who asked may have gone.
    pub fn answer(self, outcome: Result<i32, String>) {
        if self.0.send(outcome).is_err() {
            tracing::debug!("nobody waits for the outcome of the hand-over any more");
        }
    }
}

#[derive(Serialize)]
struct Upgrade {
    /// The process that has handed everything on, and finishes what it had.
    earlier: u32,
    /// The process that is the agent now.
    successor: i32,
}

/// Answers when the successor has taken everything, or has not.
pub async fn post(State(agent): State<Arc<Agent>>) -> Result<impl IntoResponse, ApiError> {
    if agent.life.phase() != Phase::Running {
        return Err(ApiError::Conflict("this agent hands over already, or ends".into()));
    }
    let (asked, outcome) = oneshot::channel();
    let other = |_| ApiError::Conflict("somebody else has asked for it already".into());
    agent.upgrades.try_send(Asked(asked)).map_err(other)?;
    match outcome.await {
        Ok(Ok(successor)) => Ok(document("Upgrade", Upgrade { earlier: std::process::id(), successor })),
        Ok(Err(why)) => Err(ApiError::Unavailable(format!("no new agent has taken over, this one goes on: {why}"))),
        Err(_) => Err(ApiError::Unavailable("this agent ends".into())),
    }
}
