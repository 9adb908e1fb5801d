//! An agent that was not told of a scoped request asks the site's other agents before it takes a call for local
//! (AMENDMENTS 19): the note may have come too late, or this agent was just started.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::Signs;
use crate::accept::Taken;
use crate::act::shared::Shared;
use crate::act::{notes, reach};
use crate::config::Config;
use crate::http::{Code, RequestHead};
use crate::metadata::Site;
use crate::peer::{Call, Client, Envelope, Refusal};
use crate::workflow::{Asked, Keep, Line, Link, VERSION};

/// A call waits no longer for all of them.
const PATIENCE: Duration = Duration::from_millis(100);
/// For so long it is known that nobody knows an id.
const UNKNOWN: Duration = Duration::from_millis(500);
/// For so long an agent that did not answer is not asked.
const SILENT: Duration = Duration::from_secs(1);
/// Ids that nobody knows, at most.
const MOST: usize = 4096;
/// Records of one answer, at most, and its bytes.
const MOST_LINES: usize = 64;
const LONGEST: u64 = 1 << 20;

/// What was asked before.
#[derive(Debug, Default)]
pub struct Memory {
    unknown: Mutex<HashMap<Link, Instant>>,
    silent: Mutex<HashMap<String, Instant>>,
}

impl Memory {
    fn is_unknown(&self, link: &Link) -> bool {
        let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.get(link).is_some_and(|until| *until > Instant::now())
    }

    fn add_unknown(&self, links: Vec<Link>) {
        let now = Instant::now();
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.len() + links.len() > MOST {
            unknown.retain(|_, until| *until > now);
        }
        for link in links {
            if unknown.len() < MOST {
                unknown.insert(link, now + UNKNOWN);
            }
        }
    }

    fn is_silent(&self, address: &str) -> bool {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.get(address).is_some_and(|until| *until > Instant::now())
    }

    /// The addresses are those of the site's agents: there are few.
    fn add_silent(&self, address: &str) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.retain(|_, until| *until > Instant::now());
        silent.insert(address.to_owned(), Instant::now() + SILENT);
    }
}

/// What another agent answers.
#[derive(Serialize, Deserialize)]
struct Answer {
    version: u32,
    records: Vec<Line>,
}

/// The request's ids, if none of them is known here and other agents of the site may know one: nothing for most requests.
pub(in crate::act) fn unknown(shared: &Shared, config: &Config, head: &RequestHead, taken: Taken) -> Option<Vec<Link>> {
    let snapshot = shared.snapshot.load();
    let listen = config.peer.as_ref()?.listen;
    let is_here = |peer: &String| peer.parse() == Ok(listen);
    let alone = snapshot.sites.get(&config.site).is_none_or(|own| own.peers.iter().all(is_here));
    if alone || shared.peers.is_none() || head.first(&config.scope.header).is_some() {
        return None;
    }
    let links = Signs::of(shared, &snapshot, head, taken.orig).links;
    let ids = || links.iter().map(|(_, link)| link).filter(|link| !link.is_credential());
    if ids().all(|link| shared.asked.is_unknown(link))
        || !matches!(shared.workflows.look(&links, Keep::of(config)), Ok((None, _)))
    {
        return None;
    }
    Some(ids().cloned().collect())
}

/// Asks all other live agents of the site for these ids, and takes over what they know.
pub(in crate::act) async fn ask(shared: &Shared, links: Vec<Link>) {
    let Some(peers) = &shared.peers else { return };
    let mut others = notes::others(shared);
    let all = others.len();
    others.retain(|other| !other.peers.iter().any(|address| shared.asked.is_silent(address)));
    if all == 0 {
        return;
    }
    let envelope = envelope(shared, &links);
    let until = Instant::now() + PATIENCE;
    let answers = join_all(others.iter().map(|other| ask_one(shared, peers, other, &envelope, until))).await;
    let whole = others.len() == all && answers.iter().all(Option::is_some);
    let mut lines: Vec<Line> = answers.into_iter().flatten().flatten().collect();
    lines.retain(|line| links.contains(&line.link));
    let outcome = match (lines.is_empty(), whole) {
        (false, _) => Asked::Known,
        (true, true) => Asked::Unknown,
        (true, false) => Asked::Unanswered,
    };
    shared.workflows.counters().count_asked(outcome);
    shared.workflows.adopt(&lines, Keep::of(&shared.config.load()));
    if outcome == Asked::Unknown {
        shared.asked.add_unknown(links);
    }
}

fn envelope(shared: &Shared, links: &[Link]) -> Envelope {
    let here = reach::here(shared);
    let links = links.iter().map(|link| (link.name.clone(), link.value.clone())).collect();
    let asked = Envelope::of_agent(here.site.clone(), "-".into(), "-".to_owned(), here, PATIENCE);
    Envelope { links, ..asked }
}

/// What that agent knows; None: it did not answer.
async fn ask_one(
    shared: &Shared,
    peers: &Client,
    other: &Site,
    envelope: &Envelope,
    until: Instant,
) -> Option<Vec<Line>> {
    let answer = async {
        let stream = peers.ask_ids(other, envelope, until).await.ok()?;
        let mut whole = Vec::new();
        timeout_at(until, stream.take(LONGEST).read_to_end(&mut whole)).await.ok()?.ok()?;
        serde_json::from_slice::<Answer>(&whole).ok().filter(|answer| answer.version == VERSION)
    };
    let answer = answer.await;
    if answer.is_none() {
        other.peers.iter().for_each(|address| shared.asked.add_silent(address));
    }
    Some(answer?.records)
}

/// Answers another agent of the site.
pub(in crate::act) async fn answer(shared: &Shared, call: Call) {
    let done = if call.from.site == reach::here(shared).site {
        let links = call.envelope.links.iter();
        let links: Vec<Link> = links.map(|(name, value)| Link { name: name.clone(), value: value.clone() }).collect();
        let answer = Answer { version: VERSION, records: shared.workflows.lines(&links, MOST_LINES) };
        say(call, &serde_json::to_vec(&answer).unwrap_or_default()).await
    } else {
        call.refuse(&Refusal::not_sent(Code::NotExported, "only agents of the same site are told of requests"))
    };
    if let Err(error) = done {
        tracing::debug!(%error, "whoever asked for ids did not wait for the answer");
    }
}

async fn say(call: Call, answer: &[u8]) -> std::io::Result<()> {
    let (mut stream, _place) = call.accept()?;
    stream.write_all(answer).await?;
    stream.finish()
}
