//! A host comes in with a token.
//!
//! Its key is made here and stays here, also when the try fails: who asks again with the same token after a crash asks
//! with the same key, and is given its certificate by any agent that signs, though the token was redeemed.

use http::StatusCode;

use super::message::{Answer, Question, Refusal, VERSION};
use super::{Membership, MembershipError, Standing, Token};
use crate::metadata::record::now;
use crate::peer::join::{Answered, Wicket, WicketError, ask};
use crate::peer::trust::{Content, Joined, Wanted};

impl Membership {
    /// Joins.
    ///
    /// # Errors
    /// When the token isn't for this host, doesn't hold, or nobody that it names can be reached.
    pub async fn join(&self, word: &str) -> Result<Standing, MembershipError> {
        let _turn = self.turn.lock().await;
        let token = Token::from_word(word)?;
        let joined = self.newcomer()?;
        self.for_us(&token)?;
        let wanted = key(joined)?;
        let answer = self.ask_all(&token, &wanted).await?;
        self.take(joined, &wanted, &answer)?;
        tracing::info!(federation = token.federation, signs = answer.authority_key.is_some(), "this host has joined");
        self.renew()?;
        Ok(self.standing())
    }

    fn for_us(&self, token: &Token) -> Result<(), MembershipError> {
        let own = &self.identity;
        if token.federation != own.federation {
            let (configured, asked) = (own.federation.clone(), token.federation.clone());
            return Err(MembershipError::Federation { configured, asked });
        }
        if token.site != own.site {
            let (wanted, own) = (format!("the site {}", token.site), format!("of {}", own.site));
            return Err(MembershipError::NotOurs { wanted, own });
        }
        match token.host.as_ref().filter(|host| **host != own.host) {
            Some(host) => {
                Err(MembershipError::NotOurs { wanted: format!("the host {host}"), own: own.host.to_string() })
            }
            None => Ok(()),
        }
    }

    /// Asks at one wicket after the other until one says yes, or a no that counts everywhere.
    async fn ask_all(&self, token: &Token, wanted: &Wanted) -> Result<Answer, MembershipError> {
        let question = Question {
            version: VERSION,
            federation: token.federation.clone(),
            id: token.id.clone(),
            secret: token.secret.clone(),
            site: self.identity.site.clone(),
            host: self.identity.host.clone(),
            request: wanted.request.clone(),
            now: now(),
        };
        let question = serde_json::to_vec(&question).map_err(|error| MembershipError::Answer(error.to_string()))?;
        let mut troubles = Vec::new();
        for address in &token.addresses {
            let wicket = Wicket {
                address,
                federation: &token.federation,
                fingerprint: &token.fingerprint,
                patience: self.patience,
            };
            match ask(&wicket, question.clone().into()).await {
                Ok(answered) => match read(&answered) {
                    Ok(answer) => return Ok(answer),
                    // Another may sign, or reach the cluster.
                    Err(No::Here(detail)) => troubles.push(format!("{address}: {detail}")),
                    Err(No::Everywhere(error)) => return Err(error),
                },
                Err(error) => troubles.push(trouble(address, &error)),
            }
        }
        Err(MembershipError::Unreachable(troubles.join("; ")))
    }

    /// Writes what was given, the certificate last.
    fn take(&self, joined: &Joined, wanted: &Wanted, answer: &Answer) -> Result<(), MembershipError> {
        let content = Content {
            ca: &answer.authorities,
            certificate: &answer.certificate,
            key: &wanted.key,
            authority: answer.authority_key.as_deref(),
        };
        let disk = |source| super::init::disk(joined, source);
        joined.stage(&content).map_err(disk)?;
        // What can't be used is not taken for a certificate.
        self.load(joined, &joined.staged()).map_err(|error| MembershipError::Answer(error.to_string()))?;
        joined.take_up().map_err(disk)
    }
}

fn trouble(address: &str, error: &WicketError) -> String {
    let hint = if error.may_have_asked() { " (the same token may be tried again)" } else { "" };
    format!("{address}: {error}{hint}")
}

/// The key that an earlier try left, or a new one that is kept for a next try. One that had a certificate is not used again:
/// that may have been revoked because somebody stole the key.
fn key(joined: &Joined) -> Result<Wanted, MembershipError> {
    if !joined.certificate.exists()
        && let Ok(key) = std::fs::read_to_string(&joined.key)
        && let Ok(wanted) = Wanted::again(&key)
    {
        return Ok(wanted);
    }
    let wanted = Wanted::new()?;
    joined.keep_key(&wanted.key).map_err(|source| super::init::disk(joined, source))?;
    Ok(wanted)
}

enum No {
    Here(String),
    Everywhere(MembershipError),
}

fn read(answered: &Answered) -> Result<Answer, No> {
    let unreadable = || No::Here(format!("it answers {} with nothing that can be read", answered.status));
    if answered.status.is_success() {
        return serde_json::from_slice(&answered.body).map_err(|_| unreadable());
    }
    let refusal: Refusal = serde_json::from_slice(&answered.body).map_err(|_| unreadable())?;
    match answered.status {
        StatusCode::FORBIDDEN => Err(No::Everywhere(MembershipError::Refused(refusal.detail))),
        _ => Err(No::Here(refusal.detail)),
    }
}
