//! What is told of a workflow: who began it, and what was called in it.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::names::{ServiceName, SiteName};

/// Different calls of one workflow that are told, at most.
const MOST_CALLS: usize = 64;

/// One workflow, as this agent has seen it. All its ids have it in common.
#[derive(Debug)]
pub struct Story {
    /// The first request, `X-Cheops-Request`.
    pub request: String,
    /// Whom that request addressed; nothing where only calls of the workflow came here.
    pub service: Option<ServiceName>,
    /// When it became known. Unix time, milliseconds.
    pub since: u64,
    calls: Mutex<Vec<Called>>,
}

/// Calls of a service, within a workflow, at one site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Called {
    pub service: ServiceName,
    /// Where they were served.
    pub site: SiteName,
    pub count: u64,
    /// Of the last one; none if it had no answer, or nobody looked.
    pub last_status: Option<u16>,
    /// It came with another credential than the workflow's first request, and stayed at the calling site.
    pub other_caller: bool,
}

impl Story {
    pub fn new(request: &str, service: Option<&ServiceName>, since: u64) -> Self {
        Self { request: request.to_owned(), service: service.cloned(), since, calls: Mutex::default() }
    }

    /// One more call.
    pub fn called(&self, service: &ServiceName, site: &SiteName, last_status: Option<u16>, other_caller: bool) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let same =
            |call: &&mut Called| call.service == *service && call.site == *site && call.other_caller == other_caller;
        let full = calls.len() >= MOST_CALLS;
        match calls.iter_mut().find(same) {
            Some(call) => {
                call.count += 1;
                call.last_status = last_status;
            }
            None if full => {}
            None => {
                let (service, site) = (service.clone(), site.clone());
                calls.push(Called { service, site, count: 1, last_status, other_caller });
            }
        }
    }

    /// What was called.
    pub fn calls(&self) -> Vec<Called> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_service_and_site_up_to_a_limit() {
        let story = Story::new("r", None, 0);
        for (site, status, other) in [("Paris", Some(200), false), ("Paris", Some(404), false), ("Paris", None, true)] {
            story.called(&"Glance".into(), &site.into(), status, other);
        }
        let told: Vec<_> = story.calls().iter().map(|call| (call.count, call.last_status, call.other_caller)).collect();
        assert_eq!(told, [(2, Some(404), false), (1, None, true)]);
        for number in 0..2 * MOST_CALLS {
            story.called(&format!("s{number}").into(), &"Paris".into(), None, false);
        }
        assert_eq!(story.calls().len(), MOST_CALLS);
    }
}
