//! The first host makes the federation.
//!
//! The authority is written to this host's disk before it is told, and the host's certificate takes its place after that:
//! wherever a crash comes, a second `init` goes on from there.

use std::path::Path;

use super::{AUTHORITY_DAYS, Membership, MembershipError, Standing};
use crate::metadata::Key;
use crate::metadata::record::{Federation, Record, now};
use crate::metadata::transaction::{Condition, Outcome, Transaction, Write};
use crate::peer::trust::{Authority, Content, Joined, Trust, Validity};

impl Membership {
    /// Makes the federation, with this host as its first and its authority's keeper.
    ///
    /// # Errors
    /// When this host belongs to one, there is one, or the cluster can't be asked: then nothing has changed, but for an
    /// authority on this host that the next `init` uses.
    pub async fn init(&self, federation: Option<&str>) -> Result<Standing, MembershipError> {
        let _turn = self.turn.lock().await;
        let own = &self.identity.federation;
        if let Some(asked) = federation.filter(|asked| asked != own) {
            return Err(MembershipError::Federation { configured: own.clone(), asked: asked.to_owned() });
        }
        let joined = self.newcomer()?;
        let authority = left(joined).map_or_else(|| Authority::new(own, Validity::days(AUTHORITY_DAYS)), Ok)?;
        self.stage(joined, &authority)?;
        let staged = self.load(joined, &joined.staged())?;
        // Nobody is told anything that is signed by an authority that nobody may ever know.
        self.store.hush(true);
        let made = self.make(joined, &authority, &staged).await;
        // If it isn't made, nobody is believed again, and nothing signed, until this host has joined.
        let renewed = self.renew();
        self.store.hush(false);
        made.and(renewed)?;
        tracing::info!(federation = own, "this host has made the federation");
        Ok(self.standing())
    }

    async fn make(&self, joined: &Joined, authority: &Authority, staged: &Trust) -> Result<(), MembershipError> {
        self.seal_with(joined, staged)?;
        self.tell(authority).await?;
        joined.take_up().map_err(|source| disk(joined, source))
    }

    /// Writes all that this host needs, but the certificate to a place where it doesn't count yet.
    fn stage(&self, joined: &Joined, authority: &Authority) -> Result<(), MembershipError> {
        let issued = authority.issue(&self.identity, Validity::lasting(self.life))?;
        let content = Content {
            ca: authority.certificate(),
            certificate: &issued.certificate,
            key: &issued.key,
            authority: Some(&authority.key()),
        };
        joined.stage(&content).map_err(|source| disk(joined, source))
    }

    /// Has the cluster know the federation, unless it knows another.
    async fn tell(&self, authority: &Authority) -> Result<(), MembershipError> {
        let record = Federation {
            name: self.identity.federation.clone(),
            authorities: vec![authority.certificate().to_owned()],
            since: now(),
            bridge: Vec::new(),
            rotation: None,
        };
        let transaction = Transaction {
            when: vec![Condition::Absent(Key::Federation)],
            then: vec![Write::Put(Key::Federation, Record::Federation(record))],
        };
        match self.store.transact(transaction).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Conflict if self.is_ours(authority) => Ok(()),
            Outcome::Conflict => Err(MembershipError::Exists {
                federation: self.identity.federation.clone(),
                site: self.identity.site.clone(),
            }),
        }
    }

    /// Whether the federation that is known is the one that an earlier try of this host made.
    fn is_ours(&self, authority: &Authority) -> bool {
        let view = self.store.view();
        let known = view.get(&Key::Federation).map(|kept| &kept.record);
        matches!(known, Some(Record::Federation(known))
            if known.authorities.first().is_some_and(|first| first == authority.certificate()))
    }
}

pub(super) fn disk(joined: &Joined, source: std::io::Error) -> MembershipError {
    MembershipError::Disk { path: joined.directory.clone(), source }
}

/// The authority that an earlier try left: it may have been told already.
fn left(joined: &Joined) -> Option<Authority> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    Authority::from_pem(&read(&joined.ca)?, &read(&joined.authority)?).ok()
}
