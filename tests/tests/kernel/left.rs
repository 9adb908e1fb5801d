//! What an agent leaves, and the next one takes up.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use cheops_agent::kernel::Sizes;
use cheops_tests::lab::taker::Taker;

use crate::world::{TAKER, Two, exchange, get};

type Left = Vec<(String, OwnedFd)>;

/// Kills the taker, and starts another one with what it left.
fn replace(two: &mut Two, left: &Left) -> anyhow::Result<()> {
    let empty = Taker::start_at(&two.paris, TAKER, two.paris.cgroup())?;
    let run_dir = std::mem::replace(&mut two.taker, empty).kill()?;
    two.taker = Taker::start_left(&two.berlin, TAKER, left, run_dir)?;
    Ok(())
}

/// How many programs are attached.
fn attached(two: &mut Two) -> anyhow::Result<usize> {
    Ok(two.taker.dump_maps()?["programs"].as_array().context("a list")?.len())
}

#[test]
fn what_a_killed_agent_left_goes_on_and_its_connections_wait() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    two.guard_refusing()?;
    let (berlin, paris, v4, v6) = (two.berlin.clone(), two.paris.clone(), two.v4, two.v6);
    two.reaches(&berlin, v4, true)?;
    let (number, left) = (two.taker.number(v4)?, two.taker.to_keep()?);
    assert_eq!(left.len(), 8 + 10 + 2, "links, maps, listeners");

    let empty = Taker::start_at(&paris, TAKER, paris.cgroup())?;
    let run_dir = std::mem::replace(&mut two.taker, empty).kill()?;
    let mut waiting = Vec::new();
    for (host, to) in [(&berlin, v4), (&berlin, v6), (&paris, v4), (&paris, v6)] {
        let mut client = host.connect(to)?;
        client.send(get("/echo"))?;
        waiting.push(client);
    }
    two.taker = Taker::start_left(&berlin, TAKER, &left, run_dir)?;
    for client in &mut waiting {
        assert_eq!(client.answer()?.status, 200);
    }
    assert_eq!(two.taker.taken()?.len(), 4, "none was served without an agent");
    two.app.take_requests();

    // Nothing was guarded again yet.
    two.reaches(&paris, v6, true)?;
    assert_eq!((two.taker.number(v4)?, attached(&mut two)?), (number, 8));
    assert_eq!(two.taker.count("leave/taken")?, 2, "counters go on");
    two.taker.guard_own(&[v4])?;
    two.reaches(&berlin, v6, false)?;
    drop(left);
    let left = two.taker.to_keep()?;
    replace(&mut two, &Left::new())?;
    assert_eq!(attached(&mut two)?, 8 * 2, "somebody holds the first set");
    drop(left);
    assert_eq!(attached(&mut two)?, 8, "and lets it go");
    Ok(())
}

#[test]
fn programs_are_switched_under_load_and_no_connection_is_missed() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let left = two.taker.to_keep()?;
    let (berlin, paris, v4, v6) = (two.berlin.clone(), two.paris.clone(), two.v4, two.v6);
    let mut earlier = Vec::new();
    let (done, before) = (AtomicBool::new(false), two.taker.counters()?);
    let made = std::thread::scope(|scope| {
        let load = |host, to| {
            let done = &done;
            scope.spawn(move || -> anyhow::Result<u64> {
                let mut made = 0;
                while !done.load(Ordering::Relaxed) {
                    exchange(host, to)?;
                    made += 1;
                }
                Ok(made)
            })
        };
        let loads = [load(&berlin, v4), load(&berlin, v6), load(&paris, v4), load(&paris, v6)];
        let switched = (0..4).try_for_each(|_| {
            // The earlier ones go on accepting and serving: what connects is theirs too.
            let run_dir = tempfile::tempdir()?;
            let numbers = "endpoints.json";
            std::fs::copy(two.taker.run_dir().join(numbers), run_dir.path().join(numbers))?;
            let next = Taker::start_left(&berlin, TAKER, &left, run_dir)?;
            earlier.push(std::mem::replace(&mut two.taker, next));
            anyhow::Ok(())
        });
        done.store(true, Ordering::Relaxed);
        let made = loads.map(|load| load.join().expect("no panic"));
        switched.map(|()| made)
    })?;
    let made: Vec<u64> = made.into_iter().collect::<Result<_, _>>()?;
    let gained = crate::world::gained(&before, &two.taker.counters()?);
    assert!(made.iter().all(|made| *made > 50), "{made:?}");
    let [left4, left6, arrived4, arrived6] = made[..] else { panic!("four loads") };
    assert_eq!(gained.get("leave/taken"), Some(&left4), "{gained:?}");
    assert_eq!(gained.get("leave/taken-v6"), Some(&left6), "{gained:?}");
    assert_eq!(gained.get("arrive/taken"), Some(&(arrived4 + arrived6)), "{gained:?}");
    assert_eq!(two.app.take_requests().len() as u64, made.iter().sum::<u64>());
    assert_eq!(attached(&mut two)?, 8);
    Ok(())
}

#[test]
fn links_that_were_detached_and_maps_of_another_size_are_made_anew() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let (berlin, v4) = (two.berlin.clone(), two.v4);
    let mut left = two.taker.to_keep()?;
    assert_eq!(two.taker.detach()?.len(), 8);
    let small = Sizes { guarded: 4, ..Sizes::default() };
    let mut other = Taker::start_sized(&two.paris, TAKER, small)?;
    left.retain(|(name, _)| name != "abi1-map-GUARDED");
    left.extend(other.to_keep()?.into_iter().filter(|(name, _)| name == "abi1-map-GUARDED"));
    drop(other);
    replace(&mut two, &left)?;
    assert_eq!(attached(&mut two)?, 8);
    two.reaches(&berlin, v4, false)?;
    two.taker.guard_own(&[v4])?;
    two.reaches(&berlin, v4, true)
}
