//! Hosts that join at a real wicket, over TLS; the cluster is a map.

mod again;
mod left;
mod rotated;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::metadata::record::{HostRecord, Liveness as Lives, now};
use crate::metadata::seal::Stranger;
use crate::metadata::store::{Listed as All, Seen, StoreError};
use crate::metadata::transaction::{Condition, Outcome, Transaction, Write};
use crate::metadata::truth::{Truth, TruthError};
use crate::names::{HostName, SiteName};
use crate::peer::server::ServerLimits;
use crate::peer::trust::{Revocations, Signed, Trust, Validity};
use crate::peer::{Call, Counters, Security, Serve, Server};

/// What is kept, by its whole key.
#[derive(Default)]
struct Kept {
    values: BTreeMap<String, (String, i64)>,
    revision: i64,
    stores: Vec<Arc<Store>>,
    /// Where transactions wait for each other before they are decided.
    meet: Option<Arc<tokio::sync::Barrier>>,
}

/// A metadata cluster, which tells all copies at once.
#[derive(Clone, Default)]
struct Cluster(Arc<Mutex<Kept>>);

impl Cluster {
    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().expect("the cluster")
    }

    fn tell(&self) {
        let (all, stores) = {
            let kept = self.lock();
            let values = kept.values.iter().map(|(key, (value, revision))| (key.clone(), value.clone(), *revision));
            let seen = Some(Seen { cluster: 1, revision: kept.revision });
            (All { seen, values: values.collect(), ..All::default() }, kept.stores.clone())
        };
        stores.iter().for_each(|store| store.listed(all.clone()));
    }

    /// Does what waits in a copy.
    async fn flush(&self, store: &Store) {
        let pending = store.pending();
        let then = pending.iter().map(|pending| pending.write.clone()).collect();
        self.transact(store, Transaction { when: Vec::new(), then }).await.expect("flushed");
        store.settled(&pending.iter().map(|pending| pending.id).collect::<Vec<_>>());
        self.tell();
    }
}

impl Truth for Cluster {
    fn transact<'a>(&'a self, store: &'a Store, asked: Transaction) -> BoxFuture<'a, Result<Outcome, TruthError>> {
        Box::pin(async move {
            let meet = self.lock().meet.clone();
            if let Some(meet) = meet {
                meet.wait().await;
            }
            let full = |key: &Key| key.full("edge");
            let outcome = {
                let mut kept = self.lock();
                let holds = |condition: &Condition| match condition {
                    Condition::Absent(key) => !kept.values.contains_key(&full(key)),
                    Condition::Unchanged(key, at) => kept.values.get(&full(key)).is_some_and(|(_, is)| is == at),
                };
                if !asked.when.iter().all(holds) {
                    return Ok(Outcome::Conflict);
                }
                kept.revision += 1;
                let revision = kept.revision;
                for write in &asked.then {
                    match write {
                        Write::Put(key, record) => {
                            let value = (store.sealed(key, record)?, revision);
                            kept.values.insert(full(key), value);
                        }
                        Write::Remove(key) => drop(kept.values.remove(&full(key))),
                    }
                }
                Outcome::Done(revision)
            };
            self.tell();
            Ok(outcome)
        })
    }
}

struct Nobody;

impl Serve for Nobody {
    async fn serve(&self, _call: Call) {}
    async fn note(&self, _call: Call) {}
}

/// A host with its wicket.
struct Host {
    membership: Arc<Membership>,
    store: Arc<Store>,
    cluster: Cluster,
    directory: PathBuf,
    address: String,
    stop: CancellationToken,
    _files: tempfile::TempDir,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Of certificates, as each host's configuration says it.
const LIFE: Duration = Duration::from_secs(7 * 86_400);
const MS: fn(u64) -> Duration = Duration::from_millis;

async fn host(cluster: &Cluster, site: &str, name: &str) -> Host {
    patient(cluster, site, name, MS(5000)).await
}

/// A host that waits that long for others.
async fn patient(cluster: &Cluster, site: &str, name: &str, patience: Duration) -> Host {
    let files = tempfile::tempdir().expect("a directory");
    let directory = files.path().join("tls");
    let identity = PeerIdentity { federation: "edge".into(), site: site.into(), host: name.into() };
    let store = Arc::new(Store::new("edge", Box::new(Stranger), Some(Box::new(cluster.clone()))));
    cluster.lock().stores.push(store.clone());
    cluster.tell();
    let limits = ServerLimits { handshake: MS(5000), exchanges: 8, keepalive: MS(5000), user_timeout: MS(5000) };
    let at = "127.0.0.1:0".parse().expect("an address");
    let counters = Arc::new(Counters::default());
    let server = Server::bind(at, identity.clone(), Security::Unjoined, limits, counters).await.expect("bound");
    let server = Arc::new(server);
    let address = server.local_addr().expect("an address").to_string();
    let sealing = Sealing::default();
    let renew = {
        let (identity, joined, sealing) = (identity.clone(), Joined::at(&directory), sealing.clone());
        let (server, store) = (server.clone(), store.clone());
        Box::new(move || {
            let revoked: Arc<Revocations> = sealing.revoked.clone();
            if !joined.is_whole() {
                server.replace_security(Security::Unjoined);
                store.replace_seal(Box::new(Stranger));
                return Ok(());
            }
            let trust = Trust::load(identity.clone(), &joined.ca, &joined.certificate, &joined.key, revoked)
                .map_err(|error| error.to_string())?;
            let signed = Signed::new(&trust, trust.held(&joined), sealing.written.clone());
            store.replace_seal(Box::new(signed.map_err(|error| error.to_string())?));
            server.replace_security(Security::Tls(Arc::new(trust)));
            Ok(())
        })
    };
    let membership = Arc::new(Membership::new(Parts {
        identity,
        store: store.clone(),
        joined: Some(Joined::at(&directory)),
        addresses: vec![address.clone()],
        sealing,
        renew,
        patience,
        life: LIFE,
    }));
    server.admit(Arc::new(Admission::new(membership.clone())));
    let stop = CancellationToken::new();
    let (running, until) = (server, stop.clone());
    tokio::spawn(async move { running.run(Arc::new(Nobody), until).await });
    Host { membership, store, cluster: cluster.clone(), directory, address, stop, _files: files }
}

impl Host {
    /// Says that it lives, as the agent's publisher does.
    async fn publish(&self) {
        let id = &self.membership.identity;
        let record = HostRecord {
            peers: vec![self.address.clone()],
            agent: "test".into(),
            certificate: None,
            signs: self.membership.standing().signs,
            trusts: Vec::new(),
        };
        let (site, host) = (id.site.clone(), id.host.clone());
        self.store.write(Write::Put(Key::Host(site.clone(), host.clone()), Record::Host(record))).expect("taken");
        let lives = Record::Liveness(Lives { started: now() });
        self.store.write(Write::Put(Key::Liveness(site, host), lives)).expect("taken");
        self.cluster.flush(&self.store).await;
    }

    async fn token(&self, site: &str, host: Option<&str>, signs: bool) -> Result<Token, MembershipError> {
        let (site, host) = (SiteName::from(site), host.map(HostName::from));
        self.membership.issue(&Wanted { site, host, expires: Duration::from_secs(3600), signs }).await
    }

    async fn joins(&self, token: &Token) -> Result<Standing, MembershipError> {
        self.membership.join(&token.to_word()).await
    }

    async fn refused(&self, token: &Token, text: &str) {
        let error = self.joins(token).await.expect_err("a refusal").to_string();
        assert!(error.contains(text), "{error}");
        assert!(!Joined::at(&self.directory).is_whole());
    }
}

async fn first(cluster: &Cluster) -> Host {
    let berlin = host(cluster, "Berlin", "b1").await;
    let standing = berlin.membership.init(None).await.expect("a federation");
    assert!(standing.signs && standing.state == "joined");
    berlin.publish().await;
    berlin
}

#[tokio::test]
async fn sites_join_by_one_token_each() {
    let cluster = Cluster::default();
    let (berlin, paris) = (first(&cluster).await, host(&cluster, "Paris", "p1").await);
    let token = berlin.token("Paris", None, false).await.expect("a token");
    assert!(!format!("{:?}", cluster.lock().values).contains(&serde_json::to_string(&token.secret).expect("text")));
    let standing = paris.joins(&token).await.expect("it joins");
    assert_eq!((standing.state, standing.signs), ("joined", false));
    paris.publish().await;
    assert!(berlin.store.view().get(&Key::Host("Paris".into(), "p1".into())).is_some(), "what it writes is believed");
    for (name, mode) in [("host.key", 0o600), ("host.pem", 0o644)] {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(paris.directory.join(name).metadata().expect("a file").mode() & 0o777, mode, "{name}");
    }
    assert!(!paris.directory.join("authority.key").exists());
    // Used once, it is gone, for everybody.
    let other = host(&cluster, "Paris", "p2").await;
    other.refused(&token, "used or revoked already").await;
    assert!(matches!(paris.joins(&token).await, Err(MembershipError::Already { .. })));
    assert!(
        matches!(paris.token("Nantes", None, false).await, Err(MembershipError::NoSigner(who)) if who.contains("b1"))
    );
}

#[tokio::test]
async fn a_further_host_needs_a_token_that_names_it() {
    let cluster = Cluster::default();
    let berlin = first(&cluster).await;
    assert!(matches!(berlin.token("Berlin", None, false).await, Err(MembershipError::Taken { .. })));
    let early = berlin.token("Paris", None, false).await.expect("a token");
    let (p1, p2) = (host(&cluster, "Paris", "p1").await, host(&cluster, "Paris", "p2").await);
    let token = berlin.token("Paris", None, false).await.expect("a token");
    p1.joins(&token).await.expect("the first");
    p1.publish().await;
    p2.refused(&early, "has a host that lives (p1)").await;
    let token = berlin.token("Paris", Some("p2"), true).await.expect("a token");
    host(&cluster, "Paris", "p3").await.refused(&token, "the host p2").await;
    assert!(p2.joins(&token).await.expect("the second").signs);
    // Who signs lets others in, also when the first is gone.
    p2.publish().await;
    drop(berlin);
    let token = p2.token("Nantes", None, false).await.expect("a token");
    assert_eq!(token.addresses.len(), 2, "{:?}", token.addresses);
    host(&cluster, "Nantes", "n1").await.joins(&token).await.expect("let in by the second");
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_told() {
    let cluster = Cluster::default();
    let (berlin, paris) = (first(&cluster).await, host(&cluster, "Paris", "p1").await);
    let token = berlin.token("Nantes", None, false).await.expect("a token");
    paris.refused(&token, "for the site Nantes").await;
    let token = berlin.token("Paris", None, false).await.expect("a token");
    paris.refused(&Token { federation: "other".into(), ..token.clone() }, "federation = \"other\"").await;
    paris.refused(&Token { secret: Secret::new(), ..token.clone() }, "used or revoked already").await;
    paris.refused(&Token { fingerprint: "00".repeat(32), ..token.clone() }, "its authority has the fingerprint").await;
    let nobody = Token { addresses: vec!["127.0.0.1:1".into()], ..token.clone() };
    paris.refused(&nobody, "can't connect").await;
    assert_eq!(berlin.membership.tokens().len(), 2);
    berlin.membership.revoke_token(&token.id).await.expect("revoked");
    paris.refused(&token, "used or revoked already").await;
    assert!(matches!(berlin.membership.revoke_token(&token.id).await, Err(MembershipError::NoToken(_))));
    // One that has expired, as its record says.
    let token = berlin.token("Paris", None, false).await.expect("a token");
    let key = Key::Token(token.id.clone());
    let Some(Record::Token(mut record)) = berlin.store.view().get(&key).map(|kept| kept.record.clone()) else {
        panic!("no record")
    };
    record.expires = now() - 1;
    berlin.store.write(Write::Put(key, Record::Token(record))).expect("taken");
    cluster.flush(&berlin.store).await;
    paris.refused(&token, "expired").await;
}

#[tokio::test]
async fn of_two_that_use_a_token_at_the_same_time_one_comes_in() {
    let cluster = Cluster::default();
    let berlin = first(&cluster).await;
    let (p1, p2) = (host(&cluster, "Paris", "p1").await, host(&cluster, "Paris", "p2").await);
    let token = berlin.token("Paris", None, false).await.expect("a token");
    cluster.lock().meet = Some(Arc::new(tokio::sync::Barrier::new(2)));
    let (one, other) = tokio::join!(p1.joins(&token), p2.joins(&token));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    let error = one.and(other).expect_err("the later one").to_string();
    assert!(error.contains("used or revoked already"), "{error}");
}

#[tokio::test]
async fn init_goes_on_where_it_was_cut_and_never_makes_two() {
    let cluster = Cluster::default();
    let berlin = first(&cluster).await;
    assert!(matches!(berlin.membership.init(None).await, Err(MembershipError::Already { .. })));
    let asked = berlin.membership.init(Some("other")).await;
    assert!(matches!(asked, Err(MembershipError::Federation { .. })));
    // As after a crash between the cluster's yes and the certificate.
    std::fs::remove_file(berlin.directory.join("host.pem")).expect("removed");
    assert_eq!(berlin.membership.init(None).await.expect("it goes on").state, "joined");
    let paris = host(&cluster, "Paris", "p1").await;
    let lives = Write::Put(Key::Liveness("Paris".into(), "p1".into()), Record::Liveness(Lives { started: now() }));
    let meet = Arc::new(tokio::sync::Barrier::new(2));
    cluster.lock().meet = Some(meet.clone());
    let told = async {
        // Its own authority has been taken up, and may be nobody's.
        while matches!(paris.store.write(lives.clone()), Err(StoreError::NotJoined)) {
            tokio::task::yield_now().await;
        }
        let told = paris.store.tell(lives);
        meet.wait().await;
        told
    };
    let (made, told) = tokio::join!(paris.membership.init(None), told);
    cluster.lock().meet = None;
    assert!(matches!(made, Err(MembershipError::Exists { .. })) && !told);
    assert_eq!(paris.membership.standing().state, "not-joined");
    // What the try left doesn't hinder it from joining.
    let token = berlin.token("Paris", None, false).await.expect("a token");
    assert!(!paris.joins(&token).await.expect("it joins").signs);
}

#[tokio::test]
async fn hosts_leave_and_sites_that_are_gone_are_removed() {
    let cluster = Cluster::default();
    let berlin = first(&cluster).await;
    assert!(matches!(berlin.membership.leave(false).await, Err(MembershipError::OnlySigner)));
    let paris = host(&cluster, "Paris", "p1").await;
    let token = berlin.token("Paris", None, false).await.expect("a token");
    paris.joins(&token).await.expect("it joins");
    paris.publish().await;
    let site = SiteName::from("Paris");
    assert!(matches!(berlin.membership.remove(&site, true).await, Err(MembershipError::Lives { .. })));
    assert_eq!(paris.membership.leave(false).await.expect("it leaves").standing.state, "not-joined");
    assert!(berlin.store.view().iter().all(|(key, _)| key.site() != Some(&site)));
    assert!(matches!(berlin.membership.remove(&site, true).await, Err(MembershipError::NoSite(_))));
    // Again, and then it dies.
    let token = berlin.token("Paris", None, false).await.expect("a token");
    paris.joins(&token).await.expect("it joins again");
    paris.publish().await;
    let leased = Key::Liveness(site.clone(), "p1".into()).full("edge");
    cluster.lock().values.remove(&leased);
    cluster.tell();
    assert!(matches!(berlin.membership.remove(&site, false).await, Err(MembershipError::Force(_))));
    assert_eq!(berlin.membership.remove(&site, true).await.expect("removed"), ["p1".into()]);
    let view = berlin.store.view();
    assert!(view.iter().all(|(key, _)| key.site() != Some(&site)));
    assert!(view.iter().any(|(_, record)| matches!(record, Record::Revoked(revoked) if revoked.site == site)));
}

#[tokio::test]
async fn without_a_cluster_nothing_is_made() {
    let cluster = Cluster::default();
    let lonely = host(&cluster, "Berlin", "b1").await;
    let parts = Parts {
        identity: lonely.membership.identity.clone(),
        store: Arc::new(Store::embedded("edge")),
        joined: Some(Joined::at(&lonely.directory)),
        addresses: Vec::new(),
        sealing: Sealing::default(),
        renew: Box::new(|| Ok(())),
        patience: MS(100),
        life: LIFE,
    };
    let error = Membership::new(parts).init(None).await.expect_err("no cluster");
    assert!(error.to_string().contains("backend = \"etcd\""), "{error}");
    assert!(!lonely.directory.exists());
}
