//! How many descriptors the agent may have open. Each client's connection takes two.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Sets the soft limit: `wanted`, or the hard limit if that is less or `wanted` is 0. The hard limit stays as it is, so
/// that a reload can raise the soft one again.
pub fn limit(wanted: u64) {
    let set = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| {
        if wanted > hard {
            tracing::warn!(
                wanted,
                hard,
                "limits.descriptors is above the hard limit; see LimitNOFILE in systemd.exec(5)"
            );
        }
        setrlimit(Resource::RLIMIT_NOFILE, if wanted == 0 { hard } else { wanted.min(hard) }, hard)
    });
    if let Err(error) = set {
        tracing::warn!(%error, "can't set the limit of open files");
    }
}
