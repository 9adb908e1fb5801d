//! How much of what a cluster keeps is taken: it may be careless, or hostile. No site takes another one's room.

use std::collections::BTreeMap;

use super::key::Key;
use crate::names::SiteName;

/// Bytes of one record as it is kept.
pub const RECORD: usize = 256 << 10;
/// Bytes of one key.
pub const KEY: usize = 1 << 10;
/// Of one site.
const SITE: Size = Size { records: 1 << 10, bytes: 8 << 20 };
/// Of what is no site's: tokens, revocations, names; and what isn't understood.
const SHARED: Size = Size { records: 1 << 15, bytes: 64 << 20 };
/// Of everything.
const ALL: Size = Size { records: 1 << 17, bytes: 256 << 20 };
/// Records that are left out and named; the rest is counted.
pub const NAMED: usize = 1 << 10;

/// Why something is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    #[error("its key is longer than {KEY} bytes")]
    Key,
    #[error("it is larger than {RECORD} bytes")]
    Record,
    #[error("its site has more than {} records, or {} MiB", SITE.records, SITE.bytes >> 20)]
    Site,
    #[error("there are more than {} records that are no site's, or {} MiB", SHARED.records, SHARED.bytes >> 20)]
    Shared,
    #[error("there are more than {} records, or {} MiB", ALL.records, ALL.bytes >> 20)]
    All,
}

/// Whether one record is not too large.
///
/// # Errors
/// What is too large of it.
pub fn fits(full: &str, value: &str) -> Result<(), Excess> {
    match (full.len(), value.len()) {
        (key, _) if key > KEY => Err(Excess::Key),
        (_, value) if value > RECORD => Err(Excess::Record),
        _ => Ok(()),
    }
}

/// Whether a list of so many records and bytes is longer than is read.
pub fn exceeds(records: usize, bytes: usize) -> bool {
    !(Size { records, bytes }).within(ALL)
}

/// The key as far as it is shown.
pub fn shown(full: &str) -> String {
    full.chars().take(KEY / 4).collect()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    records: usize,
    bytes: usize,
}

impl Size {
    fn within(self, most: Self) -> bool {
        self.records <= most.records && self.bytes <= most.bytes
    }

    fn with(self, other: Self) -> Self {
        Self { records: self.records + other.records, bytes: self.bytes + other.bytes }
    }

    fn without(self, other: Self) -> Self {
        Self { records: self.records.saturating_sub(other.records), bytes: self.bytes.saturating_sub(other.bytes) }
    }
}

/// How much is kept, of whom.
#[derive(Debug, Default)]
pub struct Tally {
    all: Size,
    sites: BTreeMap<SiteName, Size>,
    shared: Size,
}

fn size(full: &str, value: &str) -> Size {
    Size { records: 1, bytes: full.len() + value.len() }
}

impl Tally {
    /// Counts a record that takes the place of `before`.
    ///
    /// # Errors
    /// When it is too much; then nothing is changed.
    pub fn put(&mut self, key: Option<&Key>, full: &str, before: Option<&str>, value: &str) -> Result<(), Excess> {
        fits(full, value)?;
        let old = before.map(|before| size(full, before)).unwrap_or_default();
        let after = |now: Size| now.without(old).with(size(full, value));
        let site = key.and_then(Key::site);
        let of = site.map_or(self.shared, |site| self.sites.get(site).copied().unwrap_or_default());
        let (of, all) = (after(of), after(self.all));
        let (most, excess) = if site.is_some() { (SITE, Excess::Site) } else { (SHARED, Excess::Shared) };
        if !of.within(most) {
            return Err(excess);
        }
        if !all.within(ALL) {
            return Err(Excess::All);
        }
        self.all = all;
        match site {
            Some(site) => drop(self.sites.insert(site.clone(), of)),
            None => self.shared = of,
        }
        Ok(())
    }

    /// The record is kept no longer.
    pub fn remove(&mut self, key: Option<&Key>, full: &str, value: &str) {
        let gone = size(full, value);
        self.all = self.all.without(gone);
        match key.and_then(Key::site) {
            None => self.shared = self.shared.without(gone),
            Some(site) => {
                let left = self.sites.get(site).copied().unwrap_or_default().without(gone);
                if left.records == 0 {
                    self.sites.remove(site);
                } else {
                    self.sites.insert(site.clone(), left);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(site: &str, number: usize) -> Key {
        Key::Service(site.into(), format!("s{number}").as_str().into())
    }

    #[test]
    fn no_site_takes_the_room_of_another() {
        let mut tally = Tally::default();
        let mut put = |site: &str, number| {
            let key = service(site, number);
            tally.put(Some(&key), &key.full("lab"), None, "{}")
        };
        for number in 0..SITE.records {
            assert_eq!(put("Paris", number), Ok(()));
        }
        assert_eq!(put("Paris", SITE.records), Err(Excess::Site));
        assert_eq!(put("Berlin", 0), Ok(()));
    }

    #[test]
    fn what_goes_makes_room_and_what_is_replaced_takes_none() {
        let mut tally = Tally::default();
        let large = "x".repeat(RECORD);
        let key = service("Paris", 0);
        let full = key.full("lab");
        let most = SITE.bytes / RECORD;
        for number in 1..most {
            let key = service("Paris", number);
            assert_eq!(tally.put(Some(&key), &key.full("lab"), None, &large), Ok(()));
        }
        assert_eq!(tally.put(Some(&key), &full, None, &large), Err(Excess::Site), "keys count, too");
        assert_eq!(tally.put(Some(&key), &full, None, "{}"), Ok(()));
        assert_eq!(tally.put(Some(&key), &full, Some("{}"), "[]"), Ok(()));
        let first = service("Paris", 1);
        tally.remove(Some(&first), &first.full("lab"), &large);
        assert_eq!(tally.put(Some(&key), &full, Some("[]"), &large), Ok(()));
        for number in 2..most {
            let key = service("Paris", number);
            tally.remove(Some(&key), &key.full("lab"), &large);
        }
        tally.remove(Some(&key), &full, &large);
        assert_eq!((tally.all, tally.sites.len()), (Size::default(), 0));
    }

    #[test]
    fn what_nobody_understands_counts_too() {
        let mut tally = Tally::default();
        let large = "x".repeat(RECORD);
        let kept = (0..).take_while(|number| tally.put(None, &format!("/x/{number}"), None, &large).is_ok()).count();
        assert!(kept < SHARED.bytes / RECORD + 1, "{kept}");
        let key = service("Berlin", 0);
        assert_eq!(tally.put(Some(&key), &key.full("lab"), None, "{}"), Ok(()), "a site still has room");
    }

    #[test]
    fn one_record_may_be_too_large() {
        assert_eq!(fits("k", &"x".repeat(RECORD)), Ok(()));
        assert_eq!(fits("k", &"x".repeat(RECORD + 1)), Err(Excess::Record));
        assert_eq!(fits(&"k".repeat(KEY + 1), ""), Err(Excess::Key));
    }
}
