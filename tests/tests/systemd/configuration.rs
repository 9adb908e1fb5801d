//! The shipped `agent.toml` and the agent's table of keys are the same.

use std::collections::BTreeSet;

use cheops_agent::config::keys::{Absent, KEYS, SECTIONS};

use super::*;

/// Section, key, value as shipped, and the comment above it.
fn keys(text: &str) -> Vec<(String, String, String, String)> {
    let (mut section, mut comment, mut found) = (String::new(), String::new(), Vec::new());
    for line in text.lines() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        if let Some(words) = line.strip_prefix("# ") {
            comment = format!("{comment} {words}").trim().to_owned();
        } else if bare.starts_with('[') {
            let is_list = bare.starts_with("[[");
            section = bare.trim_matches(['[', ']']).to_owned() + if is_list { "[]." } else { "." };
            comment.clear();
        } else if let Some((key, value)) = bare.split_once(" = ") {
            found.push((section.clone(), key.to_owned(), value.to_owned(), std::mem::take(&mut comment)));
        } else {
            assert_eq!(line, "", "neither a comment nor a key");
            comment.clear();
        }
    }
    found
}

#[test]
fn every_key_is_there_with_its_default_and_its_meaning() {
    let text = shipped("agent.toml");
    let keys = keys(&text);
    let paths: Vec<String> = keys.iter().map(|(section, key, ..)| format!("{section}{key}")).collect();
    assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), paths.len(), "a key stands there twice");
    let known: BTreeSet<&str> = KEYS.iter().map(|key| key.path).collect();
    assert_eq!(paths.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
    for key in KEYS {
        let (_, _, value, comment) = &keys[paths.iter().position(|path| path == key.path).expect("it is there")];
        assert!(comment.starts_with(key.meaning), "{}: {comment}", key.path);
        match key.absent {
            Absent::Default(default) => assert_eq!(value, default, "{}", key.path),
            Absent::Required => assert!(comment.contains("Must be set."), "{}: {comment}", key.path),
            Absent::Means(_) => {}
        }
    }
    for (section, _) in SECTIONS {
        let header = section.strip_suffix("[]").map_or(format!("[{section}]\n"), |name| format!("[[{name}]]\n"));
        assert!(text.contains(&header), "{section}");
    }
}

/// All of it commented out is the defaults; all of it in force is still valid.
#[test]
fn it_is_a_configuration_commented_and_uncommented() {
    let text = shipped("agent.toml");
    let error = cheops_agent::config::from_text(&text).expect_err("a site must be set").to_string();
    assert!(error.contains("site"), "{error}");
    let site = format!("site = \"Berlin\"\n{text}");
    let quiet = cheops_agent::config::from_text(&site).expect("valid with a site");
    let plain = cheops_agent::config::from_text("site = \"Berlin\"\n").expect("valid");
    assert_eq!(quiet.config, plain.config);

    let is_key = |line: &str| line.starts_with('#') && !line.starts_with("# ");
    let lines = text.lines().map(|line| if is_key(line) { &line[1..] } else { line });
    let all: Vec<&str> = lines.filter(|line| !line.starts_with("endpoints = [")).collect();
    cheops_agent::config::from_text(&all.join("\n")).unwrap_or_else(|error| panic!("{error}"));
}
