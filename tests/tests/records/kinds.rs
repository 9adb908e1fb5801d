//! Every kind of record, in every version that an agent ever wrote.

use std::collections::BTreeSet;
use std::path::Path;

use cheops_agent::metadata::record::{RecordError, VERSION};
use cheops_agent::metadata::{Key, Record};
use serde_json::{Value, json};

/// Every kind, by the name that its fixtures begin with. A new kind doesn't compile here before it has a name, and the test
/// fails before it has a fixture.
const KINDS: [&str; 11] =
    ["federation", "site", "host", "service", "latencies", "liveness", "token", "revoked", "resource", "name", "prime"];

fn kind(key: &Key) -> &'static str {
    match key {
        Key::Federation => KINDS[0],
        Key::Site(_) => KINDS[1],
        Key::Host(..) => KINDS[2],
        Key::Service(..) => KINDS[3],
        Key::Latencies(_) => KINDS[4],
        Key::Liveness(..) => KINDS[5],
        Key::Token(_) => KINDS[6],
        Key::Revoked(_) => KINDS[7],
        Key::Resource(_) => KINDS[8],
        Key::Name(..) => KINDS[9],
        Key::Prime(_) => KINDS[10],
    }
}

/// The fixtures: kind, version, key, and the record as it was written.
fn fixtures() -> anyhow::Result<Vec<(String, u64, Key, Value)>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records/fixtures");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let (kind, version) = name.split_once('.').ok_or_else(|| anyhow::anyhow!("{name} has no version"))?;
        let fixture: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        let key = fixture["key"].as_str().and_then(Key::parse).ok_or_else(|| anyhow::anyhow!("{name} has no key"))?;
        Ok((kind.to_owned(), version.parse()?, key, fixture["record"].clone()))
    };
    std::fs::read_dir(directory)?.map(read).collect()
}

#[test]
fn every_version_of_every_kind_is_understood() -> anyhow::Result<()> {
    let fixtures = fixtures()?;
    for (name, version, key, record) in &fixtures {
        assert_eq!((kind(key), record["version"].as_u64()), (name.as_str(), Some(*version)));
        let read = Record::decode(key, &record.to_string());
        let read = read.unwrap_or_else(|error| panic!("{name} of version {version} is not understood: {error}"));
        if *version == VERSION {
            let written: Value = serde_json::from_str(&read.encode())?;
            for (member, value) in record.as_object().into_iter().flatten() {
                assert_eq!(written.get(member), Some(value), "{name}: {member} is not kept");
            }
        }
    }
    let there: BTreeSet<(&str, u64)> = fixtures.iter().map(|(name, version, ..)| (name.as_str(), *version)).collect();
    for kind in KINDS {
        for version in 1..=VERSION {
            assert!(there.contains(&(kind, version)), "there is no fixture of {kind} of version {version}");
        }
    }
    assert_eq!(there.len(), fixtures.len());
    Ok(())
}

#[test]
fn members_of_agents_to_come_are_ignored_and_newer_versions_are_not_guessed() -> anyhow::Result<()> {
    for (name, _, key, record) in fixtures()? {
        let read = |record: &Value| Record::decode(&key, &record.to_string());
        let known = read(&record);
        assert!(known.is_ok(), "{name}");
        let mut more = record.clone();
        more["of-an-agent-to-come"] = json!({"a": [1, null]});
        assert_eq!(read(&more), known, "{name}: an unknown member");
        let mut newer = record.clone();
        newer["version"] = (VERSION + 1).into();
        assert_eq!(read(&newer), Err(RecordError::Newer(VERSION + 1)), "{name}");
        let mut none = record.clone();
        none.as_object_mut().map(|members| members.remove("version"));
        assert_eq!(read(&none), Err(RecordError::NoVersion), "{name}");
        let mut wrong = record.clone();
        wrong["version"] = "1".into();
        assert_eq!(read(&wrong), Err(RecordError::NoVersion), "{name}: a version is a number");
        for text in ["", "null", "[]", "{", "\"x\"", "\u{0}"] {
            assert!(matches!(Record::decode(&key, text), Err(RecordError::NoObject(_))), "{name}: {text:?}");
        }
        assert!(
            matches!(read(&json!({"version": 1, "since": "soon", "started": {}})), Err(RecordError::Malformed(_))),
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn a_record_is_understood_without_any_member_that_may_be_absent() -> anyhow::Result<()> {
    for (name, _, key, record) in fixtures()? {
        for (member, _) in record.as_object().into_iter().flatten().filter(|(member, _)| *member != "version") {
            let mut less = record.clone();
            less.as_object_mut().map(|members| members.remove(member));
            // Absent is not empty: either it is an error that names the member, or what is read says nothing of it.
            match Record::decode(&key, &less.to_string()) {
                Err(error) => assert!(error.to_string().contains(member.as_str()), "{name} without {member}: {error}"),
                Ok(read) => {
                    let again = Record::decode(&key, &read.encode());
                    assert_eq!(again, Ok(read), "{name} without {member}");
                }
            }
        }
    }
    Ok(())
}
