//! What is heard of others' probes.

use std::collections::HashMap;
use std::time::Duration;

use ring::hmac;

use super::{Beat, Key, LENGTH};
use crate::metadata::latency::Loss;
use crate::names::{HostName, SiteName};
use crate::peer::PeerIdentity;

/// Agents that are listened to: more than a federation has.
const MOST: usize = 10_000;
/// An agent that was silent for so long gets a new key if it comes back.
const FORGOTTEN: Duration = Duration::from_secs(300);

/// The keys that were handed out, and what came under them.
#[derive(Default)]
pub(in crate::peer) struct Ears {
    keys: HashMap<u64, Ear>,
    /// The keys of each site's agents.
    sites: HashMap<SiteName, Vec<u64>>,
    /// Whether datagrams can be received at all.
    pub(in crate::peer) open: bool,
}

struct Ear {
    of: PeerIdentity,
    key: hmac::Key,
    issued: Duration,
    heard: Heard,
}

/// What came of an agent's probes.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::peer) struct Heard {
    pub(in crate::peer) last: Option<Duration>,
    pub(in crate::peer) loss: Loss,
    /// It says that it hears nothing of this agent.
    pub(in crate::peer) deaf: bool,
}

impl Ears {
    /// A new key for an agent, instead of the one that it had. None when nothing can be heard.
    pub(in crate::peer) fn issue(&mut self, of: &PeerIdentity, now: Duration) -> Option<Key> {
        if !self.open {
            return None;
        }
        let heard = |ear: &Ear| now.saturating_sub(ear.heard.last.unwrap_or(ear.issued)) < FORGOTTEN;
        self.keys.retain(|_, ear| ear.of != *of && heard(ear));
        let keys = &self.keys;
        self.sites.retain(|_, ids| {
            ids.retain(|id| keys.contains_key(id));
            !ids.is_empty()
        });
        if self.keys.len() >= MOST {
            return None;
        }
        let key = Key::new();
        self.sites.entry(of.site.clone()).or_default().push(key.id);
        self.keys.insert(key.id, Ear { of: of.clone(), key: key.mac(), issued: now, heard: Heard::default() });
        Some(key)
    }

    /// Takes the keys of these hosts back.
    pub(in crate::peer) fn forget(&mut self, gone: impl Fn(&SiteName, &HostName) -> bool) {
        self.keys.retain(|_, ear| !gone(&ear.of.site, &ear.of.host));
    }

    /// A datagram came: the answer to it, if it is a probe that was not heard before. `hears` says whether this agent
    /// hears anything of the site.
    pub(in crate::peer) fn hear(
        &mut self,
        bytes: &[u8],
        now: Duration,
        hears: impl FnOnce(&SiteName) -> bool,
    ) -> Option<[u8; LENGTH]> {
        let ear = self.keys.get_mut(&Beat::key_of(bytes)?)?;
        let beat = Beat::open(bytes, &ear.key).filter(|beat| !beat.answer)?;
        if !ear.heard.loss.came(beat.number) {
            return None;
        }
        ear.heard.last = Some(now);
        ear.heard.deaf = beat.deaf;
        let (came, span) = ear.heard.loss.counts();
        let byte = |count: u32| u8::try_from(count).unwrap_or(u8::MAX);
        let answer = Beat { answer: true, deaf: !hears(&ear.of.site), came: byte(came), span: byte(span), ..beat };
        Some(answer.seal(&ear.key))
    }

    /// What was last heard of any agent of the site.
    pub(in crate::peer) fn of(&self, site: &SiteName) -> Heard {
        let ids = self.sites.get(site).into_iter().flatten();
        let of_site = ids.filter_map(|id| self.keys.get(id)).map(|ear| ear.heard);
        of_site.max_by_key(|heard| heard.last).unwrap_or_default()
    }
}
