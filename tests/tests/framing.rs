//! HTTP's framing through the agent: what is not well-formed goes no further.

#[path = "../../cheops-agent/src/http/framing/cases.rs"]
mod framing;

use cheops_tests::lab::script::{Ended, Got, Step, show};
use cheops_tests::lab::ways::{From, InProcess, Lab, Way, report, run};
use framing::{ANSWERS, Expected, REQUESTS};

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
fn in_this_process_messages_are_framed_strictly() -> anyhow::Result<()> {
    let way = InProcess::new()?;
    requests_are_framed(&way)?;
    answers_are_framed(&way)
}

#[test]
fn messages_of_real_traffic_are_framed_strictly() -> anyhow::Result<()> {
    let way = Lab::new(From::Here)?;
    requests_are_framed(&way)?;
    answers_are_framed(&way)
}
