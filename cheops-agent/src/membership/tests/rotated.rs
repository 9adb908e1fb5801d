//! The authority is replaced; who follows does so as agents do.

use super::*;
use crate::metadata::record::{CertificateFacts, Revoked};
use crate::metadata::rotation::Lack;
use crate::peer::trust::Authority;

impl Host {
    fn trust(&self) -> Trust {
        let joined = Joined::at(&self.directory);
        self.membership.load(&joined, &joined.certificate).expect("certificates")
    }

    fn joined(&self) -> Joined {
        Joined::at(&self.directory)
    }

    /// Takes the authorities over that the federation's record names.
    async fn follows(&self) {
        let view = self.store.view();
        let Some(Record::Federation(federation)) = view.get(&Key::Federation).map(|kept| kept.record.clone()) else {
            panic!("{} doesn't know the federation: {:?}", self.membership.identity, view.refused);
        };
        std::fs::write(self.joined().ca, federation.authorities.concat()).expect("written");
        std::fs::write(self.joined().bridge, federation.bridge.concat()).expect("written");
        (self.membership.renew)().expect("taken up");
        self.tells().await;
    }

    /// Is given another certificate by a host that signs.
    async fn renews(&self, by: &Host) {
        let (certificate, key) = by.trust().authority(&by.joined()).expect("it signs");
        let authority = Authority::of(&certificate, &key).expect("an authority");
        let issued = authority.issue(&self.membership.identity, Validity::lasting(LIFE)).expect("a certificate");
        self.joined().replace(&issued.certificate, &issued.key).expect("written");
        (self.membership.renew)().expect("taken up");
        self.tells().await;
    }

    /// Says what it has.
    async fn tells(&self) {
        let (id, trust) = (&self.membership.identity, self.trust());
        // As if it had been renewed a while ago, so that nobody waits for its links.
        let certificate = CertificateFacts { serial: "1".into(), ..trust.facts() };
        let record = HostRecord {
            peers: vec![self.address.clone()],
            agent: "test".into(),
            certificate: Some(certificate),
            signs: self.membership.standing().signs,
            trusts: trust.authorities.iter().map(crate::peer::trust::fingerprint).collect(),
        };
        let (site, host) = (id.site.clone(), id.host.clone());
        self.store.write(Write::Put(Key::Host(site.clone(), host.clone()), Record::Host(record))).expect("taken");
        let lives = Record::Liveness(Lives { started: now() });
        self.store.write(Write::Put(Key::Liveness(site, host), lives)).expect("taken");
        self.cluster.flush(&self.store).await;
    }

    fn state(&self) -> &'static str {
        self.membership.progress().state
    }

    fn keys(&self) -> usize {
        std::fs::read_to_string(self.joined().authority).expect("a key").matches("BEGIN PRIVATE KEY").count()
    }
}

async fn two(cluster: &Cluster) -> (Host, Host) {
    let (berlin, paris) = (first(cluster).await, host(cluster, "Paris", "p1").await);
    let token = berlin.token("Paris", None, false).await.expect("a token");
    paris.joins(&token).await.expect("it joins");
    berlin.tells().await;
    paris.tells().await;
    (berlin, paris)
}

#[tokio::test]
async fn an_authority_is_replaced_step_by_step() {
    let cluster = Cluster::default();
    let (berlin, paris) = two(&cluster).await;
    let before = berlin.trust().signer;
    let token = berlin.token("Nantes", None, false).await.expect("a token");
    let lyon = Revoked { site: "Lyon".into(), host: None, since: now(), expires: Some(now() + 1_000_000) };
    berlin.store.write(Write::Put(Key::Revoked("Lyon".into()), Record::Revoked(lyon))).expect("taken");
    cluster.flush(&berlin.store).await;
    assert!(matches!(paris.membership.rotate(false).await, Err(MembershipError::NoSigner(_))));

    let progress = berlin.membership.rotate(false).await.expect("it begins");
    assert_eq!((progress.state, progress.missing.len(), berlin.keys()), ("spreading", 2, 2));
    // Asked again, as after a crash, it is the same one.
    assert_eq!(berlin.membership.rotate(false).await.expect("it goes on").to, progress.to);
    assert!(!berlin.membership.go_on(false).await.expect("it waits"));
    berlin.follows().await;
    assert!(!berlin.membership.go_on(false).await.expect("it waits for Paris"));
    assert_eq!(berlin.membership.progress().missing.first().map(|missing| missing.lacks), Some(Lack::Trust));
    paris.follows().await;
    assert!(!paris.membership.go_on(false).await.expect("it has no keys"));
    assert!(berlin.membership.go_on(false).await.expect("the second step"));

    // The record is still signed by the one that everybody knows.
    assert_eq!((paris.state(), berlin.state()), ("renewing", "renewing"));
    berlin.follows().await;
    berlin.renews(&berlin).await;
    assert_ne!(berlin.trust().signer, before);
    assert!(paris.store.view().get(&Key::Host("Berlin".into(), "b1".into())).is_some(), "Berlin is believed");
    paris.follows().await;
    assert!(!berlin.membership.go_on(false).await.expect("it waits"));
    assert_eq!(berlin.membership.progress().missing.first().map(|missing| missing.lacks), Some(Lack::Certificate));
    paris.renews(&berlin).await;
    assert!(berlin.membership.go_on(false).await.expect("the last step"));
    assert_eq!((berlin.state(), paris.state()), ("none", "none"));
    berlin.follows().await;
    paris.follows().await;
    assert!(!berlin.membership.go_on(false).await.expect("done"));
    assert_eq!((berlin.keys(), berlin.joined().coming.exists()), (1, false));

    // What the old authority signed holds on: what was revoked, what was told, and tokens.
    for host in [&berlin, &paris] {
        let view = host.store.view();
        assert!(view.refused.is_empty(), "{:?}", view.refused);
        assert!(view.get(&Key::Revoked("Lyon".into())).is_some());
        assert!(view.get(&Key::Host("Paris".into(), "p1".into())).is_some());
    }
    let nantes = host(&cluster, "Nantes", "n1").await;
    assert_eq!(nantes.joins(&token).await.expect("a token of before").state, "joined");
    // And another time.
    berlin.membership.rotate(false).await.expect("it begins again");
    assert_eq!((berlin.state(), berlin.keys()), ("spreading", 2));
}

#[tokio::test]
async fn a_host_that_was_away_follows_as_long_as_the_old_authority_is_believed() {
    let cluster = Cluster::default();
    let (berlin, paris) = two(&cluster).await;
    let dies = |name: &str, host: &str| {
        cluster.lock().values.remove(&Key::Liveness(name.into(), host.into()).full("edge"));
        cluster.tell();
    };
    dies("Paris", "p1");
    berlin.membership.rotate(false).await.expect("it begins");
    berlin.follows().await;
    assert!(berlin.membership.go_on(false).await.expect("without Paris"));
    berlin.follows().await;
    berlin.renews(&berlin).await;
    let missing = berlin.membership.progress().missing;
    assert_eq!(missing.len(), 1);
    assert!(!missing[0].lives && missing[0].until.is_some_and(|until| until > now()), "{missing:?}");
    assert!(!berlin.membership.go_on(false).await.expect("it waits for Paris"));
    // It knows the old one alone, and believes the record.
    assert_eq!((paris.trust().authorities.len(), paris.state()), (1, "renewing"));
    paris.follows().await;
    paris.renews(&berlin).await;
    assert_eq!(paris.trust().signer, berlin.trust().signer);
    assert!(berlin.membership.go_on(false).await.expect("the last step"));
}

#[tokio::test]
async fn a_host_that_comes_too_late_joins_again() {
    let cluster = Cluster::default();
    let (berlin, paris) = two(&cluster).await;
    berlin.membership.rotate(false).await.expect("it begins");
    berlin.follows().await;
    assert_eq!(berlin.membership.rotate(true).await.expect("without Paris").state, "renewing");
    berlin.follows().await;
    berlin.renews(&berlin).await;
    assert_eq!(berlin.membership.rotate(true).await.expect("without Paris").state, "none");
    berlin.follows().await;
    let full = Key::Federation.full("edge");
    assert!(paris.store.view().refused.contains_key(&full), "Paris believes who it doesn't know");
    std::fs::remove_file(&paris.joined().certificate).expect("it leaves");
    (paris.membership.renew)().expect("taken up");
    let liveness = Key::Liveness("Paris".into(), "p1".into()).full("edge");
    cluster.lock().values.remove(&liveness);
    cluster.tell();
    let token = berlin.token("Paris", Some("p1"), false).await.expect("a token");
    assert_eq!(paris.joins(&token).await.expect("it joins again").state, "joined");
}
