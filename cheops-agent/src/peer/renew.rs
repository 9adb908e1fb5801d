//! How a host asks an agent that signs for another certificate, over the link that its present one opened.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::client::{Client, request};
use super::{PeerError, PeerIdentity};
use crate::names::SiteName;
use crate::peer::outcome::Outcome;

/// Where certificates are asked for.
pub(super) const RENEW_PATH: &str = "/cheops/v1/renew";
/// The longest request, and the longest answer.
const MOST: usize = 16 * 1024;

/// Signs certificates.
pub trait Signs: Send + Sync + 'static {
    /// A certificate (PEM) for the key of that request (PEM), for a host that has shown who it is.
    ///
    /// # Errors
    /// Why not; it is told to the host.
    fn sign(&self, whom: &PeerIdentity, request: &str) -> Result<String, String>;
}

/// Who signs here, if this host does.
pub(super) type Signer = OnceLock<Arc<dyn Signs>>;

/// Answers a host that asks for another certificate.
pub(super) async fn answer(
    signer: &Signer,
    whom: Option<&PeerIdentity>,
    asked: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let (status, text) = match (signer.get(), whom, whole(asked.into_body()).await?) {
        (Some(signer), Some(whom), Some(asked)) => match signer.sign(whom, &asked) {
            Ok(certificate) => (StatusCode::OK, certificate),
            Err(why) => (StatusCode::CONFLICT, why),
        },
        (_, _, None) => (StatusCode::BAD_REQUEST, "the request is not readable".to_owned()),
        _ => (StatusCode::FORBIDDEN, "who asks is not known, or nobody signs here".to_owned()),
    };
    let mut response = Response::new(());
    *response.status_mut() = status;
    respond.send_response(response, false)?.send_data(text.into(), true)
}

async fn whole(mut body: RecvStream) -> Result<Option<String>, h2::Error> {
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        if whole.len() + data.len() > MOST {
            return Ok(None);
        }
        whole.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(String::from_utf8(whole).ok())
}

impl Client {
    /// Asks the agent at `address` for a certificate (PEM) for the key of that request (PEM).
    ///
    /// # Errors
    /// When it can't be reached, or doesn't sign.
    pub async fn renew(
        &self,
        site: &SiteName,
        address: &str,
        asked: String,
        deadline: Instant,
    ) -> Result<String, PeerError> {
        match timeout_at(deadline, self.ask_certificate(site, address, asked)).await {
            Err(_) => Err(PeerError::Timeout { site: site.clone(), outcome: Outcome::Sent }),
            Ok(answered) => answered.map_err(|reason| PeerError::Unreachable {
                site: site.clone(),
                reason: format!("{address}: {reason}"),
            }),
        }
    }

    async fn ask_certificate(&self, site: &SiteName, address: &str, asked: String) -> Result<String, String> {
        let text = |error: h2::Error| error.to_string();
        let head = || request(Method::POST, RENEW_PATH, HeaderMap::new());
        let mut started = self.probe(site, address, head).await?;
        started.send.send_data(asked.into(), true).map_err(text)?;
        let answer = started.answer.await.map_err(text)?;
        let status = answer.status();
        let said = whole(answer.into_body()).await.map_err(text)?.unwrap_or_default();
        match status {
            StatusCode::OK => Ok(said),
            StatusCode::NOT_FOUND => Err("its agent is older than this one".to_owned()),
            // It is shown: no control characters of somebody else's.
            _ => Err(said.chars().filter(|c| !c.is_control()).take(200).collect()),
        }
    }
}
