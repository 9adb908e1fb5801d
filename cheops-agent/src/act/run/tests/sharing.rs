use tokio::sync::Notify;

use super::*;
use crate::act::exchange::{Cause, Reached};
use crate::peer::{Count, Envelope, Hop};
use crate::plan::Route;

const OK: Does = Does::Answers("HTTP/1.1 200 Splendid\r\nserver: X\r\nContent-Length: 2\r\nX-a:  1\r\n\r\nhi");
const GET: &str =
    "GET /v2/images?a=%20b HTTP/1.1\r\nhOsT: glance\r\nX-Scope: {Glance: Paris}\r\nX-B:  1 \r\nx-b:\r\n\r\n";

/// The remote service sees the client's bytes without the scope; the client sees the service's answer with the fields
/// that say whose it is before the blank line.
#[tokio::test(flavor = "multi_thread")]
async fn the_request_and_the_answer_cross_byte_for_byte() {
    let sites = sites([OK, OK, OK]).await;
    let outcome = ask(&sites.berlin, &sites.berlin, GET).await;
    assert_eq!(
        sites.paris.service.seen(),
        ["GET /v2/images?a=%20b HTTP/1.1\r\nhOsT: glance\r\nX-B:  1 \r\nx-b:\r\n\r\n"]
    );
    assert_eq!(
        outcome.answer,
        "HTTP/1.1 200 Splendid\r\nserver: X\r\nContent-Length: 2\r\nX-a:  1\r\nX-Cheops-Request: r-1\r\nX-Cheops-Site: Paris\r\n\r\nhi"
    );
    assert_eq!(outcome.sites, ["Paris"]);
    let finished = outcome.ended.expect("an answer");
    assert_eq!((finished.status, finished.bytes_out, finished.next), (200, 2, Next::Request));
    assert!(sites.berlin.service.seen().is_empty() && sites.nantes.service.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parameter_is_cut_and_the_rest_of_the_query_stays() {
    let sites = sites([OK, OK, OK]).await;
    let request = "GET /v2/images?a=1&scope=%7BGlance:%20Paris%7D&b=2 HTTP/1.1\r\nHost: x\r\n\r\n";
    ask(&sites.berlin, &sites.berlin, request).await;
    assert_eq!(sites.paris.service.seen(), ["GET /v2/images?a=1&b=2 HTTP/1.1\r\nHost: x\r\n\r\n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_go_whole_both_ways() {
    let sites = sites([OK, Does::Echoes, OK]).await;
    let body: String = (0..300_000).map(|at| char::from(b'a' + (at / 7 % 26) as u8)).collect();
    let request = format!(
        "POST /v2/images HTTP/1.1\r\nHost: x\r\nX-Scope: {{Glance: Paris}}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let outcome = ask(&sites.berlin, &sites.berlin, &request).await;
    assert!(outcome.body() == body);
    assert_eq!(outcome.ended.expect("an answer").bytes_in, body.len() as u64);
}

/// Any agent may see a request for an endpoint of any site (AMENDMENTS 11): at Berlin, asked for Paris's endpoint, with a
/// scope that says Berlin, the own service serves.
#[tokio::test(flavor = "multi_thread")]
async fn the_own_service_serves_what_was_addressed_to_another_sites() {
    let sites = sites([OK, OK, OK]).await;
    let request = GET.replace("Paris", "Berlin");
    let outcome = ask(&sites.berlin, &sites.paris, &request).await;
    assert!(outcome.head().contains("X-Cheops-Site: Berlin\r\n"), "{}", outcome.answer);
    assert_eq!((sites.berlin.service.seen().len(), sites.paris.service.seen().len()), (1, 0));
    assert_eq!(sites.berlin.counters.get(Count::Exchanges) + sites.paris.counters.get(Count::Exchanges), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_exported_is_refused_by_its_site() {
    let sites = sites_with([OK, OK, OK], Options { export: false, ..Options::default() }).await;
    let outcome = ask(&sites.berlin, &sites.berlin, GET).await;
    let (code, detail) = outcome.problem();
    assert_eq!(code, "not-exported");
    assert!(outcome.head().starts_with("HTTP/1.1 403 ") && detail.contains("Paris") && detail.contains("Glance"));
    assert!(sites.paris.service.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_whose_agent_is_gone_is_named() {
    let mut sites = sites([OK, OK, OK]).await;
    sites.paris.kill().await;
    let outcome = ask(&sites.berlin, &sites.berlin, GET).await;
    let (code, detail) = outcome.problem();
    assert_eq!(code, "peer-unreachable");
    assert!(outcome.head().starts_with("HTTP/1.1 503 ") && detail.contains("Paris"), "{detail}");
    assert!(matches!(outcome.ended, Err(RunError::Refused { body_taken: true, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_refuses_is_named_with_its_site() {
    let mut sites = sites([OK, OK, OK]).await;
    sites.paris.service.stop().await;
    let outcome = ask(&sites.berlin, &sites.berlin, GET).await;
    let (code, detail) = outcome.problem();
    assert_eq!(code, "service-unreachable");
    assert!(outcome.head().starts_with("HTTP/1.1 502 ") && detail.contains("Paris"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_after_sending_is_an_unknown_outcome() {
    for (does, own) in [(Does::Dies, false), (Does::Dies, true)] {
        let sites = sites([does.clone(), does, OK]).await;
        let request = if own { GET.replace("Paris", "Berlin") } else { GET.to_owned() };
        let outcome = ask(&sites.berlin, if own { &sites.paris } else { &sites.berlin }, &request).await;
        assert_eq!(outcome.refusal_code(), "outcome-unknown", "own: {own}");
        assert!(outcome.head().starts_with("HTTP/1.1 502 "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_begin_is_a_timeout() {
    let options = Options { exchange: Duration::from_millis(300), ..Options::default() };
    let sites = sites_with([OK, Does::Hangs, OK], options).await;
    let outcome = ask(&sites.berlin, &sites.berlin, GET).await;
    assert_eq!(outcome.refusal_code(), "timeout");
    assert!(outcome.head().starts_with("HTTP/1.1 504 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_http_is_kept_from_the_client() {
    let sites =
        sites([OK, Does::Answers("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"), OK]).await;
    let outcome = ask(&sites.berlin, &sites.berlin, GET).await;
    assert_eq!(outcome.refusal_code(), "bad-answer");
}

/// Never a short body that looks whole: the exchange fails after the answer has begun, and the connection is cut.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_seen_to() {
    let arrived = Arc::new(Notify::new());
    let sites = sites([OK, Does::DiesHalfway(arrived.clone()), OK]).await;
    let (near, mut client) = duplex(64 * 1024);
    client.write_all(GET.as_bytes()).await.expect("written");
    let talking = async {
        let answer = read_until(&mut client, b"half").await;
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        arrived.notify_one();
    };
    let (ran, ()) = in_time(async { tokio::join!(take(&sites.berlin, &sites.berlin, near), talking) }).await;
    match ran.ended {
        Err(RunError::Exchange(error)) => {
            assert!(error.reached == Reached::AnswerBegun && !matches!(error.cause, Cause::Framing(_)))
        }
        other => panic!("{other:?}"),
    }
}

/// What came until `end`.
async fn read_until(client: &mut DuplexStream, end: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        assert!(client.read_buf(&mut read).await.expect("read") > 0, "{}", String::from_utf8_lossy(&read));
    }
    read
}

/// Also when its length is known only by the connection's end, which an agent's death must not look like.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_until_close_ends_only_when_the_service_ended_it() {
    let sites = sites([OK, Does::Hangs, OK]).await;
    drop(sites);
    let mut sites = sites_with([OK, Does::Answers("HTTP/1.1 200 OK\r\n\r\nbegun"), OK], Options::default()).await;
    let (near, mut client) = duplex(64 * 1024);
    client.write_all(GET.as_bytes()).await.expect("written");
    let talking = async {
        read_until(&mut client, b"begun").await;
        sites.paris.task.abort();
    };
    let addressed = &sites.berlin;
    let (ran, ()) = in_time(async { tokio::join!(take(&sites.berlin, addressed, near), talking) }).await;
    assert!(matches!(ran.ended, Err(RunError::Exchange(error)) if error.reached == Reached::AnswerBegun));
    sites.paris.stop.cancel();
    let _ended = (&mut sites.paris.task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_becomes_a_tunnel_through_the_peer() {
    let sites = sites([OK, Does::Upgrades, OK]).await;
    let (near, mut client) = duplex(64 * 1024);
    let request =
        "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\nConnection: Upgrade\r\nX-Scope: {Glance: Paris}\r\n\r\n";
    let talking = async {
        client.write_all(request.as_bytes()).await.expect("written");
        let read = read_until(&mut client, b"\r\n\r\n").await;
        assert!(read.starts_with(b"HTTP/1.1 101 "));
        client.write_all(b"any \0 bytes").await.expect("written");
        client.shutdown().await.expect("half-closed");
        let mut back = Vec::new();
        client.read_to_end(&mut back).await.expect("read");
        assert_eq!(back, b"any \0 bytes");
    };
    let (ran, ()) = in_time(async { tokio::join!(take(&sites.berlin, &sites.berlin, near), talking) }).await;
    let finished = ran.ended.expect("a tunnel");
    assert_eq!((finished.status, finished.next), (101, Next::End));
}

/// The client goes: the service at the other site sees its connection end.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_takes_its_remote_exchange_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut sites = sites([OK, OK, OK]).await;
    // Paris's service is this listener.
    let to = listener.local_addr().expect("bound");
    for at in [&mut sites.berlin, &mut sites.paris] {
        let mut snapshot = Snapshot::clone(&at.shared.snapshot.load());
        let service = Arc::make_mut(&mut snapshot.services[0]);
        service.endpoints.get_mut("Paris").expect("there")[0].addresses = vec![to];
        at.shared.snapshot.store(Arc::new(snapshot));
    }
    let (near, mut client) = duplex(64 * 1024);
    client.write_all(GET.as_bytes()).await.expect("written");
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut read).await.expect("read");
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nevent").await.expect("written");
        let mut got = Vec::new();
        while !got.ends_with(b"event") {
            client.read_buf(&mut got).await.expect("read");
        }
        drop(client);
        // Writes until the way back is closed.
        while stream.write_all(b"event").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (_, ()) = in_time(async { tokio::join!(take(&sites.berlin, &sites.berlin, near), serving) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prefixes_are_swapped_and_locations_come_home() {
    let options = Options { prefixes: ["/image", "/glance/api", ""], own_host: true, ..Options::default() };
    let sites = sites_with([OK, OK, OK], options).await;
    let paris = sites.paris.service.address;
    let answer = format!(
        "HTTP/1.1 201 Created\r\nLocation: http://{paris}/glance/api/v2/images/7\r\nContent-Location: /glance/api/v2/images/7\r\nLink: http://{paris}/glance/api/x\r\nContent-Length: 0\r\n\r\n"
    );
    let other = Small::start(Does::Answers(answer.leak())).await;
    for at in [&sites.berlin, &sites.paris] {
        let mut snapshot = Snapshot::clone(&at.shared.snapshot.load());
        let service = Arc::make_mut(&mut snapshot.services[0]);
        service.endpoints.get_mut("Paris").expect("there")[0].addresses = vec![other.address];
        at.shared.snapshot.store(Arc::new(snapshot));
    }
    let request =
        "POST /image/v2/images?x=/image HTTP/1.1\r\nHost: me\r\nX-Scope: {Glance: Paris}\r\nContent-Length: 0\r\n\r\n";
    let outcome = ask(&sites.berlin, &sites.berlin, request).await;
    assert_eq!(
        other.seen(),
        [format!("POST /glance/api/v2/images?x=/image HTTP/1.1\r\nHost: {paris}\r\nContent-Length: 0\r\n\r\n")]
    );
    let berlin = sites.berlin.service.address;
    assert!(outcome.head().contains(&format!("Location: http://{berlin}/image/v2/images/7\r\n")), "{}", outcome.answer);
    assert!(outcome.head().contains("Content-Location: /image/v2/images/7\r\n"), "{}", outcome.answer);
    assert!(outcome.head().contains(&format!("Link: http://{paris}/glance/api/x\r\n")), "{}", outcome.answer);
}

/// Opens an exchange at Paris by hand, as an agent of Berlin could.
async fn by_hand(sites: &Sites, change: impl FnOnce(&mut Envelope), request: &str) -> crate::peer::PeerError {
    let (address, hop) = (sites.paris.service.address.to_string(), Hop { site: "Berlin".into(), host: "h1".into() });
    let of_agent = Envelope::of_agent("Paris".into(), "Glance".into(), address, hop, SOON);
    let mut envelope = Envelope { request: "r-2".to_owned(), deadline: None, ..of_agent };
    change(&mut envelope);
    let snapshot = sites.berlin.shared.snapshot.load();
    let site = snapshot.sites.get("Paris").expect("there");
    let client = sites.berlin.shared.peers.as_ref().expect("peers");
    let deadline = tokio::time::Instant::now() + SOON;
    let mut stream = client.open(site, &envelope, deadline).await.expect("open");
    let _written = stream.write_all(request.as_bytes()).await;
    let _ended = stream.shutdown().await;
    in_time(stream.read_to_end(&mut Vec::new())).await.expect_err("refused");
    stream.failure().expect("a failure").clone()
}

/// Third net of three: a request that has passed here is refused, and so is one that has passed too many.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_back_is_a_loop() {
    let sites = sites([OK, OK, OK]).await;
    let here = Hop { site: "Paris".into(), host: "h1".into() };
    let berlin = Hop { site: "Berlin".into(), host: "h1".into() };
    for hops in [vec![here, berlin.clone()], vec![berlin; 6]] {
        let failure = by_hand(&sites, |envelope| envelope.hops = hops, GET).await;
        assert_eq!((failure.code(), failure.outcome()), (Code::Loop, crate::peer::Outcome::NotSent), "{failure}");
    }
    assert!(sites.paris.service.seen().is_empty());
}

/// An endpoint of Paris that is its own agent's port.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_the_agent_itself_is_a_loop() {
    let sites = sites([OK, OK, OK]).await;
    sites.paris.shared.own.store(Arc::new(vec![sites.paris.service.address]));
    let outcome = ask(&sites.berlin, &sites.berlin, GET).await;
    assert_eq!(outcome.refusal_code(), "loop");
    assert!(outcome.head().starts_with("HTTP/1.1 508 "));
    assert!(sites.paris.service.seen().is_empty());
}

/// Peers are strangers with a certificate: what they send is read as strictly as a client's.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_sends_is_read_strictly() {
    let sites = sites_with([OK, OK, OK], Options { prefixes: ["", "/image", ""], ..Options::default() }).await;
    let address = format!("{}/image", sites.paris.service.address);
    for (request, code) in [
        ("", Code::MalformedRequest),
        ("GET /image/x HTTP/1.1\r\nHost: x\r\n", Code::MalformedRequest),
        ("\x16\x03\x01 no HTTP\r\n\r\n", Code::MalformedRequest),
        ("GET /image/x HTTP/1.1\r\nHost : x\r\n\r\n", Code::MalformedRequest),
        (
            "POST /image HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            Code::MalformedRequest,
        ),
        ("GET /admin HTTP/1.1\r\nHost: x\r\n\r\n", Code::UnmatchedTarget),
        ("GET /imagery HTTP/1.1\r\nHost: x\r\n\r\n", Code::UnmatchedTarget),
    ] {
        let failure = by_hand(&sites, |envelope| envelope.endpoint = address.clone(), request).await;
        assert_eq!((failure.code(), failure.outcome()), (code, crate::peer::Outcome::NotSent), "{request}: {failure}");
    }
    for (change, code) in [
        (
            Box::new(|envelope: &mut Envelope| envelope.service = "Nova".into()) as Box<dyn FnOnce(&mut Envelope)>,
            Code::NotExported,
        ),
        (Box::new(|envelope: &mut Envelope| envelope.endpoint = "10.0.0.1:1/other".to_owned()), Code::UnmatchedTarget),
    ] {
        let failure = by_hand(&sites, change, GET).await;
        assert_eq!((failure.code(), failure.outcome()), (code, crate::peer::Outcome::NotSent), "{failure}");
    }
    assert!(sites.paris.service.seen().is_empty());
}

/// The service must not take a request that came from a peer for one of its own host.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_sees_the_peers_address_and_a_client_of_its_own() {
    let sites = sites([OK, OK, OK]).await;
    let request = RequestHead::parse(Bytes::from_static(GET.as_bytes()), 100).expect("a request");
    let (plan, _) = planned(&sites.berlin, &sites.berlin, &request);
    assert!(matches!(plan.route, Route::At(_)));
    ask(&sites.berlin, &sites.berlin, GET).await;
    let origins = &sites.paris.origins;
    assert!(origins.announced().iter().all(|client| client.get().ip().is_loopback()), "the peer agent's own address");
    assert_eq!(origins.announced().len(), 1);
    assert!(sites.berlin.origins.announced().is_empty());
}
