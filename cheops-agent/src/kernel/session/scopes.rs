//! What the data path knows of sessions: each one's scope.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::accept::SessionId;

/// The scopes of `cheops exec`'s live sessions. Reading takes no lock.
///
/// A session that is not in here, but whose number a connection carries, is one whose scope is not known (any more):
/// such a connection is never served without a scope.
#[derive(Debug, Default)]
pub struct Scopes(ArcSwap<HashMap<SessionId, Arc<str>>>);

impl Scopes {
    /// The scope's text under which the session runs.
    pub fn scope(&self, session: SessionId) -> Option<Arc<str>> {
        self.0.load().get(&session).cloned()
    }

    /// A session begins.
    pub fn insert(&self, session: SessionId, scope: &str) {
        let scope = Arc::from(scope);
        self.0.rcu(|sessions| {
            let mut sessions = HashMap::clone(sessions);
            sessions.insert(session, Arc::clone(&scope));
            sessions
        });
    }

    /// A session has ended.
    pub fn remove(&self, session: SessionId) {
        self.0.rcu(|sessions| {
            let mut sessions = HashMap::clone(sessions);
            sessions.remove(&session);
            sessions
        });
    }
}
