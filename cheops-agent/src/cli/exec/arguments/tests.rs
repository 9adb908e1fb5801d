use super::*;

fn words(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(OsString::from).collect()
}

fn taken(before: Option<&str>, text: &str) -> (Option<String>, String) {
    let line = line(before.map(OsString::from), words(text)).expect("a line");
    let command: Vec<_> = line.command.iter().map(|word| word.to_str().expect("text")).collect();
    (line.scope, command.join(" "))
}

fn refused(before: Option<&str>, text: &str) -> ArgumentError {
    line(before.map(OsString::from), words(text)).expect_err("an error")
}

/// As a shell without aliases splits them.
#[test]
fn scopes_are_taken_out_of_the_commands_arguments() {
    let cases = [
        ("curl http://x/", None, "curl http://x/"),
        ("openstack server list --scope Paris", Some("Paris"), "openstack server list"),
        ("openstack --scope=Paris server list", Some("Paris"), "openstack server list"),
        ("o --scope {Nova: Berlin} list", Some("{Nova: Berlin}"), "o list"),
        ("o --scope {Nova: Berlin, Glance: Paris} list", Some("{Nova: Berlin, Glance: Paris}"), "o list"),
        ("o --scope={Nova: Berlin, Glance: Paris} list", Some("{Nova: Berlin, Glance: Paris}"), "o list"),
        ("o list --scope { Nova : Berlin }", Some("{ Nova : Berlin }"), "o list"),
        ("o list --scope {Nova:Berlin}", Some("{Nova:Berlin}"), "o list"),
        (r#"o --scope {"a}b": Berlin} list"#, Some(r#"{"a}b": Berlin}"#), "o list"),
        ("o -- --scope Paris", None, "o -- --scope Paris"),
        ("o --scope Paris -- --scope Berlin", Some("Paris"), "o -- --scope Berlin"),
        ("--scope Paris", None, "--scope Paris"),
        ("o --scoped --scope-x=1", None, "o --scoped --scope-x=1"),
        ("o \u{2013}scope {Berlin} list", Some("{Berlin}"), "o list"),
        ("o list \u{2014}scope=Paris", Some("Paris"), "o list"),
        ("o \u{2013}scoped -scope x", None, "o \u{2013}scoped -scope x"),
    ];
    for (text, scope, command) in cases {
        assert_eq!(taken(None, text), (scope.map(str::to_owned), command.to_owned()), "{text}");
    }
}

#[test]
fn a_quoted_scope_is_one_word() {
    let words = ["o", "--scope", "{Nova: Berlin & Paris}", "list"].map(OsString::from).to_vec();
    let line = line(None, words).expect("a line");
    assert_eq!(line.scope.as_deref(), Some("{Nova: Berlin & Paris}"));
    assert_eq!(line.command, ["o", "list"]);
}

/// The lines of the slides, as a shell splits them; the signs that it takes for itself end them.
#[test]
fn the_lines_of_the_slides_arrive_or_are_refused() {
    let create = "openstack server create my-vm --image debian";
    for (scope, read) in [
        ("{Nova: Berlin, Glance: Paris}", "{Nova: Berlin, Glance: Paris}"),
        ("{ serviceA: Site1, serviceB: Site2 }", "{serviceA: Site1, serviceB: Site2}"),
        ("{ serviceA: Site1 % Site2,prime: Site1 }", "{serviceA: Site1 % Site2, prime: Site1}"),
        ("{ around: Site1, 50ms }", "{around: Site1, 50ms}"),
        ("{ compute: Paris, image: New York }", "{compute: Paris, image: New York}"),
    ] {
        for text in [
            format!("{create} --scope {scope}"),
            format!("openstack --scope {scope} server create my-vm --image debian"),
            format!("{create} --scope={scope}"),
        ] {
            let line = line(None, words(&text)).expect(&text);
            assert!(line.joined, "{text}");
            let parsed = crate::scope::parse(&line.scope.expect("a scope")).expect(&text);
            assert_eq!(parsed.to_string(), read, "{text}");
            assert_eq!(line.command, words(create), "{text}");
        }
    }
    for (before_the_sign, copied) in [
        ("{Nova: Berlin", "'{Nova: Berlin …}'"),         // & Paris}
        ("{ serviceA: Site1", "'{ serviceA: Site1 …}'"), // || Site2 }
        ("{Berlin", "'{Berlin …}'"),
    ] {
        let text = refused(None, &format!("{create} --scope {before_the_sign}")).to_string();
        assert!(text.ends_with(&format!("cheops exec -- {create} --scope {copied}")), "{text}");
    }
    // Without spaces a shell makes several words of what is in braces, each with all that stands before the brace.
    assert_eq!(refused(None, "o --scope=Nova:Berlin --scope=Glance:Paris"), ArgumentError::Several);
    let (scope, command) = taken(None, "o --scope Nova:Berlin Glance:Paris");
    assert!(crate::scope::parse(&scope.expect("a word")).is_err(), "{command} must not run");
}

#[test]
fn a_scope_before_the_command_leaves_its_arguments_alone() {
    assert_eq!(taken(Some("Paris"), "o --scope x"), (Some("Paris".into()), "o --scope x".into()));
    assert_eq!(
        taken(Some("{Nova:"), "Berlin, Glance: Paris} -- o -- x"),
        (Some("{Nova: Berlin, Glance: Paris}".into()), "o -- x".into())
    );
    assert_eq!(taken(Some("{Nova:"), "Berlin} o"), (Some("{Nova: Berlin}".into()), "o".into()));
}

#[test]
fn an_unclosed_brace_runs_nothing_and_gives_a_line_to_copy() {
    let error = refused(None, "openstack server create my-vm --image it's --scope {Nova: Berlin");
    let text = error.to_string();
    assert!(text.contains("never closed: {Nova: Berlin\n"), "{text}");
    assert!(
        text.ends_with(r"cheops exec -- openstack server create my-vm --image 'it'\''s' --scope '{Nova: Berlin …}'"),
        "{text}"
    );
    let text = refused(Some("{Nova:"), "Berlin -- curl http://x/?a=b").to_string();
    assert!(text.ends_with("cheops exec --scope '{Nova: Berlin …}' -- curl 'http://x/?a=b'"), "{text}");
    assert!(matches!(refused(Some("{Nova:"), "Berlin"), ArgumentError::Unclosed { .. }));
}

#[test]
fn what_is_not_clear_is_refused() {
    assert_eq!(refused(None, "o --scope A --scope B"), ArgumentError::Several);
    assert_eq!(refused(None, "o --scope=A --scope=B"), ArgumentError::Several);
    assert_eq!(refused(None, "o --scope"), ArgumentError::Missing);
    assert_eq!(refused(None, "o --scope="), ArgumentError::Missing);
    assert_eq!(refused(None, ""), ArgumentError::NoCommand);
    assert_eq!(refused(Some("Paris"), "--"), ArgumentError::NoCommand);
    use std::os::unix::ffi::OsStringExt;
    for words in [vec![b"o".to_vec(), b"--scope".to_vec(), vec![0xff]], vec![b"o".to_vec(), b"--scope=\xff".to_vec()]] {
        let error = line(None, words.into_iter().map(OsString::from_vec).collect()).expect_err("an error");
        assert!(matches!(error, ArgumentError::NotText(_)));
    }
}

proptest::proptest! {
    /// Whatever a shell makes of an unquoted scope without its own signs, the words are joined again.
    #[test]
    fn splitting_at_spaces_changes_nothing(names in proptest::collection::vec("[A-Z][a-z]{0,5}", 2..8), tail in "[a-z]{1,4}") {
        let scope = format!("{{{}}}", names.chunks(2).map(|pair| pair.join(": ")).collect::<Vec<_>>().join(", "));
        let line = line(None, words(&format!("o --scope {scope} {tail}"))).expect("a line");
        proptest::prop_assert_eq!(line.scope, Some(scope));
        proptest::prop_assert_eq!(line.command, ["o".to_owned(), tail].map(OsString::from));
    }

    /// Any words give an answer.
    #[test]
    fn nothing_panics(words in proptest::collection::vec(r#"[-{}":a=]{0,8}|--scope|--"#, 0..8), before: Option<String>) {
        drop(line(before.map(OsString::from), words.into_iter().map(OsString::from).collect()));
    }
}
