//! One agent that is probed.

use std::net::SocketAddr;
use std::time::Duration;

use super::status::PeerStatus;
use crate::metadata::latency::{self, Coordinate, Rtt, State, Track};
use crate::metadata::record::{CertificateFacts, Standing};
use crate::names::HostName;
use crate::peer::beat::Aim;
use crate::peer::hello::Hello;
use crate::peer::table::Table;

/// While datagrams are answered, the link is probed this often: it is there, what is asked for is the other's table.
const LINK_PAUSE: Duration = Duration::from_millis(1800);
/// Datagrams without an answer for so long: the link's answers are measured instead, and a new key is asked for.
const NO_DATAGRAMS: Duration = Duration::from_secs(5);
/// Between two keys that are asked for, where no datagram was ever answered.
const NEXT_KEY: Duration = Duration::from_secs(30);
/// An agent whose link doesn't answer for so long is dead for requests, whatever its datagrams do.
const NO_LINK: Duration = Duration::from_secs(15);
/// Digits that tell two of an agent's certificates apart.
const SERIAL: usize = 12;

/// One agent of another site, or of this one.
#[derive(Default)]
pub(super) struct Agent {
    pub(super) track: Track,
    pub(super) host: Option<HostName>,
    version: Option<String>,
    pub(super) trouble: Option<String>,
    pub(super) aim: Option<Aim>,
    /// When its link was last asked, when it last answered, and when for a key.
    asked: Option<Duration>,
    linked: Option<Duration>,
    key: Option<Duration>,
    /// What it tells of other sites, and when it last said so.
    pub(super) tells: Option<(Table, Duration)>,
    /// How it says that its site takes part.
    standing: Standing,
    certificate: Option<CertificateFacts>,
    /// Where it says that it lies.
    pub(super) place: Option<Coordinate>,
    /// The place in its order of word up to which it told.
    pub(super) news: Option<u64>,
    /// The life of the own site that it was told of.
    pub(super) pushed: u64,
}

fn since(when: Option<Duration>, now: Duration) -> Option<Duration> {
    when.map(|when| now.saturating_sub(when))
}

impl Agent {
    fn datagrams(&self, now: Duration) -> bool {
        let last = self.aim.as_ref().and_then(|aim| aim.last);
        since(last, now).is_some_and(|silent| silent < NO_DATAGRAMS)
    }

    /// Whether its link is to be probed now.
    pub(super) fn hello_due(&self, now: Duration) -> bool {
        let soon = since(self.asked, now).is_some_and(|asked| asked < LINK_PAUSE);
        !(soon && self.trouble.is_none() && self.datagrams(now))
    }

    /// Its link is asked. Whether for a key, too, where datagrams can be received at all.
    pub(super) fn ask(&mut self, now: Duration) -> bool {
        self.track.asked(now);
        self.asked = Some(now);
        let pause = match &self.aim {
            Some(aim) if aim.last.is_none() => NEXT_KEY,
            _ => NO_DATAGRAMS,
        };
        !self.datagrams(now) && since(self.key, now).is_none_or(|asked| asked >= pause)
    }

    /// The certificate that it is known to have shown, by the beginning of its number.
    pub(super) fn serial(&self) -> Option<String> {
        self.certificate.as_ref().map(|known| known.serial.chars().take(SERIAL).collect())
    }

    /// It answered over its link. `to`: where its datagrams go. Gives the key of its datagrams that is new.
    pub(super) fn answered(&mut self, hello: &mut Hello, took: Duration, to: Option<SocketAddr>, now: Duration) {
        self.track.heard(now);
        if !self.datagrams(now) {
            self.track.took(now, took);
        }
        self.linked = Some(now);
        self.trouble = None;
        self.host = Some(hello.host.clone());
        self.version = Some(std::mem::take(&mut hello.version));
        self.place = hello.coordinate;
        self.standing = hello.standing;
        if let Some(certificate) = hello.certificate.take() {
            self.certificate = Some(certificate);
        }
        if let (Some(issued), Some(to)) = (&hello.beat, to) {
            self.aim = Some(Aim::new(to, issued, now));
            self.key = Some(now);
        }
        match (hello.table.take(), &mut self.tells) {
            (Some(table), tells) => {
                let known = tells.take().map(|(known, _)| known).unwrap_or_default();
                // Else it is asked for all of it next time.
                *tells = known.with(table).map(|table| (table, now));
            }
            // What is told when it changes is still so.
            (None, Some((table, told))) if table.version == hello.table_version => *told = now,
            (None, _) => {}
        }
    }

    /// How it said a moment ago that its site takes part.
    pub(super) fn standing(&self, now: Duration) -> Option<Standing> {
        since(self.linked, now).filter(|age| *age < latency::TTL).map(|_| self.standing)
    }

    pub(super) fn state(&self, now: Duration) -> State {
        let no_link = since(self.linked, now).is_some_and(|silent| silent > NO_LINK);
        match self.track.state(now) {
            _ if no_link => State::Dead,
            // Its datagrams are back before its link is: requests can't go there yet.
            State::Alive if self.trouble.is_some() => State::Suspect,
            state => state,
        }
    }

    pub(super) fn status(&self, now: Duration) -> PeerStatus {
        let rtt = self.track.rtt(now);
        let state = self.state(now);
        PeerStatus {
            state,
            rtt_min: rtt.and_then(Rtt::least),
            rtt: rtt.and_then(Rtt::usual),
            jitter: rtt.and_then(Rtt::jitter),
            loss: self.aim.as_ref().and_then(|aim| aim.answered.share()),
            loss_out: self.aim.as_ref().and_then(|aim| latency::share(aim.came.0, aim.came.1)),
            age: self.track.age(now),
            deaf: self.aim.as_ref().is_some_and(|aim| aim.deaf) && state == State::Alive,
            host: self.host.clone(),
            version: self.version.clone(),
            trouble: self.trouble.clone(),
            certificate: self.certificate.clone(),
            ..PeerStatus::default()
        }
    }
}
