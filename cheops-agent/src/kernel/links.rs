//! The links that hold programs at their hooks. A link that an earlier agent left is given this one's program: every
//! call of the hook runs the one or the other, never both and never none.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use aya::Ebpf;

use super::KernelError;
use super::kept::PROGRAMS;
use super::sys::{self, AttachType};
use super::tree::{Namespace, Tree};

/// A link for each program.
#[derive(Debug, Default)]
pub struct Links(BTreeMap<&'static str, OwnedFd>);

impl Links {
    /// Links of an earlier agent, with whatever programs they have.
    pub fn kept(links: BTreeMap<&'static str, OwnedFd>) -> Self {
        Self(links)
    }

    /// Attaches the programs, by the links that are there as far as these are of the same hooks. Links to elsewhere are
    /// let go.
    ///
    /// # Errors
    /// When the kernel refuses one.
    pub fn switch(&mut self, programs: &Ebpf, tree: &Tree, namespace: &Namespace) -> Result<(), KernelError> {
        for name in PROGRAMS {
            let at = At::new(name, tree, namespace).map_err(refused(name))?;
            let program = program(programs, name)?;
            let link =
                self.0.remove(name).filter(|link| at.is_of(link)).and_then(|link| take_over(name, link, program));
            let link = link.map_or_else(|| sys::create_link(program, at.target, at.hook), Ok);
            self.0.insert(name, link.map_err(refused(name))?);
        }
        Ok(())
    }

    /// Each link with its program's name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &OwnedFd)> {
        self.0.iter().map(|(name, link)| (*name, link))
    }

    /// Gives the programs' places back to `programs`, after another agent had them.
    ///
    /// # Errors
    /// When the kernel refuses one.
    pub fn give(&self, programs: &Ebpf) -> Result<(), KernelError> {
        for (name, link) in self.all() {
            sys::update_link(link.as_fd(), program(programs, name)?).map_err(refused(name))?;
        }
        Ok(())
    }
}

fn refused(program: &'static str) -> impl Fn(io::Error) -> KernelError {
    move |error| KernelError::Attach { program, error: Box::new(error) }
}

fn program<'a>(programs: &'a Ebpf, name: &'static str) -> Result<BorrowedFd<'a>, KernelError> {
    let missing = || refused(name)(io::Error::other("it is not in this agent's object"));
    let descriptor = programs.program(name).ok_or_else(missing)?.fd();
    Ok(descriptor.map_err(|error| KernelError::Attach { program: name, error: Box::new(error) })?.as_fd())
}

/// The link with the new program; nothing when it was detached meanwhile.
fn take_over(name: &'static str, link: OwnedFd, program: BorrowedFd<'_>) -> Option<OwnedFd> {
    match sys::update_link(link.as_fd(), program) {
        Ok(()) => Some(link),
        Err(error) => {
            tracing::warn!(program = name, %error, "the link that was kept takes no program, and is made anew");
            None
        }
    }
}

/// Where a program belongs.
struct At<'a> {
    hook: AttachType,
    target: BorrowedFd<'a>,
    /// The line of a link's `/proc/self/fdinfo` that names the target.
    line: String,
}

impl<'a> At<'a> {
    fn new(program: &str, tree: &'a Tree, namespace: &'a Namespace) -> io::Result<Self> {
        // `enum bpf_attach_type`.
        let number = match program {
            "cheops_sockops" => 3,
            "cheops_leave4" => 10,
            "cheops_leave6" => 11,
            "cheops_peer4" => 29,
            "cheops_peer6" => 30,
            "cheops_local4" => 31,
            "cheops_local6" => 32,
            _ => 36,
        };
        let (file, word) = if number == 36 { (&namespace.file, "netns_ino") } else { (&tree.directory, "cgroup_id") };
        let line = format!("{word}:\t{}", file.metadata()?.ino());
        Ok(Self { hook: AttachType(number), target: file.as_fd(), line })
    }

    /// Whether the descriptor is a link that holds a program there.
    fn is_of(&self, link: &OwnedFd) -> bool {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", link.as_raw_fd())).unwrap_or_default();
        let has = |wanted: &str| info.lines().any(|line| line == wanted);
        has(&self.line) && has(&format!("attach_type:\t{}", self.hook.0))
    }
}
