//! The rules of the house.

use super::{Rule, Sources};
use crate::run::root;

pub const RULES: &[Rule] = &[
    Rule { name: "files have at most 400 lines, tests aside", check: file_lengths },
    Rule { name: "rooms import only rooms above them", check: room_order },
    Rule { name: "log and assert macros have no side effect", check: quiet_macros },
    Rule { name: "unsafe code is where it may be, with its reason", check: unsafe_code },
    Rule { name: "every crate takes the workspace's lints", check: lints },
    Rule { name: "no test is ignored, nothing is left to do", check: leftovers },
    Rule { name: "modules are foo.rs, not foo/mod.rs", check: no_mod_rs },
    Rule { name: "documents name verbs that exist", check: verbs },
    Rule { name: "nothing is said of one machine or of registries", check: only_the_project },
    Rule { name: "the README has at most 320 lines", check: readme },
    Rule { name: "tests that the README names are there", check: super::readme::named_tests },
    Rule { name: "the shipped agent.toml has every key", check: every_key },
];

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 50;

/// The agent's rooms, each below those that it may import: the ground, the path of a request, what stands around it.
const ROOMS: &[&[&str]] = &[
    // ground
    &["address"],
    &["names"],
    &["observe"],
    &["config"],
    &["metadata"],
    // path
    &["accept"],
    &["kernel"],
    &["http"],
    &["scope"],
    &["profile"],
    &["plan"],
    &["workflow"],
    &["peer"],
    &["act"],
    // around; the daemon has arguments, and a command runs the daemon's checks
    &["membership"],
    &["admin"],
    &["app", "cli"],
];

/// How deep a room stands.
fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|rooms| rooms.contains(&room))
}

fn file_lengths(sources: &Sources) -> Vec<String> {
    let long = sources.rust().filter(|source| !source.is_test()).filter_map(|source| {
        let lines = source.code().count();
        (lines > FILE_LINES).then(|| format!("{}: {lines} lines", source.path))
    });
    long.collect()
}

/// Functions that may be too long: worth a look, no failure.
pub fn long_functions(sources: &Sources) -> Vec<String> {
    let ours = sources.rust().filter(|source| !source.is_test());
    let long = ours.flat_map(|source| {
        let functions = source.functions().into_iter().filter(|(_, _, lines)| *lines > FUNCTION_LINES);
        functions.map(|(name, begin, lines)| format!("{}:{begin}: {name} has {lines} lines", source.path))
    });
    long.collect()
}

fn room_order(sources: &Sources) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources.rust().filter(|source| !source.is_test()) {
        let Some(inside) = source.path.strip_prefix("cheops-agent/src/") else { continue };
        let room = inside.split(['/', '.']).next().unwrap_or_default();
        let Some(own) = rank(room) else { continue };
        for (number, line) in source.code().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let imports = line
                .split("crate::")
                .skip(1)
                .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default());
            let below = imports.filter(|import| rank(import) > Some(own));
            wrong.extend(below.map(|import| format!("{}:{number}: {room} imports {import}", source.path)));
        }
    }
    wrong
}

fn quiet_macros(sources: &Sources) -> Vec<String> {
    const MACROS: &[&str] = &["trace!(", "debug!(", "info!(", "warn!(", "error!(", "debug_assert!("];
    const EFFECTS: &[&str] = &[".await", ".set_", ".send(", ".write(", ".insert(", ".remove(", ".push(", ".take()"];
    let mut wrong = Vec::new();
    for source in sources.rust().filter(|source| source.path.starts_with("cheops-agent/src")) {
        let code: Vec<(usize, &str)> = source.code().collect();
        for (index, (number, line)) in code.iter().enumerate() {
            let Some(begin) = MACROS.iter().find_map(|name| line.find(name)) else { continue };
            let rest = std::iter::once(line.get(begin..).unwrap_or_default());
            let following = code.iter().skip(index + 1).map(|(_, line)| *line);
            let mut depth = 0_i32;
            for part in rest.chain(following) {
                wrong.extend(
                    EFFECTS
                        .iter()
                        .filter(|effect| part.contains(*effect))
                        .map(|effect| format!("{}:{number}: {effect}", source.path)),
                );
                depth += part.matches('(').count() as i32 - part.matches(')').count() as i32;
                if depth <= 0 {
                    break;
                }
            }
        }
    }
    wrong
}

fn unsafe_code(sources: &Sources) -> Vec<String> {
    const MAY: &[&str] = &["cheops-ebpf/", "cheops-agent/src/kernel/sys.rs", "cheops-agent/src/accept/sys.rs"];
    let mut wrong = Vec::new();
    for source in sources.rust().filter(|source| !source.path.starts_with("xtask/src/lint")) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !code.contains("unsafe {") && !code.contains("unsafe impl") && !code.contains("unsafe fn") {
                continue;
            }
            if !source.is_test() && !MAY.iter().any(|path| source.path.starts_with(path)) {
                wrong.push(format!("{}:{}: unsafe code has no place here", source.path, index + 1));
            }
            // The reason stands within the comment above the statement, which may have begun some lines earlier.
            let above = lines.iter().take(index + 1).rev().take(8);
            if !above.into_iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety")) {
                wrong.push(format!("{}:{}: unsafe without // SAFETY:", source.path, index + 1));
            }
        }
    }
    wrong
}

fn lints(sources: &Sources) -> Vec<String> {
    let manifests =
        sources.0.iter().filter(|source| source.path.ends_with("Cargo.toml") && source.path != "Cargo.toml");
    // The eBPF crates and the fuzz targets are workspaces of their own.
    let ours = manifests.filter(|source| !source.path.starts_with("cheops-ebpf") && !source.path.contains("fuzz"));
    let without = ours.filter(|source| !source.text.contains("[lints]\nworkspace = true"));
    without.map(|source| format!("{}: no [lints] workspace = true", source.path)).collect()
}

fn leftovers(sources: &Sources) -> Vec<String> {
    const LEFT: &[&str] = &["#[ignore", "todo!(", "unimplemented!(", "TODO", "FIXME", "XXX"];
    let mut wrong = Vec::new();
    for source in sources.rust().filter(|source| !source.path.starts_with("xtask/src/lint")) {
        for (index, line) in source.text.lines().enumerate() {
            let found = LEFT.iter().filter(|word| line.contains(*word));
            wrong.extend(found.map(|word| format!("{}:{}: {word}", source.path, index + 1)));
        }
    }
    wrong
}

fn no_mod_rs(sources: &Sources) -> Vec<String> {
    let wrong = sources.rust().filter(|source| source.path.ends_with("/mod.rs"));
    wrong.map(|source| source.path.clone()).collect()
}

/// `cargo xtask VERB` in texts and scripts.
fn verbs(sources: &Sources) -> Vec<String> {
    let Some(main) = sources.find("xtask/src/main.rs") else { return vec!["xtask/src/main.rs is missing".to_owned()] };
    let known: Vec<String> = main.text.lines().filter_map(verb).collect();
    let mut wrong = Vec::new();
    for source in sources.0.iter().filter(|source| !source.path.starts_with("xtask/src/lint")) {
        for (index, line) in source.text.lines().enumerate() {
            let named = line.split("cargo xtask ").skip(1).filter_map(|rest| {
                let word: String = rest.chars().take_while(|c| c.is_ascii_lowercase()).collect();
                (!word.is_empty()).then_some(word)
            });
            let unknown = named.filter(|word| !known.contains(word));
            wrong.extend(unknown.map(|word| format!("{}:{}: cargo xtask {word}", source.path, index + 1)));
        }
    }
    wrong
}

/// The verb that `Name(name::Options),` stands for.
fn verb(line: &str) -> Option<String> {
    let (name, rest) = line.trim().split_once('(')?;
    (!name.contains("::") && rest.contains("::") && rest.ends_with("),")).then(|| name.to_lowercase())
}

/// Paths of a machine that it was written on, and hosts that packages come from.
fn only_the_project(sources: &Sources) -> Vec<String> {
    let here = root().display().to_string();
    // Put together here, so that this file names none of them either.
    let registries = [["index", "crates", "io"], ["static", "crates", "io"], ["files", "pythonhosted", "org"]];
    let registries = registries.map(|labels| labels.join("."));
    let elsewhere = ["/home/", "/root/", &here].into_iter().chain(registries.iter().map(String::as_str));
    let elsewhere: Vec<&str> = elsewhere.collect();
    let mut wrong = Vec::new();
    for source in sources.0.iter().filter(|source| !source.path.starts_with("xtask/src/lint")) {
        for (index, line) in source.text.lines().enumerate() {
            // `network/` is no path of a machine's.
            let begins = |at: usize| !line.get(..at).is_some_and(|before| before.ends_with(char::is_alphanumeric));
            let found = elsewhere.iter().filter(|word| line.find(*word).is_some_and(begins));
            wrong.extend(found.map(|word| format!("{}:{}: {word}", source.path, index + 1)));
        }
    }
    wrong
}

fn readme(sources: &Sources) -> Vec<String> {
    let lines = sources.find("README.md").map(|readme| readme.text.lines().count());
    match lines {
        None => vec!["README.md is missing".to_owned()],
        Some(lines) if lines > 320 => vec![format!("README.md: {lines} lines")],
        Some(_) => Vec::new(),
    }
}

fn every_key(sources: &Sources) -> Vec<String> {
    let (keys, file) = ("cheops-agent/src/config/keys.rs", "systemd/agent.toml");
    let (Some(keys), Some(file)) = (sources.find(keys), sources.find(file)) else {
        return vec![format!("{keys} or {file} is missing")];
    };
    let paths = keys.text.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once('"'));
    let named = paths.filter(|(_, rest)| rest.ends_with(';')).map(|(path, _)| path.rsplit('.').next().unwrap_or(path));
    let missing = named.filter(|key| !file.text.lines().any(|line| holds(line, key)));
    missing.map(|key| format!("{}: no line for {key}", file.path)).collect()
}

/// Whether a line gives `key` a value, commented out or not.
fn holds(line: &str, key: &str) -> bool {
    line.trim_start_matches(['#', ' ']).strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::super::sources::Source;
    use super::*;

    fn one(path: &str, text: &str) -> Sources {
        Sources(vec![Source { path: path.into(), text: text.into() }])
    }

    #[test]
    fn a_room_that_imports_downwards_is_found() {
        let peer = "use crate::names::SiteName;\nuse crate::act::Shared;\n";
        assert_eq!(
            room_order(&one("cheops-agent/src/peer/client.rs", peer)),
            ["cheops-agent/src/peer/client.rs:2: peer imports act"]
        );
        assert!(room_order(&one("cheops-agent/src/act.rs", "use crate::peer::Client;\n")).is_empty());
    }

    #[test]
    fn a_side_effect_inside_a_log_macro_is_found() {
        let text = "fn f() {\n    debug!(\n        \"{:?}\",\n        sender.send(1)\n    );\n    sender.send(2);\n}\n";
        assert_eq!(quiet_macros(&one("cheops-agent/src/act.rs", text)).len(), 1);
    }

    #[test]
    fn unsafe_code_needs_a_place_and_a_reason() {
        let text = "fn f() {\n    unsafe { x() }\n}\n";
        assert_eq!(unsafe_code(&one("cheops-agent/src/act.rs", text)).len(), 2);
        let text = "fn f() {\n    // SAFETY: x is sound\n    unsafe { x() }\n}\n";
        assert!(unsafe_code(&one("cheops-agent/src/kernel/sys.rs", text)).is_empty());
    }

    #[test]
    fn verbs_are_read_from_the_door() {
        assert_eq!(verb("    Test(test::Options),").as_deref(), Some("test"));
        assert_eq!(verb("        Verb::Test(options) => test::run(&options),"), None);
    }

    #[test]
    fn a_missing_key_is_found() {
        assert!(holds("# probe-every = \"60s\"", "probe-every"));
        assert!(!holds("# probe-every is how often", "probe-every"));
    }
}
