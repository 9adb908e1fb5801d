//! cgroup2: where it is mounted, which group a process is in, groups of our own (Linux, admin-guide/cgroup-v2).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::unistd::Pid;

/// Where cgroup2 is mounted; not always `/sys/fs/cgroup`, where v1 is used besides it.
///
/// # Errors
/// When it isn't mounted, or `/proc` can't be read.
pub fn mount() -> io::Result<PathBuf> {
    let mounts = fs::read("/proc/self/mounts")?;
    mount_in(&mounts).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no cgroup2 hierarchy is mounted"))
}

/// The first mount of type cgroup2 in a table of mounts (proc_mounts(5)).
fn mount_in(mounts: &[u8]) -> Option<PathBuf> {
    mounts.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let (_device, path, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == b"cgroup2").then(|| PathBuf::from(OsString::from_vec(unescape(path))))
    })
}

/// Spaces and such stand as `\040` in a table of mounts.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        let code = (*first == b'\\').then(|| behind.get(..3)).flatten();
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = behind.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}

/// The directory of the group that the process is in.
///
/// # Errors
/// When the process is gone, or its group is outside of what this process sees.
pub fn of_process(mount: &Path, pid: Pid) -> io::Result<PathBuf> {
    let groups = fs::read(format!("/proc/{pid}/cgroup"))?;
    let path = path_in(&groups).ok_or_else(|| io::Error::other("the process is in no cgroup2 group"))?;
    let outside = || io::Error::other(format!("its group {} is outside of the agent's view", path.display()));
    let inner = path.strip_prefix("/").map_err(|_| outside())?;
    if inner.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(outside());
    }
    Ok(mount.join(inner))
}

/// The cgroup2 path in `/proc/PID/cgroup`: the line of hierarchy 0, which also a host with v1 has.
fn path_in(groups: &[u8]) -> Option<PathBuf> {
    let line = groups.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    Some(PathBuf::from(OsString::from_vec(line.to_vec())))
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    path: PathBuf,
}

impl Group {
    /// A group that exists.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Makes a new group in `parent`. It has no controllers, so that a parent with processes in it may have it.
    ///
    /// # Errors
    /// When it can't be made, also when it is there already.
    pub fn create(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(name);
        fs::create_dir(&path)?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its number as `bpf_get_current_cgroup_id` gives it: on 64-bit kernels the inode number.
    ///
    /// # Errors
    /// When the group is gone.
    pub fn id(&self) -> io::Result<u64> {
        fs::metadata(&self.path).map(|metadata| metadata.ino())
    }

    /// Moves a process here, with all its threads.
    ///
    /// # Errors
    /// When the process is gone or may not be moved.
    pub fn take(&self, pid: Pid) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
    }

    /// Moves whatever is in it to `parent`; what has ended meanwhile needs no move.
    pub fn give_back(&self, parent: &Path) {
        let inside = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        for pid in inside.lines() {
            if let Err(error) = fs::write(parent.join("cgroup.procs"), pid) {
                tracing::debug!(pid, %error, "a process isn't moved back");
            }
        }
    }

    /// Whether a process lives in it or below it; a group that is gone holds none.
    pub fn is_populated(&self) -> bool {
        fs::read(self.events())
            .is_ok_and(|events| events.split(|byte| *byte == b'\n').any(|line| line == b"populated 1"))
    }

    /// The file that is modified when [`Group::is_populated`] changes.
    pub fn events(&self) -> PathBuf {
        self.path.join("cgroup.events")
    }

    /// Removes it; one that is gone already is removed too. Groups below it, which hold no process either, go first.
    ///
    /// # Errors
    /// When a process is in it.
    pub fn remove(&self) -> io::Result<()> {
        remove(&self.path)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    for below in directories(path) {
        remove(&below)?;
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The groups directly below `path`; none when it is gone.
fn directories(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Every group below `top` whose name passes.
pub fn below(top: &Path, passes: &dyn Fn(&str) -> bool) -> Vec<Group> {
    let mut found = Vec::new();
    let mut open = vec![top.to_path_buf()];
    while let Some(path) = open.pop() {
        for directory in directories(&path) {
            if directory.file_name().and_then(|name| name.to_str()).is_some_and(passes) {
                found.push(Group::at(directory.clone()));
            }
            open.push(directory);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_where_v1_is_too() {
        let mounts = b"proc /proc proc rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
            cgroup2 /sys/fs/cgroup/uni\\040fied cgroup2 rw 0 0\n";
        assert_eq!(mount_in(mounts), Some(PathBuf::from("/sys/fs/cgroup/uni fied")));
        assert_eq!(mount_in(b"cgroup /sys/fs/cgroup cgroup2like rw 0 0\nx\n"), None);
    }

    #[test]
    fn a_backslash_that_escapes_nothing_stays() {
        assert_eq!(unescape(b"a\\b\\04"), b"a\\b\\04");
        assert_eq!(unescape(b"\\134"), b"\\");
    }

    #[test]
    fn the_group_is_that_of_hierarchy_0() {
        let groups = b"9:name=systemd:/v1\n0::/user.slice/session-1.scope\n";
        assert_eq!(path_in(groups), Some(PathBuf::from("/user.slice/session-1.scope")));
        assert_eq!(path_in(b"4:memory:/x\n"), None);
    }

    #[test]
    fn this_process_is_in_a_group() {
        let mount = mount().expect("cgroup2 is mounted");
        let path = of_process(&mount, Pid::this()).expect("a group");
        assert!(path.join("cgroup.procs").exists(), "{}", path.display());
    }
}
