//! The wicket of a host that signs: whoever has a token that holds is given a certificate.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::StatusCode;
use serde::Serialize;

use super::bucket::Bucket;
use super::message::{Answer, Question, Refusal, VERSION};
use super::sealing::{self, Pen};
use super::tokens::{hosts, no_signer};
use super::{Membership, MembershipError, lives};
use crate::metadata::record::{Millis, Record, Redeemed, TokenRecord, now};
use crate::metadata::transaction::{Condition, Outcome, Transaction, Write};
use crate::metadata::{Key, View};
use crate::peer::PeerIdentity;
use crate::peer::join::{Admit, Answered};
use crate::peer::trust::{Joined, Validity, hex};

/// Questions at once, and how often one more.
const QUESTIONS: (u32, Duration) = (30, Duration::from_millis(500));
/// By how much a joiner's clock may differ: certificates are good from an hour ago.
const SKEW: Millis = 30 * 60 * 1000;
/// How long a token that was issued elsewhere may take to be known here.
const ARRIVES: Duration = Duration::from_secs(3);
/// Answers at the wicket.
pub struct Admission {
    membership: Arc<Membership>,
    bucket: Mutex<Bucket>,
}

/// Why somebody isn't let in.
#[derive(Debug)]
struct No {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

fn no(code: &'static str, detail: impl Into<String>) -> No {
    No { status: StatusCode::FORBIDDEN, code, detail: detail.into() }
}

impl Admit for Admission {
    fn admit(&self, question: Bytes, from: SocketAddr) -> BoxFuture<'_, Answered> {
        Box::pin(async move {
            match self.hear(&question).await {
                Ok(answer) => answered(StatusCode::OK, &answer),
                Err(why) => {
                    tracing::warn!(%from, code = why.code, detail = why.detail, "a host is not let in");
                    let refusal = Refusal { code: why.code.to_owned(), detail: why.detail };
                    answered(why.status, &refusal)
                }
            }
        })
    }
}

fn answered(status: StatusCode, body: &impl Serialize) -> Answered {
    Answered { status, body: serde_json::to_vec(body).unwrap_or_default().into() }
}

impl Admission {
    pub fn new(membership: Arc<Membership>) -> Self {
        let bucket = Mutex::new(Bucket::new(QUESTIONS.0, QUESTIONS.1));
        Self { membership, bucket }
    }

    async fn hear(&self, question: &[u8]) -> Result<Answer, No> {
        if !self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
            let detail = "too many hosts ask at once; wait a few seconds";
            return Err(No { status: StatusCode::TOO_MANY_REQUESTS, code: "busy", detail: detail.to_owned() });
        }
        let question: Question = serde_json::from_slice(question)
            .map_err(|_| no("malformed", "the question isn't readable: the agents' versions differ too much"))?;
        let own = &self.membership.identity.federation;
        if question.federation != *own {
            return Err(no("federation", format!("this is the federation {own}")));
        }
        let joined = self.membership.member().map_err(|error| failed(&error))?;
        let pen = self.membership.pen(joined);
        let pen = pen.ok_or_else(|| failed(&no_signer(&self.membership.store.view())))?;
        let apart = question.now.abs_diff(now());
        if apart > SKEW {
            let detail = format!("the clocks of the two hosts are {} minutes apart; set yours", apart / 60_000);
            return Err(no("clock", detail));
        }
        let revoked = self.revoked(&question)?;
        let key = key_of(&question.request)?;
        let token = self.redeem(&question, &key).await?;
        let identity =
            PeerIdentity { federation: own.clone(), site: question.site.clone(), host: question.host.clone() };
        tracing::info!(site = %identity.site, host = %identity.host, token = question.id, "a host is let in");
        self.give(joined, &pen, &identity, (&question.request, revoked), &token).map_err(|error| failed(&error))
    }

    /// Until when what the host was given is revoked: what it is given now is to count all the same.
    fn revoked(&self, question: &Question) -> Result<Option<Millis>, No> {
        let revoked = self.membership.sealing.revoked.since(&question.site, &question.host);
        match revoked.map(|revoked| revoked.saturating_sub(now())).filter(|ahead| *ahead > SKEW) {
            Some(ahead) => {
                let minutes = ahead / 60_000;
                let detail = format!(
                    "its certificates are revoked until {minutes} minutes from now: a clock was wrong; give this host another name (\"host\" in its file)"
                );
                Err(no("clock", detail))
            }
            None => Ok(revoked),
        }
    }

    /// Redeems the token, once: whoever else has it comes too late. Who came in with it and asks again with the same key has
    /// not heard the answer.
    async fn redeem(&self, question: &Question, key: &[u8]) -> Result<TokenRecord, No> {
        let store = &self.membership.store;
        let key = hex(ring::digest::digest(&ring::digest::SHA256, key).as_ref());
        let (mut token, revision) = self.find(&question.id, |_| true).await.ok_or_else(gone)?;
        if token.redeemed.is_none() {
            if !question.secret.is(&token.secret) {
                return Err(gone());
            }
            fits(&token, question)?;
            free(&store.view(), &token, question)?;
            let id = Key::Token(question.id.clone());
            let when = vec![Condition::Unchanged(id.clone(), revision)];
            token.redeemed = Some(Redeemed { host: question.host.clone(), key: key.clone(), at: now() });
            let then = vec![Write::Put(id, Record::Token(token.clone()))];
            match store.transact(Transaction { when, then }).await {
                Ok(Outcome::Done(_)) => return Ok(token),
                Ok(Outcome::Conflict) => {
                    let redeemed = self.find(&question.id, |token| token.redeemed.is_some()).await;
                    token = redeemed.ok_or_else(gone)?.0;
                }
                Err(error) => return Err(failed(&error.into())),
            }
        }
        self.again(&token, question, &key)?;
        Ok(token)
    }

    /// Whether this is who came in with the token, and may still.
    fn again(&self, token: &TokenRecord, question: &Question, key: &str) -> Result<(), No> {
        let redeemed = token.redeemed.as_ref();
        let redeemed = redeemed.filter(|redeemed| redeemed.key == key && redeemed.host == question.host);
        let redeemed = redeemed.filter(|_| question.secret.is(&token.secret)).ok_or_else(gone)?;
        fits(token, question)?;
        match self.membership.sealing.revoked.since(&question.site, &question.host) {
            Some(revoked) if revoked >= redeemed.at => Err(gone()),
            _ => Ok(()),
        }
    }

    /// The token's record, which may be on its way.
    async fn find(&self, id: &str, fits: impl Fn(&TokenRecord) -> bool) -> Option<(TokenRecord, i64)> {
        let store = &self.membership.store;
        let key = Key::Token(id.to_owned());
        let mut changes = store.changes();
        let look = || match store.view().get(&key) {
            Some(kept) => match (&kept.record, kept.revision) {
                (Record::Token(token), Some(revision)) if fits(token) => Some((token.clone(), revision)),
                _ => None,
            },
            None => None,
        };
        let found = async {
            loop {
                if let Some(found) = look() {
                    return Some(found);
                }
                changes.changed().await.ok()?;
            }
        };
        tokio::time::timeout(ARRIVES, found).await.ok()?
    }

    fn give(
        &self,
        joined: &Joined,
        pen: &Pen,
        identity: &PeerIdentity,
        (request, revoked): (&str, Option<Millis>),
        token: &TokenRecord,
    ) -> Result<Answer, MembershipError> {
        let life = Validity::lasting(self.membership.life);
        let certificate = sealing::authority(pen)?.sign_after(identity, request, life, revoked)?;
        let read = |path| std::fs::read_to_string(path).map_err(|source| super::init::disk(joined, source));
        let authority_key = if token.signs { Some(read(&joined.authority)?) } else { None };
        Ok(Answer { version: VERSION, certificate, authorities: read(&joined.ca)?, authority_key })
    }
}

/// Said the same of a token that never was and of a wrong secret.
fn gone() -> No {
    no("used", "it was used or revoked already, or was never issued by this federation; ask for a new one")
}

fn failed(error: &MembershipError) -> No {
    let code = match error {
        MembershipError::NoSigner(_) => "no-signer",
        MembershipError::NotJoined | MembershipError::ByFile => "not-joined",
        MembershipError::Trust(_) => "request",
        _ => "unavailable",
    };
    No { status: StatusCode::SERVICE_UNAVAILABLE, code, detail: error.to_string() }
}

/// Whether it holds, and is for whoever asks.
fn fits(token: &TokenRecord, question: &Question) -> Result<(), No> {
    if token.expires <= now() {
        return Err(no("expired", "it has expired; ask for a new one"));
    }
    if token.site != question.site {
        return Err(no("site", format!("it is for the site {}, and {} asks", token.site, question.site)));
    }
    match token.host.as_ref().filter(|host| **host != question.host) {
        Some(host) => Err(no("host", format!("it is for the host {host}, and {} asks", question.host))),
        None => Ok(()),
    }
}

/// A site's name is taken as long as one of its hosts lives; a further host needs a token that names it.
fn free(view: &View, token: &TokenRecord, question: &Question) -> Result<(), No> {
    let site = &question.site;
    if lives(view, site, &question.host) {
        let detail =
            format!("{} of {site} lives already; give this host another name (\"host\" in its file)", question.host);
        return Err(no("host-taken", detail));
    }
    match hosts(view, site).find(|host| token.host.is_none() && lives(view, site, host)) {
        Some(other) => {
            let detail =
                format!("{site} has a host that lives ({other}): the token of a further host must name it (--host)");
            Err(no("site-taken", detail))
        }
        None => Ok(()),
    }
}

/// The public key of a request (RFC 2986).
fn key_of(request: &str) -> Result<Vec<u8>, No> {
    use x509_parser::prelude::FromDer;
    let unreadable = || no("request", "the request for a certificate isn't readable");
    let (_, pem) = x509_parser::pem::parse_x509_pem(request.as_bytes()).map_err(|_| unreadable())?;
    let parsed = x509_parser::certification_request::X509CertificationRequest::from_der(&pem.contents);
    let (_, parsed) = parsed.map_err(|_| unreadable())?;
    Ok(parsed.certification_request_info.subject_pki.raw.to_vec())
}
