//! How hosts come into a federation and leave it (AMENDMENTS 20, 22).
//!
//! `init` makes a federation: its authority and the first host. A host that signs issues a `token` for one site, whose
//! bearer may `join`: it makes its own key, asks at the wicket of a signing agent, and is given a certificate (`admit`
//! is the other side; `message` what is said). `leave` takes a host away, or a site that is gone.
//!
//! What is decided is decided by the metadata cluster: there is one federation record, and a token is redeemed once.

mod admit;
mod bucket;
mod error;
mod init;
mod join;
mod leave;
mod message;
mod rotate;
mod sealing;
mod token;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

pub use admit::Admission;
pub use error::{Kind, MembershipError};
pub use leave::Left;
pub use rotate::Progress;
pub use sealing::Sealing;
pub use token::{Secret, Token, TokenError};
pub use tokens::{Listed, Wanted};

use crate::metadata::record::Record;
use crate::metadata::{Key, Store, View};
use crate::peer::PeerIdentity;
use crate::peer::trust::Joined;

/// How long an authority's certificate is good, in days.
const AUTHORITY_DAYS: u32 = 3650;

/// What takes up other certificates: both ends of the peer links, and the seal of records.
pub type Renew = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// This host's part in a federation.
pub struct Membership {
    identity: PeerIdentity,
    store: Arc<Store>,
    /// Absent where the certificates are named in the file, or there are none.
    joined: Option<Joined>,
    /// Where other agents reach this one.
    addresses: Vec<String>,
    sealing: Sealing,
    renew: Renew,
    patience: Duration,
    life: Duration,
    /// One change at a time.
    turn: tokio::sync::Mutex<()>,
}

/// What [`Membership`] is made of.
pub struct Parts {
    pub identity: PeerIdentity,
    pub store: Arc<Store>,
    pub joined: Option<Joined>,
    pub addresses: Vec<String>,
    pub sealing: Sealing,
    pub renew: Renew,
    /// For connecting to another agent, and for its answer.
    pub patience: Duration,
    /// How long certificates are good that this host signs.
    pub life: Duration,
}

/// How this host stands in the federation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Standing {
    /// `joined`, `not-joined`, `by-file`.
    pub state: &'static str,
    pub federation: String,
    /// Whether this host can sign certificates.
    pub signs: bool,
    /// Why the certificates that are there can't be used: as if there were none, until the host joins again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Membership {
    pub fn new(parts: Parts) -> Self {
        let Parts { identity, store, joined, addresses, sealing, renew, patience, life } = parts;
        let turn = tokio::sync::Mutex::default();
        Self { identity, store, joined, addresses, sealing, renew, patience, life, turn }
    }

    /// How this host stands.
    pub fn standing(&self) -> Standing {
        let (state, signs, trouble) = match self.joined.as_ref().map(|joined| (joined, self.usable(joined))) {
            None => ("by-file", false, None),
            Some((joined, Ok(true))) => ("joined", joined.authority.exists(), None),
            Some((_, Ok(false))) => ("not-joined", false, None),
            Some((_, Err(error))) => ("not-joined", false, Some(error.to_string())),
        };
        Standing { state, federation: self.identity.federation.clone(), signs, trouble }
    }

    /// Holds back every other change of this host's certificates.
    pub async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Whether certificates are there; an error if they can't be used.
    fn usable(&self, joined: &Joined) -> Result<bool, MembershipError> {
        match joined.is_whole() {
            true => self.load(joined, &joined.certificate).map(|_| true),
            false => Ok(false),
        }
    }

    /// The place of the certificates.
    fn joined(&self) -> Result<&Joined, MembershipError> {
        self.joined.as_ref().ok_or(MembershipError::ByFile)
    }

    /// The place of the certificates, which are there.
    fn member(&self) -> Result<&Joined, MembershipError> {
        let joined = self.joined()?;
        if joined.is_whole() { Ok(joined) } else { Err(MembershipError::NotJoined) }
    }

    /// The place of the certificates, which are not there, or of no use.
    fn newcomer(&self) -> Result<&Joined, MembershipError> {
        let joined = self.joined()?;
        if self.store.is_embedded() {
            return Err(crate::metadata::truth::TruthError::Embedded.into());
        }
        match self.usable(joined) {
            Ok(true) => Err(MembershipError::Already { federation: self.identity.federation.clone() }),
            Ok(false) | Err(_) => Ok(joined),
        }
    }

    /// Takes up the certificates that are there now.
    fn renew(&self) -> Result<(), MembershipError> {
        (self.renew)().map_err(MembershipError::Renew)
    }
}

/// The agents of hosts that sign: site, host, addresses.
fn signers(view: &View) -> Vec<(&Key, Vec<String>)> {
    fn signer<'a>((key, record): (&'a Key, &'a Record)) -> Option<(&'a Key, Vec<String>)> {
        match record {
            Record::Host(host) if host.signs => Some((key, host.peers.clone())),
            _ => None,
        }
    }
    view.iter().filter_map(signer).collect()
}

/// Whether a host's liveness is known to hold.
fn lives(view: &View, site: &crate::names::SiteName, host: &crate::names::HostName) -> bool {
    view.get(&Key::Liveness(site.clone(), host.clone())).is_some()
}

#[cfg(test)]
mod tests;
