//! One finished request, as `tap` and the access log show it.

use std::time::Duration;

use serde::Serialize;

/// One finished request. The path is without its query: a query may hold secrets.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequestEvent {
    /// `X-Cheops-Request`.
    pub id: String,
    pub client: String,
    /// The uid that opened the connection, where it is known.
    pub uid: Option<u32>,
    pub service: String,
    pub method: String,
    pub path: String,
    /// Normal form.
    pub scope: Option<String>,
    /// Where the scope was found: `header`, `parameter`, `basic`, `token`, `session`, `workflow`. None of a peer's request.
    pub scope_source: Option<&'static str>,
    /// What links it to the request that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<EventLink>,
    /// `direct`, `at`, `first-of`, `refused`.
    pub plan: &'static str,
    /// The sites that were tried, in order; the last one answered.
    pub sites: Vec<String>,
    pub status: Option<u16>,
    /// The stable code of an answer that the agent made itself.
    pub code: Option<&'static str>,
    /// Bytes of the answer.
    pub bytes: u64,
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

/// An id by which a call is linked to its cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct EventLink {
    /// `profile`, `traceparent`, `request-id`, `b3`, `credential`.
    pub kind: &'static str,
    /// None of a credential.
    pub id: Option<String>,
    /// The request that caused it, `X-Cheops-Request`.
    pub request: String,
    /// Whether its scope binds the call; else that is somebody else's, and local.
    pub follows: bool,
}

fn seconds<S: serde::Serializer>(took: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_f64(took.as_secs_f64())
}
