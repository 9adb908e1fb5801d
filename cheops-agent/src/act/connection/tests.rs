//! What the agent does of its own accord on a connection. That it otherwise does nothing is the suite `transparency`'s matter.

mod ends;

use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::accept::{Listeners, SessionId};
use crate::act::door;
use crate::act::fakes::{Direct, config};
use crate::act::shared::Pace;
use crate::metadata::Snapshot;
use crate::observe::Observer;
use crate::profile::Profiles;

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// An agent between a client and a service.
struct World {
    shared: Arc<Shared>,
    service: TcpListener,
    door: TcpListener,
}

impl World {
    async fn new(change: impl FnOnce(&mut Config, &mut Direct)) -> Self {
        let service = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let door = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (mut config, mut origins) = (config(), Direct::to(service.local_addr().expect("bound")));
        config.timeouts.half_closed = Duration::from_millis(300);
        change(&mut config, &mut origins);
        let profiles = Profiles::built_in().expect("profiles");
        let mut shared = Shared::new(config, Snapshot::default(), profiles, Arc::new(origins), Observer::new());
        shared.pace = Pace { still: Duration::from_millis(150), linger: Duration::from_millis(300) };
        Self { shared: Arc::new(shared), service, door }
    }

    /// A client's connection that is being served.
    async fn client(&self) -> (TcpStream, JoinHandle<()>) {
        let client = TcpStream::connect(self.door.local_addr().expect("bound")).await.expect("accepted");
        let (taken, _) = self.door.accept().await.expect("a connection");
        let origin = self.shared.origins.taken(&taken).expect("known");
        (client, tokio::spawn(serve(Arc::clone(&self.shared), taken, origin, self.waiting())))
    }

    fn waiting(&self) -> Waiting {
        let to = self.service.local_addr().expect("bound");
        self.shared.admission.wait(to, &self.shared.config.load().limits).expect("room")
    }

    /// The connection that was dialled for it.
    async fn accept(&self) -> TcpStream {
        self.service.accept().await.expect("a connection").0
    }

    fn metric(&self, line: &str) -> bool {
        self.shared.observer.metrics_text().expect("text").contains(line)
    }
}

async fn exactly(stream: &mut TcpStream, expected: &[u8]) {
    let mut seen = vec![0; expected.len()];
    stream.read_exact(&mut seen).await.expect("so many bytes");
    assert_eq!(String::from_utf8_lossy(&seen), String::from_utf8_lossy(expected));
}

async fn all(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).await.expect("an orderly close");
    String::from_utf8(seen).expect("text")
}

async fn is_reset(stream: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).await.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn requests_go_over_the_connection_that_was_dialled_at_accept() {
    let world = World::new(|_, _| {}).await;
    let (mut client, served) = world.client().await;
    let mut service = world.accept().await;
    for _ in 0..3 {
        client.write_all(GET).await.expect("open");
        exactly(&mut service, GET).await;
        service.write_all(OK).await.expect("open");
        exactly(&mut client, OK).await;
    }
    drop(client);
    assert_eq!(all(&mut service).await, "");
    drop(service);
    served.await.expect("no panic");
    assert!(world.metric("cheops_requests_total{service=\"-\",plan=\"direct\",outcome=\"2xx\"} 3"));
    assert!(world.metric("cheops_connections_open 0"));
}

#[tokio::test]
async fn a_service_that_is_down_costs_its_requests_502_and_may_come_back() {
    let World { shared, service, door } = World::new(|_, _| {}).await;
    let address = service.local_addr().expect("bound");
    drop(service);
    let world = World { shared, service: TcpListener::bind("127.0.0.1:0").await.expect("a port"), door };
    let (mut client, _served) = world.client().await;
    client.write_all(GET).await.expect("open");
    let mut head = vec![0; 12];
    client.read_exact(&mut head).await.expect("an answer");
    assert_eq!(head, b"HTTP/1.1 502");
    let mut rest = vec![0; 4096];
    let length = client.read(&mut rest).await.expect("the rest");
    assert!(String::from_utf8_lossy(&rest[..length]).contains("\"code\":\"service-unreachable\""));

    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("set");
    socket.bind(address).expect("free again");
    let service = socket.listen(8).expect("listening");
    client.write_all(GET).await.expect("the connection goes on");
    let (mut service, _) = service.accept().await.expect("dialled again");
    exactly(&mut service, GET).await;
}

#[tokio::test]
async fn other_traffic_to_a_service_that_is_down_is_reset() {
    for first in [&b"\x16\x03\x01"[..], b""] {
        let World { shared, service, door } = World::new(|_, _| {}).await;
        drop(service);
        let world = World { shared, service: TcpListener::bind("127.0.0.1:0").await.expect("a port"), door };
        let (mut client, _served) = world.client().await;
        client.write_all(first).await.expect("open");
        assert!(is_reset(&mut client).await, "{first:?}");
        assert!(world.metric("cheops_connections_refused_total{reason=\"service-unreachable\"} 1"));
    }
}

#[tokio::test]
async fn a_session_is_refused_what_can_not_carry_its_scope() {
    let session = SessionId(7);
    for first in [
        &b"\x16\x03\x01\x00"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        b"EHLO x\r\n",
        // Its session is not known: its scope isn't either.
        GET,
    ] {
        let world = World::new(|_, origins| origins.session = Some(session)).await;
        if first != GET {
            world.shared.sessions.insert(session, "{Nova: Paris}");
        }
        let (mut client, _served) = world.client().await;
        client.write_all(first).await.expect("open");
        assert!(is_reset(&mut client).await, "{first:?}");
        assert!(world.metric("cheops_connections_refused_total{reason=\"scope-not-honoured\"} 1"), "{first:?}");
        let mut service = world.accept().await;
        let mut seen = Vec::new();
        // In order or by a reset, as the dial was over or not.
        let _ended = service.read_to_end(&mut seen).await;
        assert!(seen.is_empty(), "nothing of it reaches the service");
    }
}

#[tokio::test]
async fn undecided_bytes_that_stand_still_are_passed_on() {
    let world = World::new(|_, _| {}).await;
    let (mut client, _served) = world.client().await;
    client.write_all(b"hello").await.expect("open");
    let mut service = world.accept().await;
    exactly(&mut service, b"hello").await;
    assert!(world.metric("cheops_passthrough_total{reason=\"not-http\"} 1"));
}

#[tokio::test]
async fn late_heads_get_408_and_idle_connections_end() {
    let world = World::new(|config, _| {
        config.timeouts.header_read = Duration::from_millis(100);
        config.timeouts.idle = Duration::from_millis(100);
    })
    .await;
    for piece in [&b"GE"[..], &GET[..20]] {
        let (mut client, _served) = world.client().await;
        client.write_all(piece).await.expect("open");
        let answer = all(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("Connection: close"), "{answer}");
    }
    assert!(world.metric("cheops_limits_hit_total{limit=\"header-read\"} 2"));
    let (mut client, _served) = world.client().await;
    let [_, _, mut service] = [world.accept().await, world.accept().await, world.accept().await];
    client.write_all(GET).await.expect("open");
    exactly(&mut service, GET).await;
    service.write_all(OK).await.expect("open");
    exactly(&mut client, OK).await;
    assert_eq!(all(&mut client).await, "");
    assert!(world.metric("cheops_limits_hit_total{limit=\"idle\"} 1"));
}

#[tokio::test]
async fn a_late_body_gets_408() {
    let world = World::new(|config, _| config.timeouts.body_read = Duration::from_millis(100)).await;
    let (mut client, _served) = world.client().await;
    client.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab").await.expect("open");
    let answer = all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request-timeout"), "{answer}");
    assert!(world.metric("cheops_limits_hit_total{limit=\"body-read\"} 1"));
}

#[tokio::test]
async fn heads_that_are_too_large_get_431() {
    let world = World::new(|config, _| {
        config.limits.head_bytes = 300;
        config.limits.headers = 2;
    })
    .await;
    for head in [
        format!("GET /{} HTTP/1.1\r\n", "a".repeat(300)),
        "GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\nB: 2\r\n\r\n".to_owned(),
    ] {
        let (mut client, _served) = world.client().await;
        client.write_all(head.as_bytes()).await.expect("open");
        let answer = all(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 431 ") && answer.contains("head-too-large"), "{answer}");
    }
    assert!(world.metric("cheops_limits_hit_total{limit=\"head-bytes\"} 1"));
    assert!(world.metric("cheops_limits_hit_total{limit=\"headers\"} 1"));
}

#[tokio::test]
async fn draining_ends_idle_connections_at_once_and_busy_ones_after_their_answer() {
    let world = World::new(|_, _| {}).await;
    let (mut idle, _served) = world.client().await;
    let _service = world.accept().await;
    let (mut busy, _served) = world.client().await;
    let mut service = world.accept().await;
    busy.write_all(GET).await.expect("open");
    exactly(&mut service, GET).await;
    world.shared.drain.cancel();
    assert_eq!(all(&mut idle).await, "");
    service.write_all(OK).await.expect("open");
    assert_eq!(all(&mut busy).await.as_bytes(), OK);
}

#[tokio::test]
async fn closing_ends_a_connection_with_its_answer_and_no_sooner() {
    const CLOSED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    let world = World::new(|_, _| {}).await;
    let (mut idle, _served) = world.client().await;
    let mut its_service = world.accept().await;
    let (mut busy, _served) = world.client().await;
    let mut service = world.accept().await;
    busy.write_all(GET).await.expect("open");
    exactly(&mut service, GET).await;
    world.shared.closing.begin();
    service.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("open");
    assert_eq!(all(&mut busy).await, CLOSED);
    // What waits for its next request still has it answered, and the second of two that were sent together too.
    idle.write_all(GET).await.expect("open");
    idle.write_all(GET).await.expect("open");
    exactly(&mut its_service, GET).await;
    its_service.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("open");
    exactly(&mut its_service, GET).await;
    its_service.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("open");
    assert_eq!(all(&mut idle).await, format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n{CLOSED}"));
}

#[tokio::test]
async fn the_agents_own_address_is_answered_508() {
    let world = World::new(|_, _| {}).await;
    let own: SocketAddr = world.service.local_addr().expect("bound");
    world.shared.own.store(Arc::new(vec![own]));
    let (mut client, _served) = world.client().await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("open");
    let answer = all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 508 ") && answer.contains("\"code\":\"loop\""), "{answer}");
}

#[tokio::test]
async fn a_bad_chunk_is_answered_and_the_service_is_cut_off() {
    let world = World::new(|_, _| {}).await;
    let (mut client, _served) = world.client().await;
    let mut service = world.accept().await;
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        .await
        .expect("open");
    let mut seen = vec![0; 60];
    service.read_exact(&mut seen).await.expect("the beginning");
    client.write_all(b"zz\r\n").await.expect("open");
    let answer = all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("bad-framing"), "{answer}");
    assert!(is_reset(&mut service).await, "the service must not take the request for whole");
}

#[tokio::test]
async fn a_bad_answer_is_502_and_nothing_of_it_is_seen() {
    let world = World::new(|_, _| {}).await;
    let (mut client, _served) = world.client().await;
    let mut service = world.accept().await;
    client.write_all(GET).await.expect("open");
    exactly(&mut service, GET).await;
    service.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx").await.expect("open");
    let answer = all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("bad-answer"), "{answer}");
}

#[tokio::test]
async fn a_client_that_dies_silently_is_noticed() {
    let world = World::new(|config, _| {
        config.timeouts.keepalive = Duration::from_secs(61);
        config.timeouts.user_timeout = Duration::from_secs(17);
    })
    .await;
    let listeners = Arc::new(Listeners::open().expect("ports"));
    // Nothing is accepted yet, and everything that comes from now on has what the listener has.
    let _door = door::run(listeners.clone(), world.shared.clone(), TaskTracker::new(), CancellationToken::new());
    let _client = TcpStream::connect(listeners.v4.local_addr().expect("bound")).await.expect("accepted");
    let (stream, _) = listeners.v4.accept().await.expect("a connection");
    let socket = SockRef::from(&stream);
    assert!(socket.keepalive().expect("read") && socket.tcp_nodelay().expect("read"));
    assert_eq!(socket.tcp_keepalive_time().expect("read"), Duration::from_secs(61));
    assert_eq!(socket.tcp_user_timeout().expect("read"), Some(Duration::from_secs(17)));
}

#[tokio::test]
async fn a_connection_is_a_small_future() {
    let world = World::new(|_, _| {}).await;
    let address = world.door.local_addr().expect("bound");
    let stream = TcpStream::connect(address).await.expect("accepted");
    let taken = world.shared.origins.taken(&stream).expect("known");
    let size = std::mem::size_of_val(&serve(Arc::clone(&world.shared), stream, taken, world.waiting()));
    assert!(size <= 3072, "{size} bytes");
}

/// Opens the world's door; `drain` closes it.
fn open_door(world: &World, connections: &TaskTracker) -> (SocketAddr, JoinHandle<()>) {
    let door = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    door.set_nonblocking(true).expect("set");
    let listeners = Arc::new(Listeners { v4: TcpListener::from_std(door).expect("a listener"), v6: None });
    let address = listeners.v4.local_addr().expect("bound");
    let (shared, stop) = (Arc::clone(&world.shared), world.shared.drain.clone());
    (address, tokio::spawn(door::run(listeners, shared, connections.clone(), stop)))
}

#[tokio::test]
async fn the_door_admits_up_to_its_limit_tells_the_rest_and_drains() {
    let world = World::new(|config, _| config.limits.connections_per_client = 1).await;
    let connections = TaskTracker::new();
    let (address, running) = open_door(&world, &connections);
    let mut first = TcpStream::connect(address).await.expect("accepted");
    let mut service = world.accept().await;
    let mut second = TcpStream::connect(address).await.expect("accepted");
    second.write_all(GET).await.expect("open");
    let answer = all(&mut second).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("too-many-connections"), "{answer}");
    assert!(world.metric("cheops_connections_refused_total{reason=\"connections-per-client\"} 1"));

    first.write_all(GET).await.expect("open");
    exactly(&mut service, GET).await;
    world.shared.drain.cancel();
    running.await.expect("nothing is accepted any more");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    service.write_all(OK).await.expect("open");
    assert_eq!(all(&mut first).await.as_bytes(), OK);
    drop((first, second, service));
    connections.close();
    connections.wait().await;
    assert_eq!(world.shared.admission.open(), 0);
}

#[tokio::test]
async fn a_connection_that_was_not_taken_is_a_loop() {
    let world = World::new(|_, origins| origins.orig = None).await;
    let (address, _running) = open_door(&world, &TaskTracker::new());
    let mut client = TcpStream::connect(address).await.expect("accepted");
    client.write_all(GET).await.expect("open");
    let answer = all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 508 "), "{answer}");
    let mut other = TcpStream::connect(address).await.expect("accepted");
    other.write_all(b"\x16\x03\x01").await.expect("open");
    assert!(is_reset(&mut other).await);
}
