use super::*;
use crate::config::from_text;
use crate::metadata::Store;
use crate::metadata::seal::Unsealed;
use crate::metadata::store::{Listed, Seen};

const FILE: &str = "site = \"B\"\nhost = \"b1\"\n[[services]]\nname = \"S\"\n\
    endpoints = { B = [\"http://10.0.0.1:80/s\", \"http://127.0.0.1:80/s\"] }\n\
    [[services]]\nname = \"L\"\nendpoints = { B = \"http://localhost:81\" }";

fn config(text: &str) -> Config {
    from_text(text).unwrap_or_else(|error| panic!("{error}")).config
}

fn facts() -> Facts {
    let host = HostRecord {
        peers: vec!["10.0.0.1:7117".into()],
        agent: "0".into(),
        certificate: None,
        signs: false,
        trusts: Vec::new(),
    };
    Facts { host, started: 1, now: 2, standing: None }
}

/// A store that a backend has listed once, with nothing in it.
fn listed() -> Store {
    let store = Store::new("f", Box::new(Unsealed), None);
    store.listed(Listed { seen: Some(Seen { cluster: 1, revision: 1 }), values: Vec::new(), ..Listed::default() });
    store
}

fn publish(config: &Config, store: &Store) -> usize {
    let due = due(config, &facts(), &store.view());
    let count = due.len();
    due.into_iter().for_each(|write| store.write(write).expect("kept"));
    count
}

fn service(store: &Store, name: &str) -> Option<ServiceRecord> {
    match store.view().get(&Key::Service("B".into(), name.into())).map(|kept| kept.record.clone()) {
        Some(Record::Service(record)) => Some(record),
        _ => None,
    }
}

#[test]
fn what_is_missing_is_told_once_and_no_loopback() {
    let (config, store) = (config(FILE), listed());
    assert_eq!(publish(&config, &store), 4, "host, liveness, one service, site");
    assert_eq!(publish(&config, &store), 0);
    assert_eq!(service(&store, "S").map(|record| record.endpoints), Some(vec!["http://10.0.0.1:80/s".into()]));
    assert_eq!(service(&store, "L"), None);
}

#[test]
fn how_the_site_stands_is_not_told_while_it_may_just_not_be_known() {
    let (config, store) = (config(FILE), Store::new("f", Box::new(Unsealed), None));
    assert_eq!(publish(&config, &store), 3);
    assert!(store.view().get(&Key::Site("B".into())).is_none());
    let drained = Record::Site(SiteRecord { standing: Standing::Drained, since: 1 });
    let value = (Key::Site("B".into()).full("f"), drained.encode(), 1);
    store.listed(Listed { seen: Some(Seen { cluster: 1, revision: 1 }), values: vec![value], ..Listed::default() });
    publish(&config, &store);
    assert_eq!(store.view().get(&Key::Site("B".into())).map(|kept| &kept.record), Some(&drained));
}

/// The host that had said it was revoked, so that its word is not believed any more.
#[test]
fn how_the_site_stood_is_told_again_by_who_knows_it() {
    let (config, store) = (config(FILE), listed());
    let drained = SiteRecord { standing: Standing::Drained, since: 7 };
    let facts = Facts { standing: Some(drained.clone()), ..facts() };
    let told = due(&config, &facts, &store.view());
    assert!(told.contains(&Write::Put(Key::Site("B".into()), Record::Site(drained))), "{told:?}");
}

#[test]
fn hosts_of_a_site_leave_each_others_part_alone() {
    let store = listed();
    let other = FILE.replace("b1", "b2").replace("10.0.0.1:80", "10.0.0.9:80");
    let (one, two) = (config(FILE), config(&other));
    publish(&one, &store);
    publish(&two, &store);
    let both = service(&store, "S").expect("there");
    assert_eq!(both.endpoints, ["http://10.0.0.1:80/s", "http://10.0.0.9:80/s"]);
    assert_eq!((publish(&one, &store), publish(&two, &store)), (0, 0), "nobody contradicts");

    let mut lost = both.clone();
    lost.hosts.remove("b1");
    lost.endpoints.remove(0);
    store.write(Write::Put(Key::Service("B".into(), "S".into()), Record::Service(lost))).expect("kept");
    assert_eq!((publish(&two, &store), publish(&one, &store)), (0, 1), "a part that was lost is put back");
    assert_eq!(service(&store, "S"), Some(both));

    publish(&config("site = \"B\"\nhost = \"b1\""), &store);
    assert_eq!(service(&store, "S").map(|record| record.endpoints), Some(vec!["http://10.0.0.9:80/s".into()]));
    publish(&config("site = \"B\"\nhost = \"b2\""), &store);
    assert_eq!(service(&store, "S"), None);
}

#[test]
fn the_part_of_a_host_that_was_removed_goes() {
    let store = listed();
    publish(&config(FILE), &store);
    publish(&config(&FILE.replace("b1", "b2").replace("10.0.0.1:80", "10.0.0.9:80")), &store);
    store.write(Write::Remove(Key::Host("B".into(), "b2".into()))).expect("kept");
    assert_eq!(publish(&config(FILE), &store), 1);
    assert_eq!(service(&store, "S").map(|record| record.endpoints), Some(vec!["http://10.0.0.1:80/s".into()]));
}

#[test]
fn what_a_wiped_cluster_lost_is_told_again() {
    let (config, store) = (config(FILE), Store::new("f", Box::new(Unsealed), None));
    let full = |write: Write| match write {
        Write::Put(key, record) => (key.full("f"), record.encode(), 5),
        Write::Remove(key) => panic!("{key} is to be removed"),
    };
    let empty = Listed { seen: Some(Seen { cluster: 1, revision: 9 }), values: Vec::new(), ..Listed::default() };
    store.listed(empty);
    let all = due(&config, &facts(), &store.view());
    let (count, values) = (all.len(), all.into_iter().map(full).collect());
    store.listed(Listed { seen: Some(Seen { cluster: 1, revision: 9 }), values, ..Listed::default() });
    assert_eq!(due(&config, &facts(), &store.view()), []);
    store.listed(Listed { seen: Some(Seen { cluster: 1, revision: 1 }), values: Vec::new(), ..Listed::default() });
    assert_eq!(publish(&config, &store), count, "as it was, also how the site stands");
    assert_eq!(publish(&config, &store), 0);
}

#[test]
fn what_comes_to_nothing_is_told_again_late_and_what_was_changed_at_once() {
    let store = listed();
    let key = Key::Site("B".into());
    let stands = |standing| Record::Site(SiteRecord { standing, since: 1 });
    let put = Write::Put(key.clone(), stands(Standing::Active));
    let kept = |standing, revision| {
        let value = (key.full("f"), stands(standing).encode(), revision);
        store.listed(Listed { seen: Some(Seen { cluster: 1, revision }), values: vec![value], ..Listed::default() });
    };
    let (mut told, now) = (Told::default(), Instant::now());
    assert_eq!(told.fresh(vec![put.clone()], &store.view(), now), std::slice::from_ref(&put));
    told.insert(put.clone(), now);
    // It is refused each time.
    assert_eq!(told.fresh(vec![put.clone()], &store.view(), now + AGAIN / 2), []);
    assert_eq!(told.fresh(vec![put.clone()], &store.view(), now + AGAIN), std::slice::from_ref(&put));
    told.insert(put.clone(), now);
    // It waits, and is refused then.
    store.tell(put.clone());
    assert_eq!(told.fresh(Vec::new(), &store.view(), now), []);
    assert_eq!(told.fresh(vec![put.clone()], &store.view(), now), []);
    store.settled(&[store.pending()[0].id]);
    // It is kept, and somebody changes it.
    kept(Standing::Active, 2);
    assert_eq!(told.fresh(Vec::new(), &store.view(), now), []);
    kept(Standing::Drained, 3);
    assert_eq!(told.fresh(vec![put.clone()], &store.view(), now), [put]);
}
