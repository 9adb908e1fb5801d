//! Where credentials were issued: a token is valid at its home only, and another site that is to believe it asks there.
//!
//! A home is known from the issue of a credential that passed through this agent, or from the peer that sent a request
//! with it; nobody is asked by trial. No credential is kept: an entry's key is a hash under a key of this agent's own, and
//! what agents tell each other is a [`Mark`]. The table is bounded, entries end after a day, and it outlives a restart and
//! a kill of the agent, as the credentials do.

mod disk;
mod mark;

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::disk::Disk;
use self::mark::Key;
pub use self::mark::{Mark, NoMark, Tag};
use crate::names::SiteName;

/// Entries at most; the oldest go.
const MOST: usize = 65_536;
/// How long an entry counts after it was learned last.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// What is learned again is written down anew after so long.
const AGAIN: Duration = Duration::from_secs(3600);

/// How a home is known, the better the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// The agent at the entry knew no better than its own site.
    Guessed,
    /// By a peer that knew it.
    Told,
    /// The issue passed through this agent.
    Issued,
}

/// Where a credential was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    pub site: SiteName,
    pub known: Known,
}

/// A request's credential and its home, as an agent tells another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub mark: Mark,
    pub site: SiteName,
    /// Whether it is more than a guess.
    pub sure: bool,
}

/// Unix time, seconds.
type Seconds = u64;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    home: Home,
    since: Seconds,
}

/// The homes that one agent knows.
#[derive(Debug, Default)]
pub struct Homes {
    key: Key,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// With the number of its last place in the order.
    entries: HashMap<Tag, (u64, Entry)>,
    /// In the order in which they were learned; a tag stands here again when it was learned again.
    order: VecDeque<(u64, Tag)>,
    last: u64,
    /// None: kept in memory alone.
    disk: Option<Disk>,
}

impl Homes {
    /// What an earlier agent left in the run directory; this one adds to it.
    pub fn open(run_dir: &Path) -> Self {
        let (key, disk, left) = match disk::open(run_dir) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(%error, directory = %run_dir.display(), "homes of credentials are kept in memory alone");
                return Self::default();
            }
        };
        let mut table = Table { disk: Some(disk), ..Table::default() };
        let now = now();
        left.into_iter().filter(|(_, entry)| entry.lives(now)).for_each(|(tag, entry)| table.put(tag, entry));
        Self { key, table: Mutex::new(table) }
    }

    /// The credential's key in this and other tables of this agent.
    pub fn tag(&self, mark: &Mark) -> Tag {
        self.key.tag(mark)
    }

    /// Learns a home. What is known better stays.
    pub fn learn(&self, mark: &Mark, home: Home) {
        let (tag, now) = (self.tag(mark), now());
        let mut table = self.lock();
        let before = table.entries.get(&tag).map(|(_, entry)| entry).filter(|entry| entry.lives(now));
        let stays = before.is_some_and(|before| {
            before.home.known > home.known || (before.home == home && before.age(now) < AGAIN.as_secs())
        });
        if stays {
            return;
        }
        let entry = Entry { home, since: now };
        table.write(tag, &entry);
        table.put(tag, entry);
    }

    /// Learns what another agent tells.
    pub fn hear(&self, told: &Told) {
        let known = if told.sure { Known::Told } else { Known::Guessed };
        self.learn(&told.mark, Home { site: told.site.clone(), known });
    }

    /// The credential's home, if it is known.
    pub fn of(&self, mark: &Mark) -> Option<Home> {
        let tag = self.tag(mark);
        let table = self.lock();
        let entry = table.entries.get(&tag).map(|(_, entry)| entry).filter(|entry| entry.lives(now()));
        entry.map(|entry| entry.home.clone())
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn age(&self, now: Seconds) -> Seconds {
        now.saturating_sub(self.since)
    }

    fn lives(&self, now: Seconds) -> bool {
        self.age(now) < LIFE.as_secs()
    }
}

impl Table {
    fn put(&mut self, tag: Tag, entry: Entry) {
        self.last += 1;
        self.order.push_back((self.last, tag));
        self.entries.insert(tag, (self.last, entry));
        let is_last = |entries: &HashMap<Tag, (u64, Entry)>, place: &(u64, Tag)| {
            entries.get(&place.1).is_some_and(|(last, _)| *last == place.0)
        };
        while self.entries.len() > MOST {
            let Some(oldest) = self.order.pop_front() else { break };
            if is_last(&self.entries, &oldest) {
                self.entries.remove(&oldest.1);
            }
        }
        if self.order.len() > 2 * MOST {
            self.order.retain(|place| is_last(&self.entries, place));
        }
    }

    fn write(&mut self, tag: Tag, entry: &Entry) {
        let Some(disk) = &mut self.disk else { return };
        let written = match disk.is_long() {
            true => disk
                .rewrite(self.entries.iter().map(|(tag, (_, entry))| (tag, entry)))
                .and_then(|()| disk.append(tag, entry)),
            false => disk.append(tag, entry),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "homes of credentials can't be written; from now on they are kept in memory alone");
            self.disk = None;
        }
    }
}

fn now() -> Seconds {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn home(site: &str, known: Known) -> Home {
        Home { site: site.into(), known }
    }

    fn mark(text: &str) -> Mark {
        Mark::of(text.as_bytes())
    }

    #[test]
    fn what_is_known_better_stays() {
        let homes = Homes::default();
        let token = mark("token");
        assert_eq!(homes.of(&token), None);
        for (learned, then) in [
            (home("Berlin", Known::Guessed), "Berlin"),
            (home("Nantes", Known::Guessed), "Nantes"),
            (home("Paris", Known::Told), "Paris"),
            (home("Berlin", Known::Guessed), "Paris"),
            (home("Berlin", Known::Told), "Berlin"),
            (home("Paris", Known::Issued), "Paris"),
            (home("Berlin", Known::Told), "Paris"),
        ] {
            homes.learn(&token, learned.clone());
            assert_eq!(homes.of(&token).expect("known").site.as_str(), then, "{learned:?}");
        }
        assert_eq!(homes.of(&mark("another")), None);
    }

    #[test]
    fn they_outlive_the_agent_and_hold_no_credential() {
        let directory = tempfile::tempdir().expect("a directory");
        let homes = Homes::open(directory.path());
        homes.learn(&mark("gAAAA-secret"), home("São Paulo/2 x", Known::Issued));
        homes.learn(&mark("another"), home("Paris", Known::Guessed));
        homes.learn(&mark("another"), home("Berlin", Known::Told));
        // As after a kill: nothing was said to it.
        std::mem::forget(homes);
        for again in 0..2 {
            let homes = Homes::open(directory.path());
            assert_eq!(homes.of(&mark("gAAAA-secret")), Some(home("São Paulo/2 x", Known::Issued)), "{again}");
            assert_eq!(homes.of(&mark("another")), Some(home("Berlin", Known::Told)));
            assert_eq!((homes.of(&mark("unknown")), homes.len()), (None, 2));
        }
        let mut files = 0;
        for file in std::fs::read_dir(directory.path()).expect("a directory").flatten() {
            files += 1;
            assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o600, "{:?}", file.path());
            let bytes = std::fs::read(file.path()).expect("a file");
            assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
            let plain = mark("gAAAA-secret").to_string();
            assert!(!String::from_utf8_lossy(&bytes).contains(&plain), "the hash has a key");
        }
        assert_eq!(files, 2);
    }

    #[test]
    fn what_can_not_be_read_is_begun_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        let learned = |text: &str| {
            let homes = Homes::open(directory.path());
            homes.learn(&mark(text), home("Paris", Known::Told));
            Homes::open(directory.path()).of(&mark(text)).is_some()
        };
        assert!(learned("one"));
        let table = directory.path().join(disk::TABLE);
        let whole = std::fs::read_to_string(&table).expect("a file");
        // A line that was not written whole, and lines that mean nothing, take no other with them.
        std::fs::write(&table, format!("{whole}nonsense\n12 x\n{}", &whole[whole.len() - 20..whole.len() - 1]))
            .expect("written");
        assert!(Homes::open(directory.path()).of(&mark("one")).is_some());
        assert!(learned("two") && Homes::open(directory.path()).of(&mark("one")).is_some());
        std::fs::write(&table, "cheops-homes 99\n").expect("written");
        assert!(learned("three") && Homes::open(directory.path()).of(&mark("one")).is_none());
        std::fs::write(directory.path().join(disk::KEY), "short").expect("written");
        assert!(learned("four") && Homes::open(directory.path()).of(&mark("three")).is_none());
    }

    #[test]
    fn entries_end_and_the_oldest_make_room() {
        let mut table = Table::default();
        let entry = |since| Entry { home: home("Paris", Known::Told), since };
        assert!(entry(100).lives(100 + LIFE.as_secs() - 1) && !entry(100).lives(100 + LIFE.as_secs()));
        let homes = Homes::default();
        let tag = |number: usize| homes.tag(&mark(&number.to_string()));
        for number in 0..MOST + 10 {
            table.put(tag(number), entry(number as u64));
            // Learned again: it is not the oldest any more.
            if number == 500 {
                table.put(tag(0), entry(500));
            }
        }
        assert_eq!((table.entries.len(), table.entries.contains_key(&tag(MOST + 9))), (MOST, true));
        assert!(table.entries.contains_key(&tag(0)) && !table.entries.contains_key(&tag(1)));
        for _ in 0..3 * MOST {
            table.put(tag(0), entry(7));
        }
        assert!(table.order.len() <= 2 * MOST && table.entries.contains_key(&tag(0)));
    }
}
