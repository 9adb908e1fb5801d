//! What a changed configuration changes: what takes effect at once, and what waits for a restart.

use super::model::Config;

/// What happens to the parts that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Keys whose new values take effect now.
    pub applied: Vec<&'static str>,
    /// Keys whose old values hold until the agent is restarted.
    pub restart: Vec<&'static str>,
}

impl Changes {
    /// Whether the files say what they said before.
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.restart.is_empty()
    }
}

/// Compares two configurations part by part, and returns the one that holds from now on: the new one, with the old
/// values of what needs a restart.
pub fn reload(old: &Config, new: Config) -> (Config, Changes) {
    let mut next = new;
    let mut changes = Changes::default();
    macro_rules! restart {
        ($($name:literal $($field:ident).+;)*) => {
            $(if old.$($field).+ != next.$($field).+ {
                next.$($field).+ = old.$($field).+.clone();
                changes.restart.push($name);
            })*
        };
    }
    macro_rules! applied {
        ($($name:literal $($field:ident).+;)*) => {
            $(if old.$($field).+ != next.$($field).+ {
                changes.applied.push($name);
            })*
        };
    }
    restart! {
        "site" site;
        "host" host;
        "federation" federation;
        "state-dir" state_dir;
        "run-dir" run_dir;
        "threads" threads;
        "intercept.mode" intercept.mode;
        "intercept.cgroup" intercept.cgroup;
        "intercept.probe-every" intercept.probe_every;
        "peer" peer;
        "metadata" metadata;
        "admin" admin;
        "log.format" log.format;
    }
    applied! {
        "intercept.when-agent-down" intercept.when_agent_down;
        "scope" scope;
        "identity" identity;
        "limits" limits;
        "timeouts" timeouts;
        "log.level" log.level;
        "profile-dirs" profile_dirs;
        "sites" sites;
        "services" services;
    }
    (next, changes)
}

#[cfg(test)]
mod tests {
    use super::super::from_text;
    use super::*;

    #[test]
    fn what_needs_a_restart_keeps_its_old_value() {
        let old = from_text("site = \"Berlin\"\nhost = \"a\"").expect("valid").config;
        let new = from_text("site = \"Paris\"\nhost = \"a\"\n[timeouts]\nconnect = \"1s\"").expect("valid").config;
        let (next, changes) = reload(&old, new);
        assert_eq!(changes, Changes { applied: vec!["timeouts"], restart: vec!["site"] });
        assert_eq!(next.site.as_str(), "Berlin");
        assert_eq!(next.timeouts.connect.as_secs(), 1);
        assert!(reload(&next, next.clone()).1.is_empty());
    }
}
