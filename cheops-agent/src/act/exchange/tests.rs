mod calls;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const BOUNDS: Bounds = Bounds {
    head_bytes: 4096,
    fields: 20,
    around: Around { extension: 100, trailers: 200 },
    pipelined: 65_536,
    header_read: Duration::from_millis(200),
    body_read: Duration::from_millis(200),
};

/// An exchange whose request head is read, with both far ends in the test's hands.
struct Scene {
    head: RequestHead,
    client: Wire<DuplexStream>,
    service: Wire<DuplexStream>,
}

fn scene(request: &str) -> (Scene, DuplexStream, DuplexStream) {
    let (far_client, client) = duplex(64);
    let (far_service, service) = duplex(64);
    let end = request.find("\r\n\r\n").expect("a head") + 4;
    let mut pending = BytesMut::from(request);
    let raw = pending.split_to(end).freeze();
    let head = RequestHead::parse(raw, 20).expect("well-formed");
    let scene = Scene { head, client: Wire::with_pending(client, pending), service: Wire::new(service) };
    (scene, far_client, far_service)
}

impl Scene {
    async fn run(&mut self) -> Result<Finished, ExchangeError> {
        self.run_with(None, Answering::AS_IT_IS).await
    }

    async fn run_with(&mut self, kept: Option<&mut Kept>, answering: Answering<'_>) -> Result<Finished, ExchangeError> {
        let sending = Sending { request: &self.head, head: self.head.raw().clone(), kept };
        exchange(&mut self.client, &mut self.service, sending, answering, BOUNDS).await
    }
}

async fn read(from: &mut DuplexStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await.expect("so many bytes");
    String::from_utf8(bytes).expect("text")
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
const POST: &str = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// Runs `request` against a service that answers `answer` to exactly the bytes of it, and compares what the client gets.
async fn answered(request: &str, answer: &str) -> Finished {
    let (mut scene, mut client, mut service) = scene(request);
    let far = async {
        assert_eq!(read(&mut service, request.len()).await, request);
        let until_close = !answer.contains("ength:") && !answer.contains("chunked");
        let write = async {
            service.write_all(answer.as_bytes()).await.expect("room");
            if until_close {
                service.shutdown().await.expect("open");
            }
        };
        let ((), seen) = tokio::join!(write, read(&mut client, answer.len()));
        assert_eq!(seen, answer);
    };
    let (finished, ()) = tokio::join!(scene.run(), far);
    finished.expect("an exchange")
}

#[tokio::test]
async fn messages_of_every_framing_go_through_unchanged() {
    let long = format!("{}5\r\nabcde\r\n0\r\nX-T: 1\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (request, answer, next) in [
        (GET, OK, Next::Request),
        (GET, "HTTP/1.1 200 OK\r\n\r\nuntil close", Next::End),
        (GET, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", Next::End),
        (GET, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", Next::End),
        (GET, &long, Next::Request),
        (
            GET,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 204 None\r\nX-length: \r\n\r\n",
            Next::Request,
        ),
        (GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Next::Request),
        ("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Next::Request),
        ("HEAD / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n", Next::End),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", OK, Next::Request),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;e=f\r\na\r\n2\r\nbc\r\n0\r\nT: u\r\n\r\n",
            OK,
            Next::Request,
        ),
    ] {
        assert_eq!(answered(request, answer).await.next, next, "{request:?} {answer:?}");
    }
}

#[tokio::test]
async fn what_is_pipelined_stays_pending() {
    let (mut scene, mut client, mut service) = scene(&format!("{POST}12345{GET}"));
    let far = async {
        assert_eq!(read(&mut service, POST.len() + 5).await, format!("{POST}12345"));
        client.write_all(GET.as_bytes()).await.expect("room");
        service.write_all(OK.as_bytes()).await.expect("room");
        assert_eq!(read(&mut client, OK.len()).await, OK);
    };
    let (finished, ()) = tokio::join!(scene.run(), far);
    let expected = Finished { status: 200, bytes_in: 5, bytes_out: 2, next: Next::Request };
    assert_eq!(finished.expect("an exchange"), expected);
    assert_eq!(scene.client.pending, format!("{GET}{GET}"));
}

#[tokio::test]
async fn an_answer_may_come_before_the_body() {
    let (mut scene, mut client, mut service) = scene(POST);
    let far = async {
        read(&mut service, POST.len()).await;
        service.write_all(OK.as_bytes()).await.expect("room");
        assert_eq!(read(&mut client, OK.len()).await, OK);
        client.write_all(b"12345").await.expect("room");
        assert_eq!(read(&mut service, 5).await, "12345");
    };
    let (finished, ()) = tokio::join!(scene.run(), far);
    assert_eq!(finished.expect("an exchange").next, Next::Request);
}

#[tokio::test]
async fn an_early_answer_of_a_service_that_closes_reaches_the_client() {
    let (mut scene, mut client, mut service) = scene(POST);
    let far = async move {
        read(&mut service, POST.len()).await;
        service.write_all(b"HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await.expect("room");
        drop(service);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("to its end");
        assert!(answer.starts_with("HTTP/1.1 413"));
    };
    let (finished, ()) = tokio::join!(scene.run(), far);
    assert_eq!(finished.expect("an exchange").next, Next::End);
}

#[tokio::test]
async fn a_service_that_ended_its_side_still_gets_the_bodys_rest() {
    let (mut scene, mut client, mut service) = scene(POST);
    let far = async {
        read(&mut service, POST.len()).await;
        service.write_all(OK.as_bytes()).await.expect("room");
        service.shutdown().await.expect("open");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("to its end");
        assert_eq!(answer, OK);
        client.write_all(b"12345").await.expect("room");
        assert_eq!(read(&mut service, 5).await, "12345");
        client
    };
    let (finished, _client) = tokio::join!(scene.run(), far);
    assert_eq!(finished.expect("an exchange").next, Next::End);
}

#[tokio::test]
async fn both_ways_of_leaving_http_are_seen_only_with_the_answer() {
    let upgrade = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: ws\r\nConnection: upgrade\r\n\r\n";
    let connect = "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n";
    for (request, answer, next) in [
        (upgrade, "HTTP/1.1 101 Go\r\nX-length: \r\n\r\n", Next::Tunnel),
        (upgrade, "HTTP/1.1 400 No\r\nContent-Length: 1\r\n\r\nx", Next::Request),
        (connect, "HTTP/1.1 200 Yes\r\nX-length: \r\n\r\n", Next::Tunnel),
        (connect, "HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\nx", Next::Request),
    ] {
        assert_eq!(answered(request, answer).await.next, next, "{answer}");
    }
    let (mut scene, _client, mut service) = scene(GET);
    let far = async { service.write_all(b"HTTP/1.1 101 Go\r\n\r\n").await };
    let (error, _) = tokio::join!(scene.run(), far);
    assert!(matches!(error.expect_err("unasked").cause, Cause::Framing(_)));
}

#[tokio::test]
async fn failures_tell_the_side_and_how_far_it_got() {
    // The service ends without an answer.
    let (mut one, _client, mut service) = scene(GET);
    let far = async {
        read(&mut service, GET.len()).await;
        drop(service);
    };
    let (error, ()) = tokio::join!(one.run(), far);
    let error = error.expect_err("no answer");
    assert!(
        matches!(error, ExchangeError { side: Side::Service, reached: Reached::Sent, body_taken: true, .. }),
        "{error}"
    );

    // The service takes nothing.
    let (mut two, _client, service) = scene(GET);
    drop(service);
    let error = two.run().await.expect_err("nobody");
    assert!(matches!(error, ExchangeError { side: Side::Service, reached: Reached::Nothing, .. }), "{error}");

    // The service ends inside its answer.
    let (mut three, mut client, mut service) = scene(GET);
    let far = async {
        service.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await.expect("room");
        drop(service);
        read(&mut client, 42).await
    };
    let (error, _) = tokio::join!(three.run(), far);
    let error = error.expect_err("half an answer");
    assert!(matches!(error, ExchangeError { side: Side::Service, reached: Reached::AnswerBegun, .. }), "{error}");

    // The client goes while the answer is awaited.
    let (mut four, client, _service) = scene(GET);
    drop(client);
    let waited = tokio::time::timeout(Duration::from_millis(50), four.run()).await;
    assert!(waited.is_err(), "a half-close is no failure");
}

#[tokio::test]
async fn answers_that_are_not_well_formed_never_reach_the_client() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/2 200 OK\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let (mut scene, _client, mut service) = scene(GET);
        let (error, _) = tokio::join!(scene.run(), service.write_all(answer.as_bytes()));
        let error = error.expect_err(answer);
        assert!(matches!((error.reached, &error.cause), (Reached::Sent, Cause::Framing(_))), "{answer:?}: {error}");
    }
}

#[tokio::test]
async fn a_bad_chunk_in_what_has_arrived_sends_nothing() {
    let (mut scene, _client, _service) =
        scene("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n");
    let error = scene.run().await.expect_err("a bad chunk");
    assert!(matches!(error, ExchangeError { side: Side::Client, reached: Reached::Nothing, .. }), "{error}");
}

#[tokio::test]
async fn a_half_close_reaches_the_service_and_its_answer_the_client() {
    let (mut scene, mut client, mut service) = scene(GET);
    let far = async {
        client.shutdown().await.expect("open");
        let mut all = String::new();
        service.read_to_string(&mut all).await.expect("to its end");
        assert_eq!(all, GET);
        service.write_all(OK.as_bytes()).await.expect("room");
        assert_eq!(read(&mut client, OK.len()).await, OK);
    };
    let (finished, ()) = tokio::join!(scene.run(), far);
    assert_eq!(finished.expect("an exchange").next, Next::Request);
    assert!(scene.client.ended() && scene.service.is_shut());
}

#[tokio::test]
async fn time_limits_are_kept_and_told_apart() {
    let (mut one, _client, _service) = scene(POST);
    let error = one.run().await.expect_err("no body");
    assert!(matches!(error, ExchangeError { side: Side::Client, cause: Cause::Timeout(..), .. }), "{error}");

    let (mut two, _client, mut service) = scene(GET);
    let (error, _) = tokio::join!(two.run(), service.write_all(b"HTTP/1.1 2"));
    let error = error.expect_err("half a head");
    assert!(matches!(error, ExchangeError { side: Side::Service, cause: Cause::Timeout(..), .. }), "{error}");

    let (mut three, _client, _service) = scene(GET);
    let answering = Answering { judge: None, begin_within: Some(Duration::from_millis(50)), closing: None };
    let error = three.run_with(None, answering).await.expect_err("no answer");
    assert!(matches!(error, ExchangeError { side: Side::Service, reached: Reached::Sent, .. }), "{error}");

    // Nobody owes anything while the service thinks, or while the client waits to be told to continue.
    let waits = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    for request in [GET, waits] {
        let (mut four, _client, mut service) = scene(request);
        let quiet = async {
            assert_eq!(read(&mut service, request.len()).await, request);
            tokio::time::sleep(BOUNDS.body_read * 3).await;
        };
        tokio::select! {
            ended = four.run() => panic!("{request}: {ended:?}"),
            () = quiet => {}
        }
    }
}

#[tokio::test]
async fn a_declined_answer_leaves_the_request_for_another_service() {
    let (mut scene, mut client, mut service) = scene(&format!("{POST}12"));
    let mut kept = Kept::new(10);
    let mut judge =
        |head: &AnswerHead| if head.status() == 503 { Judged::Decline(head.raw().clone()) } else { Judged::AsItIs };
    let far = async {
        client.write_all(b"345").await.expect("room");
        client.write_all(GET.as_bytes()).await.expect("room");
        read(&mut service, POST.len() + 5).await;
        service.write_all(b"HTTP/1.1 503 Full\r\nContent-Length: 0\r\n\r\n").await.expect("room");
    };
    let answering = Answering { judge: Some(&mut judge), ..Answering::AS_IT_IS };
    let (error, ()) = tokio::join!(scene.run_with(Some(&mut kept), answering), far);
    assert!(matches!(error.expect_err("declined").cause, Cause::Declined(503)));

    let (mut other, near) = duplex(64);
    scene.service = Wire::new(near);
    assert!(kept.give_back(&mut scene.client));
    let far = async {
        assert_eq!(read(&mut other, POST.len() + 5).await, format!("{POST}12345"));
        other.write_all(OK.as_bytes()).await.expect("room");
        assert_eq!(read(&mut client, OK.len()).await, OK);
    };
    let (finished, ()) = tokio::join!(scene.run_with(Some(&mut kept), Answering::AS_IT_IS), far);
    assert_eq!(finished.expect("an exchange").bytes_in, 5);
    assert_eq!(scene.client.pending, GET);
}

#[tokio::test]
async fn too_long_a_body_is_not_kept() {
    let (mut scene, _client, service) = scene(&format!("{POST}12345"));
    drop(service);
    let mut kept = Kept::new(4);
    scene.run_with(Some(&mut kept), Answering::AS_IT_IS).await.expect_err("nobody");
    assert!(kept.overflowed() && !kept.give_back(&mut scene.client));
}

#[tokio::test]
async fn a_judge_may_replace_the_head() {
    let (mut scene, mut client, mut service) = scene(GET);
    let mut judge = |head: &AnswerHead| {
        let mut bytes = BytesMut::from(head.raw().as_ref());
        bytes.truncate(bytes.len() - 2);
        bytes.extend_from_slice(b"X-Cheops-Site: Paris\r\n\r\n");
        Judged::Instead(bytes.freeze())
    };
    let answering = Answering { judge: Some(&mut judge), ..Answering::AS_IT_IS };
    let far = async {
        service.write_all(OK.as_bytes()).await.expect("room");
        let expected = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Cheops-Site: Paris\r\n\r\nhi";
        assert_eq!(read(&mut client, expected.len()).await, expected);
    };
    let (finished, ()) = tokio::join!(scene.run_with(None, answering), far);
    assert_eq!(finished.expect("an exchange").bytes_out, 2);
}

#[tokio::test]
async fn a_slow_reader_holds_the_other_end_back() {
    let (mut scene, mut client, mut service) = scene(GET);
    let body = vec![b'x'; 1 << 20];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let far = async {
        service.write_all(head.as_bytes()).await.expect("room");
        let waited = tokio::time::timeout(Duration::from_millis(100), service.write_all(&body)).await;
        assert!(waited.is_err(), "a megabyte fits nowhere between the two");
        drop(service);
        let mut seen = Vec::new();
        client.read_buf(&mut seen).await.expect("something");
    };
    let (stuck, ()) = tokio::join!(tokio::time::timeout(Duration::from_millis(500), scene.run()), far);
    assert!(!matches!(stuck, Ok(Ok(_))), "the body was cut short");
    assert!(scene.service.pending.capacity() <= 2 * crate::act::wire::LARGE);
}

#[test]
fn an_exchange_is_a_small_future() {
    let (mut scene, _client, _service) = scene(GET);
    let size = std::mem::size_of_val(&scene.run());
    assert!(size <= 1280, "{size} bytes");
}

/// The service leaves HTTP before it has read the request's head: the rest is the first to go on.
#[tokio::test]
async fn a_head_that_has_not_left_goes_on_in_the_tunnel() {
    let head =
        format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: a\r\nB: {}\r\n\r\n", "b".repeat(1000));
    let (mut scene, mut client, mut service) = scene(&format!("{head}early"));
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n";
    let far = async {
        service.write_all(switching.as_bytes()).await.expect("room");
        assert_eq!(read(&mut client, switching.len()).await, switching);
    };
    let (finished, ()) = tokio::join!(scene.run(), far);
    assert_eq!(finished.expect("an exchange").next, Next::Tunnel);
    let Scene { mut client, service: mut near, .. } = scene;
    let passing = crate::act::passthrough::tunnel(&mut client, &mut near, Duration::from_secs(60));
    let expected = format!("{head}early");
    let seen = tokio::select! {
        seen = read(&mut service, expected.len()) => seen,
        _ = passing => panic!("the tunnel has ended"),
    };
    assert_eq!(seen, expected);
}
