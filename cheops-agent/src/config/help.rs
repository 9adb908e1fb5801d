//! `--help-config`: every key with type, default and meaning.

use std::fmt::Write as _;

use super::keys::{Absent, KEYS, Key, SECTIONS, split};

/// The text, as one TOML file whose lines are comments where a key has a default.
pub fn text() -> String {
    let mut text = String::from(INTRODUCTION);
    for section in std::iter::once("").chain(SECTIONS.iter().map(|(name, _)| *name)) {
        if let Some((name, meaning)) = SECTIONS.iter().find(|(name, _)| *name == section) {
            let header = name.strip_suffix("[]").map_or(format!("[{name}]"), |name| format!("[[{name}]]"));
            append(&mut text, format_args!("\n{header:<44}# {meaning}\n"));
        }
        for key in KEYS.iter().filter(|key| split(key.path).0 == section) {
            describe(&mut text, key);
        }
    }
    text
}

const INTRODUCTION: &str = "\
# /etc/cheops/agent.toml, then /etc/cheops/agent.d/*.toml in the order of their names. A later value wins, tables are
# merged, sites and services are merged by name. Unknown keys are errors. SIGHUP reads them again.

";

fn describe(text: &mut String, key: &Key) {
    let (_, name) = split(key.path);
    let line = match key.absent {
        Absent::Default(default) => format!("{name} = {default}"),
        Absent::Required => format!("{name} = …"),
        Absent::Means(_) => format!("# {name} = …"),
    };
    let without = match key.absent {
        Absent::Default(_) => String::new(),
        Absent::Required => " Must be set.".into(),
        Absent::Means(what) => format!(" Without it: {what}."),
    };
    append(text, format_args!("{line:<44}# {} ({}){without}\n", key.meaning, key.kind.describe()));
}

fn append(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    if text.write_fmt(what).is_err() {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_the_help() {
        let text = text();
        for key in KEYS {
            let (_, name) = split(key.path);
            assert!(text.contains(&format!("{name} = ")) && text.contains(key.meaning), "{}", key.path);
        }
    }
}
