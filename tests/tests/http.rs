//! HTTP through the agent: what is not well-formed goes no further, and what is looks to both ends as if there were no
//! agent.

#[path = "http/cases.rs"]
mod cases;
#[path = "../../cheops-agent/src/http/framing/cases.rs"]
mod framing;
#[path = "http/limits.rs"]
mod limits;
#[path = "http/play.rs"]
mod play;
#[path = "http/ways.rs"]
mod ways;

use std::net::TcpStream;

use framing::{ANSWERS, Expected, REQUESTS};
use play::{Ended, Got, Step, play, show};
use ways::{Direct, From, InProcess, Lab, Way};

/// Plays both scripts at once; what the client and the service got. A service that doesn't close reads on to the end.
fn run(way: &dyn Way, client: &[Step], service: &[Step]) -> anyhow::Result<(Got, Got)> {
    let (near, far) = way.open()?;
    let to_the_end = [service, &[Step::End]].concat();
    let (at_client, at_service) = both(near, client, far, &to_the_end);
    let failed = |end: &str, error: String| anyhow::anyhow!("the {end}: {error}");
    Ok((at_client.map_err(|error| failed("client", error))?, at_service.map_err(|error| failed("service", error))?))
}

fn both(
    near: TcpStream,
    client: &[Step],
    far: TcpStream,
    service: &[Step],
) -> (Result<Got, String>, Result<Got, String>) {
    std::thread::scope(|scope| {
        let service = scope.spawn(|| play(far, service));
        let client = play(near, client);
        let service = service.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (client, service)
    })
}

/// Fails with all that went wrong.
fn report(what: &str, cases: usize, failures: &[String]) -> anyhow::Result<()> {
    anyhow::ensure!(failures.is_empty(), "{} of {cases} {what} went wrong:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// Every case looks the same straight and by this way.
fn transparent(way: &dyn Way) -> anyhow::Result<()> {
    let direct = Direct::new()?;
    let cases = cases::all();
    anyhow::ensure!(cases.len() >= 60, "only {} cases", cases.len());
    let before = way.taken()?;
    let mut failures = Vec::new();
    for case in &cases {
        let straight = run(&direct, &case.client, &case.service);
        let straight = straight.map_err(|error| error.context(format!("{}: straight", case.name)))?;
        match run(way, &case.client, &case.service) {
            Ok(through) if through == straight => {}
            Ok(through) => failures.push(format!("{}:\n  straight {straight:?}\n  through  {through:?}", case.name)),
            Err(error) => failures.push(format!("{}: {error}", case.name)),
        }
    }
    let taken = way.taken()? - before;
    anyhow::ensure!(taken >= cases.len() as u64, "only {taken} connections went through the agent");
    report("cases", cases.len(), &failures)
}

/// Requests are refused and nothing of them is seen, or go on as they came.
fn requests_are_framed(way: &dyn Way) -> anyhow::Result<()> {
    let mut failures = Vec::new();
    for (section, bytes, expected) in REQUESTS {
        let result = match expected {
            Expected::Forward => forwarded(way, bytes),
            Expected::Refuse(status) => refused(way, bytes, *status),
        };
        if let Err(error) = result {
            failures.push(format!("RFC {section}: {}: {error}", show(bytes)));
        }
    }
    report("requests", REQUESTS.len(), &failures)
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
    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut failures = Vec::new();
    for (section, bytes, expected) in ANSWERS {
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
    report("answers", ANSWERS.len(), &failures)
}

#[test]
fn in_this_process_everything_looks_as_without_the_agent() -> anyhow::Result<()> {
    transparent(&InProcess::new()?)
}

#[test]
fn in_this_process_messages_are_framed_strictly() -> anyhow::Result<()> {
    let way = InProcess::new()?;
    requests_are_framed(&way)?;
    answers_are_framed(&way)
}

#[test]
fn connections_that_leave_look_as_without_the_agent() -> anyhow::Result<()> {
    transparent(&Lab::new(From::Here)?)
}

#[test]
fn connections_that_arrive_look_as_without_the_agent() -> anyhow::Result<()> {
    transparent(&Lab::new(From::Elsewhere)?)
}

#[test]
fn messages_of_real_traffic_are_framed_strictly() -> anyhow::Result<()> {
    let way = Lab::new(From::Here)?;
    requests_are_framed(&way)?;
    answers_are_framed(&way)
}
