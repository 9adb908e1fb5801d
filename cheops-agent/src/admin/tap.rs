//! `/v1/tap`: live requests as server-sent events. A user sees its own uid's requests, an admin all.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{API_VERSION, Agent, Caller, Role};
use crate::observe::{RequestEvent, Tapped};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Filter {
    service: Option<String>,
    scoped: bool,
}

/// How often a silent stream shows that it lives.
const ALIVE: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Lost {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    lost: u64,
}

#[derive(Serialize)]
struct Request<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    #[serde(flatten)]
    event: &'a RequestEvent,
}

pub async fn get(
    State(agent): State<Arc<Agent>>,
    Extension(caller): Extension<Caller>,
    Query(filter): Query<Filter>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let tap = agent.observer.tap();
    // The comment lets the watcher know that it watches: whatever happens from now on is shown.
    let begin = stream::iter([Ok(Event::default().comment("watching"))]);
    let events = stream::unfold((tap, agent), move |(mut tap, agent)| {
        let (caller, filter) = (caller.clone(), filter.clone());
        async move {
            loop {
                let tapped = tokio::select! {
                    () = agent.stop.cancelled() => return None,
                    tapped = tap.next() => tapped?,
                };
                if let Some(event) = event(&tapped, &agent, &caller, &filter) {
                    return Some((Ok(event), (tap, agent)));
                }
            }
        }
    });
    Sse::new(begin.chain(events)).keep_alive(KeepAlive::new().interval(ALIVE))
}

/// What this caller sees of it.
fn event(tapped: &Tapped, agent: &Agent, caller: &Caller, filter: &Filter) -> Option<Event> {
    match tapped {
        Tapped::Lost(lost) => {
            agent.observer.tap_lost(*lost);
            Event::default().event("lost").json_data(Lost { api_version: API_VERSION, lost: *lost }).ok()
        }
        Tapped::Request(event) if shows(event, caller, filter) => {
            Event::default().event("request").json_data(Request { api_version: API_VERSION, event }).ok()
        }
        Tapped::Request(_) => None,
    }
}

fn shows(event: &RequestEvent, caller: &Caller, filter: &Filter) -> bool {
    let own = caller.role == Role::Admin || event.uid == Some(caller.uid);
    let service = filter.service.as_ref().is_none_or(|service| *service == event.service);
    own && service && (!filter.scoped || event.scope.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_sees_its_own_requests_only() {
        let event = |uid, scope: Option<&str>| RequestEvent {
            id: "x".into(),
            client: "127.0.0.1:1".into(),
            uid,
            service: "S".into(),
            method: "GET".into(),
            path: "/".into(),
            scope: scope.map(str::to_owned),
            scope_source: scope.map(|_| "header"),
            link: None,
            plan: "direct",
            sites: Vec::new(),
            status: None,
            code: None,
            bytes: 0,
            took: Duration::ZERO,
        };
        let user = Caller { uid: 7, role: Role::User, process: None };
        let admin = Caller { uid: 8, role: Role::Admin, process: None };
        let all = Filter::default();
        assert!(shows(&event(Some(7), None), &user, &all));
        assert!(!shows(&event(Some(8), None), &user, &all));
        assert!(!shows(&event(None, None), &user, &all));
        assert!(shows(&event(None, None), &admin, &all));
        let scoped = Filter { service: Some("S".into()), scoped: true };
        assert!(!shows(&event(None, None), &admin, &scoped));
        assert!(shows(&event(None, Some("{S: P}")), &admin, &scoped));
        let other = Filter { service: Some("T".into()), scoped: false };
        assert!(!shows(&event(None, None), &admin, &other));
    }
}
