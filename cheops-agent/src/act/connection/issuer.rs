//! Requests to a service that issues credentials. They pass like any other, byte for byte; but the home of what it gives
//! out is learned, and a check of a credential that it doesn't know is answered by the credential's home (`tokens`).

use super::Connection;
use super::close::Close;
use super::log::Log;
use super::request::Over;
use crate::act::asked;
use crate::act::exchange::{Answering, Cause, ExchangeError, Finished, Judged, Next};
use crate::act::tokens::{self, Check};
use crate::http::reply::Manner;
use crate::http::{AnswerHead, RequestHead};
use crate::plan::target;

/// Bytes of an answer that says that a credential is unknown.
const UNKNOWN: usize = 64 * 1024;

impl Connection {
    /// Serves a request to an issuer at the addressed endpoint.
    ///
    /// # Errors
    /// How the connection ends after it.
    pub(super) async fn ask_issuer(&mut self, head: &RequestHead, log: Log<'_>) -> Result<(), Close> {
        let shared = self.shared.clone();
        let (snapshot, profiles) = (shared.snapshot.load_full(), shared.profiles.load_full());
        let Ok(found) = target::addressed(&snapshot, self.taken.orig, head.target()) else {
            return self.direct(head, log).await;
        };
        let profile = profiles.get_or_default(&found.service.profile);
        let own = *found.site == self.config.site;
        let check = if own { Check::of(&shared, &found, profile, head) } else { None };
        let mut unknown = None;
        let mut judge = |answer: &AnswerHead| {
            if check.as_ref().is_some_and(|check| check.unknown() == answer.status()) {
                unknown = Some(answer.clone());
                return Judged::Refuse;
            }
            tokens::issued(&shared, found.service, head, answer, found.site);
            Judged::AsItIs
        };
        let answering = Answering { judge: Some(&mut judge), ..Answering::AS_IT_IS };
        let over = self.try_link(head, head.raw().clone(), answering).await;
        if let (Over::Down(why), true) = (&over, own) {
            tokens::unasked(&shared, &found, profile, head, why);
        }
        match (over, unknown, &check) {
            (Over::Ended(Err(ExchangeError { cause: Cause::Declined(_), .. })), Some(unknown), Some(check)) => {
                self.elsewhere(head, check, &unknown, log).await
            }
            (over, ..) => self.after(head, over, log).await,
        }
    }

    /// Whether a request to an issuer has a credential checked.
    pub(super) fn checks(&self, head: &RequestHead) -> bool {
        let (snapshot, profiles) = (self.shared.snapshot.load(), self.shared.profiles.load());
        let found = target::addressed(&snapshot, self.taken.orig, head.target());
        found.is_ok_and(|found| tokens::is_check(&found, profiles.get_or_default(&found.service.profile), head))
    }

    /// The own issuer doesn't know the credential: its home may vouch for it. If it doesn't, the own issuer's answer goes
    /// to the service as it came.
    async fn elsewhere(
        &mut self,
        head: &RequestHead,
        check: &Check<'_>,
        unknown: &AnswerHead,
        log: Log<'_>,
    ) -> Result<(), Close> {
        let Some(service) = self.link.up() else { return Err(Close::Fin) };
        let rest = tokio::time::timeout(self.bounds.header_read, asked::body(unknown, service, UNKNOWN)).await;
        let goes_on = unknown.persists() && !service.ended();
        let Ok(Ok(rest)) = rest else {
            self.link.end();
            log.aborted(self);
            return Err(Close::Reset);
        };
        let persists = goes_on && head.persists() && !self.shared.closing.is_set();
        let (status, bytes_out, answer) = match tokens::vouched(&self.shared, check, self.taken.client).await {
            Ok(vouched) => {
                let manner = Manner { persists, ..Manner::of(head, true) };
                (vouched.status(), vouched.len(), vouched.answer(manner))
            }
            Err(_) => {
                let whole = [unknown.raw().as_ref(), &rest.raw].concat();
                (unknown.status(), rest.raw.len(), whole.into())
            }
        };
        if self.client.send(answer).await.is_err() {
            log.aborted(self);
            return Err(Close::Reset);
        }
        let next = if persists { Next::Request } else { Next::End };
        let finished = Finished { status, bytes_in: 0, bytes_out: bytes_out as u64, next };
        log.answered(self, &finished);
        if persists { Ok(()) } else { Err(Close::Finish) }
    }
}
