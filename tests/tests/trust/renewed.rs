//! Certificates are renewed before they expire, and nobody notices.

use std::time::{Duration, Instant};

use anyhow::ensure;
use cheops_tests::lab::{eventually, tell};

use super::{SITES, SOON, certificate, joined, serial, under_load};

#[test]
fn certificates_of_seconds_are_renewed_under_load_and_no_request_fails() -> anyhow::Result<()> {
    /// Of a certificate.
    const LIFE: Duration = Duration::from_secs(9);
    /// Certificates that each host has one after the other.
    const MANY: usize = 4;
    let begin = Instant::now();
    let federation = joined(LIFE)?;
    let ways = [("Berlin", "Paris"), ("Paris", "Nantes"), ("Nantes", "Berlin")];
    let (seen, asked, wrong) = under_load(&federation, &ways, || {
        let mut seen = SITES.map(|_| Vec::new());
        let all = eventually(LIFE * 8, || {
            for (site, seen) in SITES.iter().zip(&mut seen) {
                if let Some(now) = serial(&federation, site).filter(|now| !seen.contains(now)) {
                    seen.push(now);
                }
            }
            seen.iter().all(|seen| seen.len() >= MANY)
        });
        ensure!(all, "not all were renewed: {seen:?}\n{}", federation.agent("Paris").log());
        Ok(seen)
    })?;
    ensure!(wrong.is_empty(), "{} of {asked} requests failed, the first: {:?}", wrong.len(), wrong.first());
    ensure!(begin.elapsed() > LIFE + LIFE / 2, "the first certificates haven't expired in {:?}", begin.elapsed());
    let certificates: usize = seen.iter().map(Vec::len).sum();
    tell(
        "trust",
        &format!("{certificates} certificates of {LIFE:?} in {:?}, {asked} requests, 0 failed", begin.elapsed()),
    );
    Ok(())
}

#[test]
fn without_a_signer_a_certificate_is_warned_of_until_one_is_back() -> anyhow::Result<()> {
    let mut federation = joined(Duration::from_secs(40))?;
    federation.agent_mut("Berlin").stop()?;
    let troubled = || {
        let certificate = certificate(&federation, "Paris").unwrap_or_default();
        certificate["trouble"].is_string() && certificate["expires-seconds"].as_i64() > Some(0)
    };
    ensure!(eventually(SOON, troubled), "{}", certificate(&federation, "Paris")?);
    let check = federation.agent("Paris").cheops(&["check"])?;
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    ensure!(said.contains("isn't renewed"), "{said}");
    let metric = federation.agent("Paris").metric("cheops_cert_expiry_seconds")?;
    ensure!(metric.is_some_and(|left| (0.0..20.0).contains(&left)), "{metric:?}");
    let before = serial(&federation, "Paris");
    let agent = federation.agent_mut("Berlin");
    agent.launch()?;
    agent.wait_ready(SOON)?;
    ensure!(eventually(SOON, || serial(&federation, "Paris") != before), "{}", federation.agent("Paris").log());
    ensure!(certificate(&federation, "Paris")?["trouble"].is_null());
    Ok(())
}

#[test]
fn a_renewed_certificate_is_there_after_a_restart() -> anyhow::Result<()> {
    let mut federation = joined(Duration::from_secs(20))?;
    let first = serial(&federation, "Paris");
    ensure!(eventually(SOON, || serial(&federation, "Paris") != first), "{}", federation.agent("Paris").log());
    let second = serial(&federation, "Paris");
    federation.agent_mut("Paris").restart()?;
    ensure!(serial(&federation, "Paris") == second, "another certificate");
    let served =
        || federation.get("Berlin", "app", "/echo", Some("{app: Paris}")).is_ok_and(|answer| answer.status == 200);
    ensure!(eventually(SOON, served), "Paris isn't believed after its restart");
    Ok(())
}
