//! The agent's limits, and what it does where it can't do as if it weren't there.
//!
//! Each limit has an answer of its own that names its key, a counter, and disturbs nobody but the one who ran into it.

#[path = "limits/complete.rs"]
mod complete;
#[path = "limits/loops.rs"]
mod loops;
#[path = "limits/messages.rs"]
mod messages;
#[path = "limits/places.rs"]
mod places;
#[path = "limits/refusals.rs"]
mod refusals;
#[path = "limits/scene.rs"]
mod scene;
#[path = "limits/sites.rs"]
mod sites;
#[path = "limits/sockets.rs"]
mod sockets;
#[path = "limits/times.rs"]
mod times;

use cheops_tests::lab::ways::From;
use scene::Scene;

fn clients_run_into_limits(from: From) -> anyhow::Result<()> {
    let mut scene = Scene::new(from)?;
    sockets::watch_over(&mut scene)?;
    for cases in [messages::CASES, times::CASES, places::CASES] {
        scene.play(cases)?;
    }
    Ok(())
}

#[test]
fn clients_whose_connections_leave_run_into_limits() -> anyhow::Result<()> {
    clients_run_into_limits(From::Here)
}

#[test]
fn clients_whose_connections_arrive_run_into_limits() -> anyhow::Result<()> {
    clients_run_into_limits(From::Elsewhere)
}
