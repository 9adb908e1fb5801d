//! Tokens are issued, listed and revoked.

use std::time::Duration;

use serde::Serialize;

use super::{Membership, MembershipError, Secret, Token, lives, signers};
use crate::metadata::record::{Millis, Record, TokenRecord, now};
use crate::metadata::transaction::{Condition, Outcome, Transaction, Write};
use crate::metadata::{Key, View};
use crate::names::{HostName, SiteName};
use crate::peer::trust::hex;

const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// Addresses of signers in one token.
const ADDRESSES: usize = 8;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub site: SiteName,
    pub host: Option<HostName>,
    pub expires: Duration,
    pub signs: bool,
}

/// A token, as far as it is known to those that didn't get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listed {
    pub id: String,
    pub site: SiteName,
    pub host: Option<HostName>,
    pub signs: bool,
    pub by: SiteName,
    pub issued: Millis,
    pub expires: Millis,
    pub expired: bool,
}

impl Membership {
    /// Issues a token. It is nowhere kept, so this is the only time that it can be seen.
    ///
    /// # Errors
    /// When this host doesn't sign, the site lives and no host is named, or the cluster can't be asked.
    pub async fn issue(&self, wanted: &Wanted) -> Result<Token, MembershipError> {
        name("site", wanted.site.as_str())?;
        if let Some(host) = &wanted.host {
            host_name(host)?;
        }
        if !(SHORTEST..=LONGEST).contains(&wanted.expires) {
            return Err(MembershipError::Expiry);
        }
        let joined = self.member()?;
        let view = self.store.view();
        self.pen(joined).ok_or_else(|| no_signer(&view))?;
        // What this host shows to whoever comes with the token.
        let fingerprint = self.load(joined, &joined.certificate)?.signer;
        if wanted.host.is_none() {
            self.free(&view, &wanted.site)?;
        }
        let (id, secret) = (hex(&rand::random::<[u8; 8]>()), Secret::new());
        let now = now();
        let record = TokenRecord {
            site: wanted.site.clone(),
            host: wanted.host.clone(),
            secret: secret.hash(),
            issued: now,
            expires: now.saturating_add(u64::try_from(wanted.expires.as_millis()).unwrap_or(u64::MAX)),
            signs: wanted.signs,
            by: self.identity.site.clone(),
            redeemed: None,
        };
        let key = Key::Token(id.clone());
        let mut then = vec![Write::Put(key.clone(), Record::Token(record))];
        then.extend(expired(&view, now).map(Write::Remove));
        match self.store.transact(Transaction { when: vec![Condition::Absent(key)], then }).await? {
            Outcome::Done(_) => {}
            Outcome::Conflict => return Err(MembershipError::Meanwhile),
        }
        tracing::info!(site = %wanted.site, id, signs = wanted.signs, "a token was issued");
        Ok(Token {
            federation: self.identity.federation.clone(),
            site: wanted.site.clone(),
            host: wanted.host.clone(),
            addresses: self.wickets(&view),
            fingerprint,
            id,
            secret,
        })
    }

    /// The tokens that may still be used, and those that have expired and were not cleaned away yet.
    pub fn tokens(&self) -> Vec<Listed> {
        let now = now();
        let listed = |(key, record): (&Key, &Record)| match (key, record) {
            (Key::Token(id), Record::Token(token)) if token.redeemed.is_none() => Some(Listed {
                id: id.clone(),
                site: token.site.clone(),
                host: token.host.clone(),
                signs: token.signs,
                by: token.by.clone(),
                issued: token.issued,
                expires: token.expires,
                expired: token.expires <= now,
            }),
            _ => None,
        };
        self.store.view().iter().filter_map(listed).collect()
    }

    /// Takes a token back.
    ///
    /// # Errors
    /// When there is none of that id, or the cluster can't be asked.
    pub async fn revoke_token(&self, id: &str) -> Result<(), MembershipError> {
        self.member()?;
        let key = Key::Token(id.to_owned());
        let view = self.store.view();
        let none = || MembershipError::NoToken(id.to_owned());
        let kept = view.get(&key).ok_or_else(none)?;
        if matches!(&kept.record, Record::Token(token) if token.redeemed.is_some()) {
            return Err(none());
        }
        let revision = kept.revision.ok_or(MembershipError::Meanwhile)?;
        let when = vec![Condition::Unchanged(key.clone(), revision)];
        match self.store.transact(Transaction { when, then: vec![Write::Remove(key)] }).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Conflict => Err(none()),
        }
    }

    /// Refuses a site that has a host that lives.
    fn free(&self, view: &View, site: &SiteName) -> Result<(), MembershipError> {
        let hosts: Vec<&str> = hosts(view, site).filter(|host| lives(view, site, host)).map(HostName::as_str).collect();
        match hosts.is_empty() {
            true => Ok(()),
            false => Err(MembershipError::Taken { site: site.clone(), hosts: hosts.join(", ") }),
        }
    }

    /// Where a bearer can ask: here first, then at the others that sign.
    fn wickets(&self, view: &View) -> Vec<String> {
        let mut all = self.addresses.clone();
        for address in signers(view).into_iter().flat_map(|(_, addresses)| addresses) {
            if !all.contains(&address) {
                all.push(address);
            }
        }
        all.truncate(ADDRESSES);
        all
    }
}

/// The hosts of a site, whether they live or not.
pub(super) fn hosts<'a>(view: &'a View, site: &'a SiteName) -> impl Iterator<Item = &'a HostName> {
    view.iter().filter_map(move |(key, _)| match key {
        Key::Host(of, host) if of == site => Some(host),
        _ => None,
    })
}

/// Tokens that nobody can use any more.
fn expired(view: &View, now: Millis) -> impl Iterator<Item = Key> {
    // Some at a time: etcd limits what a transaction may do.
    const SOME: usize = 32;
    view.iter()
        .filter(move |(_, record)| matches!(record, Record::Token(token) if token.expires <= now))
        .map(|(key, _)| key.clone())
        .take(SOME)
}

/// Says who signs.
pub(super) fn no_signer(view: &View) -> MembershipError {
    let who = |(key, addresses): (&Key, Vec<String>)| match key {
        Key::Host(site, host) => format!("{host} of {site} at {}", addresses.join(", ")),
        _ => String::new(),
    };
    let all: Vec<String> = signers(view).into_iter().map(who).collect();
    MembershipError::NoSigner(if all.is_empty() { "none is known here".to_owned() } else { all.join("; ") })
}

/// A name that a scope can say.
fn name(what: &'static str, name: &str) -> Result<(), MembershipError> {
    crate::names::check(name).map_err(|fault| MembershipError::Name {
        what,
        name: name.to_owned(),
        why: fault.to_string(),
    })
}

/// A name that a certificate can have.
fn host_name(host: &HostName) -> Result<(), MembershipError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match !host.as_str().is_empty() && host.as_str().chars().all(fits) {
        true => Ok(()),
        false => Err(MembershipError::Name {
            what: "host",
            name: host.to_string(),
            why: "only letters, digits, '-', '_' and '.' can stand in it".to_owned(),
        }),
    }
}
