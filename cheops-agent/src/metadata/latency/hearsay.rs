//! What is known of sites that this agent doesn't probe: word of them, handed on from agent to agent.
//!
//! A site says that it lives by counting up a number of its own, its *life*. Who probed it and gets no answer any more
//! accuses this life of being dead; the site refutes that with the next one, as in SWIM (Das, Gupta, Motivala, DSN 2002).
//! One accuser alone is not believed at once, several are (Dadgar, Phillips, Currey: Lifeguard, DSN-W 2018). Word has an
//! age wherever it goes, and is forgotten when it is too old. An agent asks for what is new since it last asked: each
//! word has a place in the order in which it came here.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Coordinate, State};
use crate::metadata::record::Standing;
use crate::names::SiteName;

/// Word that is older says nothing any more.
pub const HEARSAY_TTL: Duration = Duration::from_secs(300);
/// A site says this often that it lives.
const RENEWAL: Duration = Duration::from_secs(100);
/// A site that found out better where it lies says so after this at the earliest, then after twice that, and so on until
/// it is this for each site that there is: all sites' words have to come to all.
const MOVING: Duration = Duration::from_secs(15);
const MOVING_OF_MANY: Duration = Duration::from_millis(60);
/// So many accusers are believed, after so long; fewer, after so long.
const ACCUSERS: usize = 2;
const SEVERAL: Duration = Duration::from_secs(1);
const ALONE: Duration = Duration::from_secs(5);
/// An agent that others have told of is asked for what came within this.
const RECENT: Duration = Duration::from_secs(30);
/// Words in one answer.
pub const MOST_WORDS: usize = 256;

/// Asks for everything.
pub const ALL: u64 = 0;
/// Asks for what is new, where it isn't known what was asked for before.
pub const NEWS: u64 = 1;

/// Word of a site. Names are short: there is one for each site, all the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    #[serde(rename = "s")]
    pub site: SiteName,
    /// Counted up by the site itself.
    #[serde(rename = "n")]
    pub life: u64,
    /// Seconds since it, or its accusers, said so.
    #[serde(rename = "a")]
    pub age: u32,
    /// Who says that this life is over.
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    pub accusers: Vec<SiteName>,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub coordinate: Option<Coordinate>,
    /// How it takes part.
    #[serde(rename = "p", default, skip_serializing_if = "is_active")]
    pub standing: Standing,
}

fn is_active(standing: &Standing) -> bool {
    *standing == Standing::Active
}

/// What is known by hearsay of one site, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    pub state: State,
    pub coordinate: Option<Coordinate>,
    pub standing: Standing,
    pub age: Duration,
}

#[derive(Clone, Debug)]
struct Known {
    life: u64,
    accusers: Vec<SiteName>,
    /// When the first accusation came here.
    accused: Duration,
    coordinate: Option<Coordinate>,
    standing: Standing,
    /// How old it was when it came, and when that was.
    old: Duration,
    came: Duration,
    /// Its place in the order.
    order: u64,
}

/// Everything that was heard.
#[derive(Clone, Debug)]
pub struct Hearsay {
    known: BTreeMap<SiteName, Known>,
    /// The order in which it came, and when.
    order: BTreeMap<u64, (SiteName, Duration)>,
    first: u64,
    next: u64,
    /// How often the own site said where it lies.
    placed: u32,
}

impl Known {
    fn age(&self, now: Duration) -> Duration {
        self.old.saturating_add(now.saturating_sub(self.came))
    }

    fn state(&self, now: Duration) -> State {
        let since = now.saturating_sub(self.accused);
        match self.accusers.len() {
            _ if self.age(now) >= HEARSAY_TTL => State::Unknown,
            0 => State::Alive,
            some if since >= if some >= ACCUSERS { SEVERAL } else { ALONE } => State::Dead,
            _ => State::Suspect,
        }
    }
}

impl Hearsay {
    /// Nothing was heard yet. `run` tells the order of this run from that of any other.
    pub fn new(run: u32) -> Self {
        let first = (u64::from(run) << 31) + NEWS + 1;
        Self { known: BTreeMap::new(), order: BTreeMap::new(), first, next: first, placed: 0 }
    }

    /// Sites of which something is known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn put(&mut self, site: &SiteName, known: Known, now: Duration) {
        let order = self.next;
        self.next += 1;
        if let Some(old) = self.known.insert(site.clone(), Known { order, ..known }) {
            self.order.remove(&old.order);
        }
        self.order.insert(order, (site.clone(), now));
    }

    /// Says that the own site lives, where it lies and how it takes part: if nobody knows, if it was denied, if something
    /// changed, or if it's time.
    pub fn live(&mut self, site: &SiteName, standing: Standing, coordinate: Option<Coordinate>, now: Duration) {
        let life = match self.known.get(site) {
            None => 1,
            Some(known) => {
                let moved = match (&coordinate, &known.coordinate) {
                    (Some(is), Some(told)) => is.moved(told),
                    (is, told) => is.is_some() != told.is_some(),
                };
                let age = known.age(now);
                let same = known.accusers.is_empty() && known.standing == standing;
                let many = MOVING_OF_MANY.saturating_mul(u32::try_from(self.known.len()).unwrap_or(u32::MAX));
                let pause = MOVING.saturating_mul(1 << self.placed.min(8)).min(many.max(MOVING));
                if same && age < RENEWAL && !(moved && age >= pause) {
                    return;
                }
                self.placed = self.placed.saturating_add(u32::from(moved));
                known.life.saturating_add(1)
            }
        };
        let known = Known {
            life,
            accusers: Vec::new(),
            accused: now,
            coordinate,
            standing,
            old: Duration::ZERO,
            came: now,
            order: 0,
        };
        self.put(site, known, now);
    }

    /// The site's life, as far as it is known; 0 if nothing is.
    pub fn life(&self, site: &SiteName) -> u64 {
        self.known.get(site).map_or(0, |known| known.life)
    }

    /// `by` gets no answer from the site any more, in the life that is given. Said again when it's time.
    pub fn accuse(&mut self, site: &SiteName, life: u64, by: &SiteName, now: Duration) {
        let (site, accusers) = (site.clone(), vec![by.clone()]);
        let word = Word { site, life, age: 0, accusers, coordinate: None, standing: Standing::Active };
        self.hear(&word, now);
    }

    /// Somebody tells. What is no news is dropped.
    pub fn hear(&mut self, word: &Word, now: Duration) {
        let age = Duration::from_secs(word.age.into());
        if age >= HEARSAY_TTL {
            return;
        }
        let told = Known {
            life: word.life,
            accusers: word.accusers.iter().take(ACCUSERS).cloned().collect(),
            accused: now,
            coordinate: word.coordinate,
            standing: word.standing,
            old: age,
            came: now,
            order: 0,
        };
        let merged = match self.known.get(&word.site) {
            None => told,
            Some(known) if known.life > told.life => return,
            Some(known) if known.life < told.life => Known { coordinate: told.coordinate.or(known.coordinate), ..told },
            Some(known) => {
                let mut accusers = known.accusers.clone();
                accusers.extend(told.accusers.into_iter().filter(|one| !known.accusers.contains(one)));
                accusers.truncate(ACCUSERS);
                let more = accusers.len() > known.accusers.len();
                let renewed = !accusers.is_empty() && known.age(now) > age + RENEWAL;
                if !more && !renewed {
                    return;
                }
                let accused = if known.accusers.is_empty() { now } else { known.accused };
                Known { accusers, accused, old: age, came: now, ..known.clone() }
            }
        };
        self.put(&word.site, merged, now);
    }

    /// What came since `after`, the oldest first, and what to ask for next time.
    pub fn tell(&self, after: u64, now: Duration) -> (Vec<Word>, u64) {
        let from = match after {
            ALL => 0,
            ours if (self.first..self.next).contains(&ours) => ours.saturating_add(1),
            _ => {
                let recent = self.order.iter().rev().take_while(|(_, (_, came))| now.saturating_sub(*came) < RECENT);
                recent.last().map_or(self.next, |(order, _)| *order)
            }
        };
        let news = || self.order.range(from..).take(MOST_WORDS);
        let last = news().last().map_or(self.next.saturating_sub(1), |(order, _)| *order);
        let words = news().filter_map(|(_, (site, _))| self.word(site, now));
        (words.collect(), last.max(NEWS))
    }

    /// Word of one site.
    pub fn word(&self, site: &SiteName, now: Duration) -> Option<Word> {
        let known = self.known.get(site)?;
        let age = u32::try_from(known.age(now).as_secs()).unwrap_or(u32::MAX);
        Some(Word {
            site: site.clone(),
            life: known.life,
            age,
            accusers: known.accusers.clone(),
            coordinate: known.coordinate,
            standing: known.standing,
        })
    }

    /// How the site stands by hearsay.
    pub fn state(&self, site: &SiteName, now: Duration) -> State {
        self.known.get(site).map_or(State::Unknown, |known| known.state(now))
    }

    /// Where it says that it lies.
    pub fn coordinate(&self, site: &SiteName) -> Option<Coordinate> {
        self.known.get(site)?.coordinate
    }

    /// Forgets sites that are none of the federation's.
    pub fn retain(&mut self, is_site: impl Fn(&SiteName) -> bool) {
        self.known.retain(|site, _| is_site(site));
        let known = &self.known;
        self.order.retain(|order, (site, _)| known.get(site).is_some_and(|known| known.order == *order));
    }

    /// All of it, as of now.
    pub fn all(&self, now: Duration) -> BTreeMap<SiteName, Heard> {
        let all = self.known.iter().map(|(site, known)| {
            let (state, age) = (known.state(now), known.age(now));
            (site.clone(), Heard { state, coordinate: known.coordinate, standing: known.standing, age })
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn site(name: &str) -> SiteName {
        name.into()
    }

    /// What one tells another, however often that has to be asked.
    fn pass(from: &Hearsay, to: &mut Hearsay, after: &mut u64, now: u64) -> usize {
        let mut passed = 0;
        loop {
            let (words, next) = from.tell(*after, at(now));
            words.iter().for_each(|word| to.hear(word, at(now)));
            passed += words.len();
            *after = next;
            if words.is_empty() {
                return passed;
            }
        }
    }

    #[test]
    fn a_dead_site_is_believed_dead_by_two_accusers_or_by_time_and_refutes() {
        let (mut own, mut here, paris) = (Hearsay::new(1), Hearsay::new(2), site("Paris"));
        own.live(&paris, Standing::Active, None, at(0));
        let (mut there, mut back) = (ALL, ALL);
        assert_eq!(pass(&own, &mut here, &mut there, 0), 1);
        assert_eq!(here.state(&paris, at(1)), State::Alive);
        here.accuse(&paris, 1, &site("Lyon"), at(10));
        assert_eq!((here.state(&paris, at(14)), here.state(&paris, at(15))), (State::Suspect, State::Dead));
        here.accuse(&paris, 1, &site("Nantes"), at(10));
        assert_eq!((here.state(&paris, at(10)), here.state(&paris, at(11))), (State::Suspect, State::Dead));
        // Paris hears of it, and nobody who accuses its old life is believed any more.
        pass(&here, &mut own, &mut back, 12);
        own.live(&paris, Standing::Active, None, at(12));
        assert_eq!(pass(&own, &mut here, &mut there, 13), 1);
        here.accuse(&paris, 1, &site("Brest"), at(14));
        assert_eq!((here.state(&paris, at(30)), here.life(&paris)), (State::Alive, 2));
    }

    #[test]
    fn word_ages_on_its_way_and_is_forgotten() {
        let (mut one, mut two, mut three) = (Hearsay::new(1), Hearsay::new(2), Hearsay::new(3));
        let paris = site("Paris");
        one.live(&paris, Standing::Drained, None, at(0));
        pass(&one, &mut two, &mut ALL.clone(), 100);
        pass(&two, &mut three, &mut ALL.clone(), 250);
        let heard = three.all(at(299))[&paris];
        assert_eq!((heard.state, heard.age, heard.standing), (State::Alive, at(299), Standing::Drained));
        assert_eq!(three.state(&paris, at(300)), State::Unknown);
        let mut four = Hearsay::new(4);
        pass(&three, &mut four, &mut ALL.clone(), 300);
        assert!(four.is_empty(), "too old to be told");
    }

    #[test]
    fn each_word_is_told_once_to_who_asks_for_what_is_new() {
        let (mut one, mut two) = (Hearsay::new(1), Hearsay::new(2));
        for number in 0..1000 {
            one.hear(&word(number, 1), at(0));
        }
        let mut after = ALL;
        assert_eq!(pass(&one, &mut two, &mut after, 0), 1000);
        assert_eq!(two.len(), 1000);
        for number in 0..5 {
            one.hear(&word(number, 2), at(60));
            one.hear(&word(number, 1), at(60));
        }
        assert_eq!(pass(&one, &mut two, &mut after, 61), 5);
        assert_eq!(pass(&one, &mut two, &mut after, 61), 0);
        // Whoever comes anew is told what is recent; and so is who asked another run.
        assert_eq!((one.tell(NEWS, at(70)).0.len(), one.tell(77 << 31, at(70)).0.len()), (5, 5));
        assert_eq!(one.tell(NEWS, at(100)).0.len(), 0);
        one.retain(|site| site.as_str() != "S3");
        assert_eq!((one.len(), one.tell(NEWS, at(70)).0.len()), (999, 4));
    }

    fn word(number: usize, life: u64) -> Word {
        let site = site(&format!("S{number}"));
        Word { site, life, age: 0, accusers: Vec::new(), coordinate: None, standing: Standing::Active }
    }
}
