//! What becomes of connections while no agent takes them.

use std::io::ErrorKind;
use std::time::Duration;

use cheops_tests::lab::{CONNECT, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::world::{SOON, Two, exchange};

const NONE: Duration = Duration::ZERO;

#[test]
fn a_stale_lease_passes_connections_on() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    two.taker.hold(NONE)?;
    let (berlin, paris, v4, v6) = (two.berlin.clone(), two.paris.clone(), two.v4, two.v6);
    for (host, to) in [(&berlin, v4), (&berlin, v6), (&paris, v4), (&paris, v6)] {
        two.reaches(host, to, false)?;
    }
    assert_eq!(two.taker.count("leave/stale-passed")?, 2);
    assert_eq!(two.taker.count("arrive/stale-passed")?, 2);
    Ok(())
}

#[test]
fn a_stale_lease_refuses_where_the_service_says_so() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    two.guard_refusing()?;
    let (berlin, paris, v4, v6) = (two.berlin.clone(), two.paris.clone(), two.v4, two.v6);
    for (host, to) in [(&berlin, v4), (&paris, v6)] {
        two.reaches(host, to, true)?;
    }
    two.taker.hold(NONE)?;
    for to in [v4, v6] {
        let leaving = berlin.connect_from(None, to, CONNECT).map_err(|error| error.kind()).err();
        assert_eq!(leaving, Some(ErrorKind::PermissionDenied));
        let arriving = paris.connect_from(None, to, CONNECT).map_err(|error| error.kind()).err();
        assert_eq!(arriving, Some(ErrorKind::ConnectionRefused));
    }
    assert_eq!(two.taker.count("leave/stale-refused")?, 2);
    assert_eq!(two.taker.count("arrive/stale-refused")?, 2);
    assert!(two.app.requests().is_empty() || two.app.take_requests().len() == 2);
    Ok(())
}

#[test]
fn a_held_lease_takes_until_it_ends() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    two.taker.hold(Duration::from_secs(60))?;
    let (host, to) = (two.berlin.clone(), two.v4);
    two.reaches(&host, to, true)?;
    let left = two.taker.dump_maps()?["lease"]["left-ms"].as_i64();
    assert!(left.is_some_and(|left| left > 0 && left <= 5_000), "held for five seconds at most: {left:?}");
    let mut passed = || -> anyhow::Result<bool> {
        exchange(&host, to)?;
        Ok(two.taker.count("leave/stale-passed")? > 0)
    };
    assert!(eventually(SOON, || passed().unwrap_or(false)), "it ends");
    Ok(())
}

#[test]
fn the_lease_is_renewed() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let mut until = || two.taker.dump_maps().ok()?["lease"]["until-ns"].as_u64();
    let first = until();
    assert!(first.is_some() && eventually(SOON, || until() > first));
    Ok(())
}

#[test]
fn a_hung_agent_is_passed_by() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let (host, to) = (two.berlin.clone(), two.v4);
    two.reaches(&host, to, true)?;
    let pid = Pid::from_raw(two.taker.pid() as i32);
    kill(pid, Signal::SIGSTOP)?;
    let reached = eventually(SOON, || {
        let client = two.berlin.connect(to);
        let answered = client.and_then(|mut client| {
            client.patience(Duration::from_millis(200))?;
            client.exchange(crate::world::get("/"))
        });
        answered.is_ok()
    });
    kill(pid, Signal::SIGCONT)?;
    assert!(reached, "the service is reached directly");
    Ok(())
}

#[test]
fn links_vanish_when_the_agent_dies() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    two.guard_refusing()?;
    let (berlin, paris, v4, v6) = (two.berlin.clone(), two.paris.clone(), two.v4, two.v6);
    let pid = two.taker.pid();
    two.reaches(&berlin, v4, true)?;
    let Two { taker, app, world, .. } = two;
    assert!(programs_of(pid)? >= 8);
    taker.kill()?;
    for (host, to) in [(&berlin, v4), (&berlin, v6), (&paris, v4), (&paris, v6)] {
        let client = exchange(host, to)?;
        assert_eq!(
            app.take_requests()[0].peer,
            client,
            "directly, although the endpoint is refused when the lease is stale"
        );
    }
    assert!(eventually(SOON, || programs_of(pid).is_ok_and(|left| left == 0)), "no program stays");
    drop(world);
    Ok(())
}

/// Programs of Cheops that the process holds.
fn programs_of(pid: u32) -> anyhow::Result<usize> {
    let mut count = 0;
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return Ok(0) };
    for descriptor in descriptors {
        let info = std::fs::read_to_string(descriptor?.path()).unwrap_or_default();
        count += usize::from(info.lines().any(|line| line.starts_with("link_type:")));
    }
    Ok(count)
}
