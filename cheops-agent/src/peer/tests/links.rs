use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::http::Code;
use crate::metadata::Snapshot;

fn nothing(call: Call) -> Serving {
    Box::pin(async move {
        let (stream, _place) = call.accept().expect("accepted");
        stream.finish().expect("finished");
    })
}

/// Opens an exchange, which must fail with nothing sent; the error's text.
async fn refused(client: &Client, site: &Site) -> String {
    let error = in_time(client.open(site, &envelope(), soon())).await.err().expect("refused");
    assert_eq!((error.outcome(), error.code()), (Outcome::NotSent, Code::PeerUnreachable));
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_authority_is_not_let_in() {
    let (running, _) = pair(nothing).await;
    let stranger = client(trust(&authority(), &identity("edge", "Berlin", "b1")));
    // Neither trusts the other; the client finds out first.
    let text = refused(&stranger, &running.site()).await;
    assert!(text.contains("Paris") && text.contains("TLS"), "{text}");
    running.counted(Count::HandshakeFailed, 1).await;
    assert_eq!(running.counters.get(Count::Exchanges), 0);
}

/// The server's own look at the client's certificate: a client that would trust anybody, and has none.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_certificate_is_not_let_in() {
    let (running, _client) = pair(nothing).await;
    // TLS ends with an alert, which reaches the client as an error and the server as a count.
    knock(&running, None).await;
    running.counted(Count::HandshakeFailed, 1).await;
}

/// The server's look at what a good certificate says: the federation must be its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_federation_is_not_let_in() {
    let authority = authority();
    let (running, _client) = pair_of(&authority).await;
    let theirs = authority.issue(&identity("other", "Berlin", "b1"), Validity::days(1)).expect("a certificate");
    knock(&running, Some(theirs)).await;
    running.counted(Count::WrongIdentity, 1).await;
    assert_eq!(running.counters.get(Count::Connected), 0);
}

/// Tries to speak HTTP/2 with this certificate, and must be turned away.
async fn knock(running: &Running, issued: Option<super::trust::Issued>) {
    use rustls::pki_types::pem::PemObject;
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a version")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = match issued {
        None => config.with_no_client_auth(),
        Some(issued) => {
            let chain = rustls::pki_types::CertificateDer::from_pem_slice(issued.certificate.as_bytes());
            let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(issued.key.as_bytes());
            config.with_client_auth_cert(vec![chain.expect("PEM")], key.expect("PEM")).expect("a pair")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(running.address).await.expect("connected");
    let name = rustls::pki_types::ServerName::IpAddress(running.address.ip().into());
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    if let Ok(mut tls) = in_time(connector.connect(name, tcp)).await {
        let _written = tls.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let mut answer = Vec::new();
        let _end = in_time(tls.read_to_end(&mut answer)).await;
        assert!(answer.is_empty(), "HTTP/2 was spoken");
    }
}

#[derive(Debug)]
struct Anybody;

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dialled_site_must_be_the_certificates() {
    let authority = authority();
    // Nantes's certificate at the address that is said to be Paris's.
    let nantes = trust(&authority, &identity("edge", "Nantes", "n1"));
    let running = Running::start(Security::Tls(nantes), server_limits(), nothing).await;
    let client = client(trust(&authority, &identity("edge", "Berlin", "b1")));
    let text = refused(&client, &running.site()).await;
    assert!(text.contains("cheops://edge/Nantes/n1") && text.contains("cheops://edge/Paris"), "{text}");
    assert_eq!(running.counters.get(Count::Exchanges), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_federation_is_refused_both_ways() {
    let authority = authority();
    let theirs = trust(&authority, &identity("other", "Paris", "p1"));
    let running = Running::start(Security::Tls(theirs), server_limits(), nothing).await;
    let client = client(trust(&authority, &identity("edge", "Berlin", "b1")));
    let text = refused(&client, &running.site()).await;
    assert!(text.contains("cheops://other/Paris/p1"), "{text}");

    // The other way: the server is of `edge`, the client of `other` accepts it and is refused.
    let (running, _) = pair_of(&authority).await;
    let other = super::client(trust(&authority, &identity("other", "Berlin", "b1")));
    refused(&other, &running.site()).await;
}

async fn pair_of(authority: &Authority) -> (Running, Client) {
    let paris = trust(authority, &identity("edge", "Paris", "p1"));
    let running = Running::start(Security::Tls(paris), server_limits(), nothing).await;
    (running, client(trust(authority, &identity("edge", "Berlin", "b1"))))
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_and_noise_are_counted_and_closed() {
    let (running, client) = pair(nothing).await;
    for noise in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0xff; 4096]] {
        let mut tcp = TcpStream::connect(running.address).await.expect("connected");
        tcp.write_all(noise).await.expect("written");
        // An alert or nothing, and the end.
        let _end = in_time(tcp.read_to_end(&mut Vec::new())).await;
    }
    running.counted(Count::HandshakeFailed, 3).await;
    client.open(&running.site(), &envelope(), soon()).await.expect("others are served all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_is_closed_in_time() {
    let authority = authority();
    let paris = trust(&authority, &identity("edge", "Paris", "p1"));
    let limits = ServerLimits { handshake: Duration::from_millis(100), ..server_limits() };
    let running = Running::start(Security::Tls(paris), limits, nothing).await;
    let mut tcp = TcpStream::connect(running.address).await.expect("connected");
    in_time(tcp.read_to_end(&mut Vec::new())).await.expect("closed");
    running.counted(Count::HandshakeFailed, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_peer_fails_fast_and_is_found_again() {
    let authority = authority();
    let paris = trust(&authority, &identity("edge", "Paris", "p1"));
    let client = client(trust(&authority, &identity("edge", "Berlin", "b1")));
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let site = site("Paris", &[address.to_string()]);
    for _ in 0..100 {
        refused(&client, &site).await;
    }
    assert_eq!(client.counters().get(Count::DialFailed), 1, "requests don't dial an agent that is down");
    for _ in 0..100 {
        client.hello(&site.name, &address.to_string(), &Asks::default(), soon()).await.expect_err("nobody listens");
    }
    let dialled = client.counters().get(Count::DialFailed);
    assert!(dialled < 50, "{dialled} dials for 100 probes: the pause after a failure is not kept");

    let me = identity("edge", "Paris", "p1");
    let server = Server::bind(address, me, Security::Tls(paris), server_limits(), Arc::default()).await.expect("bound");
    let stop = CancellationToken::new();
    let serving = tokio::spawn(async move { server.run(Arc::new(By(nothing)), stop).await });
    in_time(async {
        while client.open(&site, &envelope(), soon()).await.is_err() {
            assert_eq!(client.counters().get(Count::Dialled), 0, "only a probe finds it");
            tokio::time::sleep(Duration::from_millis(10)).await;
            // It may still be too soon for it.
            let _found = client.hello(&site.name, &address.to_string(), &Asks::default(), soon()).await;
        }
    })
    .await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_agent_of_the_site_is_tried() {
    let (running, client) = pair(nothing).await;
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let dead = free.local_addr().expect("an address").to_string();
    drop(free);
    let site = site("Paris", &[dead, running.address.to_string()]);
    client.open(&site, &envelope(), soon()).await.expect("the second agent");
    let text = refused(&client, &super::site("Nowhere", &[])).await;
    assert!(text.contains("no agent of it is known"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_shakes_hands_costs_the_connect_time_only() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let limits = ClientLimits { connect: Duration::from_millis(200), ..client_limits() };
    let mine = trust(&authority(), &identity("edge", "Berlin", "b1"));
    let client = Client::new(Security::Tls(mine), limits, Arc::default());
    let began = Instant::now();
    let text = refused(&client, &site("Paris", std::slice::from_ref(&address))).await;
    assert!(text.contains("no connection within 0.2 s"), "{text}");
    assert!(began.elapsed() < SOON / 2);
    // And a deadline that is shorter still holds.
    let client = Client::new(
        Security::Tls(trust(&authority(), &identity("edge", "Berlin", "b1"))),
        client_limits(),
        Arc::default(),
    );
    let deadline = Instant::now() + Duration::from_millis(100);
    let error = client.open(&site("Paris", &[address]), &envelope(), deadline).await.err().expect("late");
    assert_eq!(error.outcome(), Outcome::NotSent);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_are_used_from_the_next_connection_on() {
    let authority = authority();
    let (running, good) = pair_of(&authority).await;
    let bad = client(trust(&super::authority(), &identity("edge", "Berlin", "b1")));
    refused(&bad, &running.site()).await;
    bad.replace_security(Security::Tls(trust(&authority, &identity("edge", "Berlin", "b1"))));
    in_time(async {
        while bad.open(&running.site(), &envelope(), soon()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let _found = bad.hello(&"Paris".into(), &running.address.to_string(), &Asks::default(), soon()).await;
        }
    })
    .await;
    drop(good);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_finishes_what_is_open_and_takes_no_more() {
    let go = Arc::new(tokio::sync::Notify::new());
    let going = go.clone();
    let (mut running, client) = pair(move |call| {
        let going = going.clone();
        Box::pin(async move {
            // Those that were opened only to see whether anything new starts may be gone already.
            let Ok((mut stream, _place)) = call.accept() else { return };
            going.notified().await;
            stream.write_all(b"done").await.expect("written");
            stream.finish().expect("finished");
        })
    })
    .await;
    let mut open = client.open(&running.site(), &envelope(), soon()).await.expect("open");
    open.write_all(b"x").await.expect("written");
    open.ready().await.expect("taken on");
    running.stop.cancel();
    // The connection says that it goes; then nothing new starts on it, and no new connection is taken.
    in_time(async {
        while client.open(&running.site(), &envelope(), Instant::now() + Duration::from_millis(200)).await.is_ok() {}
    })
    .await;
    go.notify_one();
    let mut answer = Vec::new();
    in_time(open.read_to_end(&mut answer)).await.expect("what was open ends well");
    assert_eq!(answer, b"done");
    drop(open);
    client.close().await;
    in_time(&mut running.task).await.expect("the server has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn liveness_tells_who_lives_and_how_far_away() {
    let (running, client) = pair(nothing).await;
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let dead = free.local_addr().expect("an address").to_string();
    drop(free);
    let mut snapshot = Snapshot::default();
    for site in [running.site(), site("Nantes", &[dead])] {
        snapshot.sites.insert(site.name.clone(), site);
    }
    let (liveness, snapshot) = (Liveness::new(), Arc::new(snapshot));
    let stopped = AtomicBool::new(false);
    let watching = async {
        loop {
            let (paris, nantes) = (liveness.site(&"Paris".into()), liveness.site(&"Nantes".into()));
            if !stopped.load(Ordering::Relaxed) {
                if paris.state == PeerState::Alive && nantes.state == PeerState::Dead {
                    assert!(paris.rtt_min.expect("a distance") <= paris.rtt.expect("a distance"));
                    assert!(paris.age.expect("an age") < SOON && nantes.age.is_none());
                    assert_eq!(paris.host, Some("p1".into()));
                    assert!(nantes.trouble.expect("a reason").contains("refused"));
                    running.task.abort();
                    stopped.store(true, Ordering::Relaxed);
                }
            } else if paris.state == PeerState::Dead {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = liveness.run(&client, || snapshot.clone(), &[]) => {}
        () = in_time(watching) => {}
    }
}

/// A reader knows by HTTP's own framing that an answer is whole, and is gone when the stream's trailers come. That is no
/// offence of the peer's, however often it happens: the link stays.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_exchanges_whose_readers_leave_before_the_trailers_keep_the_link() {
    const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
    let (running, client) = pair(|call| {
        Box::pin(async move {
            let (mut stream, _place) = call.accept().expect("accepted");
            stream.read_exact(&mut [0; 1]).await.expect("the request");
            if stream.write_all(ANSWER).await.is_ok() {
                tokio::task::yield_now().await;
                // The reader may have gone.
                let _finished = stream.finish();
            }
        })
    })
    .await;
    let client = std::sync::Arc::new(client);
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (client, site) = (client.clone(), running.site());
        readers.spawn(async move {
            for _ in 0..60 {
                let mut stream = client.open(&site, &envelope(), soon()).await.expect("open");
                stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("written");
                stream.read_exact(&mut [0; ANSWER.len()]).await.expect("the answer");
            }
        });
    }
    in_time(readers.join_all()).await;
    assert_eq!(running.counters.get(Count::Connected), 1);
}
