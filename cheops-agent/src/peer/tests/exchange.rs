use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};

use super::*;
use crate::http::Code;

/// Sends back what comes, until the peer has ended.
fn echo(call: Call) -> Serving {
    Box::pin(async move {
        let (mut stream, _place) = call.accept().expect("accepted");
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(size) = stream.read(&mut buffer).await {
            if size == 0 {
                return stream.finish().expect("finished");
            }
            if stream.write_all(&buffer[..size]).await.is_err() {
                return;
            }
        }
    })
}

/// Bytes that differ along the way, so that a lost or doubled piece shows.
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at / 7 + at % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_come_back_as_they_went_and_the_outcome_is_answered() {
    let (running, client) = pair(echo).await;
    let mut stream = client.open(&running.site(), &envelope(), soon()).await.expect("open");
    let sent = b"GET / HTTP/1.1\r\nhOsT: x\r\n\r\n";
    stream.write_all(sent).await.expect("written");
    stream.shutdown().await.expect("shut down");
    let mut back = Vec::new();
    in_time(stream.read_to_end(&mut back)).await.expect("read");
    assert_eq!(back, sent);
    assert_eq!(stream.outcome(), Some(Outcome::Answered));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_envelope_and_the_identity_arrive() {
    let (seen, mut saw) = tokio::sync::mpsc::unbounded_channel();
    let (running, client) = pair(move |call| {
        seen.send((call.from.clone(), call.envelope.clone())).expect("a listener");
        echo(call)
    })
    .await;
    let mut sent = envelope();
    sent.scope = Some(r#"{"Glance":"Paris","default":"Berlin"}"#.to_owned());
    sent.decided = true;
    let mut stream = client.open(&running.site(), &sent, soon()).await.expect("open");
    stream.ready().await.expect("taken on");
    assert_eq!(in_time(saw.recv()).await.expect("a call"), (identity("edge", "Berlin", "b1"), sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_go_both_ways_at_once() {
    let (running, client) = pair(echo).await;
    let stream = client.open(&running.site(), &envelope(), soon()).await.expect("open");
    let sent = pattern(24 << 20);
    let (mut read, mut write) = tokio::io::split(stream);
    let writing = {
        let sent = sent.clone();
        tokio::spawn(async move {
            write.write_all(&sent).await.expect("written");
            write.shutdown().await.expect("shut down");
        })
    };
    let mut back = Vec::new();
    in_time(read.read_to_end(&mut back)).await.expect("read");
    writing.await.expect("written");
    assert!(back == sent, "{} bytes of {}", back.len(), sent.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_the_peer_said() {
    let (running, client) = pair(|call| {
        Box::pin(async move {
            call.refuse(&Refusal::not_sent(Code::NotExported, "Nova is not exported")).expect("refused");
        })
    })
    .await;
    let mut stream = client.open(&running.site(), &envelope(), soon()).await.expect("open");
    // An error if the peer was quicker.
    let _written = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
    let mut back = Vec::new();
    in_time(stream.read_to_end(&mut back)).await.expect_err("no answer");
    assert!(back.is_empty());
    let failure = stream.failure().expect("a failure");
    assert_eq!((failure.outcome(), failure.code()), (Outcome::NotSent, Code::NotExported));
    assert!(failure.to_string().contains("Nova is not exported"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_before_the_answer_has_its_outcome_and_one_after_it_is_unknown() {
    let (running, client) = pair(|call| {
        Box::pin(async move {
            let begin = call.envelope.decided;
            let (mut stream, _place) = call.accept().expect("accepted");
            stream.read_exact(&mut [0; 1]).await.expect("the request");
            if begin {
                stream.write_all(b"HTTP/1.1 200 OK\r\n").await.expect("written");
            }
            stream.fail(&Refusal::not_sent(Code::ServiceUnreachable, "refused")).expect("failed");
        })
    })
    .await;
    for (begin, outcome) in [(false, Outcome::NotSent), (true, Outcome::Sent)] {
        let sent = Envelope { decided: begin, ..envelope() };
        let mut stream = client.open(&running.site(), &sent, soon()).await.expect("open");
        stream.write_all(b"x").await.expect("written");
        in_time(stream.read_to_end(&mut Vec::new())).await.expect_err("never a clean end");
        assert_eq!(stream.outcome(), Some(outcome));
    }
}

/// No exchange may hold more here than its window: a reader that stands still stops the writer, and no other exchange.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_stops_its_writer_and_nobody_else() {
    let written = Arc::new(AtomicU64::new(0));
    let count = written.clone();
    let (running, client) = pair(move |call| {
        let count = count.clone();
        Box::pin(async move {
            if call.envelope.service.as_str() == "small" {
                return echo(call).await;
            }
            let (mut stream, _place) = call.accept().expect("accepted");
            let piece = vec![7; 64 * 1024];
            while stream.write_all(&piece).await.is_ok() {
                count.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        })
    })
    .await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut stream = client.open(&running.site(), &envelope(), soon()).await.expect("open");
        stream.read_exact(&mut [0; 1]).await.expect("a first byte");
        slow.push(stream);
    }
    // The writers have come to a stop when a whole other exchange sees no byte more.
    let mut last = u64::MAX;
    in_time(async {
        while std::mem::replace(&mut last, written.load(Ordering::Relaxed)) != last {
            let small = Envelope { service: "small".into(), ..envelope() };
            for _ in 0..20 {
                let mut stream = client.open(&running.site(), &small, soon()).await.expect("open");
                stream.write_all(b"hello").await.expect("written");
                stream.shutdown().await.expect("shut down");
                let mut back = Vec::new();
                stream.read_to_end(&mut back).await.expect("read");
                assert_eq!(back, b"hello");
            }
        }
    })
    .await;
    // The window, and what the sending end buffers beside it.
    let most = 8 * (u64::from(STREAM_WINDOW) + 512 * 1024);
    assert!(last <= most, "{last} bytes are held for 8 readers that stand still, more than {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_exchanges_share_one_connection() {
    let (running, client) = pair(echo).await;
    let client = Arc::new(client);
    let mut open = Vec::new();
    for _ in 0..1000 {
        let mut stream = client.open(&running.site(), &envelope(), soon()).await.expect("open");
        stream.ready().await.expect("taken on");
        open.push(stream);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (number, mut stream) in open.into_iter().enumerate() {
        tasks.spawn(async move {
            let sent = pattern(number * 13);
            stream.write_all(&sent).await.expect("written");
            stream.shutdown().await.expect("shut down");
            let mut back = Vec::new();
            stream.read_to_end(&mut back).await.expect("read");
            assert!(back == sent);
        });
    }
    while let Some(done) = in_time(tasks.join_next()).await {
        done.expect("an exchange");
    }
    assert_eq!(running.counters.get(Count::Connected), 1);
    assert_eq!(running.counters.get(Count::Exchanges), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_exchange_more_than_the_limit_is_told_that_nothing_was_sent() {
    let authority = authority();
    let paris = trust(&authority, &identity("edge", "Paris", "p1"));
    let limits = ServerLimits { exchanges: 4, ..server_limits() };
    let running = Running::start(Security::Tls(paris), limits, echo).await;
    let client = client(trust(&authority, &identity("edge", "Berlin", "b1")));
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut stream = client.open(&running.site(), &envelope(), soon()).await.expect("open");
        stream.ready().await.expect("taken on");
        open.push(stream);
    }
    // The limit holds over all connections; streams of a connection there are some more, for probes.
    let other = super::client(trust(&authority, &identity("edge", "Berlin", "b1")));
    for (refused, client) in [&client, &other].into_iter().enumerate() {
        let mut stream = client.open(&running.site(), &envelope(), soon()).await.expect("open");
        // An error if the peer was quicker.
        let _written = stream.write_all(b"POST / HTTP/1.1\r\n\r\n").await;
        in_time(stream.settle()).await.expect_err("refused");
        assert_eq!(stream.outcome(), Some(Outcome::NotSent));
        assert_eq!(running.counters.get(Count::TooManyExchanges), refused as u64 + 1);
    }
    // A place that is given back can be taken again.
    drop(open.pop());
    in_time(async {
        loop {
            let mut stream = client.open(&running.site(), &envelope(), soon()).await.expect("open");
            if stream.ready().await.is_ok() {
                break;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_cancels_at_the_peer() {
    let (seen, mut saw) = tokio::sync::mpsc::unbounded_channel();
    let (running, client) = pair(move |call| {
        let seen = seen.clone();
        Box::pin(async move {
            let (stream, _place) = call.accept().expect("accepted");
            stream.cancelled().await;
            seen.send(()).expect("a listener");
        })
    })
    .await;
    let mut stream = client.open(&running.site(), &envelope(), soon()).await.expect("open");
    stream.ready().await.expect("taken on");
    stream.write_all(b"GET /watch HTTP/1.1\r\n\r\n").await.expect("written");
    drop(stream);
    in_time(saw.recv()).await.expect("the peer was told");
}

/// A tunnel: each direction ends by itself.
#[tokio::test(flavor = "multi_thread")]
async fn half_closes_cross() {
    let (seen, mut saw) = tokio::sync::mpsc::unbounded_channel();
    let (running, client) = pair(move |call| {
        let seen = seen.clone();
        Box::pin(async move {
            let (mut stream, _place) = call.accept().expect("accepted");
            stream.write_all(b"bye").await.expect("written");
            stream.shutdown().await.expect("half-closed");
            let mut rest = Vec::new();
            copy(&mut stream, &mut rest).await.expect("the rest");
            seen.send(rest).expect("a listener");
            stream.finish().expect("finished");
        })
    })
    .await;
    let mut stream = client.open(&running.site(), &envelope(), soon()).await.expect("open");
    let mut first = Vec::new();
    in_time(stream.read_to_end(&mut first)).await.expect("its end");
    assert_eq!(first, b"bye");
    stream.write_all(b"still here").await.expect("written");
    stream.shutdown().await.expect("shut down");
    assert_eq!(in_time(saw.recv()).await.expect("the rest"), b"still here");
}
