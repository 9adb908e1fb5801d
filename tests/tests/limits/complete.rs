//! No limit is without a case.

use cheops_agent::config::keys::KEYS;

use super::{messages, places, times};

/// Limits that are shown elsewhere, and where: they aren't a client's of this site, or the kernel keeps them.
const ELSEWHERE: [(&str, &str); 9] = [
    ("limits.peer-exchanges", "limits: sites"),
    ("limits.otherwise-spool", "limits: sites"),
    ("limits.workflow-records", "limits: sites"),
    ("timeouts.exchange", "sharing: faults"),
    ("timeouts.keepalive", "limits: sockets"),
    ("timeouts.user-timeout", "limits: sockets"),
    ("timeouts.workflow", "workflow"),
    ("timeouts.drain", "restart"),
    ("timeouts.handover", "upgrade"),
];

#[test]
fn every_limit_of_the_configuration_has_a_case() {
    let cases = [messages::CASES, times::CASES, places::CASES].concat();
    let is_shown = |path: &str, name: &str| {
        ELSEWHERE.iter().any(|(key, _)| *key == path) || cases.iter().any(|case| case.limit == name)
    };
    let mut count = 0;
    for key in KEYS {
        let Some((section @ ("limits" | "timeouts"), name)) = key.path.split_once('.') else { continue };
        assert!(is_shown(key.path, name), "{section}.{name} has no case");
        count += 1;
    }
    assert!(count >= 20, "only {count} limits");
    assert!(cases.iter().all(|case| KEYS.iter().any(|key| key.path.ends_with(case.limit))), "a case of no key");
}
