//! Clients that end, or are refused, in the middle of what they say.

use super::*;

/// Nothing here takes longer, however busy the machine.
const SOON: Duration = Duration::from_secs(60);

/// A world in which an end has all the time that there is for its close.
async fn patient() -> World {
    let mut world = World::new(|_, _| {}).await;
    Arc::get_mut(&mut world.shared).expect("nobody else has it").pace.linger = SOON * 2;
    world
}

#[tokio::test]
async fn after_the_last_answer_the_clients_end_reaches_the_service_at_once() {
    let world = patient().await;
    let (mut client, _running) = world.client().await;
    let mut service = world.accept().await;
    let last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    client.write_all(last).await.expect("open");
    exactly(&mut service, last).await;
    service.write_all(OK).await.expect("open");
    exactly(&mut client, OK).await;
    client.write_all(GET).await.expect("open");
    client.shutdown().await.expect("open");
    let seen = tokio::time::timeout(SOON, all(&mut service)).await.expect("the service is told");
    assert_eq!(seen, "", "what stood behind the last request goes nowhere");
}

/// The agent doesn't read the rest of what it refuses, but takes it: else a reset could take the answer away.
#[tokio::test]
async fn a_client_that_is_refused_in_the_middle_of_much_gets_its_answer() {
    let world = patient().await;
    let (client, _running) = world.client().await;
    let (mut reading, mut writing) = client.into_split();
    let much = [b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".as_slice(), &vec![b'z'; 8 << 20]].concat();
    let writes = async {
        writing.write_all(&much).await.expect("it is taken");
        writing.shutdown().await.expect("open");
    };
    let mut answer = String::new();
    let both = async { tokio::join!(writes, reading.read_to_string(&mut answer)) };
    let ((), read) = tokio::time::timeout(SOON, both).await.expect("an end");
    read.expect("an orderly close");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with('}'), "{answer}");
}

/// What follows a refused request's head is its body, whatever it looks like.
#[tokio::test]
async fn the_body_of_a_refused_request_is_never_a_request() {
    for length in [format!("Content-Length: {}", GET.len()), "Transfer-Encoding: chunked".to_owned()] {
        let world = World::new(|_, _| {}).await;
        let (mut client, _running) = world.client().await;
        let mut service = world.accept().await;
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nX-Scope: {{{{\r\n{length}\r\n\r\n");
        client.write_all(&[head.as_bytes(), GET].concat()).await.expect("open");
        let answer = tokio::time::timeout(SOON, all(&mut client)).await.expect("the connection ends");
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("Connection: close\r\n"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert_eq!(all(&mut service).await, "");
    }
}

#[tokio::test]
async fn a_client_that_has_gone_before_it_is_accepted_is_nothing() {
    let world = World::new(|_, _| {}).await;
    let (address, _running) = open_door(&world, &TaskTracker::new());
    let gone = std::net::TcpStream::connect(address).expect("accepted");
    SockRef::from(&gone).set_linger(Some(Duration::ZERO)).expect("set");
    drop(gone);
    let mut client = TcpStream::connect(address).await.expect("accepted");
    let mut service = world.accept().await;
    client.write_all(GET).await.expect("open");
    exactly(&mut service, GET).await;
    assert!(!world.metric("cheops_connections_refused_total{reason=\"unknown-origin\"} 1"));
}
