//! What is told of a workflow: who began it, and what was called in it.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Serialize, Serializer};

use crate::http::Code;
use crate::names::{ServiceName, SiteName};

/// Different calls of one workflow that are told, at most.
const MOST_CALLS: usize = 64;
/// Bytes of what is told of one failure, at most.
const MOST_DETAIL: usize = 512;

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
    /// Why the last one had no answer of its service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// It came with another credential than the workflow's first request, and stayed at the calling site.
    pub other_caller: bool,
}

/// Why a call had no answer of its service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    #[serde(serialize_with = "as_str")]
    pub code: Code,
    /// For people. Holds no credentials.
    pub detail: String,
    #[serde(skip)]
    at: Instant,
}

fn as_str<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}

impl Failure {
    /// One that has just happened.
    pub fn new(code: Code, detail: &str) -> Self {
        let detail = detail.get(..detail.floor_char_boundary(MOST_DETAIL)).unwrap_or_default().to_owned();
        Self { code, detail, at: Instant::now() }
    }
}

/// What came of a call: the answer's status, or why there is none.
pub type Came = Result<u16, Failure>;

impl Story {
    pub fn new(request: &str, service: Option<&ServiceName>, since: u64) -> Self {
        Self { request: request.to_owned(), service: service.cloned(), since, calls: Mutex::default() }
    }

    /// One more call. `came` is none where nobody looked.
    pub fn called(&self, service: &ServiceName, site: &SiteName, came: Option<Came>, other_caller: bool) {
        let (last_status, last_failure) = match came {
            None => (None, None),
            Some(Ok(status)) => (Some(status), None),
            Some(Err(failure)) => (None, Some(failure)),
        };
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let same =
            |call: &&mut Called| call.service == *service && call.site == *site && call.other_caller == other_caller;
        let full = calls.len() >= MOST_CALLS;
        match calls.iter_mut().find(same) {
            Some(call) => {
                call.count += 1;
                (call.last_status, call.last_failure) = (last_status, last_failure);
            }
            None if full => {}
            None => {
                let (service, site) = (service.clone(), site.clone());
                calls.push(Called { service, site, count: 1, last_status, last_failure, other_caller });
            }
        }
    }

    /// The last call since then that had no answer, if none of the same service at the same site had one afterwards.
    pub fn failed(&self, since: Instant) -> Option<(ServiceName, Failure)> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = calls.iter().filter_map(|call| Some((&call.service, call.last_failure.as_ref()?)));
        let last = failed.filter(|(_, failure)| failure.at >= since).max_by_key(|(_, failure)| failure.at);
        last.map(|(service, failure)| (service.clone(), failure.clone()))
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
        for (came, other) in [(Some(Ok(200)), false), (Some(Ok(404)), false), (None, true)] {
            story.called(&"Glance".into(), &"Paris".into(), came, other);
        }
        let told: Vec<_> = story.calls().iter().map(|call| (call.count, call.last_status, call.other_caller)).collect();
        assert_eq!(told, [(2, Some(404), false), (1, None, true)]);
        for number in 0..2 * MOST_CALLS {
            story.called(&format!("s{number}").into(), &"Paris".into(), None, false);
        }
        assert_eq!(story.calls().len(), MOST_CALLS);
    }

    #[test]
    fn a_failure_is_told_until_a_later_call_has_an_answer() {
        let story = Story::new("r", None, 0);
        let begun = Instant::now();
        let call = |service: &str, site: &str, came| story.called(&service.into(), &site.into(), Some(came), false);
        let failed = || story.failed(begun).map(|(service, failure)| format!("{service}: {}", failure.detail));
        call("Glance", "Paris", Ok(200));
        assert_eq!(failed(), None);
        call("Neutron", "Nantes", Err(Failure::new(Code::PeerUnreachable, "Nantes is away")));
        call("Glance", "Paris", Err(Failure::new(Code::PeerUnreachable, "Paris is away")));
        assert_eq!(failed().as_deref(), Some("Glance: Paris is away"));
        assert_eq!(story.failed(Instant::now()), None, "that was before");
        call("Glance", "Paris", Ok(503));
        assert_eq!(failed().as_deref(), Some("Neutron: Nantes is away"));
        let shown = serde_json::to_value(story.calls()).expect("calls");
        assert_eq!(shown[0].get("last-failure"), None);
        let failure = serde_json::json!({ "code": "peer-unreachable", "detail": "Nantes is away" });
        assert_eq!(shown[1]["last-failure"], failure);
        let long = Failure::new(Code::PeerUnreachable, &"\u{e9}".repeat(MOST_DETAIL));
        assert_eq!(long.detail.len(), MOST_DETAIL);
    }
}
