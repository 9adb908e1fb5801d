use super::*;
use crate::metadata::record::{CertificateFacts, Liveness, SiteRecord, Standing};
use crate::metadata::seal::{Seal, SealError};
use crate::metadata::store::{Listed, Seen, Store};

const NOW: Millis = 1_800_000_000_000;
const HOUR: Millis = 3_600_000;

/// What each host has.
#[derive(Clone, Copy)]
struct Has {
    site: &'static str,
    lives: bool,
    trusts: &'static [&'static str],
    authority: &'static str,
    expires: Millis,
    /// When its certificate was issued, if its serial number tells.
    issued: Option<Millis>,
}

const fn has(site: &'static str, trusts: &'static [&'static str], authority: &'static str) -> Has {
    Has { site, lives: true, trusts, authority, expires: NOW + HOUR, issued: None }
}

/// Takes what begins with "old " as sealed under the old authority.
struct Marked;

impl Seal for Marked {
    fn seal(&self, _: &str, record: &str) -> Result<String, SealError> {
        Ok(record.to_owned())
    }

    fn open(&self, _: &Key, _: &str, kept: &str) -> Result<String, SealError> {
        Ok(kept.strip_prefix("old ").unwrap_or(kept).to_owned())
    }

    fn worn(&self, kept: &str) -> bool {
        kept.starts_with("old ")
    }
}

fn view(hosts: &[Has], worn: &[&str]) -> View {
    let store = Store::new("edge", Box::new(Marked), None);
    let mut values = Vec::new();
    let mut put = |key: Key, record: &Record, mark: &str| {
        values.push((key.full("edge"), format!("{mark}{}", record.encode()), 1));
    };
    for has in hosts {
        let (site, host) = (SiteName::from(has.site), HostName::from("h1"));
        let serial = |issued| revoke::serial(issued).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let certificate = CertificateFacts {
            serial: has.issued.map_or_else(|| "1".to_owned(), serial),
            expires: has.expires,
            authority: has.authority.to_owned(),
        };
        let record = HostRecord {
            peers: Vec::new(),
            agent: "1".into(),
            certificate: (!has.authority.is_empty()).then_some(certificate),
            signs: false,
            trusts: has.trusts.iter().map(|one| (*one).to_owned()).collect(),
        };
        put(Key::Host(site.clone(), host.clone()), &Record::Host(record), "");
        if has.lives {
            put(Key::Liveness(site.clone(), host), &Record::Liveness(Liveness { started: 1 }), "");
        }
        let mark = if worn.contains(&has.site) { "old " } else { "" };
        let standing = SiteRecord { standing: Standing::Drained, since: 1 };
        put(Key::Site(site), &Record::Site(standing), mark);
    }
    store.listed(Listed { seen: Some(Seen { cluster: 1, revision: 1 }), values, ..Listed::default() });
    (*store.view()).clone()
}

fn begun() -> Federation {
    let before = Federation {
        name: "edge".into(),
        authorities: vec!["OLD".into()],
        since: 1,
        bridge: Vec::new(),
        rotation: None,
    };
    before.rotating("NEW", ("old".into(), "new".into()), vec!["BRIDGE".into()], NOW)
}

fn renewing() -> Federation {
    begun().after(&Step::Renew, NOW + 1).expect("the second phase")
}

fn step(federation: &Federation, view: &View, force: bool) -> Step {
    federation.rotation.as_ref().expect("a rotation").step(view, NOW, force)
}

fn waits_for(step: &Step) -> Vec<(&str, Lack)> {
    match step {
        Step::Wait(missing) => missing.iter().map(|missing| (missing.site.as_str(), missing.lacks)).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_order_of_authorities_is_that_of_the_phases() {
    let first = begun();
    assert_eq!(first.authorities, ["OLD", "NEW"]);
    let second = renewing();
    assert_eq!((&second.authorities[..], second.bridge.len()), (&["NEW".to_owned(), "OLD".to_owned()][..], 1));
    let rotation = second.rotation.as_ref().expect("a rotation");
    assert_eq!((rotation.phase, rotation.begun, rotation.since), (Phase::Renewing, NOW, NOW + 1));
    let last = second.after(&Step::Finish, NOW + 2).expect("the end");
    assert_eq!((last.authorities, last.rotation), (vec!["NEW".to_owned()], None));
    // No step is taken twice, and none is left out.
    assert!(first.after(&Step::Finish, NOW).is_none() && second.after(&Step::Renew, NOW).is_none());
    assert!(first.after(&Step::Wait(Vec::new()), NOW).is_none());
}

#[test]
fn the_new_authority_signs_when_all_that_live_believe_it() {
    let federation = begun();
    let both: &[&str] = &["old", "new"];
    let waits = step(&federation, &view(&[has("Berlin", both, "old"), has("Paris", &["old"], "old")], &[]), false);
    assert_eq!(waits_for(&waits), [("Paris", Lack::Trust)]);
    let all = [has("Berlin", both, "old"), has("Paris", both, "old")];
    assert_eq!(step(&federation, &view(&all, &[]), false), Step::Renew);
    // Who is away is told when it is back.
    let away = [has("Berlin", both, "old"), Has { lives: false, ..has("Paris", &["old"], "old") }];
    assert_eq!(step(&federation, &view(&away, &[]), false), Step::Renew);
    // What is sealed under the old authority matters only later.
    assert_eq!(step(&federation, &view(&all, &["Berlin"]), false), Step::Renew);
}

#[test]
fn the_old_authority_goes_when_nothing_of_it_is_in_use() {
    let federation = renewing();
    let both: &[&str] = &["new", "old"];
    let waits = step(&federation, &view(&[has("Berlin", both, "new"), has("Paris", both, "old")], &[]), false);
    assert_eq!(waits_for(&waits), [("Paris", Lack::Certificate)]);
    let Step::Wait(missing) = waits else { panic!("it waits") };
    assert_eq!(missing[0].until, Some(NOW + HOUR));
    // Who is away is waited for until its certificate ends.
    let away = |expires| {
        let paris = Has { lives: false, expires, ..has("Paris", &["old"], "old") };
        view(&[has("Berlin", both, "new"), paris], &["Paris"])
    };
    assert_eq!(waits_for(&step(&federation, &away(NOW + 1), false)), [("Paris", Lack::Certificate)]);
    assert_eq!(step(&federation, &away(NOW), false), Step::Finish);
    // A host that told nothing yet may have one.
    let silent = view(&[has("Berlin", both, "new"), has("Paris", both, "")], &[]);
    assert_eq!(waits_for(&step(&federation, &silent, false)), [("Paris", Lack::Certificate)]);
    let all = [has("Berlin", both, "new"), has("Paris", both, "new")];
    assert_eq!(waits_for(&step(&federation, &view(&all, &["Paris"]), false)), [("Paris", Lack::Records)]);
    // Links of before are made anew first.
    let paris = |issued| Has { issued: Some(issued), ..has("Paris", both, "new") };
    let renewed = |issued| view(&[has("Berlin", both, "new"), paris(issued)], &[]);
    assert_eq!(waits_for(&step(&federation, &renewed(NOW - 1), false)), [("Paris", Lack::Links)]);
    assert_eq!(step(&federation, &renewed(NOW - SETTLES), false), Step::Finish);
    let gone = Has { lives: false, ..paris(NOW - 1) };
    assert_eq!(step(&federation, &view(&[has("Berlin", both, "new"), gone], &[]), false), Step::Finish);
    assert_eq!(step(&federation, &view(&all, &[]), false), Step::Finish);
}

#[test]
fn force_waits_for_nobody_but_for_the_whole_list() {
    let behind = [has("Berlin", &["old"], "old"), has("Paris", &["old"], "old")];
    assert_eq!(step(&begun(), &view(&behind, &[]), true), Step::Renew);
    assert_eq!(step(&renewing(), &view(&behind, &[]), true), Step::Finish);
    // Absent is not empty.
    for federation in [begun(), renewing()] {
        assert_eq!(step(&federation, &View::default(), true), Step::Wait(Vec::new()));
    }
}

#[test]
fn records_of_before_and_of_now_are_understood() {
    let read = |text: &str| match Record::decode(&Key::Federation, text) {
        Ok(Record::Federation(federation)) => federation,
        other => panic!("{other:?}"),
    };
    // As agents wrote it that knew no rotation.
    let past = read(r#"{"version":1,"name":"edge","authorities":["OLD"],"since":1}"#);
    assert_eq!((past.rotation.as_ref(), past.bridge.len()), (None, 0));
    let now = read(
        r#"{"version":1,"name":"edge","authorities":["NEW","OLD"],"since":1,"bridge":["BRIDGE"],"rotation":
        {"phase":"renewing","from":"old","to":"new","begun":1800000000000,"since":1800000000001}}"#,
    );
    assert_eq!(now, renewing());
    assert_eq!(read(&Record::Federation(now.clone()).encode()), now);
}
