//! The cgroup tree whose processes are caught, and this network namespace.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use super::cgroup;
use super::{KernelError, sys};
use crate::config::CgroupChoice;

/// An open cgroup directory.
pub struct Tree {
    pub path: PathBuf,
    pub directory: File,
}

impl Tree {
    /// Opens the tree that the configuration names.
    ///
    /// # Errors
    /// When it isn't a cgroup2 directory.
    pub fn open(choice: &CgroupChoice) -> Result<Self, KernelError> {
        let mount = cgroup::mount().map_err(KernelError::NoCgroup2)?;
        let path = match choice {
            CgroupChoice::Auto => mount,
            CgroupChoice::Path(path) => path.clone(),
        };
        let tree = |error| KernelError::Tree { path: path.clone(), error };
        if !path.join("cgroup.procs").exists() {
            return Err(tree(io::Error::other("is not a directory of cgroup2")));
        }
        let directory = File::open(&path).map_err(tree)?;
        Ok(Self { path, directory })
    }

    /// Whether this process is inside. The programs see its sockets only then.
    ///
    /// # Errors
    /// When it is outside, or can't be told.
    pub fn holds_this_process(&self) -> Result<(), KernelError> {
        let mount = cgroup::mount().map_err(KernelError::NoCgroup2)?;
        let tree = |error| KernelError::Tree { path: self.path.clone(), error };
        let own = cgroup::of_process(&mount, Pid::this()).map_err(tree)?;
        let top = number(&self.path).map_err(tree)?;
        let mut level: Option<&Path> = Some(&own);
        while let Some(path) = level.filter(|path| path.starts_with(&mount)) {
            if number(path).map_err(tree)? == top {
                return Ok(());
            }
            level = path.parent();
        }
        Err(KernelError::OutsideTree { own, tree: self.path.clone() })
    }
}

/// A cgroup's number, which the kernel programs know it by.
fn number(path: &Path) -> io::Result<u64> {
    std::fs::metadata(path).map(|metadata| metadata.ino())
}

/// The calling thread's network namespace.
pub struct Namespace {
    pub file: File,
    /// Never 0, never used again before the next boot.
    pub cookie: u64,
}

impl Namespace {
    /// Opens it.
    ///
    /// # Errors
    /// Without `/proc`, or on a kernel older than 5.14.
    pub fn own() -> Result<Self, KernelError> {
        let system = |what| move |error| KernelError::System { what, error };
        let file =
            File::open("/proc/thread-self/ns/net").map_err(system("can't open this thread's network namespace"))?;
        let socket = std::net::UdpSocket::bind(("127.0.0.1", 0))
            .or_else(|_| std::net::UdpSocket::bind(("0.0.0.0", 0)))
            .map_err(system("can't make a socket"))?;
        let cookie = sys::netns_cookie(&socket).map_err(system("can't read the network namespace's cookie"))?;
        Ok(Self { file, cookie })
    }
}
