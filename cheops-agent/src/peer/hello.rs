//! How agents greet each other: what is asked, and what is said.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::beat::Key;
use super::table::Table;
use super::trust::PeerIdentity;
use crate::metadata::latency::{Coordinate, Word};
use crate::metadata::record::{CertificateFacts, Standing};
use crate::names::{HostName, SiteName};

/// What a peer is told that asks who this agent is.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// A key for its datagrams, if it wants one.
    pub beat: Option<Key>,
    pub table_version: u64,
    /// What is measured here, if it doesn't know that already.
    pub table: Option<Table>,
    /// Where this site lies.
    pub coordinate: Option<Coordinate>,
    /// What is new, and what to ask for next time.
    pub words: Vec<Word>,
    pub next: u64,
    /// How this site takes part.
    pub standing: Standing,
}

/// What a peer's agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub site: SiteName,
    pub host: HostName,
    pub version: String,
    /// What the asker's datagrams are sealed with from now on, if it asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beat: Option<Key>,
    /// The number of what it measured, and that itself if the asker doesn't know it.
    #[serde(default)]
    pub table_version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// How its site takes part.
    #[serde(default)]
    pub standing: Standing,
    /// Of the certificate that it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateFacts>,
    /// Where its site lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinate: Option<Coordinate>,
    /// Word of other sites, and what to ask for next time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
    #[serde(default)]
    pub next: u64,
}

impl Hello {
    /// What this agent says; of its certificate only if the asker doesn't know it.
    pub fn new(own: &PeerIdentity, told: Told, certificate: Option<CertificateFacts>, asks: &Asks) -> Self {
        Self {
            site: own.site.clone(),
            host: own.host.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            beat: told.beat,
            table_version: told.table_version,
            table: told.table,
            coordinate: told.coordinate,
            words: told.words,
            next: told.next,
            standing: told.standing,
            certificate: certificate
                .filter(|own| !asks.certificate.as_ref().is_some_and(|known| own.serial.starts_with(known))),
        }
    }
}

/// What a peer is asked for besides who it is, and what it is told at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// A key for datagrams.
    pub key: bool,
    /// The number of its measurements that is known here; 0 for none.
    pub table: u64,
    /// Word that came to it after this.
    pub news: Option<u64>,
    /// How the serial number of its certificate begins, as far as it is known here.
    pub certificate: Option<String>,
    /// Word of the asker's own site.
    pub word: Option<Word>,
}

const ASK_KEY: HeaderName = HeaderName::from_static("cheops-beat");
const ASK_TABLE: HeaderName = HeaderName::from_static("cheops-table");
const ASK_NEWS: HeaderName = HeaderName::from_static("cheops-news");
const KNOWN_CERTIFICATE: HeaderName = HeaderName::from_static("cheops-certificate");
const OWN_WORD: HeaderName = HeaderName::from_static("cheops-word");

impl Asks {
    /// As they are sent.
    pub fn to_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.key {
            headers.insert(ASK_KEY, HeaderValue::from_static("1"));
        }
        headers.insert(ASK_TABLE, HeaderValue::from(self.table));
        if let Some(after) = self.news {
            headers.insert(ASK_NEWS, HeaderValue::from(after));
        }
        if let Some(serial) = self.certificate.as_ref().and_then(|serial| HeaderValue::from_str(serial).ok()) {
            headers.insert(KNOWN_CERTIFICATE, serial);
        }
        let word = self.word.as_ref().and_then(|word| serde_json::to_vec(word).ok());
        if let Some(word) = word.and_then(|word| HeaderValue::from_bytes(&word).ok()) {
            headers.insert(OWN_WORD, word);
        }
        headers
    }

    /// What a peer asks for.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let number = |name| text(name).and_then(|number| number.parse().ok());
        let word = headers.get(OWN_WORD).and_then(|word| serde_json::from_slice(word.as_bytes()).ok());
        let table = number(ASK_TABLE).unwrap_or_default();
        let certificate = text(KNOWN_CERTIFICATE).map(str::to_owned);
        Self { key: text(ASK_KEY) == Some("1"), table, news: number(ASK_NEWS), certificate, word }
    }
}
