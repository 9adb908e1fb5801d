//! What a client or a service can notice all the same. Each test shows the difference: how it is straight, and how it is
//! through an agent. README's section "What a client can notice" names them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::ensure;
use cheops_tests::lab::ways::{Direct, From, InProcess, Lab, Way};
use cheops_tests::lab::{self, CONNECT, Client, End, Federation, Offered, eventually};
use rustix::net::{RecvFlags, SendFlags};
use socket2::SockRef;

use crate::cases::{GET, OK};

const SOON: Duration = Duration::from_secs(40);
/// Long enough for what is on its way to have come.
const A_WHILE: Duration = Duration::from_millis(300);

/// Each difference is shown in so many cases, half of them without an agent.
fn tell(cases: usize, what: &str) {
    lab::tell("transparency", &format!("{cases} cases: {what}"));
}

/// The two ends of a connection.
struct Ends {
    client: TcpStream,
    service: TcpStream,
}

fn open(way: &dyn Way) -> anyhow::Result<Ends> {
    let (client, service) = way.open()?;
    for end in [&client, &service] {
        end.set_nodelay(true)?;
        end.set_read_timeout(Some(SOON))?;
    }
    Ok(Ends { client, service })
}

/// What comes within a while.
fn comes(from: &mut TcpStream) -> anyhow::Result<String> {
    from.set_read_timeout(Some(A_WHILE))?;
    let mut bytes = Vec::new();
    // It ends by the deadline, or by the other end's close.
    drop(from.read_to_end(&mut bytes));
    from.set_read_timeout(Some(SOON))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Straight and through an agent.
fn both() -> anyhow::Result<[(bool, Box<dyn Way>); 2]> {
    Ok([(false, Box::new(Direct::new()?)), (true, Box::new(InProcess::new()?))])
}

/// The scope is looked for in a whole head, and a head that is not well-formed goes no further: nothing of it goes on
/// before its end.
#[test]
fn a_head_goes_on_once_it_is_whole() -> anyhow::Result<()> {
    for (agent, way) in both()? {
        let mut ends = open(&*way)?;
        let (first, rest) = GET.split_at(20);
        ends.client.write_all(first.as_bytes())?;
        let begun = comes(&mut ends.service)?;
        assert_eq!(begun, if agent { "" } else { first });
        ends.client.write_all(rest.as_bytes())?;
        assert_eq!(begun + &comes(&mut ends.service)?, GET);

        let (first, rest) = OK.split_at(20);
        ends.service.write_all(first.as_bytes())?;
        let begun = comes(&mut ends.client)?;
        assert_eq!(begun, if agent { "" } else { first });
        ends.service.write_all(rest.as_bytes())?;
        assert_eq!(begun + &comes(&mut ends.client)?, OK);
    }
    tell(4, "heads in two pieces");
    Ok(())
}

/// So a head that never gets an end never goes on: the service sees only the close, the client a 502.
#[test]
fn a_head_without_an_end_does_not_go_on() -> anyhow::Result<()> {
    for (agent, way) in both()? {
        let mut ends = open(&*way)?;
        ends.client.write_all(b"GET / HT")?;
        ends.client.shutdown(std::net::Shutdown::Write)?;
        let mut seen = String::new();
        ends.service.read_to_string(&mut seen)?;
        assert_eq!(seen, if agent { "" } else { "GET / HT" });

        let mut ends = open(&*way)?;
        ends.client.write_all(GET.as_bytes())?;
        assert_eq!(comes(&mut ends.service)?, GET);
        ends.service.write_all(b"HTTP/1.1 200 OK\r\nCont")?;
        drop(ends.service);
        let mut seen = String::new();
        ends.client.read_to_string(&mut seen)?;
        assert!(seen.starts_with(if agent { "HTTP/1.1 502 " } else { "HTTP/1.1 200 OK\r\nCont" }), "{seen}");
    }
    tell(4, "heads without an end");
    Ok(())
}

/// Each request is decided about afresh, and answers come in order.
#[test]
fn a_pipelined_request_goes_on_after_the_answer_before_it() -> anyhow::Result<()> {
    for (agent, way) in both()? {
        let mut ends = open(&*way)?;
        ends.client.write_all(format!("{GET}{GET}").as_bytes())?;
        let first = comes(&mut ends.service)?;
        assert_eq!(first, if agent { GET.to_owned() } else { GET.repeat(2) });
        ends.service.write_all(OK.as_bytes())?;
        assert_eq!(first + &comes(&mut ends.service)?, GET.repeat(2));
    }
    tell(2, "pipelined requests");
    Ok(())
}

/// What follows the last request of a connection belongs to nobody: it goes nowhere.
#[test]
fn what_follows_the_last_request_does_not_go_on() -> anyhow::Result<()> {
    const LAST: &str = "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for (agent, way) in both()? {
        let mut ends = open(&*way)?;
        ends.client.write_all(format!("{LAST}{GET}").as_bytes())?;
        let first = comes(&mut ends.service)?;
        ends.service.write_all(OK.as_bytes())?;
        let seen = first + &comes(&mut ends.service)?;
        assert_eq!(seen, if agent { LAST.to_owned() } else { format!("{LAST}{GET}") });
        assert_eq!(comes(&mut ends.client)?, OK);
    }
    tell(2, "last requests with another behind them");
    Ok(())
}

/// A first line with one of HTTP's own methods is HTTP's, whatever it says of itself; so is one that is longer than heads
/// may be, as it could still name HTTP.
#[test]
fn what_begins_with_a_method_of_http_has_to_be_http() -> anyhow::Result<()> {
    const RTSP: &str = "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n";
    for (agent, way) in both()? {
        let mut ends = open(&*way)?;
        ends.client.write_all(RTSP.as_bytes())?;
        assert_eq!(comes(&mut ends.service)?, if agent { "" } else { RTSP });
        assert_eq!(comes(&mut ends.client)?.starts_with("HTTP/1.1 400 "), agent);

        let mut ends = open(&*way)?;
        let line = format!("set a {}", "v".repeat(70_000));
        ends.client.write_all(line.as_bytes())?;
        assert_eq!(comes(&mut ends.service)?, if agent { "" } else { &line });
        assert_eq!(comes(&mut ends.client)?.starts_with("HTTP/1.1 431 "), agent);
    }
    tell(4, "first lines of other protocols that look like HTTP");
    Ok(())
}

/// TCP's urgent byte doesn't cross.
#[test]
fn urgent_data_are_lost() -> anyhow::Result<()> {
    for (agent, way) in both()? {
        let mut ends = open(&*way)?;
        ends.client.write_all(b"\0a")?;
        assert_eq!(comes(&mut ends.service)?, "\0a");
        rustix::net::send(&ends.client, b"!", SendFlags::OOB)?;
        let mut urgent = [0];
        let came = eventually(A_WHILE, || rustix::net::recv(&ends.service, &mut urgent, RecvFlags::OOB).is_ok());
        assert_eq!(came && urgent == *b"!", !agent);
        ends.client.write_all(b"b")?;
        assert_eq!(comes(&mut ends.service)?, "b");
    }
    tell(2, "urgent data");
    Ok(())
}

/// What one end writes and the other doesn't read waits in more buffers, but not without limit.
#[test]
fn more_bytes_wait_between_the_ends() -> anyhow::Result<()> {
    let mut held = Vec::new();
    for (_, way) in both()? {
        let mut ends = open(&*way)?;
        SockRef::from(&ends.service).set_recv_buffer_size(16 << 10)?;
        ends.client.set_write_timeout(Some(A_WHILE))?;
        let (piece, mut sent) = ([b'\0'; 4096], 0);
        let error = loop {
            match ends.client.write(&piece) {
                Ok(count) => sent += count,
                Err(error) => break error,
            }
            ensure!(sent < 64 << 20, "nothing holds the client back");
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        held.push(sent);
    }
    ensure!(held[1] > held[0], "{held:?}");
    tell(2, "bytes that nobody reads");
    Ok(())
}

/// The client is accepted before the service is dialled: a service that is down isn't seen by `connect`.
#[test]
fn a_service_that_is_down_is_noticed_after_connect() -> anyhow::Result<()> {
    for agent in [false, true] {
        let builder = Federation::builder().sites(&["Berlin"]).service(Offered::new("app", 8080).unserved());
        let federation = if agent { builder } else { builder.without_agents() }.start()?;
        let nantes = federation.world().site("Nantes")?;
        for client in [federation.host("Berlin"), &nantes] {
            let connected = client.connect_from(None, federation.address("Berlin", "app"), CONNECT);
            if !agent {
                assert_eq!(connected.map_err(|error| error.kind()).err(), Some(ErrorKind::ConnectionRefused));
                continue;
            }
            // One that says nothing is told by a reset.
            let (mut silent, begin) = (Client::new(connected?)?, Instant::now());
            assert_eq!(silent.ends()?, End::Reset);
            ensure!(begin.elapsed() < SOON);
            let answer = client.connect(federation.address("Berlin", "app"))?.exchange(GET)?;
            assert_eq!(answer.status, 502);
        }
    }
    tell(4, "services that are down");
    Ok(())
}

/// A service whose queue is full: `connect` succeeds at once, instead of trying again and again.
#[test]
fn a_full_backlog_is_not_seen_by_connect() -> anyhow::Result<()> {
    for agent in [false, true] {
        let queue = std::cell::RefCell::new(Vec::new());
        let listen = |host: &cheops_tests::lab::Host| {
            let listener = host.listen(host.at(8080))?;
            SockRef::from(&listener).listen(0)?;
            queue.borrow_mut().push(listener);
            Ok(())
        };
        let builder = Federation::builder().sites(&["Berlin"]).service(Offered::new("app", 8080).unserved());
        let federation = if agent { builder } else { builder.without_agents() }.prepare(listen).start()?;
        let (host, to) = (federation.host("Berlin"), federation.address("Berlin", "app"));
        let waiting: Vec<_> = (0..6).map(|_| host.connect_from(None, to, Duration::from_millis(500))).collect();
        assert_eq!(waiting.iter().all(Result::is_ok), agent, "{waiting:?}");
    }
    tell(2, "full backlogs");
    Ok(())
}

/// Programs that read the kernel's tables instead of asking the socket see the two connections that there are: the
/// client's goes to 127.64.0.0/10, the service's comes from this host.
#[test]
fn tables_of_sockets_show_two_connections() -> anyhow::Result<()> {
    for from in [From::Here, From::Elsewhere] {
        let way = Lab::new(from)?;
        let ends = open(&way)?;
        let (client, service) = (ends.client.local_addr()?, ends.service.local_addr()?);
        let seen = way.table()?;
        let of = |local: &str| -> Vec<String> {
            let rows = seen.lines().filter(|line| line.starts_with("ESTAB"));
            rows.filter_map(|line| {
                let columns: Vec<&str> = line.split_whitespace().collect();
                (columns.get(3) == Some(&local)).then(|| columns.get(4).copied().unwrap_or_default().to_owned())
            })
            .collect()
        };
        if from == From::Here {
            let peer = of(&format!("127.0.0.1:{}", client.port()));
            ensure!(peer.iter().any(|peer| peer.starts_with("127.64.")), "{client} in {seen}");
        }
        let peers = of(&service.to_string());
        ensure!(peers.iter().any(|peer| *peer != client.to_string()), "{service} in {seen}");
        assert_eq!(
            (ends.client.peer_addr()?, ends.service.peer_addr()?),
            (service, client),
            "asked, both say the truth"
        );
    }
    tell(2, "tables of sockets");
    Ok(())
}

/// TCP's own measures are those of the hop to the agent: a segment's size, the round trip, the window.
#[test]
fn what_tcp_measures_ends_at_the_agent() -> anyhow::Result<()> {
    let way = Lab::new(From::Elsewhere)?;
    let ends = open(&way)?;
    let (client, service) = (SockRef::from(&ends.client).tcp_mss()?, SockRef::from(&ends.service).tcp_mss()?);
    ensure!(client < 1500 && service > 1500, "the client's {client}, the service's {service} bytes a segment");
    tell(1, "TCP's own measures");
    Ok(())
}
