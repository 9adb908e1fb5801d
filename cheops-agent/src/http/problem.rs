//! The answers that the agent makes itself (SPEC.md 7): one table from a stable code to status, title and hint.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::observe::Limit;

macro_rules! codes {
    ($($name:ident $code:literal $status:literal $title:literal $hint:literal;)*) => {
        /// Why the agent answers by itself. The kebab-case form is part of the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($name),* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code),* }
            }

            /// The HTTP status (RFC 9110, 15).
            pub fn status(self) -> u16 {
                match self { $(Code::$name => $status),* }
            }

            /// A short summary, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title),* }
            }

            /// What the reader can do about it.
            pub fn hint(self) -> &'static str {
                match self { $(Code::$name => $hint),* }
            }
        }
    };
}

codes! {
    MalformedRequest   "malformed-request"   400 "The request is not well-formed HTTP"          "Send a request as RFC 9112 has it; the detail says where it broke.";
    BadFraming         "bad-framing"         400 "The request's length is ambiguous"            "Send exactly one Content-Length, or Transfer-Encoding: chunked on HTTP/1.1.";
    InvalidScope       "invalid-scope"       400 "The scope is not valid"                       "Try it with: cheops scope parse '<scope>'.";
    UnknownSite        "unknown-site"        400 "The scope names an unknown site"              "List the sites with: cheops sites.";
    UnknownService     "unknown-service"     400 "The scope names an unknown service"           "List the services with: cheops services.";
    NoEndpoint         "no-endpoint"         400 "The service is not at that site"              "See where it is with: cheops services.";
    TlsEndpoint        "tls-endpoint"        400 "The endpoint can't take scopes"               "Without the endpoint's certificate only whole connections pass; use an http endpoint.";
    SeveralScopes      "several-scopes"      400 "The request carries more than one scope"      "Use one scope header, or the query parameter, not both.";
    UnmatchedTarget    "unmatched-target"    400 "The target doesn't fit the endpoint's prefix" "Send the path without '..', '//' or encoded dots and slashes inside the prefix.";
    InvalidMarker      "invalid-marker"      400 "The marker is not one of a united list"       "Follow the answer's own link to the next page.";
    RequestTimeout     "request-timeout"     408 "The request did not arrive in time"           "Send the head and the body without long pauses.";
    ScopeConflict      "scope-conflict"      409 "The scope contradicts what is recorded"       "Change the record with: cheops resource extend, shrink or move.";
    RequestIdInUse     "request-id-in-use"   409 "The request id is live under another scope"   "Use a fresh request id.";
    AmbiguousWorkflow  "ambiguous-workflow"  409 "The call belongs to several scoped requests"  "Give each scoped request ids of its own, or the call its own scope.";
    BodyTooLarge       "body-too-large"      413 "The body is larger than the configured limit" "Send less.";
    ChunkExtensionsTooLarge "chunk-extensions-too-large" 413 "A chunk's extensions are too large" "Send chunks without extensions.";
    HeadTooLarge       "head-too-large"      431 "The request's head is too large"              "Send a smaller head.";
    TrailersTooLarge   "trailers-too-large"  431 "The request's trailers are too large"         "Send smaller trailers.";
    TokenUntrusted     "token-untrusted"     401 "The site does not accept that site's tokens"  "Use a token of a site that is accepted there; or name yours in trust of [identity] in the agent.toml there.";
    TokenNotValid      "token-not-valid-at-home" 401 "The token is not valid where it was issued" "It has expired or was revoked: ask for a new one.";
    TokenRefused       "token-refused"       401 "The site does not accept this token"          "Use a token of a project, with a role of foreign-roles of [identity] in the agent.toml there.";
    IssuerUnreachable  "issuer-unreachable"  503 "The site's identity service can't be reached" "Check at that site that it runs: cheops check.";
    HomeUnreachable    "home-unreachable"    503 "The site that issued the token can't be asked" "See cheops sites; try again when that site is back.";
    ServiceUnreachable "service-unreachable" 502 "The service can't be reached"                 "Check that the service runs: cheops check.";
    BadAnswer          "bad-answer"          502 "The service's answer is not well-formed HTTP" "Look at the service's log; nothing of the answer was passed on.";
    OutcomeUnknown     "outcome-unknown"     502 "It is not known whether the request took effect" "Look whether it did before you send it again.";
    PeerUnreachable    "peer-unreachable"    503 "The other site can't be reached"              "See cheops sites; try again when the site is back.";
    NoSiteInRange      "no-site-in-range"    503 "No live site is in range"                     "See the measured distances with: cheops map.";
    DistanceUnknown    "distance-unknown"    503 "The distance is not known"                    "See the measured distances with: cheops map.";
    SiteDrained        "site-drained"        503 "Nothing new is created at that site"          "Name another site, or several joined by ||; or ask there for: cheops site undrain.";
    NotExported        "not-exported"        403 "The other site does not offer this service to its peers" "Set export = true for the service at that site.";
    NoSiteAnswered     "no-site-answered"    503 "None of the sites answered"                   "See cheops sites; try again when one of them is back.";
    TooManyConnections "too-many-connections" 503 "The agent is at its limit of connections"    "Try again, or close idle connections.";
    TooManyWorkflows   "too-many-workflows"  503 "The agent is at its limit of workflows"       "Try again; or raise limits.workflow-records in agent.toml, or lower timeouts.workflow.";
    PeerBusy           "peer-busy"           503 "The other site's agent is at its limit of exchanges" "Try again; or raise limits.peer-exchanges in that agent's agent.toml.";
    Draining           "draining"            503 "The agent is shutting down"                   "Try again in a moment.";
    Timeout            "timeout"             504 "The answer did not come in time"              "Look whether the request took effect before you send it again.";
    VersionNotSupported "version-not-supported" 505 "The HTTP version is not supported"         "Send HTTP/1.1 or HTTP/1.0.";
    NotBuilt           "collaboration-not-built" 501 "This collaboration is not available yet"  "Use a single site, or several joined by ||.";
    Loop               "loop"                508 "The request came back to where it had been"   "An endpoint in the configuration points at an agent; see cheops check.";
    Internal           "internal"            500 "The agent failed"                             "This is a defect of the agent; please report it with: cheops bug-report.";
}

/// A problem document (RFC 9457) in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub code: Code,
    /// What happened this time. Never holds credentials or bodies.
    pub detail: String,
    /// Replaces the code's own hint.
    pub hint: Option<String>,
    /// For scopes: where in its text, in bytes.
    pub position: Option<(usize, usize)>,
}

impl Problem {
    /// A problem with the code's own hint.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), hint: None, position: None }
    }

    /// A problem that comes of a limit: the hint names its key.
    pub fn at_limit(code: Code, detail: impl Into<String>, limit: Limit) -> Self {
        let hint = format!("{} The limit is {} in agent.toml.", code.hint(), limit.key());
        Self { hint: Some(hint), ..Self::new(code, detail) }
    }

    /// The document as JSON.
    pub fn to_json(&self, request: &str, form: Form<'_>) -> Vec<u8> {
        let title = self.code.title();
        let document = Document {
            message: form.message.map(|name| (name, format!("{title}: {}.", self.detail.trim_end_matches('.')))),
            kind: "about:blank",
            title,
            status: self.code.status(),
            detail: &self.detail,
            source: "cheops",
            code: self.code.as_str(),
            hint: self.hint.as_deref().unwrap_or(self.code.hint()),
            request,
            position: self.position.map(|(position, _)| position),
            length: self.position.map(|(_, length)| length),
        };
        match form.within {
            Some(within) => serde_json::to_vec(&BTreeMap::from([(within, document)])).unwrap_or_default(),
            None => serde_json::to_vec(&document).unwrap_or_default(),
        }
    }
}

/// How a problem document is written, so that a platform's clients find what they show of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form<'a> {
    pub content_type: &'a str,
    /// The member that has the problem; none: it is the document.
    pub within: Option<&'a str>,
    /// A member with one sentence for people, before the others.
    pub message: Option<&'a str>,
}

impl Form<'static> {
    /// As RFC 9457 has it.
    pub const STANDARD: Self = Self { content_type: "application/problem+json", within: None, message: None };
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten, serialize_with = "member")]
    message: Option<(&'a str, String)>,
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    source: &'a str,
    code: &'a str,
    hint: &'a str,
    request: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<usize>,
}

fn member<S: Serializer>(member: &Option<(&str, String)>, to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(None)?;
    if let Some((name, value)) = member {
        map.serialize_entry(name, value)?;
    }
    map.end()
}
