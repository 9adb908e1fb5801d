//! What doesn't ask for a scope is as it was without an agent, also while an agent dies.

use std::fs::{self, File};
use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, ensure};
use cheops_tests::lab::eventually;
use cheops_tests::lab::openstack::shared;
use cheops_tests::lab::tell;

use super::*;

/// What the ordinary member types, in one session of the command. What it makes it takes away again.
const MEMBER: &str = include_str!("unscoped.member");

/// What the administrator types.
const ADMIN: &str = include_str!("unscoped.admin");

/// Nothing has this name: the command says so, and the test knows how far the session is.
const HALFWAY: &str = "halfway";

const LONG: Duration = Duration::from_secs(120);

/// Runs both sessions at Berlin; `between` happens in the middle of the member's. What was printed, ids and times aside.
fn sessions(cloud: &mut Cloud, between: impl FnOnce(&mut Cloud) -> anyhow::Result<()>) -> anyhow::Result<Vec<String>> {
    let (first, second) = MEMBER.split_once("server show halfway\n").context("the session has a middle")?;
    let berlin = cloud.site("Berlin");
    let path = berlin.directory().join("session");
    let output = File::create(&path)?;
    fs::write(berlin.directory().join("key.pub"), KEY)?;
    fs::write(berlin.directory().join("disk.raw"), "a small disk")?;
    let start = |user: &str| {
        let mut command = berlin.openstack(user);
        command.env("PYTHONUNBUFFERED", "1").current_dir(berlin.directory()).stdin(Stdio::piped());
        command.stdout(output.try_clone()?).stderr(output.try_clone()?);
        command.spawn().context("can't start openstack")
    };
    let mut member = start("demo")?;
    let mut typed = member.stdin.take().context("a session takes lines")?;
    let mut admin = start("admin")?;
    typed.write_all(format!("{first}server show {HALFWAY}\n").as_bytes())?;
    let printed = || fs::read_to_string(&path).unwrap_or_default();
    ensure!(eventually(LONG, || printed().contains(HALFWAY)), "not halfway: {}", printed());
    between(cloud)?;
    typed.write_all(second.as_bytes())?;
    drop(typed);
    ensure!(member.wait()?.success(), "the session fails: {}", printed());
    // The administrator's comes behind it, so that what they print isn't mixed.
    admin.stdin.take().context("a session takes lines")?.write_all(ADMIN.as_bytes())?;
    ensure!(admin.wait()?.success(), "the session fails: {}", printed());
    Ok(printed().lines().map(plain).collect())
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx5oCQqk0V6tTqIAmiTWvVTIqWzIoBaX8GgPhJzmMnE lab\n";

/// A line without what differs each time: ids, tokens, times.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut word = String::new();
    for sign in line.chars().chain(['\n']) {
        if sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_' | ':' | '.' | '+') {
            word.push(sign);
            continue;
        }
        plain += known(&word).unwrap_or(&word);
        word.clear();
        plain.push(sign);
    }
    plain.trim_end_matches('\n').to_owned()
}

/// What kind of thing a word is that differs each time.
fn known(word: &str) -> Option<&'static str> {
    let hex = |text: &str| text.chars().all(|sign| sign.is_ascii_hexdigit());
    let id = word.strip_prefix("req-").unwrap_or(word).replace('-', "");
    let digits = |from: usize, to: usize| {
        word.get(from..to).is_some_and(|part| part.chars().all(|digit| digit.is_ascii_digit()))
    };
    match word {
        _ if id.len() == 32 && hex(&id) => Some("ID"),
        _ if word.starts_with("gAAAAA") => Some("TOKEN"),
        _ if word.starts_with("instance-") && word.len() == 17 => Some("INSTANCE"),
        // 2026-11-29T17:32:16.066459, and the same with a space, whose second half is 17:32:16.066459.
        _ if digits(0, 4) && word.get(4..5) == Some("-") && digits(5, 7) => Some("TIME"),
        _ if digits(0, 2) && word.get(2..3) == Some(":") && digits(3, 5) => Some("TIME"),
        _ => None,
    }
}

#[track_caller]
fn same(one: &[String], other: &[String], how: &str) {
    for (number, (one, other)) in one.iter().zip(other).enumerate() {
        assert_eq!(one, other, "{how}, line {number}");
    }
    assert_eq!(one.len(), other.len(), "{how}: {:?} or {:?}", one.last(), other.last());
}

/// Connections that Berlin's agent took.
fn taken(cloud: &Cloud) -> anyhow::Result<f64> {
    Ok(cloud.agent("Berlin").metric("cheops_connections_taken")?.unwrap_or_default())
}

#[test]
fn sixty_commands_say_the_same_with_an_agent_while_it_dies_and_without() -> anyhow::Result<()> {
    let count = MEMBER.lines().chain(ADMIN.lines()).count();
    assert!(count >= 60, "{count} commands");
    shared(|cloud| {
        let before = taken(cloud)?;
        let with = sessions(cloud, |_| Ok(()))?;
        let through = taken(cloud)? - before;
        assert!(through > 60.0, "only {through} connections went through the agent");
        assert!(!with.iter().any(|line| line.to_lowercase().contains("cheops")), "{with:?}");
        let dying = sessions(cloud, |cloud| cloud.federation.agent_mut("Berlin").kill9())?;
        let without = sessions(cloud, |_| Ok(()))?;
        cloud.federation.agent_mut("Berlin").restart()?;
        same(&with, &without, "with and without an agent");
        same(&with, &dying, "with an agent, and with one that dies in between");
        let lines = with.len();
        tell(
            "openstack",
            &format!("{count} commands, {lines} lines, the same with, without, and while the agent dies"),
        );
        Ok(())
    })
}
