//! What of a backend's records is taken, and what is too much.

use std::collections::BTreeMap;

use super::{Inner, Raw, Store};
use crate::metadata::bounds::{self, Excess, Tally};
use crate::metadata::key::Key;

impl Inner {
    /// Whether the record may be kept in place of the one that is there, which then counts no longer.
    pub(super) fn room(&mut self, key: Option<&Key>, full: &str, value: &str) -> Result<(), Excess> {
        let before = self.raw.get(full).map(|raw| raw.value.as_str());
        self.tally.put(key, full, before, value)
    }

    /// It isn't kept after all; what is there counts again.
    pub(super) fn take_back(&mut self, key: Option<&Key>, full: &str, value: &str) {
        self.tally.remove(key, full, value);
        let before = self.raw.get(full);
        // There was room for it before.
        if before.is_some_and(|before| self.tally.put(key, full, None, &before.value).is_err()) {
            tracing::debug!(key = full, "a record isn't counted");
        }
    }

    /// It is not kept any more.
    pub(super) fn forget(&mut self, key: Option<&Key>, full: &str) {
        if let Some(raw) = self.raw.remove(full) {
            self.tally.remove(key, full, &raw.value);
        }
    }

    /// It is there, and too much.
    pub(super) fn leave_out(&mut self, full: &str, excess: Excess) {
        let shown = bounds::shown(full);
        if self.left_out.len() < bounds::NAMED || self.left_out.contains_key(&shown) {
            self.left_out.insert(shown, excess);
        } else {
            self.unnamed = self.unnamed.saturating_add(1);
        }
    }

    /// It isn't there, or is no longer too much.
    pub(super) fn let_in(&mut self, full: &str) {
        if !self.left_out.is_empty() {
            self.left_out.remove(&bounds::shown(full));
        }
    }

    /// Records that are there and too much, as far as it is known.
    pub(super) fn excess(&self) -> u64 {
        self.unnamed.saturating_add(self.left_out.len() as u64)
    }
}

impl Store {
    /// From now on these are kept, as many as may be.
    pub(super) fn keep(&self, inner: &mut Inner, records: impl IntoIterator<Item = (String, Raw)>) {
        inner.raw = BTreeMap::new();
        inner.tally = Tally::default();
        for (full, raw) in records {
            match inner.room(self.key(&full).as_ref(), &full, &raw.value) {
                Ok(()) => drop(inner.raw.insert(full, raw)),
                Err(excess) => inner.leave_out(&full, excess),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::record::{Record, SiteRecord, Standing};
    use crate::metadata::seal::Unsealed;
    use crate::metadata::store::{Change, Listed, Seen};

    fn seen(revision: i64) -> Seen {
        Seen { cluster: 1, revision }
    }

    fn put(full: String) -> Change {
        Change::Put { full, value: "{}".to_owned(), revision: 2 }
    }

    #[test]
    fn what_is_too_much_is_counted_and_let_in_when_there_is_room() {
        let store = Store::new("lab", Box::new(Unsealed), None);
        let paris = |number: usize| Key::Service("Paris".into(), format!("s{number:04}").as_str().into()).full("lab");
        let berlin = Key::Site("Berlin".into());
        let record = Record::Site(SiteRecord { standing: Standing::Active, since: 1 });
        let mut values: Vec<(String, String, i64)> = (0..1100).map(|number| (paris(number), "{}".into(), 1)).collect();
        values.push((berlin.full("lab"), record.encode(), 1));
        let left_out = vec![("k".repeat(2000), Excess::Key)];
        store.listed(Listed { seen: Some(seen(1)), values, left_out, more: false });
        let view = store.view();
        assert_eq!(store.facts().left_out, 1100 - 1024 + 1);
        assert!(view.complete && view.get(&berlin).is_some(), "Paris takes no other's room");
        assert_eq!(view.refused.len(), 1101, "each is named");

        let removed = (0..1100).map(|number| Change::Removed { full: paris(number) }).collect();
        store.changed(removed, seen(2));
        assert_eq!(store.facts().left_out, 1, "the key that is too long is there still");
        store.changed(vec![put(paris(0))], seen(3));
        assert_eq!(store.facts().left_out, 1);
        store.changed((1..1025).map(|number| put(paris(number))).collect(), seen(4));
        assert_eq!(store.facts().left_out, 2, "one more than there is room for");
    }

    #[test]
    fn a_list_that_has_no_end_is_not_the_whole_list() {
        let store = Store::new("lab", Box::new(Unsealed), None);
        store.listed(Listed { seen: Some(seen(1)), more: true, ..Listed::default() });
        assert!(!store.view().complete);
        assert_eq!(store.facts().left_out, 1);
    }
}
