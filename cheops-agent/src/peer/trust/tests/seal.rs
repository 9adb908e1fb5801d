//! Records that are believed, and records that aren't.

use super::super::seal::{Signed, Written};
use super::super::*;
use super::{Files, authority};
use crate::metadata::key::Key;
use crate::metadata::record::{Federation, Liveness, Record, Revoked, now};
use crate::metadata::revoke;
use crate::metadata::seal::{Seal, SealError};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use std::time::{Duration, SystemTime};

/// The agents of a federation.
struct Agents {
    authority: Authority,
    revoked: Arc<Revocations>,
}

fn identity(site: &str, host: &str) -> PeerIdentity {
    PeerIdentity { federation: "edge".to_owned(), site: site.into(), host: host.into() }
}

fn full(key: &Key) -> String {
    key.full("edge")
}

impl Agents {
    fn new() -> Self {
        Self { authority: authority(), revoked: Arc::default() }
    }

    fn agent(&self, site: &str, host: &str, signs: bool) -> Signed {
        let issued = self.authority.issue(&identity(site, host), Validity::days(1)).expect("a certificate");
        self.with(&issued, identity(site, host), signs)
    }

    fn with(&self, issued: &Issued, identity: PeerIdentity, signs: bool) -> Signed {
        let files = Files::new(self.authority.certificate(), issued);
        let path = |name| files.path(name);
        let trust = Trust::load(identity, &path("ca.pem"), &path("cert.pem"), &path("key.pem"), self.revoked.clone());
        let trust = trust.expect("good files");
        let key = PrivateKeyDer::from_pem_slice(self.authority.key().as_bytes()).expect("a key");
        let signs = signs.then(|| (trust.authorities[0].clone(), key));
        Signed::new(&trust, signs, Arc::new(Written::default())).expect("a key that signs")
    }
}

fn liveness() -> String {
    Record::Liveness(Liveness { started: 1 }).encode()
}

fn alive(site: &str, host: &str) -> Key {
    Key::Liveness(site.into(), host.into())
}

fn revoked(site: &str, host: &str) -> String {
    let host = Some(host.into());
    Record::Revoked(Revoked { site: site.into(), host, since: 1, expires: None }).encode()
}

#[test]
fn what_a_host_writes_of_itself_is_believed() {
    let agents = Agents::new();
    let (berlin, paris) = (agents.agent("Berlin", "b1", false), agents.agent("Paris", "p1", false));
    let keys = [
        alive("Berlin", "b1"),
        Key::Host("Berlin".into(), "b1".into()),
        Key::Site("Berlin".into()),
        Key::Service("Berlin".into(), "Nova".into()),
        Key::Latencies("Berlin".into()),
    ];
    for key in keys {
        let kept = berlin.seal(&full(&key), &liveness()).expect("sealed");
        assert_eq!(paris.open(&key, &full(&key), &kept), Ok(liveness()), "{key}");
    }
}

#[test]
fn nobody_writes_for_another() {
    let agents = Agents::new();
    let berlin = agents.agent("Berlin", "b1", false);
    let strangers = [
        alive("Paris", "p1"),
        alive("Berlin", "b2"),
        Key::Host("Berlin".into(), "b2".into()),
        Key::Service("Paris".into(), "Nova".into()),
        Key::Federation,
        Key::Token("t".into()),
    ];
    for key in strangers {
        // Its own seal doesn't make it; a changed agent could.
        assert_eq!(berlin.seal(&full(&key), &liveness()), Err(SealError::NoAuthority), "{key}");
        let lie = forged(&berlin, &key, &liveness());
        let by = "Berlin/b1".to_owned();
        match agents.agent("Paris", "p1", false).open(&key, &full(&key), &lie) {
            Err(SealError::Stranger { by: said, .. }) => assert_eq!(said, by),
            other => panic!("{key}: {other:?}"),
        }
    }
}

/// What an agent that was changed to lie would write.
fn forged(agent: &Signed, key: &Key, record: &str) -> String {
    agent.sealed_by_host(&full(key), record).expect("sealed")
}

#[test]
fn a_host_revokes_itself_and_nobody_else() {
    let agents = Agents::new();
    let (berlin, paris) = (agents.agent("Berlin", "b1", false), agents.agent("Paris", "p1", false));
    let own = Key::Revoked(revoke::name(&"Berlin".into(), Some(&"b1".into())));
    let kept = berlin.seal(&full(&own), &revoked("Berlin", "b1")).expect("sealed");
    assert!(paris.open(&own, &full(&own), &kept).is_ok());
    let other = Key::Revoked(revoke::name(&"Paris".into(), Some(&"p1".into())));
    for record in [revoked("Paris", "p1"), revoked("Berlin", "b1"), "{}".to_owned()] {
        let lie = forged(&berlin, &other, &record);
        let opened = paris.open(&other, &full(&other), &lie);
        assert!(matches!(opened, Err(SealError::Stranger { .. })), "{record}: {opened:?}");
    }
}

#[test]
fn a_host_that_signs_writes_what_all_share() {
    let agents = Agents::new();
    let (signer, paris) = (agents.agent("Berlin", "b1", true), agents.agent("Paris", "p1", false));
    let federation = Record::Federation(Federation {
        name: "edge".into(),
        authorities: Vec::new(),
        since: 1,
        bridge: Vec::new(),
        rotation: None,
    })
    .encode();
    for (key, record) in [(Key::Federation, federation), (Key::Revoked("Paris/p1".into()), revoked("Paris", "p1"))] {
        let kept = signer.seal(&full(&key), &record).expect("sealed");
        assert_eq!(paris.open(&key, &full(&key), &kept), Ok(record));
    }
}

#[test]
fn a_record_is_believed_as_it_was_written_and_where() {
    let agents = Agents::new();
    let (berlin, paris) = (agents.agent("Berlin", "b1", false), agents.agent("Paris", "p1", false));
    let key = Key::Service("Berlin".into(), "Nova".into());
    let kept = berlin.seal(&full(&key), "{\"version\":1,\"a\":1}").expect("sealed");
    let changed = kept.replace("\\\"a\\\":1", "\\\"a\\\":2");
    assert_ne!(changed, kept);
    assert_eq!(paris.open(&key, &full(&key), &changed), Err(SealError::Wrong));
    let moved = Key::Service("Berlin".into(), "Glance".into());
    assert_eq!(paris.open(&moved, &full(&moved), &kept), Err(SealError::Wrong));
    let time = serde_json::from_str::<serde_json::Value>(&kept).expect("JSON")["written"].to_string();
    let later = kept.replace(&time, &(now() + 1_000_000).to_string());
    assert_eq!(paris.open(&key, &full(&key), &later), Err(SealError::Wrong));
    for nothing in ["{}", "{\"version\":1,\"record\":\"{}\"}"] {
        assert_eq!(paris.open(&key, &full(&key), nothing), Err(SealError::Missing), "{nothing}");
    }
    for nothing in ["", "x", "[]", "{\"version\":2,\"signature\":\"\"}", "{\"version\":1,\"signature\":\"\"}"] {
        let opened = paris.open(&key, &full(&key), nothing);
        assert!(matches!(opened, Err(SealError::Unreadable(_))), "{nothing}: {opened:?}");
    }
}

#[test]
fn another_authority_and_another_federation_are_not_believed() {
    let (agents, others) = (Agents::new(), Agents::new());
    let key = alive("Berlin", "b1");
    let kept = others.agent("Berlin", "b1", false).seal(&full(&key), &liveness()).expect("sealed");
    let opened = agents.agent("Paris", "p1", false).open(&key, &full(&key), &kept);
    assert!(matches!(opened, Err(SealError::Authority(_))), "{opened:?}");
    let stranger = PeerIdentity { federation: "other".into(), ..identity("Berlin", "b1") };
    let issued = agents.authority.issue(&stranger, Validity::days(1)).expect("a certificate");
    let kept = forged(&agents.with(&issued, stranger, false), &key, &liveness());
    let opened = agents.agent("Paris", "p1", false).open(&key, &full(&key), &kept);
    assert!(matches!(opened, Err(SealError::Authority(_))), "{opened:?}");
}

#[test]
fn a_certificate_that_has_expired_is_believed_and_one_that_was_revoked_is_not() {
    let agents = Agents::new();
    let paris = agents.agent("Paris", "p1", false);
    let soon = SystemTime::now() + Duration::from_millis(1100);
    let validity = Validity { not_before: SystemTime::now() - Duration::from_secs(60), not_after: soon };
    let issued = agents.authority.issue(&identity("Berlin", "b1"), validity).expect("a certificate");
    let (berlin, key) = (agents.with(&issued, identity("Berlin", "b1"), false), alive("Berlin", "b1"));
    let kept = berlin.seal(&full(&key), &liveness()).expect("sealed");
    while SystemTime::now() < soon + Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(paris.open(&key, &full(&key), &kept), Ok(liveness()));
    let gone = Revoked { site: "Berlin".into(), host: Some("b1".into()), since: now() - 1, expires: None };
    assert!(agents.revoked.learn([&gone].into_iter()));
    assert_eq!(paris.open(&key, &full(&key), &kept), Err(SealError::Revoked));
    let again = agents.agent("Berlin", "b1", false).seal(&full(&key), &liveness()).expect("sealed");
    assert_eq!(paris.open(&key, &full(&key), &again), Ok(liveness()));
}

#[test]
fn what_was_written_before_is_no_news() {
    let agents = Agents::new();
    let (signer, paris) = (agents.agent("Berlin", "b1", true), agents.agent("Paris", "p1", false));
    let federation = full(&Key::Federation);
    let first = signer.seal(&federation, "1").expect("sealed");
    assert_eq!(signer.open(&Key::Federation, &federation, &first), Ok("1".to_owned()));
    let second = signer.seal(&federation, "2").expect("sealed");
    assert_eq!(paris.open(&Key::Federation, &federation, &second), Ok("2".to_owned()));
    assert_eq!(paris.open(&Key::Federation, &federation, &first), Err(SealError::Older));
    assert_eq!(paris.open(&Key::Federation, &federation, &second), Ok("2".to_owned()));
}

#[test]
fn hosts_of_a_site_may_differ_in_their_clocks_by_minutes() {
    let written = Written::default();
    let minutes = |minutes: u64| 1_000_000_000 + minutes * 60_000;
    assert!(written.take("k", minutes(20), 600_000));
    assert!(written.take("k", minutes(11), 600_000));
    assert!(!written.take("k", minutes(9), 600_000));
    assert!(written.take("other", minutes(9), 600_000));
}
