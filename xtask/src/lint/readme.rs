//! What the README claims and names a test for: the tests must be there.

use std::collections::BTreeSet;

use super::Sources;

/// Words of rows whose table ends with a column `test`, that are neither a suite nor a test of the suites that their
/// cell names.
pub fn named_tests(sources: &Sources) -> Vec<String> {
    let Some(readme) = sources.find("README.md") else { return vec!["README.md is missing".to_owned()] };
    let tests = tests(sources);
    let suites: BTreeSet<&str> = tests.iter().map(|(suite, _)| suite.as_str()).collect();
    let mut wrong = Vec::new();
    let (mut claims, mut tables) = (false, 0);
    for (index, line) in readme.text.lines().enumerate() {
        let Some(last) = last_cell(line) else {
            claims = false;
            continue;
        };
        if last == "test" {
            (claims, tables) = (true, tables + 1);
            continue;
        }
        if !claims || last.chars().all(|sign| matches!(sign, '-' | ':')) {
            continue;
        }
        let words: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        if words.is_empty() {
            wrong.push(format!("README.md:{}: names no test", index + 1));
        }
        let named: Vec<&str> = words.iter().copied().filter(|word| suites.contains(word)).collect();
        let known = |word: &str| {
            tests.iter().any(|(suite, test)| test == word && (named.is_empty() || named.contains(&suite.as_str())))
        };
        let unknown = words.iter().filter(|word| !named.contains(word) && !known(word));
        wrong.extend(unknown.map(|word| format!("README.md:{}: there is no test {word}", index + 1)));
    }
    if tables == 0 {
        wrong.push("README.md: no table names its tests".to_owned());
    }
    wrong
}

/// The last cell of a table's row.
fn last_cell(line: &str) -> Option<&str> {
    let row = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(row.rsplit('|').next().unwrap_or(row).trim())
}

/// Every suite's tests.
fn tests(sources: &Sources) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for source in sources.rust() {
        let Some(inside) = source.path.strip_prefix("tests/tests/") else { continue };
        let suite = inside.split(['/', '.']).next().unwrap_or_default();
        let mut marked = false;
        for line in source.text.lines().map(str::trim) {
            if line == "#[test]" {
                marked = true;
            } else if let Some(rest) = line.strip_prefix("fn ") {
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                if std::mem::take(&mut marked) {
                    found.insert((suite.to_owned(), name.to_owned()));
                }
            } else if !line.starts_with("#[") && !line.starts_with("//") {
                marked = false;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::sources::Source;
    use super::*;

    fn wrong(rows: &str) -> Vec<String> {
        let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
        named_tests(&Sources(vec![
            source("README.md", &format!("| what | test |\n|---|:-:|\n{rows}\n\n| none | of these |\n| `x` | `y` |\n")),
            source("tests/tests/faults.rs", "#[test]\n#[cfg(unix)]\nfn a_cut() {\n}\nfn no_test() {\n}\n"),
            source("tests/tests/crash/killed.rs", "    #[test]\n    fn a_death() {}\n"),
        ]))
    }

    #[test]
    fn a_test_that_is_not_there_is_found() {
        assert!(wrong("| a | `a_cut` |\n| b | `crash`: `a_death` |\n| c | `faults`, `crash`: `a_death` |").is_empty());
        assert!(wrong("| a | `crash` |").is_empty(), "a whole suite may be named");
        for (row, part) in [
            ("| a | `a_cup` |", "no test a_cup"),
            ("| a | `no_test` |", "no test no_test"),
            ("| a | `faults`: `a_death` |", "no test a_death"),
            ("| a | of course |", "names no test"),
        ] {
            let wrong = wrong(row);
            assert!(wrong.len() == 1 && wrong[0].contains(part), "{row}: {wrong:?}");
        }
        assert_eq!(named_tests(&Sources(Vec::new())), ["README.md is missing"]);
    }
}
