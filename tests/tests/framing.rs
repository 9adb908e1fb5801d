//! HTTP's framing through the agent: what is not well-formed goes no further.

#[path = "framing/clients.rs"]
mod clients;
#[path = "../../cheops-agent/src/http/framing/cases.rs"]
mod framing;
#[path = "../fuzz/src/lib.rs"]
#[expect(dead_code, reason = "other suites use the rest of it")]
mod fuzz;
#[path = "framing/io.rs"]
mod io;
#[path = "framing/same.rs"]
mod same;
#[path = "framing/servers.rs"]
mod servers;

use cheops_agent::http::{Sniffed, sniff};
use cheops_tests::lab::script::{Ended, Got, Step, show};
use cheops_tests::lab::ways::{From, InProcess, Lab, Way, report, run};
use framing::{Expected, answers, requests};

/// Requests are refused and nothing of them is seen, or go on as they came.
fn requests_are_framed(way: &dyn Way) -> anyhow::Result<()> {
    let mut failures = Vec::new();
    for (section, bytes, expected) in requests() {
        let result = match expected {
            Expected::Forward => forwarded(way, bytes),
            Expected::Refuse(status) => refused(way, bytes, *status),
        };
        if let Err(error) = result {
            failures.push(format!("RFC {section}: {}: {error}", show(bytes)));
        }
    }
    report("requests", requests().count(), &failures)
}

fn forwarded(way: &dyn Way, bytes: &[u8]) -> anyhow::Result<()> {
    let (_, service) = run(way, &[Step::Send(bytes.to_vec()), Step::Shut, Step::End], &[Step::Wait(bytes.to_vec())])?;
    anyhow::ensure!(service.bytes == bytes, "the service got {service:?}");
    Ok(())
}

fn refused(way: &dyn Way, bytes: &[u8], status: u16) -> anyhow::Result<()> {
    let (client, service) = run(way, &[Step::Send(bytes.to_vec()), Step::End], &[])?;
    anyhow::ensure!(service.bytes.is_empty(), "the service got {service:?}");
    is_problem(&client, status)
}

fn is_problem(client: &Got, status: u16) -> anyhow::Result<()> {
    let answer = String::from_utf8_lossy(&client.bytes);
    let whole = answer.starts_with(&format!("HTTP/1.1 {status} "))
        && answer.contains("Connection: close\r\n")
        && answer.contains("application/problem+json")
        && answer.contains("\"source\":\"cheops\"");
    anyhow::ensure!(whole && client.ended == Ended::Fin, "the client got {client:?}, not {status}");
    Ok(())
}

/// Answers are refused and nothing of them is seen, or go on as they came.
fn answers_are_framed(way: &dyn Way) -> anyhow::Result<()> {
    let mut failures = Vec::new();
    for (section, bytes, expected) in answers() {
        let service = [Step::Wait(GET.to_vec()), Step::Send(bytes.to_vec()), Step::Shut];
        let result =
            run(way, &[Step::Send(GET.to_vec()), Step::End], &service).and_then(|(client, _)| match expected {
                Expected::Refuse(status) => is_problem(&client, *status),
                Expected::Forward if client.bytes == *bytes => Ok(()),
                Expected::Forward => Err(anyhow::anyhow!("the client got {client:?}")),
            });
        if let Err(error) = result {
            failures.push(format!("RFC {section}: {}: {error}", show(bytes)));
        }
    }
    report("answers", answers().count(), &failures)
}

/// However a request is cut off, the service gets what came until then and no more; a refusal in the middle of a body
/// resets the service's end, so that it doesn't take the body for whole.
fn requests_in_pieces(way: &dyn Way) -> anyhow::Result<()> {
    let mut failures = Vec::new();
    let mut count = 0;
    for (section, bytes, expected) in requests() {
        count += 1;
        let (client, service) = run(way, &[Step::Trickle(bytes.to_vec()), Step::Shut, Step::End], &[])?;
        // What doesn't even begin like HTTP is passed on as what it is.
        let begins = (1..bytes.len()).all(|length| sniff(&bytes[..length]) != Sniffed::Other);
        let good = match expected {
            _ if !begins && service.bytes == *bytes => true,
            Expected::Forward => service.bytes == *bytes,
            Expected::Refuse(status) => {
                let untouched = service.bytes.is_empty() || service.ended == Ended::Reset;
                untouched
                    && is_problem(&client, *status).is_ok()
                    && service.bytes.len() < bytes.len()
                    && bytes.starts_with(&service.bytes)
            }
        };
        if !good {
            failures
                .push(format!("RFC {section}: {}: the client got {client:?}, the service {service:?}", show(bytes)));
        }
    }
    report("requests byte by byte", count, &failures)
}

/// A client and a service that close inside a message, at each of its bytes.
fn cut_messages(way: &dyn Way) -> anyhow::Result<()> {
    let mut failures = Vec::new();
    let mut count = 0;
    for request in CUT_REQUESTS {
        let head = end_of_head(request);
        for cut in 1..request.len() {
            count += 1;
            let part = &request[..cut];
            let (client, service) = run(way, &[Step::Send(part.to_vec()), Step::Shut, Step::End], &[])?;
            // A first piece that could still be anything is passed on as it is.
            let passed = if cut < head && sniff(part) == Sniffed::Http1 { &[][..] } else { part };
            if service.bytes != passed || !client.bytes.is_empty() {
                failures.push(format!("{}: the client got {client:?}, the service {service:?}", show(part)));
            }
        }
    }
    for answer in CUT_ANSWERS {
        let head = end_of_head(answer);
        for cut in 1..answer.len() {
            count += 1;
            let part = &answer[..cut];
            let service = [Step::Wait(GET.to_vec()), Step::Send(part.to_vec()), Step::Close];
            let (client, _) = run(way, &[Step::Send(GET.to_vec()), Step::End], &service)?;
            let good = if cut < head { is_problem(&client, 502).is_ok() } else { client.bytes == part };
            if !good {
                failures.push(format!("{}: the client got {client:?}", show(part)));
            }
        }
    }
    report("cut messages", count, &failures)
}

fn end_of_head(bytes: &[u8]) -> usize {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4)
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const BROKEN: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
const UPGRADES: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n";
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n";
const CUT_REQUESTS: [&[u8]; 3] = [
    b"\r\nPOST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"b\"\r\nxy\r\n0\r\nT: u\r\n\r\n",
    b"CONNECT y:1 HTTP/1.1\r\nHost: y:1\r\n\r\n",
];
const CUT_ANSWERS: [&[u8]; 2] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"b\"\r\nxy\r\n0\r\nT: u\r\n\r\n",
];

/// What stands behind a message is never part of another one.
fn what_follows(way: &dyn Way) -> anyhow::Result<()> {
    // An answer that nobody asked for yet: the client gets it, and the second request goes nowhere.
    let twice = [OK, OK].concat();
    let pipeline = [GET, b"GET /2 HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
    let answered = [Step::Wait(GET.to_vec()), Step::Send(twice.clone())];
    let (client, service) = run(way, &[Step::Send(pipeline), Step::End], &answered)?;
    anyhow::ensure!(client.bytes == twice && service.bytes == GET, "two answers to one: {client:?}, {service:?}");

    // An answer that breaks when its head has gone can only be cut off.
    let breaks = [Step::Wait(GET.to_vec()), Step::Send(BROKEN.to_vec()), Step::Meet, Step::Send(b"x\r\n".to_vec())];
    let (client, _) =
        run(way, &[Step::Send(GET.to_vec()), Step::Wait(BROKEN.to_vec()), Step::Meet, Step::End], &breaks)?;
    anyhow::ensure!(client.bytes == BROKEN && client.ended == Ended::Reset, "a broken chunk: {client:?}");

    // Behind an Upgrade it is HTTP until the 101.
    let both = [UPGRADES, GET].concat();
    let ignores =
        [Step::Wait(UPGRADES.to_vec()), Step::Send(OK.to_vec()), Step::Wait(GET.to_vec()), Step::Send(OK.to_vec())];
    let (client, _) = run(way, &[Step::Send(both.clone()), Step::Wait(twice.clone())], &ignores)?;
    anyhow::ensure!(client.bytes == twice, "an Upgrade that is ignored: {client:?}");
    let bad = [UPGRADES, b"GET / HTTP/1.1\r\n\r\n"].concat();
    let (client, service) = run(way, &[Step::Send(bad.clone()), Step::End], &ignores[..2])?;
    anyhow::ensure!(service.bytes == UPGRADES, "behind an Upgrade that is ignored: {service:?}");
    anyhow::ensure!(client.bytes.starts_with(&[OK, b"HTTP/1.1 400 "].concat()), "{client:?}");
    let switches =
        [Step::Wait(UPGRADES.to_vec()), Step::Send(SWITCHING.to_vec()), Step::WaitLength(bad.len() - UPGRADES.len())];
    let (client, service) =
        run(way, &[Step::Send(bad.clone()), Step::Wait(SWITCHING.to_vec()), Step::Shut, Step::End], &switches)?;
    anyhow::ensure!(service.bytes == bad && client.bytes == SWITCHING, "an Upgrade: {client:?}, {service:?}");
    report("messages with something behind them", 5, &[])
}

#[test]
fn in_this_process_messages_are_framed_strictly() -> anyhow::Result<()> {
    let way = InProcess::new()?;
    requests_are_framed(&way)?;
    answers_are_framed(&way)?;
    requests_in_pieces(&way)?;
    cut_messages(&way)?;
    what_follows(&way)
}

#[test]
fn messages_of_real_traffic_are_framed_strictly() -> anyhow::Result<()> {
    let way = Lab::new(From::Here)?;
    requests_are_framed(&way)?;
    answers_are_framed(&way)?;
    requests_in_pieces(&way)?;
    cut_messages(&way)?;
    what_follows(&way)
}

#[test]
fn servers_frame_what_is_forwarded_as_the_agent_does() -> anyhow::Result<()> {
    same::to_servers()
}

#[test]
fn mutated_requests_are_framed_as_hyper_does_or_refused() -> anyhow::Result<()> {
    same::mutated()
}

#[test]
fn clients_frame_what_is_forwarded_as_the_agent_does() -> anyhow::Result<()> {
    clients::to_clients()
}
