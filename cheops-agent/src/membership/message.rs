//! What is said at the wicket, both ways: JSON.

use serde::{Deserialize, Serialize};

use super::token::Secret;
use crate::metadata::record::Millis;
use crate::names::{HostName, SiteName};

/// The version that this agent speaks.
pub const VERSION: u64 = 1;

/// What a host asks that wants in.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Question {
    pub version: u64,
    pub federation: String,
    /// The token's public id, and its secret.
    pub id: String,
    pub secret: Secret,
    pub site: SiteName,
    pub host: HostName,
    /// Signed by the host's new key (RFC 2986), PEM.
    pub request: String,
    /// The asker's clock.
    pub now: Millis,
}

/// What it is given.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    pub version: u64,
    /// PEM, all.
    pub certificate: String,
    pub authorities: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_key: Option<String>,
}

/// Why it isn't let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: String,
    pub detail: String,
}
