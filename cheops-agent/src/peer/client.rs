//! The asking end: one HTTP/2 connection to each agent of each other site, kept, and made again when it breaks.

mod dial;
mod last_word;
mod link;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;
use http::{HeaderMap, Method, Request};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::link::{Asker, Link, Trouble, Way};
use super::counters::Counters;
use super::envelope::Envelope;
use super::error::{PeerError, Refusal};
use super::hello::{Asks, Hello};
use super::outcome::Outcome;
use super::stream::{OpenExchange, PeerStream};
use super::trust::Security;
use super::{ASK_PATH, EXCHANGE_PATH, HELLO_PATH, NOTE_PATH};
use crate::http::Code;
use crate::metadata::Site;
use crate::metadata::record::CertificateFacts;
use crate::names::SiteName;

/// A `hello` with the distances to 256 sites and word of as many, whose names are long.
const HELLO_BYTES: usize = 128 * 1024;

/// Times and limits of the asking end.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Making a connection, with its handshakes.
    pub connect: Duration,
    /// Exchanges that may be open to one agent: sizes the connection's window.
    pub exchanges: u32,
    /// TCP keepalive's idle time, and `TCP_USER_TIMEOUT`.
    pub keepalive: Duration,
    pub user_timeout: Duration,
}

/// The links to all peers. Shared; [`Client::close`] ends what it has started.
pub struct Client {
    pub(super) security: ArcSwap<Security>,
    limits: ClientLimits,
    counters: Arc<Counters>,
    links: Mutex<HashMap<(SiteName, String), Arc<Link>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Client {
    /// No connection is made before it is needed.
    pub fn new(security: Security, limits: ClientLimits, counters: Arc<Counters>) -> Self {
        Self {
            security: ArcSwap::from_pointee(security),
            limits,
            counters,
            links: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Uses other certificates from the next connection on.
    pub fn replace_security(&self, security: Security) {
        self.security.store(Arc::new(security));
    }

    /// With what it talks now.
    pub fn security(&self) -> Arc<Security> {
        self.security.load_full()
    }

    /// What this agent shows; none where agents talk without certificates.
    pub fn certificate(&self) -> Option<CertificateFacts> {
        self.security.load().certificate()
    }

    /// Opens an exchange with the first of the site's agents that can be reached before `deadline`. No byte of the
    /// request is sent here, so every error's outcome is `not-sent`.
    pub async fn open(&self, site: &Site, envelope: &Envelope, deadline: Instant) -> Result<PeerStream, PeerError> {
        self.begin(EXCHANGE_PATH, site, envelope, deadline).await
    }

    /// Tells the first of the site's agents that can be reached before `deadline` of a request that another serves: it
    /// says a byte when it has noted it, and knows it as long as the stream lives.
    pub async fn note(&self, site: &Site, envelope: &Envelope, deadline: Instant) -> Result<PeerStream, PeerError> {
        self.begin(NOTE_PATH, site, envelope, deadline).await
    }

    /// Asks the first of the site's agents that can be reached before `deadline` what it knows of the envelope's ids: the
    /// answer is all that the stream holds.
    pub async fn ask_ids(&self, site: &Site, envelope: &Envelope, deadline: Instant) -> Result<PeerStream, PeerError> {
        self.begin(ASK_PATH, site, envelope, deadline).await
    }

    async fn begin(
        &self,
        path: &'static str,
        site: &Site,
        envelope: &Envelope,
        deadline: Instant,
    ) -> Result<PeerStream, PeerError> {
        let headers = envelope.to_headers().map_err(|error| PeerError::Refused {
            site: site.name.clone(),
            refusal: Refusal::not_sent(Code::Internal, error.to_string()),
        })?;
        let (mut reasons, mut busy) = (Vec::new(), false);
        for address in &site.peers {
            let link = self.link(&site.name, address);
            let request = || request(Method::POST, path, headers.clone());
            match timeout_at(deadline, self.start(&link, Asker::Request, request, false)).await {
                Err(_) => return Err(PeerError::Timeout { site: site.name.clone(), outcome: Outcome::NotSent }),
                Ok(Ok(Started { answer, send, open })) => {
                    return Ok(PeerStream::new(site.name.clone(), answer, send, open));
                }
                Ok(Err(trouble)) => {
                    busy |= trouble.busy;
                    reasons.push(format!("{address}: {}", trouble.reason));
                }
            }
        }
        if reasons.is_empty() {
            reasons.push("no agent of it is known".to_owned());
        }
        let (site, reason) = (site.name.clone(), reasons.join("; "));
        Err(if busy { PeerError::Busy { site, reason } } else { PeerError::Unreachable { site, reason } })
    }

    /// Asks the agent at `address` who it is: proves that it lives, over the same link as exchanges go. Tells also how
    /// long the answer took once the link was there.
    pub async fn hello(
        &self,
        site: &SiteName,
        address: &str,
        asks: &Asks,
        deadline: Instant,
    ) -> Result<(Hello, Duration), PeerError> {
        let unreachable = |reason: String| PeerError::Unreachable { site: site.clone(), reason };
        let link = self.link(site, address);
        let hello = match timeout_at(deadline, self.ask(&link, asks)).await {
            Err(_) => return Err(PeerError::Timeout { site: site.clone(), outcome: Outcome::NotSent }),
            Ok(hello) => hello.map_err(unreachable)?,
        };
        match hello.0.site == *site {
            true => Ok(hello),
            false => Err(unreachable(format!("{address} is an agent of {}", hello.0.site))),
        }
    }

    /// Starts a request that nobody waits for, and that a body follows.
    pub(super) async fn probe(
        &self,
        site: &SiteName,
        address: &str,
        request: impl Fn() -> Request<()>,
    ) -> Result<Started, String> {
        let link = self.link(site, address);
        self.start(&link, Asker::Probe, request, false).await.map_err(|trouble| trouble.reason)
    }

    async fn ask(&self, link: &Arc<Link>, asks: &Asks) -> Result<(Hello, Duration), String> {
        let text = |error: h2::Error| error.to_string();
        let hello = || request(Method::GET, HELLO_PATH, asks.to_headers());
        let started = self.start(link, Asker::Probe, hello, true).await.map_err(|trouble| trouble.reason)?;
        let began = Instant::now();
        let mut body = started.answer.await.map_err(text)?.into_body();
        let took = began.elapsed();
        let mut whole = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.map_err(text)?;
            if whole.len() + data.len() > HELLO_BYTES {
                return Err("its hello is too long".to_owned());
            }
            whole.extend_from_slice(&data);
            body.flow_control().release_capacity(data.len()).map_err(text)?;
        }
        let hello = serde_json::from_slice(&whole).map_err(|_| "its hello is not readable".to_owned())?;
        Ok((hello, took))
    }

    /// What was counted on this end's links.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Ends all links and waits for their tasks.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Forgets links to agents that `wanted` doesn't want; it is told whether exchanges are open on them.
    pub fn retain(&self, wanted: impl Fn(&(SiteName, String), bool) -> bool) {
        self.lock().retain(|key, link| {
            let keep = wanted(key, link.is_busy());
            if !keep {
                link.close();
            }
            keep
        });
    }

    /// The links' addresses and what is wrong with each that is down.
    pub fn links(&self) -> Vec<(SiteName, String, Option<String>)> {
        let links = self.lock();
        links.iter().map(|((site, address), link)| (site.clone(), address.clone(), link.trouble())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(SiteName, String), Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self, site: &SiteName, address: &str) -> Arc<Link> {
        let key = (site.clone(), address.to_owned());
        let new = || Arc::new(Link::new(site.clone(), address.to_owned(), self.stop.child_token()));
        self.lock().entry(key).or_insert_with(new).clone()
    }

    /// Starts a request over the link, which is made first if it isn't there, and anew if it takes nothing any more. An
    /// error means that nothing was sent.
    async fn start(
        &self,
        link: &Arc<Link>,
        asker: Asker,
        request: impl Fn() -> Request<()>,
        end: bool,
    ) -> Result<Started, Trouble> {
        let mut trouble = None;
        for _ in 0..2 {
            let Way { sender, open, number } = link.sender(self, asker).await?;
            match sender.ready().await.and_then(|mut sender| sender.send_request(request(), end)) {
                Ok((answer, send)) => return Ok(Started { answer, send, open }),
                Err(error) => trouble = Some(Trouble::down(error.to_string())),
            }
            link.leave(number);
        }
        Err(trouble.unwrap_or_else(|| Trouble::down("the link broke".to_owned())))
    }
}

/// A request that was handed to HTTP/2.
pub(super) struct Started {
    pub(super) answer: ResponseFuture,
    pub(super) send: SendStream<Bytes>,
    open: OpenExchange,
}

pub(super) fn request(method: Method, path: &'static str, headers: HeaderMap) -> Request<()> {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(http::uri::Scheme::HTTPS);
    uri.authority = Some(http::uri::Authority::from_static("cheops"));
    uri.path_and_query = Some(http::uri::PathAndQuery::from_static(path));
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = http::Uri::from_parts(uri).unwrap_or_default();
    *request.headers_mut() = headers;
    request
}
