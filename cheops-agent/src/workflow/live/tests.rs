//! Records that outlive their process.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::*;
use crate::workflow::Kind;

const PARIS: &str = r#"{"A":"Paris","default":"Berlin"}"#;
const KEEP: Keep = Keep { records: 1_000, after: Duration::from_secs(600) };

/// An agent's process, and its directory.
fn process(directory: &Path) -> Arc<Workflows> {
    let workflows = Arc::new(Workflows::default());
    workflows.open(directory, KEEP).expect("a directory");
    workflows
}

fn hold(workflows: &Arc<Workflows>, id: &str, token: Option<&str>) -> Held {
    let (entry, service) = (SiteName::from("Berlin"), ServiceName::from("A"));
    let request = format!("r-{id}");
    let caller = token.map(|token| Caller::of(token.as_bytes(), &request));
    let maker = Maker {
        scope: PARIS,
        entry: &entry,
        addressed: Some(&service),
        request: &request,
        brief: false,
        caller: caller.as_ref(),
        credential: token.map(str::as_bytes),
    };
    workflows.hold(links(id).into_iter().map(|(_, link)| link).collect(), maker, KEEP).expect("held").expect("an id")
}

fn links(id: &str) -> Links {
    vec![(Kind::Profile, Link { name: "x-id".to_owned(), value: id.to_owned() })]
}

fn found(workflows: &Workflows, id: &str) -> Option<Found> {
    workflows.look(&links(id), KEEP).expect("one scope").0
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(directory).expect("there").map(|entry| entry.expect("one").path()).collect();
    files.sort();
    files
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// A process that is gone: its lock is, and nothing was said at its end.
fn kill(workflows: Arc<Workflows>, held: Vec<Held>) {
    workflows.with(|kept| kept.journal = None);
    drop(held);
}

#[test]
fn what_was_live_when_a_process_was_killed_is_known_to_the_next_one() {
    let directory = directory();
    let first = process(directory.path());
    let open = hold(&first, "open", Some("alice"));
    drop(hold(&first, "answered", None));
    hold(&first, "void", None).forget();
    open.place(&"B".into(), Some(&"Nantes".into()));
    kill(first, vec![open]);
    let second = process(directory.path());
    let open = found(&second, "open").expect("live");
    assert_eq!((open.scope.scope.to_string().as_str(), open.story.request.as_str()), (PARIS, "r-open"));
    assert_eq!(open.placed, [("B".into(), "Nantes".into())]);
    assert!(open.is_of(Some(b"alice")) && !open.is_of(Some(b"bob")));
    assert!(found(&second, "answered").is_some() && found(&second, "void").is_none());
    // It ends as every other, and a second crash makes nobody forget either.
    assert!(second.list().iter().all(|one| one.left.is_some_and(|left| left <= KEEP.after)));
    assert_eq!(files(directory.path()).len(), 1, "the first one's file is gone");
    kill(second, Vec::new());
    assert!(found(&process(directory.path()), "open").is_some());
}

#[test]
fn two_processes_that_serve_at_a_time_know_each_others_requests() {
    let directory = directory();
    let earlier = process(directory.path());
    let early = hold(&earlier, "early", None);
    earlier.hands_over(true);
    let later = process(directory.path());
    assert!(found(&later, "early").is_some());
    let late = hold(&later, "late", None);
    let after = hold(&earlier, "after", None);
    assert!(found(&earlier, "late").is_some(), "what the successor serves causes calls on its connections, too");
    assert!(found(&later, "after").is_some());
    assert!(!later.is_empty());
    // The earlier one ends in order, then its file goes.
    drop((early, after));
    drop(earlier);
    later.tend(KEEP);
    assert_eq!(files(directory.path()).len(), 1);
    assert!(found(&later, "early").is_some() && found(&later, "after").is_some());
    drop(late);
}

#[test]
fn a_handover_that_failed_leaves_everything_as_it_was() {
    let directory = directory();
    let stays = process(directory.path());
    assert!(stays.is_empty());
    stays.hands_over(true);
    assert!(!stays.is_empty(), "what is not known here may be known there");
    stays.hands_over(false);
    assert!(stays.is_empty());
}

#[test]
fn a_file_is_written_anew_before_it_grows_without_limit() {
    let directory = directory();
    let workflows = process(directory.path());
    let keep = Keep { after: Duration::ZERO, ..KEEP };
    let held = hold(&workflows, "stays", None);
    for number in 0..6_000 {
        let (entry, request) = (SiteName::from("Berlin"), format!("r-{number}"));
        let maker = Maker {
            scope: PARIS,
            entry: &entry,
            addressed: None,
            request: &request,
            brief: false,
            caller: None,
            credential: None,
        };
        let link = Link { name: "x-id".to_owned(), value: format!("{number}-{}", "x".repeat(200)) };
        drop(workflows.hold(vec![link], maker, keep).expect("held"));
    }
    let [file] = &files(directory.path())[..] else { panic!("one file") };
    let metadata = std::fs::metadata(file).expect("there");
    assert!(metadata.len() < (1 << 20) + 4096, "{} bytes", metadata.len());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    kill(workflows, vec![held]);
    let next = process(directory.path());
    assert!(found(&next, "stays").is_some());
    assert_eq!(next.live(), 1);
}

#[test]
fn what_is_broken_is_left_out_and_the_rest_is_read() {
    let directory = directory();
    let first = process(directory.path());
    let held = [hold(&first, "one", None), hold(&first, "two", None)];
    let [file] = &files(directory.path())[..] else { panic!("one file") };
    let text = std::fs::read_to_string(file).expect("text");
    assert_eq!(text.lines().next(), Some("{\"cheops-workflows\":1}"));
    kill(first, held.into());
    std::fs::remove_file(file).expect("removed");
    let torn = text.len() - 10;
    for (broken, one, two) in [
        (text.replacen("{\"link\"", "\u{0}garbage", 1), false, true),
        (text[..torn].to_owned(), true, false),
        (text.replace("workflows\":1", "workflows\":9"), false, false),
        (String::new(), false, false),
        ("\u{fffd}\n\n{}\n".repeat(3), false, false),
    ] {
        std::fs::write(directory.path().join("1-0.log"), broken).expect("written");
        let next = process(directory.path());
        assert_eq!((found(&next, "one").is_some(), found(&next, "two").is_some()), (one, two));
        kill(next, Vec::new());
        files(directory.path()).iter().for_each(|file| std::fs::remove_file(file).expect("removed"));
    }
}

#[test]
fn without_a_disk_it_works_without() {
    let directory = directory();
    let workflows = process(directory.path());
    std::fs::remove_dir_all(directory.path()).expect("removed");
    workflows.with(|kept| kept.write_anew());
    let held = hold(&workflows, "one", None);
    assert!(found(&workflows, "one").is_some());
    assert!(Workflows::default().open(Path::new("/proc/none"), KEEP).is_err());
    // It is there again: what is live is written down, later.
    std::fs::create_dir(directory.path()).expect("made");
    workflows.with(|kept| kept.write_anew());
    kill(workflows, vec![held]);
    assert!(found(&process(directory.path()), "one").is_some());
}

#[test]
fn a_scope_that_can_not_be_read_any_more_is_left_out() {
    let workflows = Workflows::default();
    let line = |scope: &str| Line {
        link: Link { name: "x-id".to_owned(), value: "1".to_owned() },
        scope: scope.to_owned(),
        entry: "Berlin".into(),
        request: "r".to_owned(),
        service: None,
        since: 0,
        caller: None,
        addressed: Vec::new(),
        placed: Vec::new(),
        brief: false,
        until: None,
    };
    workflows.adopt(&[line("{")], KEEP);
    assert!(workflows.is_empty());
    workflows.adopt(&[line(PARIS)], Keep { records: 0, ..KEEP });
    assert!(workflows.is_empty(), "no room");
    workflows.adopt(&[line(PARIS)], KEEP);
    assert_eq!(workflows.lines(&[line(PARIS).link], 10).len(), 1);
}

/// What `cheops workflows` shows.
#[test]
fn a_workflow_is_listed_once_with_its_ids_and_calls() {
    let workflows = Arc::new(Workflows::default());
    let first = hold(&workflows, "a", Some("alice"));
    let (entry, service) = (SiteName::from("Berlin"), ServiceName::from("B"));
    let call = Maker {
        scope: PARIS,
        entry: &entry,
        addressed: None,
        request: "call",
        brief: false,
        caller: None,
        credential: None,
    };
    let both = links("a").into_iter().chain(links("b")).map(|(_, link)| link).collect();
    let call = workflows.hold(both, call, KEEP).expect("held").expect("ids");
    call.called(&service, &"Paris".into(), Ok(201));
    drop(call);
    let cause = workflows.find(&links("b"), Some(b"nova"), KEEP).expect("one").expect("found");
    assert!(cause.follows, "a mark isn't known of an id that only a call brought");
    let cause = workflows.find(&links("a"), Some(b"nova"), KEEP).expect("one").expect("found");
    assert!(!cause.follows);
    workflows.stays(&cause.found, &"P".into(), &"Berlin".into(), KEEP);
    let [shown] = &workflows.list()[..] else { panic!("one") };
    assert_eq!(shown.links.iter().map(|link| link.value.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((shown.open, shown.left, shown.story.request.as_str()), (1, None, "r-a"));
    let calls: Vec<_> = shown
        .calls
        .iter()
        .map(|call| format!("{} {} {:?} {}", call.service, call.site, call.last_status, call.other_caller))
        .collect();
    assert_eq!(calls, ["B Paris Some(201) false", "P Berlin None true"]);
    drop(first);
    assert!(workflows.list()[0].left.is_some());
}
