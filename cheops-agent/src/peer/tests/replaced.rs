use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// An agent that was replaced finishes what it has, for hours perhaps; its successor serves what is new meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_lasts_on_an_old_link_keeps_nothing_from_the_successor() {
    let authority = authority();
    let paris = || Security::Tls(trust(&authority, &identity("edge", "Paris", "p1")));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a mode");
    let same = || TcpListener::from_std(listener.try_clone().expect("a descriptor")).expect("a listener");
    let says = |text: &'static [u8]| {
        move |call: Call| -> Serving {
            Box::pin(async move {
                let (mut stream, _place) = call.accept().expect("wanted");
                let mut asked = [0];
                if stream.read_exact(&mut asked).await.is_ok() && stream.write_all(text).await.is_ok() {
                    stream.finish().expect("finished");
                }
            })
        }
    };
    let old = Running::start_on(same(), paris(), server_limits(), says(b"old"));
    let client = client(trust(&authority, &identity("edge", "Berlin", "b1")));
    let mut lasting = client.open(&old.site(), &envelope(), soon()).await.expect("open");
    in_time(lasting.ready()).await.expect("taken on");
    old.stop.cancel();
    let new = Running::start_on(same(), paris(), server_limits(), says(b"new"));
    let ask = async |mut stream: PeerStream| {
        let mut answer = Vec::new();
        stream.write_all(b"?").await?;
        in_time(stream.read_to_end(&mut answer)).await.map(|_| answer)
    };
    // The old agent's word that it goes is on its way; until it came, it refuses what it didn't take on.
    let answer = in_time(async {
        loop {
            match ask(client.open(&new.site(), &envelope(), soon()).await.expect("somebody listens")).await {
                Ok(answer) if answer == b"new" => break answer,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    });
    assert_eq!(answer.await, b"new");
    assert_eq!(ask(lasting).await.expect("what was open ends well"), b"old");
    client.close().await;
}
