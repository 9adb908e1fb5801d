//! Needs root: makes cgroups, all below one of its own.

use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::*;

/// A group for one test; nothing of it stays, also when the test fails.
struct Tree {
    group: Group,
    run: tempfile::TempDir,
}

impl Tree {
    fn new(name: &str) -> Self {
        let mount = cgroup::mount().expect("cgroup2 is mounted");
        let group = Group::create(&mount, &format!("cheops-test-{name}-{}", std::process::id()));
        Self { group: group.expect("making a cgroup needs root"), run: tempfile::tempdir().expect("a directory") }
    }

    fn open(&self, marks: &Arc<Marked>) -> (Arc<Sessions>, Arc<Scopes>) {
        let scopes = Arc::new(Scopes::default());
        let marks: Arc<dyn Marks> = Arc::clone(marks) as _;
        let sessions = Sessions::open(self.run.path(), self.group.path(), marks, Arc::clone(&scopes));
        (sessions.expect("sessions"), scopes)
    }

    /// A process in the group, connected to us, that lives until its input ends.
    fn caller(&self) -> Caller {
        let path = self.run.path().join(format!("caller-{:?}.sock", Instant::now()));
        let listener = UnixListener::bind(&path).expect("a socket");
        let (procs, own) = (self.group.path().join("cgroup.procs"), path.clone());
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        // SAFETY: only opens, writes and connects between fork and exec.
        #[expect(unsafe_code, reason = "the child itself must connect: its number is what the socket tells")]
        unsafe {
            command.pre_exec(move || {
                std::fs::write(&procs, "0")?;
                let stream = UnixStream::connect(&own)?;
                rustix::io::fcntl_setfd(&stream, rustix::io::FdFlags::empty())?;
                std::mem::forget(stream);
                Ok(())
            });
        }
        let child = command.spawn().expect("a child");
        let (stream, _) = listener.accept().expect("it connects");
        Caller { child, process: Process::at(&stream).expect("a process"), _stream: stream }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _removed = until(|| self.group.remove().is_ok());
    }
}

struct Caller {
    child: Child,
    process: Process,
    _stream: UnixStream,
}

impl Drop for Caller {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _status = self.child.wait();
    }
}

/// What the kernel programs would know.
#[derive(Default)]
struct Marked {
    known: Mutex<BTreeMap<SessionId, u64>>,
    fails: bool,
}

impl Marks for Marked {
    fn add_session(&self, session: SessionId, cgroup_id: u64) -> Result<(), KernelError> {
        if self.fails {
            return Err(KernelError::NoPrograms);
        }
        self.known.lock().expect("a lock").insert(session, cgroup_id);
        Ok(())
    }

    fn remove_session(&self, session: SessionId) -> Result<(), KernelError> {
        let known = self.known.lock().expect("a lock").remove(&session);
        assert!(self.fails || known.is_some());
        Ok(())
    }
}

fn until(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

fn here() -> String {
    network().expect("a network namespace")
}

#[test]
fn a_session_begins_and_ends_with_its_processes() {
    let tree = Tree::new("life");
    let marks = Arc::new(Marked::default());
    let (sessions, scopes) = tree.open(&marks);
    let caller = tree.caller();
    let record = sessions.begin(&caller.process, &here(), "{Nova: Paris}").expect("a session");
    let id = SessionId(record.session);
    assert_eq!(scopes.scope(id).as_deref(), Some("{Nova: Paris}"));
    assert_eq!(marks.known.lock().expect("a lock").get(&id), Some(&record.cgroup_id));
    let now = cgroup::of_process(&sessions.mount, caller.process.pid()).expect("a group");
    assert_eq!((now.as_path(), now.parent()), (record.cgroup.as_path(), Some(tree.group.path())));
    assert!(matches!(sessions.end(record.session), Err(SessionError::Busy(_))));
    sessions.sweep();
    assert_eq!(sessions.list(), std::slice::from_ref(&record));

    drop(caller);
    assert!(until(|| {
        sessions.sweep();
        sessions.list().is_empty()
    }));
    assert_eq!(scopes.scope(id), None);
    assert!(!record.cgroup.exists() && marks.known.lock().expect("a lock").is_empty());
    assert_eq!(sessions.records.load().expect("records"), []);
}

#[tokio::test]
async fn the_watch_notices_an_end_at_once() {
    let tree = Tree::new("watch");
    let (sessions, _) = tree.open(&Arc::default());
    let stop = CancellationToken::new();
    let watch = tokio::spawn(Arc::clone(&sessions).watch(stop.clone()));
    let caller = tree.caller();
    sessions.begin(&caller.process, &here(), "Paris").expect("a session");
    let before = Instant::now();
    drop(caller);
    let ended = async {
        while !sessions.list().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(8), ended).await.expect("told, not found by the slow round");
    assert!(before.elapsed() < Duration::from_secs(8));
    stop.cancel();
    watch.await.expect("it ends");
}

#[test]
fn sessions_nest_and_the_inner_group_goes_first() {
    let tree = Tree::new("nest");
    let (sessions, _) = tree.open(&Arc::default());
    let caller = tree.caller();
    let outer = sessions.begin(&caller.process, &here(), "Paris").expect("a session");
    let inner = sessions.begin(&caller.process, &here(), "Berlin").expect("a session");
    assert_eq!(inner.cgroup.parent(), Some(outer.cgroup.as_path()));
    drop(caller);
    assert!(until(|| {
        sessions.sweep();
        sessions.list().is_empty()
    }));
    assert!(!outer.cgroup.exists());
}

#[test]
fn the_next_agent_takes_living_sessions_up_and_clears_dead_ones() {
    let tree = Tree::new("restart");
    let (before, _) = tree.open(&Arc::default());
    let (lives, ends) = (tree.caller(), tree.caller());
    let kept = before.begin(&lives.process, &here(), "Paris").expect("a session");
    let gone = before.begin(&ends.process, &here(), "Berlin").expect("a session");
    drop(ends);
    drop(before);
    assert!(until(|| !Group::at(gone.cgroup.clone()).is_populated()));
    let marks = Arc::new(Marked::default());
    let (after, scopes) = tree.open(&marks);
    assert_eq!(after.list(), std::slice::from_ref(&kept));
    assert_eq!(scopes.scope(SessionId(kept.session)).as_deref(), Some("Paris"));
    assert_eq!(marks.known.lock().expect("a lock").len(), 1);
    assert!(!gone.cgroup.exists());
    let next = tree.caller();
    let fresh = after.begin(&next.process, &here(), "Berlin").expect("a session");
    assert_eq!(fresh.session, gone.session + 1, "numbers are not given again soon");
}

#[test]
fn a_session_without_a_record_is_known_without_a_scope() {
    let tree = Tree::new("orphan");
    let (before, _) = tree.open(&Arc::default());
    let caller = tree.caller();
    let record = before.begin(&caller.process, &here(), "Paris").expect("a session");
    before.records.remove(record.session).expect("removed");
    drop(before);
    let marks = Arc::new(Marked::default());
    let (after, scopes) = tree.open(&marks);
    let (session, cgroup_id) =
        marks.known.lock().expect("a lock").first_key_value().map(|(a, b)| (*a, *b)).expect("known");
    assert_eq!((cgroup_id, scopes.scope(session)), (record.cgroup_id, None));
    drop(caller);
    assert!(until(|| {
        after.sweep();
        after.list().is_empty()
    }));
}

#[test]
fn callers_that_would_not_be_caught_are_refused() {
    let (tree, other) = (Tree::new("caught"), Tree::new("elsewhere"));
    let (sessions, _) = tree.open(&Arc::default());
    let caller = other.caller();
    assert!(matches!(sessions.begin(&caller.process, &here(), "Paris"), Err(SessionError::NotCaught { .. })));
    let caller = tree.caller();
    let refused = sessions.begin(&caller.process, "net:[1]", "Paris");
    assert!(matches!(refused, Err(SessionError::OtherNetwork { .. })));
    assert_eq!(cgroup::below(tree.group.path(), &|_| true), []);
}

#[test]
fn nothing_stays_of_a_session_that_fails_to_begin() {
    let tree = Tree::new("fails");
    let marks = Arc::new(Marked { fails: true, ..Marked::default() });
    let (sessions, scopes) = tree.open(&marks);
    let caller = tree.caller();
    assert!(matches!(sessions.begin(&caller.process, &here(), "Paris"), Err(SessionError::Marks(_))));
    assert_eq!(scopes.scope(SessionId(1)), None);
    assert_eq!(cgroup::below(tree.group.path(), &|_| true), []);
    assert_eq!(sessions.records.load().expect("records"), []);
    assert!(sessions.list().is_empty());
}

#[test]
fn a_caller_that_ends_meanwhile_gets_no_session() {
    let tree = Tree::new("gone");
    let (sessions, _) = tree.open(&Arc::default());
    let mut caller = tree.caller();
    drop(caller.child.stdin.take());
    // It is a zombie: its number is still its own, but it runs no more.
    assert!(until(|| !caller.process.is_alive()));
    assert!(sessions.begin(&caller.process, &here(), "Paris").is_err());
    assert_eq!(cgroup::below(tree.group.path(), &|_| true), []);
}
