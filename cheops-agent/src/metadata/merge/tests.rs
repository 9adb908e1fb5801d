use super::*;
use crate::config::from_text;
use crate::metadata::Store;
use crate::metadata::record::SiteRecord;
use crate::metadata::transaction::Write;

const FILE: &str = "site = \"B\"\nhost = \"b1\"\n[peer]\nlisten = \"127.0.0.1:1\"\nca = \"c\"\ncert = \"c\"\nkey = \"k\"\n\
    [[sites]]\nname = \"P\"\npeer = \"127.0.0.1:2\"\n[[services]]\nname = \"S\"\n\
    endpoints = { B = \"http://10.0.0.1:80\", P = \"http://10.0.0.2:80\" }";

fn host(peer: &str) -> Record {
    Record::Host(HostRecord {
        peers: vec![peer.into()],
        agent: "0".into(),
        certificate: None,
        signs: false,
        trusts: Vec::new(),
    })
}

fn service(urls: &[&str]) -> Record {
    let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
    Record::Service(ServiceRecord {
        kind: None,
        profile: "rest".into(),
        endpoints: urls,
        hosts: BTreeMap::new(),
        when_agent_down: "pass".into(),
        host: "own".into(),
        export: true,
        parameter: true,
    })
}

fn merged(records: Vec<(Key, Record)>) -> Merged {
    let config = from_text(FILE).unwrap_or_else(|error| panic!("{error}")).config;
    merge_with(&config, records)
}

fn merge_with(config: &Config, records: Vec<(Key, Record)>) -> Merged {
    let store = Store::embedded("f");
    records.into_iter().for_each(|(key, record)| store.write(Write::Put(key, record)).expect("kept"));
    merge(config, &Names::default(), &store.view(), &["10.0.0.77".parse().expect("an address")])
}

fn addresses(merged: &Merged, service: &str, site: &str) -> Vec<String> {
    let service = merged.snapshot.service(service).expect("known");
    let all = service.endpoints.get(site).into_iter().flatten().flat_map(|endpoint| &endpoint.addresses);
    all.map(ToString::to_string).collect()
}

#[test]
fn sites_hosts_and_services_are_learned() {
    let merged = merged(vec![
        (Key::Host("R".into(), "r1".into()), host("10.0.0.3:7117")),
        (Key::Host("R".into(), "r2".into()), host("10.0.0.4:7117")),
        (Key::Host("B".into(), "b1".into()), host("10.0.0.1:7117")),
        (Key::Host("B".into(), "b2".into()), host("10.0.0.9:7117")),
        (Key::Site("R".into()), Record::Site(SiteRecord { standing: Standing::Drained, since: 1 })),
        (Key::Service("R".into(), "S".into()), service(&["http://10.0.0.3:80"])),
        (Key::Service("R".into(), "New".into()), service(&["http://10.0.0.3:81/x"])),
    ]);
    let site = &merged.snapshot.sites["R"];
    assert_eq!(
        (site.peers.as_slice(), site.standing),
        (["10.0.0.3:7117".into(), "10.0.0.4:7117".into()].as_slice(), Standing::Drained)
    );
    let own = &merged.snapshot.sites["B"];
    assert!(own.own && own.hosts == ["b1".into(), "b2".into()] && own.peers == ["10.0.0.9:7117"], "{own:?}");
    assert_eq!(addresses(&merged, "S", "R"), ["10.0.0.3:80"]);
    assert_eq!(addresses(&merged, "New", "R"), ["10.0.0.3:81"]);
    assert_eq!(merged.refused, []);
}

#[test]
fn the_file_wins() {
    let merged = merged(vec![
        (Key::Host("P".into(), "p1".into()), host("10.9.9.9:1")),
        (Key::Service("P".into(), "S".into()), service(&["http://10.9.9.9:80"])),
        (Key::Service("B".into(), "S".into()), service(&["http://10.9.9.9:80"])),
    ]);
    assert_eq!(merged.snapshot.sites["P"].peers, ["127.0.0.1:2"]);
    assert_eq!(merged.snapshot.sites["P"].hosts, ["p1".into()]);
    assert_eq!(addresses(&merged, "S", "P"), ["10.0.0.2:80"]);
    assert_eq!(addresses(&merged, "S", "B"), ["10.0.0.1:80"]);
}

#[test]
fn what_may_not_be_announced_is_refused_and_the_rest_stays() {
    let lies = [
        "http://127.0.0.1:80",
        "http://10.0.0.1:80",
        "http://10.0.0.77:1",
        "http://10.0.0.2:80",
        "nonsense",
        "http://[fe80::1]:80",
    ];
    let mut all = lies.to_vec();
    all.push("http://10.0.0.3:80");
    let merged = merged(vec![
        (Key::Service("R".into(), "S".into()), service(&all)),
        (Key::Service("R".into(), "a&b".into()), service(&["http://10.0.0.3:82"])),
        (Key::Service("x{y".into(), "S".into()), service(&["http://10.0.0.4:80"])),
        (Key::Service("R".into(), "Lies".into()), service(&lies)),
    ]);
    assert_eq!(addresses(&merged, "S", "R"), ["10.0.0.3:80"]);
    assert!(merged.snapshot.service("Lies").is_none() && merged.snapshot.service("a&b").is_none());
    assert!(!merged.snapshot.sites.contains_key("x{y"));
    let why: Vec<String> = merged
        .refused
        .iter()
        .filter(|one| one.service.as_ref().is_some_and(|name| name.as_str() == "S"))
        .map(|one| one.why.to_string())
        .collect();
    assert_eq!(why.len(), lies.len(), "{why:?}");
    assert_eq!(merged.refused.len(), 2 * lies.len() + 2, "{:?}", merged.refused);
}

#[test]
fn a_host_of_the_own_site_may_have_its_own_endpoints() {
    let other = [("b2".into(), vec!["http://10.0.0.9:80".to_owned(), "http://127.0.0.1:82".to_owned()])].into();
    let Record::Service(mut record) = service(&[]) else { panic!("a service") };
    record.hosts = other;
    record.hosts.insert("b1".into(), vec!["http://10.0.0.8:80".into()]);
    let merged = merged(vec![
        (Key::Service("B".into(), "T".into()), Record::Service(record)),
        (Key::Service("R".into(), "T".into()), service(&["http://10.0.0.9:80"])),
    ]);
    assert_eq!(addresses(&merged, "T", "B"), ["10.0.0.9:80"], "the own part is what the file says: nothing");
    assert!(addresses(&merged, "T", "R").is_empty(), "nobody else may have them");
    assert_eq!(merged.refused.len(), 2);
}

#[test]
fn an_agent_without_certificates_learns_of_loopback_peers_alone() {
    let text = "site = \"B\"\n[peer]\nlisten = \"127.0.0.1:1\"\ninsecure = true";
    let config = from_text(text).unwrap_or_else(|error| panic!("{error}")).config;
    let host = |site: &str, peer| (Key::Host(site.into(), "h".into()), host(peer));
    let merged = merge_with(&config, vec![host("P", "10.0.0.2:1"), host("R", "127.0.0.2:1")]);
    assert!(merged.snapshot.sites["P"].peers.is_empty());
    assert_eq!(merged.snapshot.sites["R"].peers, ["127.0.0.2:1"]);
}
