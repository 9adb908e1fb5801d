//! Profiles.

use std::path::Path;

use cheops_agent::profile::load::from_text;

const PATHS: &[&str] =
    &["", "/", "//", "/v2.1/servers", "/v2.1/servers/1/action", "/apis/a/b/", "*", "a?b", "/a/b/c/d/e/f"];

/// No text panics, as a profile or in the message that says what is wrong with it; a profile can be asked anything.
pub fn profile(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let profile = match from_text("fuzz", Path::new("fuzz.toml"), text) {
        Ok(profile) => profile,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for service in [None, Some("compute")] {
        profile.class(service);
        for path in PATHS {
            for method in ["GET", "POST", "DELETE", "get", ""] {
                let matched = profile.matching(service, method, path);
                // What it calls an id stands in the path.
                assert!(matched.id.is_none_or(|id| path.contains(id)));
                profile.capacity(matched.kind, matched.op);
            }
        }
    }
}
