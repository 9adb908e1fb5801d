//! What outlives this agent, by name: listeners, kernel programs' links and maps. systemd keeps them while the unit
//! crashes and restarts, and closes them when it is stopped for good (sd_pid_notify_with_fds(3)); a running agent hands
//! them to its successor.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::notify;
use crate::accept::listeners::{Left, NAME_V4, NAME_V6};
use crate::accept::sys;
use crate::kernel::Kept;

/// What the listener for peers is called.
pub const NAME_PEER: &str = "listener-peer";

/// What the admin API's listeners are called. They are handed on, but not kept over a restart.
pub const NAME_ADMIN: &str = "admin-socket";
pub const NAME_ADMIN_TCP: &str = "admin-tcp";

/// What an earlier agent left, and what is kept of this one.
#[derive(Debug, Default)]
pub struct Store {
    left: BTreeMap<String, OwnedFd>,
    /// What systemd has, and what file that is.
    kept: BTreeMap<String, String>,
}

impl Store {
    /// What systemd kept.
    pub fn of_systemd() -> Self {
        Self::new(sys::passed())
    }

    /// What was left, of which systemd has a copy if it runs this agent.
    pub fn new(left: Vec<(String, OwnedFd)>) -> Self {
        let lasting = left.iter().filter(|(name, _)| ![NAME_ADMIN, NAME_ADMIN_TCP].contains(&name.as_str()));
        let kept = lasting.map(|(name, descriptor)| (name.clone(), identity(descriptor))).collect();
        Self { left: left.into_iter().collect(), kept }
    }

    /// Takes out what has the name.
    pub fn take(&mut self, name: &str) -> Option<OwnedFd> {
        self.left.remove(name)
    }

    /// Takes out the listeners for clients.
    pub fn listeners(&mut self) -> Left {
        Left { v4: self.take(NAME_V4), v6: self.take(NAME_V6) }
    }

    /// Takes out all that the kernel room knows.
    pub fn kernel(&mut self) -> Kept {
        let mut kept = Kept::default();
        let left = std::mem::take(&mut self.left);
        self.left = left
            .into_iter()
            .filter_map(|(name, descriptor)| Some((name.clone(), kept.take(&name, descriptor).err()?)))
            .collect();
        kept
    }

    /// Has systemd keep exactly these. What can't be told is logged: the agent runs all the same.
    pub fn keep(&mut self, all: &[(String, OwnedFd)]) {
        if !notify::keeps() {
            return;
        }
        let now: BTreeMap<String, String> =
            all.iter().map(|(name, descriptor)| (name.clone(), identity(descriptor))).collect();
        let changes = Changes::between(&self.kept, &now);
        if !changes.gone.is_empty() {
            tracing::info!(names = changes.gone.join(", "), "what is kept of earlier agents and of no use is let go");
        }
        for name in changes.gone.iter().chain(&changes.replaced) {
            told(name, notify::forget(name));
        }
        for (name, descriptor) in all {
            if changes.replaced.contains(name) || changes.new.contains(name) {
                told(name, notify::keep(name, descriptor.as_fd()));
            }
        }
        self.left.clear();
        self.kept = now;
    }
}

fn told(name: &str, done: std::io::Result<()>) {
    if let Err(error) = done {
        tracing::error!(name, %error, "systemd can't be told what to keep; a restart will be noticed");
    }
}

/// What has to be done so that `now` is kept.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    gone: Vec<String>,
    replaced: Vec<String>,
    new: Vec<String>,
}

impl Changes {
    fn between(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Self {
        let mut changes = Self::default();
        changes.gone.extend(before.keys().filter(|name| !now.contains_key(*name)).cloned());
        for (name, identity) in now {
            match before.get(name) {
                None => changes.new.push(name.clone()),
                Some(before) if before != identity => changes.replaced.push(name.clone()),
                Some(_) => {}
            }
        }
        changes
    }
}

/// Tells the files behind descriptors apart: all maps and links have the same inode.
fn identity(descriptor: &OwnedFd) -> String {
    let number = descriptor.as_raw_fd();
    let file = std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let id = info.lines().find(|line| line.starts_with("map_id:") || line.starts_with("link_id:")).unwrap_or_default();
    format!("{} {id}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(name, identity)| ((*name).to_owned(), (*identity).to_owned())).collect()
    }

    #[test]
    fn only_what_differs_is_told() {
        let before = names(&[("same", "1"), ("other", "2"), ("old", "3")]);
        let now = names(&[("same", "1"), ("other", "4"), ("fresh", "5")]);
        let changes = Changes { gone: vec!["old".into()], replaced: vec!["other".into()], new: vec!["fresh".into()] };
        assert_eq!(Changes::between(&before, &now), changes);
        assert_eq!(Changes::between(&now, &now), Changes::default());
    }

    #[test]
    fn one_file_is_the_same_by_each_of_its_descriptors() {
        let socket: OwnedFd = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").into();
        let other: OwnedFd = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").into();
        assert_eq!(identity(&socket), identity(&socket.try_clone().expect("a descriptor")));
        assert_ne!(identity(&socket), identity(&other));
    }

    #[test]
    fn each_finds_its_own_and_the_rest_stays() {
        let file = || OwnedFd::from(std::fs::File::open("/dev/null").expect("it is there"));
        let names = [NAME_V4, NAME_PEER, "link-cheops_leave4", "abi0-map-LEASE", "stored"];
        let mut store = Store::new(names.map(|name| (name.to_owned(), file())).into());
        let _kernel = store.kernel();
        assert!(store.listeners().v4.is_some() && store.take(NAME_PEER).is_some());
        assert_eq!(store.left.keys().collect::<Vec<_>>(), ["abi0-map-LEASE", "stored"]);
    }
}
