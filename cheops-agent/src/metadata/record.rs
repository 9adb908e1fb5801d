//! What is kept of a federation: records, each with its version.
//!
//! A record is a JSON object whose member `version` says how it is to be read. A member that is absent is not known, which
//! is not the same as empty. Records of an agent to come are kept as they are and not understood; records of past
//! agents are understood (tests/records has one of each).

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::key::Key;
use crate::names::{HostName, ServiceName, SiteName};

/// The version that this agent writes, of every kind.
pub const VERSION: u64 = 1;

/// Milliseconds since the Unix epoch: for people and for what expires in hours, never for order.
pub type Millis = u64;

/// The wall clock's time.
pub fn now() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

/// One record; its key says which kind it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Federation(Federation),
    Site(SiteRecord),
    Host(HostRecord),
    Service(ServiceRecord),
    Latencies(Latencies),
    Liveness(Liveness),
    Token(TokenRecord),
    Revoked(Revoked),
    Resource(ResourceRecord),
    Name(NameRecord),
    Prime(PrimeRecord),
}

/// What all sites share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Federation {
    pub name: String,
    /// Certificates of the authorities that are believed, PEM, the one that signs first. Several during a rotation.
    pub authorities: Vec<String>,
    pub since: Millis,
    /// How those find the authority that signs now who know only the fingerprint of one before it: its certificate as
    /// that one signed it, and that one's own. PEM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bridge: Vec<String>,
    /// That the authority is being replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
}

/// How far the replacement of an authority is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The old authority signs; the new one comes to be believed.
    Spreading,
    /// The new authority signs; certificates of the old one are renewed.
    Renewing,
}

/// The replacement of an authority that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rotation {
    pub phase: Phase,
    /// The old and the new authority: SHA-256 of their certificates (DER), in hexadecimal.
    pub from: String,
    pub to: String,
    /// When it began, and when this phase did.
    pub begun: Millis,
    pub since: Millis,
}

/// How a site takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It serves and may be chosen.
    #[default]
    Active,
    /// It serves what names it, and is chosen for nothing new (`*`, `around`).
    Cordoned,
    /// As cordoned; and nothing new is created there for other sites, though a scope names it.
    Drained,
}

impl Standing {
    /// As people and machines write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Cordoned => "cordoned",
            Self::Drained => "drained",
        }
    }
}

/// A site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SiteRecord {
    #[serde(default)]
    pub standing: Standing,
    pub since: Millis,
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostRecord {
    /// Where other agents reach it, `host:port`.
    pub peers: Vec<String>,
    /// The agent's version.
    pub agent: String,
    /// Of the certificate that it shows; absent where agents talk without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateFacts>,
    /// Whether it can sign certificates for the federation.
    #[serde(default)]
    pub signs: bool,
    /// SHA-256 of the certificates (DER) of the authorities that it believes, in hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusts: Vec<String>,
}

/// What others need to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CertificateFacts {
    /// In hexadecimal, as [`Key::Revoked`] has it.
    pub serial: String,
    pub expires: Millis,
    /// SHA-256 of the authority's certificate (DER), in hexadecimal.
    pub authority: String,
}

/// A service as one site has it; the members mean what they mean in `[[services]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ServiceRecord {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    pub profile: String,
    /// URLs, as they were written: those of all hosts.
    pub endpoints: Vec<String>,
    /// Which host's file has which of them. Each host of the site adds its own and leaves the others' alone.
    #[serde(default)]
    pub hosts: BTreeMap<HostName, Vec<String>>,
    /// `pass` or `refuse`.
    pub when_agent_down: String,
    /// `client` or `own`.
    pub host: String,
    pub export: bool,
    pub parameter: bool,
}

/// What a site measured of others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Latencies {
    pub measured: Millis,
    pub sites: BTreeMap<SiteName, Latency>,
    /// The site's place in the latency space, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coordinate: Option<Value>,
}

/// One distance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Latency {
    /// Least round trip of the last seconds, in microseconds. Absent: unknown, which is not zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// The usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usual_us: Option<u64>,
    /// `alive`, `suspect`, `dead`, `unknown`.
    pub state: String,
    /// Whether the other's probes come to the site that measured: with `dead`, only one direction is cut.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hears: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// That an agent lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Liveness {
    pub started: Millis,
}

/// A token that was issued. Whoever redeems it says so in the same transaction; the record goes when it has expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TokenRecord {
    /// The one site that may use it.
    pub site: SiteName,
    /// The one host that may use it; absent: any, as the first of its site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// SHA-256 of its secret, in hexadecimal: the secret itself is nowhere kept.
    pub secret: String,
    pub issued: Millis,
    pub expires: Millis,
    /// Whether its bearer is to sign certificates, too.
    #[serde(default)]
    pub signs: bool,
    /// Who issued it.
    pub by: SiteName,
    /// Who came in with it; absent: nobody yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redeemed: Option<Redeemed>,
}

/// Who came in with a token. If the answer was lost, who asks again with the same key is given another one, and nobody
/// else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Redeemed {
    pub host: HostName,
    /// SHA-256 of its public key (DER), in hexadecimal.
    pub key: String,
    pub at: Millis,
}

/// Certificates that are not believed any more: those of the host that were issued until `since`. A host that joins again
/// later has a newer one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Revoked {
    pub site: SiteName,
    /// Absent: of every host of the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    pub since: Millis,
    /// When all of them will have expired, after which the record is not needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Millis>,
}

/// A managed resource. Reserved: nothing writes it yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ResourceRecord {
    pub service: ServiceName,
    pub kind: String,
    /// The scope that made it, in normal form.
    pub scope: String,
    /// Its local id at each site; absent where it isn't known yet.
    pub replicas: BTreeMap<SiteName, Option<String>>,
}

/// A reserved name. Reserved: nothing writes it yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NameRecord {
    /// The meta id of the resource that has it.
    pub resource: String,
    pub by: SiteName,
}

/// The prime's lease; its revision is the fence. Reserved: nothing writes it yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PrimeRecord {
    pub site: SiteName,
    pub until: Millis,
}

/// Why bytes are no record that this agent understands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("it is no JSON object: {0}")]
    NoObject(String),
    #[error("it has no version")]
    NoVersion,
    #[error("it is of version {0}, and this agent knows {VERSION}: another site's agent is newer; upgrade this one")]
    Newer(u64),
    #[error("{0}")]
    Malformed(String),
}

impl Record {
    /// As it is kept.
    pub fn encode(&self) -> String {
        let value = match self {
            Self::Federation(record) => serde_json::to_value(record),
            Self::Site(record) => serde_json::to_value(record),
            Self::Host(record) => serde_json::to_value(record),
            Self::Service(record) => serde_json::to_value(record),
            Self::Latencies(record) => serde_json::to_value(record),
            Self::Liveness(record) => serde_json::to_value(record),
            Self::Token(record) => serde_json::to_value(record),
            Self::Revoked(record) => serde_json::to_value(record),
            Self::Resource(record) => serde_json::to_value(record),
            Self::Name(record) => serde_json::to_value(record),
            Self::Prime(record) => serde_json::to_value(record),
        };
        // Plain structs with text keys always are JSON.
        let mut members = match value {
            Ok(Value::Object(members)) => members,
            _ => serde_json::Map::new(),
        };
        members.insert("version".to_owned(), VERSION.into());
        Value::Object(members).to_string()
    }

    /// The record that stands at `key`.
    ///
    /// # Errors
    /// When the text is none, or one that only a newer agent understands.
    pub fn decode(key: &Key, text: &str) -> Result<Self, RecordError> {
        let value: Value = serde_json::from_str(text).map_err(|error| RecordError::NoObject(error.to_string()))?;
        let members = value.as_object().ok_or_else(|| RecordError::NoObject("it is another value".to_owned()))?;
        match members.get("version").and_then(Value::as_u64) {
            None => return Err(RecordError::NoVersion),
            Some(newer) if newer > VERSION => return Err(RecordError::Newer(newer)),
            Some(_) => {}
        }
        Ok(match key {
            Key::Federation => Self::Federation(read(value)?),
            Key::Site(_) => Self::Site(read(value)?),
            Key::Host(..) => Self::Host(read(value)?),
            Key::Service(..) => Self::Service(read(value)?),
            Key::Latencies(_) => Self::Latencies(read(value)?),
            Key::Liveness(..) => Self::Liveness(read(value)?),
            Key::Token(_) => Self::Token(read(value)?),
            Key::Revoked(_) => Self::Revoked(read(value)?),
            Key::Resource(_) => Self::Resource(read(value)?),
            Key::Name(..) => Self::Name(read(value)?),
            Key::Prime(_) => Self::Prime(read(value)?),
        })
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, RecordError> {
    serde_json::from_value(value).map_err(|error| RecordError::Malformed(error.to_string()))
}
