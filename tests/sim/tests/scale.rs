//! What must hold of a thousand sites, and of fewer. Each test prints what it measured; `cargo xtask test --suite scale`
//! shows it.

use std::time::Duration;

use cheops_agent::metadata::latency::State;
use cheops_sim::measure::memory;
use cheops_sim::{PARTS, Spread, Traffic, Weather, World};

/// Whom an agent probes at most, by its defaults; there are no requests here.
const PROBES: f64 = 24.0;
/// What an agent may send in a second, with all headers from IP on, in the first minute after a start of all at once.
const BYTES: f64 = 32_000.0;
/// In seconds, how long a death may stay unknown to who probes the site, and to who has word of it.
const PROBED: f64 = 10.0;
const BY_WORD: f64 = 20.0;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// All start at once and find each other.
fn started(sites: usize, weather: Weather, seed: u64) -> World {
    println!("{sites} sites, seed {seed}");
    let mut world = World::new(sites, weather, seed);
    world.start_all();
    let all: Vec<usize> = (0..sites).collect();
    // A handful of each: all of all is much to look at.
    let some = &all[..sites.min(25)];
    let (probed, word) = world.until_seen(some, State::Alive, seconds(30)).expect("all are found after a cold start");
    let last = probed.max().max(word.max());
    println!("{sites} sites from a cold start: all see each other after {last:.1} s");
    world
}

/// One death: how long until all know it.
fn death(world: &mut World, site: usize) -> (Spread, Spread) {
    world.kill(site);
    let (probed, word) = world.until_seen(&[site], State::Dead, seconds(40)).expect("all learn of a death");
    assert!(probed.all().iter().all(|took| *took <= PROBED), "who probes it learns it after {:.1} s", probed.max());
    assert!(word.all().iter().all(|took| *took <= BY_WORD), "by word it is learned after {:.1} s", word.max());
    (probed, word)
}

/// One line of the table: what a federation of that size costs, and how soon it learns of a death.
fn line(world: &mut World, settled: Duration) {
    world.pass(settled.saturating_sub(world.now));
    let (sites, before, begin) = (world.nodes.len(), world.sent(), world.now);
    let probes = world.probes();
    let (probed, word) = death(world, sites / 2);
    let all = Spread::new([probed.all(), word.all()].concat());
    // Until the next wave of word of places is over, which began with all of them at once.
    world.pass(seconds(30).saturating_sub(world.now - begin));
    let sent: Vec<Traffic> = world.living().iter().map(|site| world.nodes[*site].sent.since(&before[*site])).collect();
    let over = (world.now - begin).as_secs_f64();
    let rate = Spread::new(sent.iter().map(|one| one.sum() as f64 / over).collect());
    let estimates = world.estimates(2000, 1);
    let parts = PARTS.iter().enumerate().map(|(part, name)| {
        let mean = sent.iter().map(|one| one.0[part] as f64).sum::<f64>() / over / sent.len() as f64;
        format!("{name} {:.1}", mean / 1000.0)
    });
    println!("kB/s a site among {sites}: {}", parts.collect::<Vec<_>>().join(", "));
    println!(
        "| {sites} | {:.0} | {:.1} / {:.1} | {:.1} / {:.1} s | {:.0} % / {:.0} % |",
        probes.max(),
        rate.mean() / 1000.0,
        rate.part(0.99) / 1000.0,
        all.median(),
        all.max(),
        estimates.median() * 100.0,
        estimates.part(0.9) * 100.0,
    );
    assert!(probes.max() <= PROBES, "one probes {} sites", probes.max());
    assert!(rate.mean() <= BYTES, "{:.0} bytes a second", rate.mean());
    assert!(estimates.median() < 0.1 && estimates.part(0.9) < 0.3, "estimates are off by {:?}", estimates.part(0.9));
    assert!(world.wrong.is_empty(), "living sites are taken for dead: {:?}", world.wrong);
}

#[test]
fn a_thousand_sites() {
    let mut world = started(1000, Weather::FAIR, 1);
    line(&mut world, seconds(30));
    let each = memory(1000);
    println!("1000 sites: {each} KiB of memory each, the simulation's included");
    assert!(each <= 2048, "{each} KiB each");
    // A tenth of all, at once.
    let tenth: Vec<usize> = (0..1000).filter(|site| site % 10 == 3 && *site != 500).collect();
    tenth.iter().for_each(|site| world.kill(*site));
    let (probed, word) = world.until_seen(&tenth, State::Dead, seconds(40)).expect("all deaths are learned of");
    println!(
        "1000 sites, 100 die at once: known by probes after {:.1} s, by word after {:.1} s",
        probed.max(),
        word.max()
    );
    // Many look for other neighbours meanwhile, and leave one that they probed before they know: all of it by word, then.
    assert!(probed.max().max(word.max()) <= BY_WORD, "{:.1} {:.1}", probed.max(), word.max());
    assert!(world.wrong.is_empty(), "living sites are taken for dead: {:?}", world.wrong);
}

#[test]
fn fewer_sites() {
    for sites in [3, 30, 300] {
        let mut world = started(sites, Weather::FAIR, 2);
        line(&mut world, seconds(30));
        // Back, it is alive for all again.
        world.start(sites / 2);
        let (_, word) = world.until_seen(&[sites / 2], State::Alive, seconds(40)).expect("all see it again");
        assert!(word.all().iter().all(|took| *took <= BY_WORD), "{:.1}", word.max());
        println!("{sites} sites: one that is back is known after {:.1} s at most", word.max().max(0.0));
    }
}

#[test]
fn loss_and_jitter_kill_nobody() {
    let mut world = started(150, Weather::BAD, 3);
    world.pass(seconds(60));
    assert!(world.wrong.is_empty(), "living sites are taken for dead: {:?}", world.wrong);
    assert_eq!(world.not_seen(State::Dead), 150 * 149, "nobody is taken for dead by word either");
    let (probed, word) = death(&mut world, 75);
    println!("150 sites, 20 % loss, 50 ms jitter: a death is known after {:.1} / {:.1} s", probed.max(), word.max());
}

#[test]
fn halves_part_and_come_together() {
    let sites = 200;
    let mut world = started(sites, Weather::FAIR, 4);
    world.pass(seconds(15));
    world.network.part(|site| (site % 2) as u8);
    world.changed();
    let (even, odd): (Vec<usize>, Vec<usize>) = (0..sites).partition(|site| site % 2 == 0);
    let apart = |world: &World| {
        let dead = |by: usize, of: usize| world.nodes[by].sees(of) == State::Dead;
        let pairs = || even.iter().flat_map(|one| odd.iter().map(|other| (*one, *other)));
        pairs().filter(|(one, other)| !dead(*one, *other) || !dead(*other, *one)).count()
    };
    let begin = world.now;
    while apart(&world) > 0 && world.now - begin < seconds(40) {
        world.pass(seconds(1));
    }
    assert_eq!(apart(&world), 0, "each half sees the other dead");
    println!("{sites} sites, halves: each knows that the other is gone after {} s", (world.now - begin).as_secs());
    assert!(world.now - begin <= seconds(25));
    for half in [&even, &odd] {
        let pairs = half.iter().flat_map(|by| half.iter().map(move |of| (*by, *of))).filter(|(by, of)| by != of);
        let doubted: Vec<_> = pairs.filter(|(by, of)| world.nodes[*by].sees(*of) != State::Alive).collect();
        assert!(doubted.is_empty(), "each half sees itself alive: {doubted:?}");
    }
    world.pass(seconds(20));
    world.network.part(|_| 0);
    world.changed();
    let begin = world.now;
    while world.not_seen(State::Alive) > 0 && world.now - begin < seconds(60) {
        world.pass(seconds(1));
    }
    assert_eq!(world.not_seen(State::Alive), 0, "all see all again");
    println!("{sites} sites: all see all again {} s after the cut is healed", (world.now - begin).as_secs());
}

#[test]
fn a_cut_of_one_direction_is_no_death() {
    let mut world = started(60, Weather::FAIR, 5);
    world.pass(seconds(15));
    // Near ones probe each other all the time.
    let other = (1..60).min_by_key(|site| world.network.round_trip(0, *site)).expect("others");
    world.network.cut(0, other, true);
    world.changed();
    world.pass(seconds(30));
    let [here, there] =
        [(0, other), (other, 0)].map(|(by, of)| world.nodes[by].board.site(&cheops_sim::node::name(of)));
    assert!(here.one_way().is_some() && there.one_way().is_some(), "{here:?}\n{there:?}");
    for by in (1..60).filter(|by| *by != other) {
        let seen = [0, other].map(|of| world.nodes[by].sees(of));
        assert_eq!(seen, [State::Alive; 2], "{by}: both refute what the other says");
    }
}

#[test]
fn a_cut_between_two_is_told_from_a_death() {
    let mut world = started(60, Weather::FAIR, 8);
    world.pass(seconds(15));
    let other = (1..60).min_by_key(|site| world.network.round_trip(0, *site)).expect("others");
    world.network.cut(0, other, true);
    world.network.cut(other, 0, true);
    world.changed();
    world.pass(seconds(35));
    let seen = world.nodes[0].board.site(&cheops_sim::node::name(other));
    assert_eq!(seen.state, State::Dead, "no request can go there");
    assert!(seen.one_way().is_some_and(|text| text.contains("others reach it")), "{seen:?}");
    assert!(
        (1..60).all(|by| by == other || world.nodes[by].sees(other) == State::Alive),
        "it refutes what is said of it"
    );
}

#[test]
fn without_word_who_does_not_probe_learns_nothing() {
    let mut world = started(60, Weather::FAIR, 9);
    world.pass(seconds(10));
    world.mute = true;
    world.kill(30);
    assert!(world.until_seen(&[30], State::Dead, seconds(20)).is_none());
}

#[test]
fn the_same_seed_gives_the_same_course() {
    let course = |seed| {
        let mut world = started(40, Weather::BAD, seed);
        world.pass(seconds(10));
        let (probed, word) = death(&mut world, 7);
        let places: Vec<_> = world.living().iter().map(|site| world.nodes[*site].board.coordinate()).collect();
        (probed.all(), word.all(), places)
    };
    assert_eq!(course(6), course(6));
    assert_ne!(course(6), course(7));
}
