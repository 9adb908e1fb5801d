//! The copy on the disk of a real agent, which keeps it for itself (backend "embedded").

use std::path::{Path, PathBuf};
use std::process::Command;

use cheops_agent::metadata::record::{SiteRecord, Standing};
use cheops_agent::metadata::store::FILE;
use cheops_agent::metadata::transaction::Write;
use cheops_agent::metadata::{Key, Record, Store};
use cheops_tests::lab::{Agent, Federation, Offered, eventually};
use nix::sys::signal::Signal;

use super::{SOON, findings, metadata};

fn one() -> anyhow::Result<Federation> {
    Federation::builder().sites(&["Berlin"]).service(Offered::new("app", 8080)).start()
}

fn file(agent: &Agent) -> PathBuf {
    agent.files().directory().join("state").join(FILE)
}

/// The file of an agent that doesn't run.
fn open(agent: &Agent) -> Store {
    Store::embedded("lab").kept_at(file(agent), agent.host().site(), agent.host().name())
}

fn served(federation: &Federation) -> anyhow::Result<()> {
    let answer = federation.get("Berlin", "app", "/x", Some("{app: Berlin}"))?;
    anyhow::ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

#[track_caller]
fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(eventually(SOON, condition), "{what}");
}

/// Whether the file can't be used, as the agent says.
fn trouble(federation: &Federation) -> String {
    let said = metadata(federation.agent("Berlin")).unwrap_or_default();
    said["trouble"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn what_the_file_says_is_kept_and_shown() -> anyhow::Result<()> {
    let mut federation = one()?;
    let metadata = metadata(federation.agent("Berlin"))?;
    assert_eq!(
        (&metadata["backend"], &metadata["up"], &metadata["complete"]),
        (&"embedded".into(), &true.into(), &true.into()),
        "{metadata}"
    );
    until("its own records", || {
        super::metadata(federation.agent("Berlin")).is_ok_and(|metadata| metadata["records"] == 4)
    });
    for (metric, value) in [("up", 1.0), ("pending", 0.0), ("refused", 0.0), ("kept", 1.0)] {
        let found = federation.agent("Berlin").metric(&format!("cheops_metadata_{metric}"))?;
        assert_eq!(found, Some(value), "{metric}");
    }
    assert!(findings(federation.agent("Berlin"), "metadata")?.is_empty());

    // A second service, without a restart.
    federation.agent_mut("Berlin").reload(|table| {
        let services = table.get_mut("services").and_then(toml::Value::as_array_mut).expect("a list");
        let mut more = services[0].clone();
        more["name"] = "more".into();
        more["endpoints"]["Berlin"] = "http://10.77.1.1:8081".into();
        services.push(more);
    })?;
    federation.agent_mut("Berlin").kill9()?;
    let store = open(federation.agent("Berlin"));
    let view = store.view();
    let Some(Record::Service(more)) = view.get(&Key::Service("Berlin".into(), "more".into())).map(|kept| &kept.record)
    else {
        panic!("{:?}", view.iter().collect::<Vec<_>>());
    };
    assert_eq!(more.endpoints, ["http://10.77.1.1:8081"]);
    Ok(())
}

#[test]
fn how_a_site_stands_outlives_kill_9() -> anyhow::Result<()> {
    let mut federation = one()?;
    federation.agent_mut("Berlin").kill9()?;
    let drained = Record::Site(SiteRecord { standing: Standing::Drained, since: 1 });
    let key = Key::Site("Berlin".into());
    open(federation.agent("Berlin")).write(Write::Put(key.clone(), drained.clone()))?;
    federation.agent_mut("Berlin").restart()?;
    served(&federation)?;
    federation.agent_mut("Berlin").kill9()?;
    assert_eq!(open(federation.agent("Berlin")).view().get(&key).map(|kept| kept.record.clone()), Some(drained));
    Ok(())
}

#[test]
fn a_damaged_file_is_said_and_left_alone_and_requests_are_served() -> anyhow::Result<()> {
    let mut federation = one()?;
    federation.agent_mut("Berlin").stop()?;
    let path = file(federation.agent("Berlin"));
    let mut bytes = std::fs::read(&path)?;
    bytes[..4096].fill(0x5a);
    std::fs::write(&path, &bytes)?;
    federation.agent_mut("Berlin").restart()?;
    served(&federation)?;
    assert!(trouble(&federation).contains("Move it away"), "{}", trouble(&federation));
    let found = findings(federation.agent("Berlin"), "metadata")?;
    assert!(
        found.iter().any(|check| check["grade"] == "fail"
            && check["remedy"].as_str().is_some_and(|text| text.contains("metadata.redb"))),
        "{found:?}"
    );
    let status = String::from_utf8(federation.agent("Berlin").cheops(&["status"])?.stdout)?;
    assert!(status.contains("is damaged"), "{status}");
    assert_eq!(federation.agent("Berlin").metric("cheops_metadata_kept")?, Some(0.0));
    assert_eq!(std::fs::read(&path)?, bytes, "it is as it was");

    std::fs::rename(&path, path.with_extension("away"))?;
    until("a new file", || trouble(&federation).is_empty());
    served(&federation)?;
    federation.agent_mut("Berlin").kill9()?;
    assert_eq!(
        open(federation.agent("Berlin")).view().iter().count(),
        3,
        "what is known is in the new one: host, site, service"
    );
    Ok(())
}

#[test]
fn a_second_agent_with_the_same_directory_harms_nothing() -> anyhow::Result<()> {
    let mut federation =
        Federation::builder().sites(&["Berlin", "Paris"]).service(Offered::new("app", 8080)).start()?;
    let berlin = federation.agent("Berlin").files().directory().join("state");
    federation.agent_mut("Paris").configure(|table| {
        table.insert("state-dir".into(), berlin.to_string_lossy().into_owned().into());
    })?;
    federation.agent_mut("Paris").restart()?;
    let said = metadata(federation.agent("Paris"))?;
    assert!(said["trouble"].as_str().is_some_and(|text| text.contains("another agent")), "{said}");
    // When the first is gone, its file is still no other's.
    federation.agent_mut("Berlin").stop()?;
    until("whose it is", || {
        let said = metadata(federation.agent("Paris")).unwrap_or_default();
        said["trouble"].as_str().is_some_and(|text| text.contains("lab/Berlin/"))
    });
    federation.agent_mut("Berlin").restart()?;
    assert_eq!(trouble(&federation), "");
    served(&federation)
}

#[test]
fn a_successor_has_the_file() -> anyhow::Result<()> {
    let federation = one()?;
    let pid = || -> Option<u64> { federation.agent("Berlin").admin("/v1/status").ok()?.json().ok()?["pid"].as_u64() };
    let before = pid();
    federation.agent("Berlin").signal(Signal::SIGUSR2)?;
    until("another agent", || pid().is_some_and(|pid| Some(pid) != before));
    let successor = pid().and_then(|pid| i32::try_from(pid).ok()).map(nix::unistd::Pid::from_raw);
    let checked = (|| {
        until("its file", || trouble(&federation).is_empty());
        let said = metadata(federation.agent("Berlin"))?;
        anyhow::ensure!(said["complete"] == true && said["records"] == 4, "{said}");
        anyhow::ensure!(!federation.agent("Berlin").log().contains("doesn't outlive"), "the file was always free");
        served(&federation)
    })();
    // It is no child of the lab's.
    if let Some(successor) = successor {
        nix::sys::signal::kill(successor, Signal::SIGKILL)?;
    }
    checked
}

/// A small file system at the state directory; taken away when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> anyhow::Result<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(at).status()?;
        anyhow::ensure!(mounted.success(), "mount: {mounted}");
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        if let Err(error) = Command::new("umount").arg("--lazy").arg(&self.0).status() {
            eprintln!("umount: {error}");
        }
    }
}

#[test]
fn a_full_disk_loses_nothing_and_requests_are_served() -> anyhow::Result<()> {
    let mut federation = one()?;
    federation.agent_mut("Berlin").stop()?;
    let directory = federation.agent("Berlin").files().directory().join("state");
    let _small = Small::mount(&directory)?;
    federation.agent_mut("Berlin").restart()?;
    until("its own records", || metadata(federation.agent("Berlin")).is_ok_and(|metadata| metadata["records"] == 4));
    assert_eq!(trouble(&federation), "");
    let filler = directory.join("filler");
    drop(Command::new("dd").args(["if=/dev/zero", "bs=64k", &format!("of={}", filler.display())]).output()?);

    // More than the file has room for.
    let service = |number: usize| -> toml::Value {
        let mut table = toml::Table::new();
        table.insert("name".into(), format!("s{number}").into());
        table.insert("profile".into(), "rest".into());
        let url = format!("http://10.77.1.1:{}/{}", 9000 + number, "x".repeat(20_000));
        let endpoints = toml::Table::from_iter([("Berlin".to_owned(), toml::Value::from(url))]);
        table.insert("endpoints".into(), endpoints.into());
        table.into()
    };
    federation.agent_mut("Berlin").reload(|table| {
        let services = table.get_mut("services").and_then(toml::Value::as_array_mut).expect("a list");
        services.extend((0..60).map(service));
    })?;
    until("that the disk is full", || trouble(&federation).contains("No space left"));
    served(&federation)?;
    let known = metadata(federation.agent("Berlin"))?;
    assert_eq!(known["records"], 64, "shown all the same: {known}");

    std::fs::remove_file(&filler)?;
    until("that it is kept again", || trouble(&federation).is_empty());
    served(&federation)?;
    federation.agent_mut("Berlin").kill9()?;
    assert_eq!(open(federation.agent("Berlin")).view().iter().filter(|(key, _)| !key.leased()).count(), 63);
    Ok(())
}
