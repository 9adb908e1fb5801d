//! What is written is what is read, of every kind and whatever stands in it.

use cheops_agent::metadata::{Key, Record};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9.:/-]{0,12}", any::<String>()]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[A-Za-z][A-Za-z0-9 ]{0,8}", "\\PC{1,6}"]
}

/// An object of these members; those that are `None` are absent.
fn object(members: Vec<(&str, Option<Value>)>) -> Value {
    let there = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.chain([("version".to_owned(), json!(1))]).collect::<Map<_, _>>())
}

fn some(value: impl Into<Value>) -> Option<Value> {
    Some(value.into())
}

fn standing() -> impl Strategy<Value = Option<&'static str>> {
    of(prop_oneof![Just("active"), Just("cordoned"), Just("drained")])
}

/// A key and a record of its kind.
fn kept() -> BoxedStrategy<(Key, Value)> {
    let federation = (text(), vec(text(), 0..3), any::<u64>()).prop_map(|(name, authorities, since)| {
        let record = object(vec![("name", some(name)), ("authorities", some(authorities)), ("since", some(since))]);
        (Key::Federation, record)
    });
    let site = (name(), standing(), any::<u64>()).prop_map(|(site, standing, since)| {
        let standing = standing.map(Value::from);
        (Key::Site(site.into()), object(vec![("standing", standing), ("since", some(since))]))
    });
    let certificate = (text(), any::<u64>(), text())
        .prop_map(|(serial, expires, authority)| json!({"serial": serial, "expires": expires, "authority": authority}));
    let host = (name(), name(), vec(text(), 0..3), text(), of(certificate), of(any::<bool>())).prop_map(
        |(site, host, peers, agent, certificate, signs)| {
            let signs = signs.map(Value::from);
            let members =
                vec![("peers", some(peers)), ("agent", some(agent)), ("certificate", certificate), ("signs", signs)];
            (Key::Host(site.into(), host.into()), object(members))
        },
    );
    let hosts = of(btree_map(name(), vec(text(), 0..3), 0..3));
    let service = (name(), name(), of(text()), vec(text(), 0..3), hosts, any::<(bool, bool, bool)>()).prop_map(
        |(site, service, kind, endpoints, hosts, (export, parameter, refuse))| {
            let record = object(vec![
                ("type", kind.map(Value::from)),
                ("profile", some("rest")),
                ("endpoints", some(endpoints)),
                ("hosts", hosts.map(|hosts| json!(hosts))),
                ("when-agent-down", some(if refuse { "refuse" } else { "pass" })),
                ("host", some("client")),
                ("export", some(export)),
                ("parameter", some(parameter)),
            ]);
            (Key::Service(site.into(), service.into()), record)
        },
    );
    prop_oneof![federation, site, host, service, measured(), joining(), reserved()].boxed()
}

fn measured() -> impl Strategy<Value = (Key, Value)> {
    let latency = (of(any::<u64>()), of(any::<u64>()), text()).prop_map(|(rtt, usual, state)| {
        let members = [("rtt-us", rtt.map(Value::from)), ("usual-us", usual.map(Value::from)), ("state", some(state))];
        Value::Object(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    });
    let latencies = (name(), any::<u64>(), btree_map(name(), latency, 0..4)).prop_map(|(site, measured, sites)| {
        (Key::Latencies(site.into()), object(vec![("measured", some(measured)), ("sites", some(json!(sites)))]))
    });
    let liveness = (name(), name(), any::<u64>()).prop_map(|(site, host, started)| {
        (Key::Liveness(site.into(), host.into()), object(vec![("started", some(started))]))
    });
    prop_oneof![latencies, liveness]
}

fn joining() -> impl Strategy<Value = (Key, Value)> {
    let token = (name(), name(), text(), any::<(u64, u64)>(), of(any::<bool>()), name()).prop_map(
        |(id, site, secret, (issued, expires), signs, by)| {
            let record = object(vec![
                ("site", some(site)),
                ("secret", some(secret)),
                ("issued", some(issued)),
                ("expires", some(expires)),
                ("signs", signs.map(Value::from)),
                ("by", some(by)),
            ]);
            (Key::Token(id), record)
        },
    );
    let revoked =
        (name(), name(), of(name()), any::<u64>(), of(any::<u64>())).prop_map(|(id, site, host, since, expires)| {
            let record = object(vec![
                ("site", some(site)),
                ("host", host.map(Value::from)),
                ("since", some(since)),
                ("expires", expires.map(Value::from)),
            ]);
            (Key::Revoked(id), record)
        });
    prop_oneof![token, revoked]
}

fn reserved() -> impl Strategy<Value = (Key, Value)> {
    let replicas = btree_map(name(), of(text()), 0..3);
    let resource = (name(), name(), text(), text(), replicas).prop_map(|(id, service, kind, scope, replicas)| {
        let record = object(vec![
            ("service", some(service)),
            ("kind", some(kind)),
            ("scope", some(scope)),
            ("replicas", some(json!(replicas))),
        ]);
        (Key::Resource(id), record)
    });
    let reserved = (name(), name(), name(), text(), name()).prop_map(|(service, kind, name, resource, by)| {
        (Key::Name(service.into(), kind, name), object(vec![("resource", some(resource)), ("by", some(by))]))
    });
    let prime = (name(), name(), any::<u64>())
        .prop_map(|(id, site, until)| (Key::Prime(id), object(vec![("site", some(site)), ("until", some(until))])));
    prop_oneof![resource, reserved, prime]
}

proptest! {
    #[test]
    fn what_is_written_is_read((key, record) in kept()) {
        let read = Record::decode(&key, &record.to_string());
        let read = read.map_err(|error| TestCaseError::fail(format!("{key}: {record}: {error}")))?;
        prop_assert_eq!(Record::decode(&key, &read.encode()), Ok(read.clone()));
        let written: Value = serde_json::from_str(&read.encode()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for (member, value) in record.as_object().into_iter().flatten() {
            prop_assert_eq!(written.get(member), Some(value), "{} of {}", member, key);
        }
    }

    #[test]
    fn keys_are_read_back((key, _) in kept()) {
        let text = key.to_string();
        prop_assert_eq!(text.split('/').filter(|part| part.is_empty()).count(), 0);
        prop_assert_eq!(Key::parse(&text), Some(key));
    }

    #[test]
    fn nothing_that_is_no_record_ends_the_agent((key, _) in kept(), text in any::<String>(), bytes in vec(any::<u8>(), 0..64)) {
        drop(Record::decode(&key, &text));
        drop(Record::decode(&key, &String::from_utf8_lossy(&bytes)));
        drop(Key::parse(&text));
    }
}
