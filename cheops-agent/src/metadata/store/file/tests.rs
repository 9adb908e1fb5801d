use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::metadata::record::{HostRecord, Record, SiteRecord, Standing};
use crate::metadata::seal::Unsealed;
use crate::metadata::store::{Change, FILE, Listed, Seen};
use crate::metadata::{Key, View};

fn store(path: &Path) -> Store {
    Store::new("f", Box::new(Unsealed), None).kept_at(path.to_owned(), "B", "b1")
}

fn embedded(path: &Path) -> Store {
    Store::embedded("f").kept_at(path.to_owned(), "B", "b1")
}

fn key(site: &str) -> Key {
    Key::Site(site.into())
}

fn site(standing: Standing) -> Record {
    Record::Site(SiteRecord { standing, since: 1 })
}

fn put(name: &str, standing: Standing) -> Write {
    Write::Put(key(name), site(standing))
}

fn listed(cluster: u64, revision: i64, sites: &[(&str, Standing, i64)]) -> Listed {
    let value =
        |(name, standing, revision): &(&str, Standing, i64)| (key(name).full("f"), site(*standing).encode(), *revision);
    Listed { seen: Some(Seen { cluster, revision }), values: sites.iter().map(value).collect(), ..Listed::default() }
}

/// The sites that are known, how they stand, and whether that is stale.
fn known(view: &View) -> Vec<(String, Standing, bool)> {
    let sites = view.iter().filter_map(|(key, record)| match (key, record) {
        (Key::Site(name), Record::Site(record)) => {
            Some((name.to_string(), record.standing, view.get(key).is_some_and(|kept| kept.stale)))
        }
        _ => None,
    });
    sites.collect()
}

fn fresh(name: &str, standing: Standing) -> (String, Standing, bool) {
    (name.to_owned(), standing, false)
}

use Standing::{Active, Cordoned, Drained};

#[test]
fn an_embedded_store_outlives_its_agent() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("new/directory").join(FILE);
    let one = embedded(&path);
    one.write(put("B", Drained)).expect("kept");
    one.write(put("X", Active)).expect("kept");
    one.write(Write::Remove(key("X"))).expect("kept");
    // As after kill -9: nothing is flushed or closed in order.
    std::mem::forget(std::mem::replace(&mut one.inner().file.place, Place::Released));
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let copy = path.with_file_name("copy");
    std::fs::copy(&path, &copy).expect("copied");
    let two = embedded(&copy);
    assert_eq!(two.facts().trouble, None);
    assert_eq!(known(&two.view()), [fresh("B", Drained)]);
    assert!(two.view().complete);
    two.write(put("B", Active)).expect("kept");
    assert!(
        two.view().get(&key("B")).and_then(|kept| kept.revision)
            > one.view().get(&key("B")).and_then(|kept| kept.revision)
    );
}

#[test]
fn what_waits_is_there_after_a_crash_and_one_write_for_each_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(FILE);
    let one = store(&path);
    assert!(!one.view().complete);
    for standing in [Active, Cordoned, Drained] {
        one.write(put("B", standing)).expect("kept");
    }
    one.write(Write::Remove(key("P"))).expect("kept");
    one.write(put("R", Active)).expect("kept");
    let settled = one.pending().last().expect("one").id;
    one.settled(&[settled]);
    let copy = directory.path().join("copy");
    std::fs::copy(&path, &copy).expect("copied");

    let two = store(&copy);
    let waiting: Vec<Write> = two.pending().into_iter().map(|pending| pending.write).collect();
    assert_eq!(waiting, [put("B", Drained), Write::Remove(key("P"))], "in their order, without the settled one");
    assert_eq!(known(&two.view()), [fresh("B", Drained)], "shown at once");
    assert!(!two.view().complete, "what was never listed is not known to be absent");
    two.listed(listed(1, 5, &[("B", Active, 3), ("P", Active, 4)]));
    assert_eq!(known(&two.view()), [fresh("B", Drained)], "what waits counts");
    let ids: Vec<u64> = two.pending().iter().map(|pending| pending.id).collect();
    two.settled(&ids);
    drop(two);
    assert_eq!(store(&copy).pending(), []);
}

#[test]
fn the_last_view_is_known_after_a_restart_with_its_age() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(FILE);
    let one = store(&path);
    one.listed(listed(7, 5, &[("B", Active, 3), ("P", Drained, 4)]));
    let leased = Key::Liveness("P".into(), "p1".into()).full("f");
    let alive = Change::Put { full: leased, value: "{\"version\":1,\"started\":1}".into(), revision: 6 };
    let newer = Change::Put { full: key("N").full("f"), value: "{\"version\":2}".into(), revision: 6 };
    let gone = Change::Removed { full: key("B").full("f") };
    one.changed(vec![alive, newer, gone], Seen { cluster: 7, revision: 6 });
    assert!(one.view().get(&Key::Liveness("P".into(), "p1".into())).is_some());
    one.flush();
    one.release();
    assert_eq!(one.write(put("B", Active)), Err(StoreError::HandingOver));

    let two = store(&path);
    let view = two.view();
    assert_eq!((view.complete, view.seen), (true, Some(Seen { cluster: 7, revision: 6 })));
    assert_eq!(known(&view), [fresh("P", Drained)]);
    assert_eq!(view.get(&Key::Liveness("P".into(), "p1".into())), None, "a lease says nothing later");
    assert_eq!(view.refused.len(), 1, "a newer record is kept though it isn't understood");
    let facts = two.facts();
    assert!(facts.age.is_some_and(|age| age < Duration::from_secs(60)) && !facts.up(), "{facts:?}");
    assert_eq!(two.heard(), None, "and this agent heard nothing");
}

#[test]
fn a_cluster_that_was_wiped_makes_nobody_forget() {
    let one = Store::new("f", Box::new(Unsealed), None);
    one.listed(listed(7, 50, &[("B", Active, 3), ("P", Drained, 40)]));
    // The same members make the same id again: only the revision tells.
    one.listed(listed(7, 2, &[("N", Active, 2)]));
    let stale = |name: &str, standing| (name.to_owned(), standing, true);
    assert_eq!(known(&one.view()), [stale("B", Active), fresh("N", Active), stale("P", Drained)]);
    assert_eq!(
        (one.facts().stale, one.facts().lost.map(|lost| (lost.was.revision, lost.is.revision))),
        (2, Some((50, 2)))
    );
    // A list of the new history doesn't make it forget either; a write does, and so does a removal.
    one.listed(listed(7, 4, &[("N", Active, 2), ("B", Active, 4)]));
    assert_eq!(known(&one.view()), [fresh("B", Active), fresh("N", Active), stale("P", Drained)]);
    one.changed(vec![Change::Removed { full: key("P").full("f") }], Seen { cluster: 7, revision: 5 });
    assert_eq!(known(&one.view()), [fresh("B", Active), fresh("N", Active)]);
    assert_eq!(one.facts().lost, None);
    // In a history that goes on, what is absent was removed.
    one.listed(listed(7, 9, &[("N", Active, 2)]));
    assert_eq!(known(&one.view()), [fresh("N", Active)]);
    one.listed(listed(8, 90, &[]));
    assert_eq!(known(&one.view()), [stale("N", Active)], "another cluster");
    one.write(Write::Remove(key("N"))).expect("kept");
    let ids: Vec<u64> = one.pending().iter().map(|pending| pending.id).collect();
    one.settled(&ids);
    one.recheck();
    assert_eq!(known(&one.view()), [], "removed where no backend could tell of it");
}

#[test]
fn a_cluster_that_was_restored_does_not_bring_back_what_was_before() {
    let one = Store::new("f", Box::new(Unsealed), None);
    one.listed(listed(7, 50, &[("B", Active, 3), ("P", Drained, 40)]));
    one.listed(listed(7, 30, &[("B", Active, 3), ("P", Active, 20)]));
    assert_eq!(known(&one.view()), [fresh("B", Active), ("P".to_owned(), Drained, true)]);
    one.changed(
        vec![Change::Put { full: key("P").full("f"), value: site(Cordoned).encode(), revision: 31 }],
        Seen { cluster: 7, revision: 31 },
    );
    assert_eq!(known(&one.view()), [fresh("B", Active), fresh("P", Cordoned)]);
}

#[test]
fn a_file_that_cant_be_used_is_left_alone_and_tried_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(FILE);
    let garbage = vec![7; 100_000];
    std::fs::write(&path, &garbage).expect("written");
    let one = store(&path);
    let trouble = one.facts().trouble.map(|why| why.to_string()).unwrap_or_default();
    assert!(trouble.contains("Move it away"), "{trouble}");
    assert!(matches!(one.write(put("B", Active)), Err(StoreError::Disk(DiskError::Damaged { .. }))));
    assert_eq!(known(&one.view()), [], "and nothing was taken");
    one.tell(put("B", Active));
    assert_eq!((known(&one.view()), one.pending().len()), (vec![fresh("B", Active)], 1), "this one is made again");
    assert_eq!(std::fs::read(&path).expect("there"), garbage);

    std::fs::remove_file(&path).expect("removed");
    if let Place::Closed { tried, .. } = &mut one.inner().file.place {
        *tried = Instant::now().checked_sub(2 * AGAIN).expect("long ago");
    }
    one.write(put("P", Active)).expect("kept: the file is new");
    one.flush();
    assert_eq!(one.facts().trouble, None);
    drop(one);
    assert_eq!(store(&path).pending().len(), 2, "also what waited in memory");
}

#[test]
fn two_agents_have_no_file_in_common() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(FILE);
    let one = store(&path);
    one.write(put("B", Drained)).expect("kept");
    let two = store(&path);
    assert!(matches!(two.write(put("B", Active)), Err(StoreError::Disk(DiskError::Busy { .. }))));
    one.release();
    if let Place::Closed { tried, .. } = &mut two.inner().file.place {
        *tried = Instant::now().checked_sub(2 * AGAIN).expect("long ago");
    }
    two.tell(put("P", Active));
    two.flush();
    assert_eq!(known(&two.view()), [fresh("B", Drained), fresh("P", Active)], "what the first left is taken up");
    one.take_back();
    assert!(one.facts().trouble.is_some_and(|why| why.to_string().contains("another agent")));
    drop(two);
    let renamed = Store::new("f", Box::new(Unsealed), None).kept_at(path.clone(), "B", "b2");
    assert!(renamed.facts().trouble.is_some_and(|why| {
        let why = why.to_string();
        why.contains("f/B/b1") && why.contains("f/B/b2")
    }));
    drop(renamed);
    one.take_back();
}

#[test]
fn a_file_of_a_newer_agent_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(FILE);
    drop(store(&path));
    {
        let database = redb::Database::open(&path).expect("opened");
        let write = database.begin_write().expect("begun");
        let about = redb::TableDefinition::<&str, &str>::new("about");
        write.open_table(about).expect("there").insert("format", "2").expect("written");
        write.commit().expect("written");
    }
    let before = std::fs::read(&path).expect("there");
    let trouble = store(&path).facts().trouble.map(|why| why.to_string()).unwrap_or_default();
    assert!(trouble.contains("format 2") && trouble.contains("newer agent"), "{trouble}");
    assert_eq!(std::fs::read(&path).expect("there").len(), before.len());
}

#[test]
fn both_backends_have_their_own_copy() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(FILE);
    embedded(&path).write(put("B", Drained)).expect("kept");
    let other = store(&path);
    assert_eq!(known(&other.view()), []);
    other.write(put("P", Active)).expect("kept");
    drop(other);
    assert_eq!(known(&embedded(&path).view()), [fresh("B", Drained)]);
}

#[test]
fn a_record_of_a_host_says_who_signs() {
    let text = "{\"version\":1,\"peers\":[\"a:1\"],\"agent\":\"0\",\"of-an-agent-to-come\":1}";
    let read = Record::decode(&Key::Host("B".into(), "b1".into()), text);
    let host = HostRecord {
        peers: vec!["a:1".into()],
        agent: "0".into(),
        certificate: None,
        signs: false,
        trusts: Vec::new(),
    };
    assert_eq!(read, Ok(Record::Host(host)));
}
