//! `exec` sessions: a cgroup's connections carry its number.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::world::{Called, Two, call, call_by, in_cgroup};

const SESSION: u16 = 7;

/// A cgroup below the host's, and one below that.
fn groups(two: &Two) -> anyhow::Result<(PathBuf, PathBuf)> {
    let group = two.berlin.cgroup().join("cheops-exec-7");
    let below = group.join("inner");
    std::fs::create_dir_all(&below)?;
    Ok((group, below))
}

fn number(group: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(group)?.ino())
}

fn from(two: &Two, group: &Path, how: &str, to: SocketAddr) -> anyhow::Result<Called> {
    call_by(in_cgroup(&two.berlin, group, "python3"), how, &to.ip().to_string(), to.port(), &[])
}

#[test]
fn processes_of_the_group_and_below_carry_the_session() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let (group, below) = groups(&two)?;
    two.taker.session(SESSION, number(&group)?)?;
    for to in [two.v4, two.v6] {
        for inside in [&group, &below] {
            for how in ["plain", "thread", "fork"] {
                let called = from(&two, inside, how, to)?;
                assert_eq!(called.status.as_deref(), Some("200"), "{called:?}");
                assert_eq!(called.peer, Some((to.ip().to_string(), to.port())));
                let last = two.taker.taken()?.pop().context("not taken")?;
                assert_eq!((last.orig, last.session), (to, Some(SESSION)), "{how} in {}", inside.display());
            }
        }
        // Others don't.
        call(&two.berlin, "plain", to)?;
        assert_eq!(two.taker.taken()?.pop().context("not taken")?.session, None);
    }
    two.taker.forget(SESSION)?;
    from(&two, &group, "plain", two.v4)?;
    assert_eq!(two.taker.taken()?.pop().context("not taken")?.session, None);
    Ok(())
}

#[test]
fn the_nearest_session_counts() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let (group, below) = groups(&two)?;
    let deepest = below.join("deepest");
    std::fs::create_dir(&deepest)?;
    two.taker.session(SESSION, number(&group)?)?;
    two.taker.session(60_000, number(&below)?)?;
    for (inside, session) in [(&group, SESSION), (&below, 60_000), (&deepest, 60_000)] {
        from(&two, inside, "plain", two.v4)?;
        assert_eq!(two.taker.taken()?.pop().context("not taken")?.session, Some(session), "{}", inside.display());
    }
    Ok(())
}

#[test]
fn a_session_is_refused_rather_than_served_without_its_scope() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let (group, _) = groups(&two)?;
    two.taker.session(SESSION, number(&group)?)?;
    two.taker.hold(Duration::ZERO)?;
    for to in [two.v4, two.v6] {
        let called = from(&two, &group, "refused", to)?;
        assert_eq!(called.errno.as_deref(), Some("EPERM"), "{to}");
        let called = call(&two.berlin, "plain", to)?;
        assert_eq!(called.status.as_deref(), Some("200"), "others pass");
    }
    assert_eq!(two.taker.count("leave/stale-session-refused")?, 2);
    // What isn't guarded has no scope.
    let called = from(&two, &group, "refused", two.berlin.at(9))?;
    assert_eq!(called.errno.as_deref(), Some("ECONNREFUSED"));
    Ok(())
}
