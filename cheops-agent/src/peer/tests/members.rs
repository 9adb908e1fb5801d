//! Who is believed may change while links are up: revocations, other certificates, other authorities.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::metadata::record::{Revoked, now};
use crate::peer::Asks;

/// Takes an exchange on and answers each byte with itself.
fn echo(call: Call) -> Serving {
    Box::pin(async move {
        let Ok((mut stream, _place)) = call.accept() else { return };
        let mut byte = [0; 1];
        while stream.read_exact(&mut byte).await.is_ok() && stream.write_all(&byte).await.is_ok() {}
    })
}

fn berlin() -> PeerIdentity {
    identity("edge", "Berlin", "b1")
}

fn paris() -> PeerIdentity {
    identity("edge", "Paris", "p1")
}

fn day() -> Validity {
    Validity::days(1)
}

fn revoke(revoked: &Revocations, identity: &PeerIdentity) {
    let (site, host) = (identity.site.clone(), Some(identity.host.clone()));
    assert!(revoked.learn([Revoked { site, host, since: now(), expires: None }].iter()));
}

/// Says a byte and hears it again.
async fn says(stream: &mut PeerStream) -> std::io::Result<()> {
    stream.write_all(b"x").await?;
    let mut byte = [0; 1];
    stream.read_exact(&mut byte).await.map(drop)
}

/// Speaks until the link is ended.
async fn ended(stream: &mut PeerStream) {
    in_time(async { while says(stream).await.is_ok() {} }).await;
}

async fn asks(client: &Client, running: &Running) -> Result<(), PeerError> {
    client.hello(&"Paris".into(), &running.address.to_string(), &Asks::default(), soon()).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_client_is_out_at_once_and_told_why() {
    let (authority, revoked) = (authority(), Arc::<Revocations>::default());
    let running =
        Running::start(Security::Tls(trust_in(&[&authority], &paris(), day(), &revoked)), server_limits(), echo).await;
    let (mine, other) =
        (client(trust(&authority, &berlin())), client(trust(&authority, &identity("edge", "Berlin", "b2"))));
    let mut open = mine.open(&running.site(), &envelope(), soon()).await.expect("let in");
    says(&mut open).await.expect("served");
    asks(&other, &running).await.expect("let in");
    revoke(&revoked, &berlin());
    ended(&mut open).await;
    running.counted(Count::Revoked, 1).await;
    let text = in_time(async {
        loop {
            match asks(&mine, &running).await {
                Err(error) if error.to_string().contains("was revoked") => return error.to_string(),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    })
    .await;
    assert!(text.contains("this host's certificate was revoked"), "{text}");
    asks(&other, &running).await.expect("another host of the site is let in");
    // Joined again: a certificate of later.
    mine.replace_security(Security::Tls(trust(&authority, &berlin())));
    in_time(async {
        while asks(&mine, &running).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_server_is_left_at_once() {
    let (authority, revoked) = (authority(), Arc::<Revocations>::default());
    let running = Running::start(Security::Tls(trust(&authority, &paris())), server_limits(), echo).await;
    let mine = client(trust_in(&[&authority], &berlin(), day(), &revoked));
    let mut open = mine.open(&running.site(), &envelope(), soon()).await.expect("believed");
    says(&mut open).await.expect("served");
    revoke(&revoked, &paris());
    ended(&mut open).await;
    in_time(async {
        while asks(&mine, &running).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let error = mine.open(&running.site(), &envelope(), soon()).await.err().expect("refused");
    assert!(error.to_string().contains("its certificate was revoked"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_made_anew_with_another_certificate_and_what_is_open_goes_on() {
    let authority = authority();
    let running = Running::start(Security::Tls(trust(&authority, &paris())), server_limits(), echo).await;
    let mine = client(trust(&authority, &berlin()));
    let mut open = mine.open(&running.site(), &envelope(), soon()).await.expect("let in");
    mine.replace_security(Security::Tls(trust(&authority, &berlin())));
    in_time(async {
        while mine.counters().get(Count::Dialled) < 2 {
            asks(&mine, &running).await.expect("answered over the one or the other");
        }
    })
    .await;
    says(&mut open).await.expect("goes on");
    let mut next = mine.open(&running.site(), &envelope(), soon()).await.expect("let in");
    says(&mut next).await.expect("served");
    assert_eq!(mine.counters().get(Count::LinkLost), 0);
    // One that can't be renewed goes on as it is.
    mine.replace_security(Security::Tls(trust(&super::authority(), &berlin())));
    in_time(async {
        while mine.counters().get(Count::DialFailed) < 1 {
            asks(&mine, &running).await.expect("answered over the link that is there");
        }
    })
    .await;
    says(&mut next).await.expect("goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_dropped_takes_its_links_along() {
    let (old, new) = (authority(), authority());
    let none = Arc::default();
    let both = trust_in(&[&new, &old], &paris(), day(), &none);
    let running = Running::start(Security::Tls(both), server_limits(), echo).await;
    let (early, late) = (
        client(trust_in(&[&old, &new], &berlin(), day(), &none)),
        client(trust_in(&[&new, &old], &berlin(), day(), &none)),
    );
    let mut one = early.open(&running.site(), &envelope(), soon()).await.expect("of the old authority");
    let mut other = late.open(&running.site(), &envelope(), soon()).await.expect("of the new authority");
    running.server.replace_security(Security::Tls(trust_in(&[&new], &paris(), day(), &none)));
    ended(&mut one).await;
    says(&mut other).await.expect("goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_takes_no_more_when_its_certificate_has_expired() {
    let authority = authority();
    let running = Running::start(Security::Tls(trust(&authority, &paris())), server_limits(), echo).await;
    let end = SystemTime::now() + Duration::from_secs(2);
    let short = Validity { not_before: SystemTime::now() - Duration::from_secs(60), not_after: end };
    let mine = client(trust_in(&[&authority], &berlin(), short, &Arc::default()));
    let mut open = mine.open(&running.site(), &envelope(), soon()).await.expect("let in");
    in_time(async {
        while asks(&mine, &running).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(SystemTime::now() > end - Duration::from_secs(1));
    says(&mut open).await.expect("what is open ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_of_a_revoked_host_are_not_believed() {
    let nodes = super::measured::nodes(&["Berlin", "Paris"], true).await;
    let heard = || nodes[0].liveness.site(&"Paris".into()).heard;
    in_time(async {
        while heard().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let revoked = Revocations::default();
    revoke(&revoked, &identity("edge", "Paris", "h1"));
    nodes[0].liveness.forget(&revoked);
    assert_eq!(heard(), None);
}

/// Whoever is refused is told why, however its writes and the other's alert cross.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_host_is_told_why_at_each_dial() {
    let (authority, revoked) = (authority(), Arc::<Revocations>::default());
    let paris = trust_in(&[&authority], &paris(), day(), &revoked);
    let running = Running::start(Security::Tls(paris), server_limits(), echo).await;
    let mine = trust(&authority, &berlin());
    let linked = client(mine.clone());
    asks(&linked, &running).await.expect("let in");
    revoke(&revoked, &berlin());
    let trouble = || linked.links().into_iter().find_map(|(_, _, trouble)| trouble);
    let told = in_time(async {
        loop {
            match trouble() {
                Some(told) => return told,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    });
    let told = told.await;
    assert!(told.contains("not believed") || told.contains("was revoked"), "the open link says: {told}");
    for dial in 0..300 {
        let error = asks(&client(mine.clone()), &running).await.expect_err("it is revoked").to_string();
        assert!(error.contains("this host's certificate was revoked"), "dial {dial}: {error}");
    }
}
