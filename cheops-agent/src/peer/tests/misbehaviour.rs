//! Peers with good certificates that lie, stall and die.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A peer made of HTTP/2 itself, which does what `act` says with each stream.
async fn odd_peer<F, A>(act: F) -> (Site, Client, tokio::task::JoinHandle<()>)
where
    F: Fn(http::Request<h2::RecvStream>, h2::server::SendResponse<Bytes>) -> A + Send + 'static,
    A: Future<Output = bool> + Send,
{
    let authority = authority();
    let paris = trust(&authority, &identity("edge", "Paris", "p1"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let task = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(tls) = TlsAcceptor::from(paris.server.clone()).accept(tcp).await else { continue };
            let mut connection = h2::server::handshake(tls).await.expect("HTTP/2");
            while let Some(Ok((request, respond))) = connection.accept().await {
                if !act(request, respond).await {
                    // Dropped: the peer dies here.
                    break;
                }
            }
        }
    });
    (site("Paris", &[address]), client(trust(&authority, &identity("edge", "Berlin", "b1"))), task)
}

/// One exchange of a POST that was sent; what came before the failure, and how it ended.
async fn post(client: &Client, site: &Site) -> (Vec<u8>, Outcome, PeerError) {
    let began = Instant::now();
    let mut stream = loop {
        assert!(began.elapsed() < SOON, "the peer is always quicker");
        let mut stream = match client.open(site, &envelope(), soon()).await {
            Ok(stream) => stream,
            // It died again before it was asked, while the link was new.
            Err(error) => {
                assert_eq!(error.outcome(), Outcome::NotSent);
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        if stream.write_all(b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n").await.is_ok() {
            break stream;
        }
        // The peer was quicker than the first byte.
        match in_time(stream.settle()).await {
            Ok(()) => break stream,
            Err(error) => assert_eq!(error.outcome(), Outcome::NotSent),
        }
    };
    let mut got = Vec::new();
    in_time(stream.read_to_end(&mut got)).await.expect_err("never a clean end");
    (got, stream.outcome().expect("an outcome"), stream.failure().expect("a failure").clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_dies_after_the_request_leaves_the_outcome_unknown() {
    let (site, client, task) = odd_peer(|_, _| async { false }).await;
    let (got, outcome, _) = post(&client, &site).await;
    assert_eq!((got.len(), outcome), (0, Outcome::Sent));
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_dies_in_the_answer_is_never_a_short_answer() {
    let (site, client, task) = odd_peer(|_, mut respond| async move {
        let mut send = respond.send_response(Response::new(()), false).expect("a head");
        send.send_data(Bytes::from_static(b"HTTP/1.1 200 OK\r\n\r\nhalf"), false).expect("data");
        // Sent, then a reset: the connection is driven by accepting.
        send.send_reset(h2::Reason::INTERNAL_ERROR);
        true
    })
    .await;
    let (_, outcome, _) = post(&client, &site).await;
    assert_eq!(outcome, Outcome::Sent);
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_without_an_outcome_is_no_end() {
    let (site, client, task) = odd_peer(|_, mut respond| async move {
        let mut send = respond.send_response(Response::new(()), false).expect("a head");
        send.send_data(Bytes::from_static(b"HTTP/1.1 200 OK\r\n\r\n"), true).expect("data");
        true
    })
    .await;
    let (got, outcome, error) = post(&client, &site).await;
    assert_eq!((got, outcome), (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Outcome::Sent));
    assert!(error.to_string().contains("did not say how"), "{error}");
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_nobody_knows_is_unknown() {
    let (site, client, task) = odd_peer(|_, mut respond| async move {
        let mut send = respond.send_response(Response::new(()), false).expect("a head");
        let mut trailers = HeaderMap::new();
        trailers.insert("cheops-outcome", HeaderValue::from_static("splendid"));
        send.send_trailers(trailers).expect("trailers");
        true
    })
    .await;
    assert_eq!(post(&client, &site).await.1, Outcome::Sent);
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_stream_was_not_sent_and_a_cancelled_one_may_have_been() {
    for (reason, outcome) in [
        (h2::Reason::REFUSED_STREAM, Outcome::NotSent),
        (h2::Reason::CANCEL, Outcome::Sent),
        (h2::Reason::INTERNAL_ERROR, Outcome::Sent),
    ] {
        let (site, client, task) = odd_peer(move |_, mut respond| async move {
            respond.send_reset(reason);
            true
        })
        .await;
        assert_eq!(post(&client, &site).await.1, outcome, "{reason}");
        task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_above_the_last_of_a_goaway_was_not_sent() {
    let authority = authority();
    let paris = trust(&authority, &identity("edge", "Paris", "p1"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let task = tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.expect("a connection");
            let mut tls = TlsAcceptor::from(paris.server.clone()).accept(tcp).await.expect("TLS");
            frames(&mut tls).await.expect("frames");
            // Whoever reads on sees the GOAWAY before the end.
            let _rest = tls.read_to_end(&mut Vec::new()).await;
        }
    });
    let client = client(trust(&authority, &identity("edge", "Berlin", "b1")));
    let (_, outcome, error) = post(&client, &site("Paris", &[address])).await;
    assert_eq!(outcome, Outcome::NotSent, "{error}");
    task.abort();
}

/// HTTP/2 by hand (RFC 9113, 4.1): SETTINGS, a PONG for each PING, and at the first HEADERS a GOAWAY with last stream 0.
async fn frames(tls: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin)) -> std::io::Result<()> {
    const HEADERS: u8 = 1;
    const PING: u8 = 6;
    tls.read_exact(&mut [0; 24]).await?;
    tls.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
    loop {
        let mut head = [0; 9];
        tls.read_exact(&mut head).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        tls.read_exact(&mut payload).await?;
        match head[3] {
            PING if head[4] & 1 == 0 => {
                tls.write_all(&[0, 0, 8, PING, 1, 0, 0, 0, 0]).await?;
                tls.write_all(&payload).await?;
            }
            HEADERS => {
                tls.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await?;
                return tls.flush().await;
            }
            _ => {}
        }
    }
}

/// With nothing written, whatever happens to the link, nothing can have happened at the peer.
#[tokio::test(flavor = "multi_thread")]
async fn as_long_as_nothing_was_written_nothing_was_sent() {
    let (site, client, task) = odd_peer(|_, _| async { false }).await;
    let mut stream = client.open(&site, &envelope(), soon()).await.expect("open");
    let error = in_time(stream.ready()).await.expect_err("the peer died");
    assert_eq!(error.outcome(), Outcome::NotSent);
    task.abort();
}

/// A peer that stands still (stopped, or cut off without a word) is given up after the pulse's patience.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_stalls_is_given_up() {
    let (site, client, task) = odd_peer(|_, _| async { std::future::pending().await }).await;
    let began = Instant::now();
    assert_eq!(post(&client, &site).await.1, Outcome::Sent);
    assert!(began.elapsed() < SOON);
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_that_contradicts_the_certificate_is_refused() {
    let (running, client) = pair(|_| panic!("such an exchange is not served")).await;
    let lies = [
        Envelope { hops: vec![Hop { site: "Nantes".into(), host: "b1".into() }], ..envelope() },
        Envelope { hops: vec![Hop { site: "Berlin".into(), host: "b2".into() }], ..envelope() },
        Envelope { hops: Vec::new(), ..envelope() },
        Envelope { site: "Nantes".into(), ..envelope() },
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let mut stream = client.open(&running.site(), &lie, soon()).await.expect("open");
        let error = in_time(stream.ready()).await.expect_err("refused");
        assert_eq!(error.outcome(), Outcome::NotSent);
        running.counted(Count::BadEnvelope, number as u64 + 1).await;
    }
    assert_eq!(running.counters.get(Count::Exchanges), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_list_without_end_is_cut_off() {
    let (running, client) = pair(|_| panic!("such an exchange is not served")).await;
    let scope = Some("x".repeat(1 << 20));
    let result = client.open(&running.site(), &Envelope { scope, ..envelope() }, soon()).await;
    if let Ok(mut stream) = result {
        assert!(in_time(stream.ready()).await.is_err());
    }
    assert_eq!(running.counters.get(Count::Exchanges), 0);
}
