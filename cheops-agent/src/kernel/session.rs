//! The sessions of `cheops exec`: each is a cgroup of its own below its caller's, and a scope.
//!
//! The caller is moved into the new group before it becomes the command; the kernel then does the inheriting, over
//! forks, threads and whatever else, and limits of the parent group stay as they were. The kernel programs know the
//! group by its number and carry the session's number along with each connection that a process of the group opens.
//! An empty group is removed, and the session with it.
//!
//! A process that moves itself to another group (a login, `systemd-run`, a container engine) leaves the session.

mod process;
pub mod record;
mod scopes;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inotify::{Inotify, WatchMask, Watches};

pub use process::Process;
pub use record::Record;
pub use scopes::Scopes;

use super::cgroup::{self, Group};
use super::{Interceptor, KernelError};
use crate::accept::SessionId;
use record::Records;

/// The most sessions that live at once.
pub const MOST: usize = 1023;

/// Numbers are given in turn, so that one is not seen again before all others were: a connection that outlives its
/// session must not come under another's scope.
const LAST_NUMBER: u16 = 60_000;

/// How a session's group is called, with its number behind.
const GROUP_PREFIX: &str = "cheops-exec-";

/// Tells the kernel programs which cgroup is which session.
pub trait Marks: Send + Sync + 'static {
    /// From now on connections out of the cgroup carry the session's number.
    ///
    /// # Errors
    /// When the programs' map can't be written.
    fn add_session(&self, session: SessionId, cgroup_id: u64) -> Result<(), KernelError>;

    /// The session is over.
    ///
    /// # Errors
    /// As [`Marks::add_session`].
    fn remove_session(&self, session: SessionId) -> Result<(), KernelError>;
}

impl Marks for Interceptor {
    fn add_session(&self, session: SessionId, cgroup_id: u64) -> Result<(), KernelError> {
        Interceptor::add_session(self, session, cgroup_id)
    }

    fn remove_session(&self, session: SessionId) -> Result<(), KernelError> {
        Interceptor::remove_session(self, session)
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("a new agent is taking over at this moment; try again")]
    Frozen,
    #[error("there are {MOST} sessions already")]
    Full,
    #[error("processes in {} are not caught here, only those below {}", .group.display(), .tree.display())]
    NotCaught { group: PathBuf, tree: PathBuf },
    #[error("the caller is in another network namespace ({theirs}) than the agent ({ours})")]
    OtherNetwork { theirs: String, ours: String },
    #[error("the caller ended before its session began")]
    Gone,
    #[error("there is no session {0}")]
    Unknown(u16),
    #[error("processes of session {0} still run, and would go on without its scope")]
    Busy(u16),
    #[error("can't {doing} {}: {source}", .path.display())]
    Group { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("can't find the caller's group: {0}")]
    Caller(io::Error),
    #[error("can't tell the kernel programs: {0}")]
    Marks(KernelError),
    #[error("can't keep the session's record: {0}")]
    Record(io::Error),
    #[error("can't find the cgroup2 hierarchy: {0}")]
    NoHierarchy(io::Error),
    #[error("can't watch groups: {0}")]
    Watch(io::Error),
}

/// All live sessions.
pub struct Sessions {
    mount: PathBuf,
    /// The group below which connections are caught.
    tree: PathBuf,
    marks: Arc<dyn Marks>,
    scopes: Arc<Scopes>,
    records: Records,
    changes: Watches,
    /// Until it is watched.
    source: Mutex<Option<Inotify>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: BTreeMap<u16, Live>,
    last: u16,
    /// Another agent has them, or is about to.
    frozen: bool,
}

struct Live {
    record: Record,
    group: Group,
}

impl Sessions {
    /// Takes up the sessions that an agent before this one left in `run_dir`, and removes the groups of ended ones.
    /// `tree` is the group below which connections are caught.
    ///
    /// # Errors
    /// When there is no cgroup2, or the run directory can't be used.
    pub fn open(
        run_dir: &Path,
        tree: &Path,
        marks: Arc<dyn Marks>,
        scopes: Arc<Scopes>,
    ) -> Result<Arc<Self>, SessionError> {
        let records = Records::open(run_dir).map_err(SessionError::Record)?;
        let source = Inotify::init().map_err(SessionError::Watch)?;
        let sessions = Self {
            mount: cgroup::mount().map_err(SessionError::NoHierarchy)?,
            tree: tree.to_path_buf(),
            marks,
            scopes,
            changes: source.watches(),
            source: Mutex::new(Some(source)),
            state: Mutex::new(State { last: records.last(), ..State::default() }),
            records,
        };
        sessions.take_up()?;
        Ok(Arc::new(sessions))
    }

    /// Begins a session for the caller, which is in its group when this returns. `network` is the caller's network
    /// namespace as `/proc/self/ns/net` names it.
    ///
    /// # Errors
    /// When the caller's connections would not be caught, or the kernel refuses. Nothing is left of it then.
    pub fn begin(&self, caller: &Process, network: &str, scope: &str) -> Result<Record, SessionError> {
        same_network(network)?;
        let parent = cgroup::of_process(&self.mount, caller.pid()).map_err(SessionError::Caller)?;
        if !parent.starts_with(&self.tree) {
            return Err(SessionError::NotCaught { group: parent, tree: self.tree.clone() });
        }
        let mut state = self.state();
        if state.frozen {
            return Err(SessionError::Frozen);
        }
        let (session, group) = self.fresh(&mut state, &parent)?;
        let begun = self.start(session, &group, Some(scope), caller.uid(), caller.pid().as_raw());
        let record = begun.and_then(|record| {
            self.take(&group, caller)?;
            Ok(record)
        });
        match record {
            Ok(record) => {
                state.live.insert(session, Live { record: record.clone(), group });
                Ok(record)
            }
            Err(error) => {
                group.give_back(&parent);
                self.forget(session, &group);
                Err(error)
            }
        }
    }

    /// The live sessions, in the order of their numbers.
    pub fn list(&self) -> Vec<Record> {
        self.state().live.values().map(|live| live.record.clone()).collect()
    }

    /// One live session.
    ///
    /// # Errors
    /// When there is none of that number.
    pub fn get(&self, session: u16) -> Result<Record, SessionError> {
        self.state().live.get(&session).map(|live| live.record.clone()).ok_or(SessionError::Unknown(session))
    }

    /// Ends a session whose processes have ended.
    ///
    /// # Errors
    /// When it isn't known, or a process of it runs, which would otherwise go on unscoped.
    pub fn end(&self, session: u16) -> Result<(), SessionError> {
        let mut state = self.state();
        if state.frozen {
            return Err(SessionError::Frozen);
        }
        let live = state.live.get(&session).ok_or(SessionError::Unknown(session))?;
        if live.group.is_populated() {
            return Err(SessionError::Busy(session));
        }
        self.forget(session, &live.group);
        state.live.remove(&session);
        Ok(())
    }

    /// No session begins or ends here while another agent has them.
    pub fn freeze(&self, frozen: bool) {
        self.state().frozen = frozen;
    }

    /// Ends every session whose processes have ended.
    pub fn sweep(&self) {
        let mut state = self.state();
        if state.frozen {
            return;
        }
        // The innermost of nested sessions first: a group can only go before the one that it is in.
        let mut ended: Vec<(u16, PathBuf)> = state
            .live
            .iter()
            .filter(|(_, live)| !live.group.is_populated())
            .map(|(session, live)| (*session, live.group.path().to_path_buf()))
            .collect();
        ended.sort_by_key(|(_, path)| std::cmp::Reverse(path.components().count()));
        for (session, _) in ended {
            if let Some(live) = state.live.remove(&session) {
                self.forget(session, &live.group);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that nobody has, and its group.
    fn fresh(&self, state: &mut State, parent: &Path) -> Result<(u16, Group), SessionError> {
        if state.live.len() >= MOST {
            return Err(SessionError::Full);
        }
        for _ in 0..LAST_NUMBER {
            state.last = if state.last >= LAST_NUMBER { 1 } else { state.last + 1 };
            if state.live.contains_key(&state.last) {
                continue;
            }
            match Group::create(parent, &format!("{GROUP_PREFIX}{}", state.last)) {
                Ok(group) => {
                    self.records.set_last(state.last).map_err(SessionError::Record).inspect_err(|_| clear(&group))?;
                    return Ok((state.last, group));
                }
                // Another agent's, in a tree that both catch.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => {
                    return Err(SessionError::Group { doing: "make a group in", path: parent.to_path_buf(), source });
                }
            }
        }
        Err(SessionError::Full)
    }

    /// Lets everybody know of the session.
    fn start(
        &self,
        session: u16,
        group: &Group,
        scope: Option<&str>,
        uid: u32,
        pid: i32,
    ) -> Result<Record, SessionError> {
        let refused = |doing| move |source| SessionError::Group { doing, path: group.path().to_path_buf(), source };
        let id = group.id().map_err(refused("read"))?;
        let record = Record::new(session, scope, group.path(), id, uid, pid);
        self.records.store(&record).map_err(SessionError::Record)?;
        self.publish(&record, group)?;
        Ok(record)
    }

    /// Tells the data path and then the kernel programs, and asks to be told of the session's end.
    fn publish(&self, record: &Record, group: &Group) -> Result<(), SessionError> {
        if let Some(scope) = &record.scope {
            self.scopes.insert(SessionId(record.session), scope);
        }
        self.marks.add_session(SessionId(record.session), record.cgroup_id).map_err(SessionError::Marks)?;
        if let Err(error) = self.changes.clone().add(group.events(), WatchMask::MODIFY) {
            tracing::warn!(session = record.session, %error, "the session's end will be noticed late");
        }
        Ok(())
    }

    fn take(&self, group: &Group, caller: &Process) -> Result<(), SessionError> {
        let taken = group.take(caller.pid());
        // Alive after it was moved: nobody else had its number while it was.
        if !caller.is_alive() {
            return Err(SessionError::Gone);
        }
        taken.map_err(|source| SessionError::Group {
            doing: "move the caller to",
            path: group.path().to_path_buf(),
            source,
        })
    }

    /// Takes all traces of a session away; what can't be is logged, and found again at the next start.
    fn forget(&self, session: u16, group: &Group) {
        if let Err(error) = self.marks.remove_session(SessionId(session)) {
            tracing::warn!(session, %error, "the kernel programs still know an ended session");
        }
        self.scopes.remove(SessionId(session));
        if let Err(error) = self.records.remove(session) {
            tracing::warn!(session, %error, "an ended session's record stays");
        }
        clear(group);
    }

    fn take_up(&self) -> Result<(), SessionError> {
        let mut state = self.state();
        for record in self.records.load().map_err(SessionError::Record)? {
            let group = Group::at(record.cgroup.clone());
            let same = group.id().is_ok_and(|id| id == record.cgroup_id);
            if same && group.is_populated() && group.path().starts_with(&self.tree) {
                self.publish(&record, &group)?;
                state.live.insert(record.session, Live { record, group });
            } else {
                self.records.remove(record.session).map_err(SessionError::Record)?;
            }
        }
        self.adopt(&mut state)
    }

    /// Groups of sessions that nobody has a record of. The empty are removed; the processes of others believe that
    /// they run under a scope, and so are refused rather than served without one.
    fn adopt(&self, state: &mut State) -> Result<(), SessionError> {
        let is_ours = |name: &str| name.strip_prefix(GROUP_PREFIX).is_some_and(|number| number.parse::<u16>().is_ok());
        let mut groups = cgroup::below(&self.tree, &is_ours);
        groups.sort_by_key(|group| std::cmp::Reverse(group.path().components().count()));
        for group in groups {
            if state.live.values().any(|live| live.group == group) {
                continue;
            }
            if !group.is_populated() {
                clear(&group);
                continue;
            }
            let Some(session) = (1..=LAST_NUMBER).rev().find(|number| !state.live.contains_key(number)) else { break };
            tracing::warn!(cgroup = %group.path().display(), "an exec session's scope is lost; its connections are refused");
            let record = self.start(session, &group, None, 0, 0)?;
            state.live.insert(session, Live { record, group });
        }
        Ok(())
    }
}

/// Removes an empty group if it can be.
fn clear(group: &Group) {
    if let Err(error) = group.remove() {
        tracing::warn!(cgroup = %group.path().display(), %error, "an ended session's group stays");
    }
}

/// Connections are caught in the agent's own network namespace only.
fn same_network(theirs: &str) -> Result<(), SessionError> {
    let ours = network().map_err(SessionError::Caller)?;
    if ours == theirs {
        return Ok(());
    }
    Err(SessionError::OtherNetwork { theirs: theirs.to_owned(), ours })
}

/// The network namespace of this process, as the kernel names it.
///
/// # Errors
/// When `/proc` can't be read.
pub fn network() -> io::Result<String> {
    std::fs::read_link("/proc/self/ns/net").map(|name| name.to_string_lossy().into_owned())
}
