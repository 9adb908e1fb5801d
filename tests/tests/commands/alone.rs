//! What needs no agent: configuration, help, checks before the start, and the absence of an agent.

use std::path::Path;
use std::process::{Command, Output};

use cheops_agent::config::keys::{KEYS, split};
use cheops_tests::lab::program;

use super::{NO, UNREACHABLE, USAGE, YES, complaint, exits, out};

fn agent(arguments: &[&str]) -> Output {
    Command::new(program("cheops-agent").expect("built")).args(arguments).output().expect("runs")
}

fn cheops(arguments: &[&str]) -> Output {
    Command::new(program("cheops").expect("built")).args(arguments).output().expect("runs")
}

/// `--check-config` of this text.
fn checked(text: &str) -> (tempfile::TempDir, Output) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("agent.toml");
    std::fs::write(&path, text).expect("written");
    let output = agent(&["--check-config", "--config", &path.to_string_lossy()]);
    (directory, output)
}

#[test]
fn a_mistake_in_the_configuration_is_shown_with_its_line_and_a_caret() {
    let (directory, output) = checked("site = \"Berlin\"\nthraeds = 2\n\n[timeouts]\nconnect = 5\n");
    exits(&output, NO);
    let path = directory.path().join("agent.toml");
    let expected = format!(
        "{path}:2:1: error: unknown key \"thraeds\": did you mean \"threads\"?\n   |\n 2 | thraeds = 2\n   | ^^^^^^^\n\n\
         {path}:5:11: error: \"connect\" must be a duration, such as \"500ms\", \"30s\", \"5m\"; this is 5\n   |\n 5 | connect = 5\n   |           ^\n",
        path = path.display()
    );
    assert_eq!(complaint(&output), expected);
}

#[test]
fn a_mistake_in_a_drop_in_is_found_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("agent.toml");
    std::fs::write(&path, "site = \"Berlin\"\n").expect("written");
    std::fs::create_dir(directory.path().join("agent.d")).expect("made");
    std::fs::write(directory.path().join("agent.d/10-more.toml"), "\n[limits]\nheads-bytes = 1\n").expect("written");
    let output = agent(&["--check-config", "--config", &path.to_string_lossy()]);
    exits(&output, NO);
    let text = complaint(&output);
    assert!(
        text.contains("agent.d/10-more.toml:3:1: error: unknown key \"heads-bytes\": did you mean \"head-bytes\"?"),
        "{text}"
    );
}

#[test]
fn a_valid_configuration_names_its_files_and_warnings() {
    let (_directory, output) = checked("site = \"Berlin\"\n[[sites]]\nname = \"Paris\"\npeer = \"10.0.0.1:7117\"\n");
    exits(&output, YES);
    assert!(out(&output).starts_with("valid: "), "{}", out(&output));
    assert!(
        complaint(&output).contains("warning: without [peer] no request can be served at Paris"),
        "{}",
        complaint(&output)
    );
}

#[test]
fn an_agent_that_cant_read_its_configuration_ends_and_says_why() {
    let output = agent(&["--config", "/nonexistent/agent.toml"]);
    exits(&output, NO);
    assert!(
        complaint(&output).contains("/nonexistent/agent.toml: No such file or directory"),
        "{}",
        complaint(&output)
    );
}

#[test]
fn a_log_level_that_cant_be_read_is_complained_about() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("agent.toml");
    std::fs::write(&path, "site = \"Berlin\"\n").expect("written");
    let output = agent(&["--config", &path.to_string_lossy(), "--log", "a=b=c"]);
    exits(&output, NO);
    assert!(complaint(&output).contains("--log \"a=b=c\" can't be read"), "{}", complaint(&output));
}

#[test]
fn help_config_has_every_key_with_its_default() {
    let output = agent(&["--help-config"]);
    exits(&output, YES);
    let text = out(&output);
    for key in KEYS {
        assert!(text.contains(key.meaning), "{} has no meaning in the help", key.path);
        if let cheops_agent::config::keys::Absent::Default(default) = key.absent {
            let line = format!("{} = {default}", split(key.path).1);
            assert!(text.contains(&line), "{line} is missing");
        }
    }
    for header in ["[timeouts]", "[[services]]", "[[sites]]", "[peer]"] {
        assert!(text.lines().any(|line| line.starts_with(header)), "{header}");
    }
}

#[test]
fn the_shipped_file_comments_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/agent.toml");
    let text = std::fs::read_to_string(&path).expect("systemd/agent.toml");
    for key in KEYS {
        let (section, name) = split(key.path);
        let header = match section.strip_suffix("[]") {
            _ if section.is_empty() => String::new(),
            Some(list) => format!("[[{list}]]"),
            None => format!("[{section}]"),
        };
        let begin =
            if header.is_empty() { 0 } else { text.find(&header).unwrap_or_else(|| panic!("{header} is missing")) };
        let part = &text[begin..];
        // Up to the next table.
        let end = part[header.len()..]
            .find("\n[")
            .or(part[header.len()..].find("\n# ["))
            .map_or(part.len(), |end| end + header.len());
        let named = part[..end].lines().any(|line| {
            line.trim_start_matches(['#', ' '])
                .strip_prefix(name)
                .is_some_and(|rest| rest.trim_start().starts_with('='))
        });
        assert!(named, "{} is missing in {}", key.path, path.display());
    }
    // As it is shipped only the site has to be set; with every example taken it is valid too.
    let set = text.replace("#site = ", "site = ");
    let all = text.lines().map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line));
    for text in [set, all.collect::<Vec<_>>().join("\n")] {
        let (_directory, output) = checked(&text);
        exits(&output, YES);
    }
}

#[test]
fn checks_before_the_start_are_graded_and_have_remedies() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("agent.toml");
    std::fs::write(&path, "site = \"Berlin\"\n").expect("written");
    let config = path.to_string_lossy().into_owned();
    let output = cheops(&["check", "--pre", "--config", &config, "-o", "json"]);
    let document: serde_json::Value = serde_json::from_str(&out(&output)).expect("JSON");
    assert_eq!(document["apiVersion"], "cheops/v1");
    let checks = document["checks"].as_array().expect("checks");
    assert!(checks.iter().any(|check| check["name"] == "configuration" && check["grade"] == "ok"), "{document}");
    assert!(checks.len() > 1, "the host is looked at too: {document}");
    let failed = checks.iter().any(|check| check["grade"] == "fail");
    exits(&output, if failed { NO } else { YES });
    for check in checks.iter().filter(|check| check["grade"] != "ok") {
        assert_ne!(check["remedy"], "", "{check}");
    }
    let same = agent(&["--check", "--config", &config]);
    exits(&same, if failed { NO } else { YES });

    std::fs::write(&path, "sit = 1\n").expect("written");
    let output = cheops(&["check", "--pre", "--config", &config]);
    exits(&output, NO);
    assert!(out(&output).contains("FAIL  configuration"), "{}", out(&output));
    assert!(out(&output).contains("→ See all of it with: cheops-agent --check-config"), "{}", out(&output));
}

#[test]
fn explain_works_from_the_configuration_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("agent.toml");
    let text = "site = \"Berlin\"\nprofile-dirs = []\n[peer]\nlisten = \"127.0.0.1:1\"\ninsecure = true\n[[sites]]\nname = \"Paris\"\npeer = \"127.0.0.1:2\"\n[[services]]\nname = \"app\"\nendpoints = { Berlin = \"http://10.0.0.1:8080\", Paris = \"http://10.0.0.2:8080\" }\n";
    std::fs::write(&path, text).expect("written");
    let config = path.to_string_lossy().into_owned();
    let output = agent(&["--config", &config, "--explain", "GET", "http://10.0.0.1:8080/things/7", "{app: Paris}"]);
    exits(&output, YES);
    for line in
        ["captured   yes: 10.0.0.1:8080 is a guarded endpoint", "service    app", "plan       at", "sites      Paris"]
    {
        assert!(out(&output).contains(line), "{line}: {}", out(&output));
    }
    let output = agent(&["--config", &config, "--explain", "GET", "http://10.0.0.1:8080/things/7", "{app: Pari}"]);
    exits(&output, NO);
    assert!(out(&output).contains("did you mean \"Paris\"?"), "{}", out(&output));
}

#[test]
fn without_an_agent_every_question_ends_with_5_and_names_the_socket() {
    for verb in [
        &["status"] as &[&str],
        &["status", "--wait=100ms"],
        &["sites"],
        &["services"],
        &["check"],
        &["explain", "GET", "http://10.0.0.1/"],
        &["tap"],
    ] {
        let output = cheops(&[&["--socket", "/nonexistent/admin.sock"], verb].concat());
        exits(&output, UNREACHABLE);
        let text = complaint(&output);
        assert!(
            text.contains("can't be reached at /nonexistent/admin.sock") && text.contains("is it running?"),
            "{text}"
        );
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in
        [&["stauts"] as &[&str], &[], &["status", "--wait", "x"], &["explain", "GET"], &["sites", "-o", "xml"]]
    {
        exits(&cheops(arguments), USAGE);
    }
    for arguments in [&["--explain", "GET"] as &[&str], &["--check", "--detach"], &["--nothing"]] {
        exits(&agent(arguments), USAGE);
    }
    assert!(complaint(&cheops(&["stauts"])).contains("'status'"), "a suggestion");
}

#[test]
fn help_and_versions() {
    for output in [cheops(&["--version"]), agent(&["--version"])] {
        exits(&output, YES);
        assert!(out(&output).contains(env!("CARGO_PKG_VERSION")));
    }
    let help = out(&cheops(&["--help"]));
    for verb in ["status", "check", "sites", "services", "scope", "explain", "exec", "tap", "bug-report"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(verb)), "{verb}: {help}");
    }
    let output = cheops(&["version", "--socket", "/nonexistent/admin.sock", "-o", "json"]);
    exits(&output, YES);
    assert!(out(&output).contains("\"agent\": null"), "{}", out(&output));
}
