//! The command line: where the scope stands in it, and what is said when it can't be used.

use super::*;

#[test]
fn the_scope_serves_the_commands_requests_elsewhere() -> anyhow::Result<()> {
    let federation = two_sites()?;
    let agent = federation.agent("Berlin");
    let url = url(&federation, "/things/1?x=1&x=2");
    let curl = ["curl", "-si", "-H", "X-Odd:  a ", &url];
    let before = answer(agent, &[&["--"], curl.as_slice()].concat())?;
    assert_eq!(before.site().as_deref(), Some("Berlin"), "no scope: as without cheops exec");

    // As SPEC 3.1 has them: before the command, among its arguments, split by a shell, by type, bare.
    let ways: &[&[&str]] = &[
        &["--scope", "{app: Paris}", "--"],
        &["--scope={store: Paris, image: Berlin}", "--"],
        &["--scope", "Paris", "--"],
    ];
    for way in ways {
        let got = answer(agent, &[way, curl.as_slice()].concat())?;
        assert_eq!(got.site().as_deref(), Some("Paris"), "{way:?}");
        assert_eq!(got.header("x-cheops-site").as_deref(), Some("Paris"), "{way:?}");
    }
    let split: &[&[&str]] = &[
        &["--scope", "{app:", "Paris,", "image:", "Berlin}"],
        &["--scope={", "app:", "Paris", "}"],
        &["--scope", "{app: Paris}"],
    ];
    for scope in split {
        let got = answer(agent, &[&["--", "curl"], *scope, &["-si", &url]].concat())?;
        assert_eq!(got.site().as_deref(), Some("Paris"), "{scope:?}");
    }
    let requests = federation.service("Paris", "app").requests();
    assert_eq!(requests.len(), ways.len() + split.len());
    for request in requests {
        assert_eq!(request.line(), "GET /things/1?x=1&x=2 HTTP/1.1");
        assert_eq!(request.header("x-scope"), None, "the service sees no scope");
    }
    assert_eq!(federation.service("Berlin", "app").requests().len(), 1);
    Ok(())
}

#[test]
fn an_alias_in_a_real_shell_works_as_written() -> anyhow::Result<()> {
    let federation = two_sites()?;
    let agent = federation.agent("Berlin");
    let script = format!(
        "shopt -s expand_aliases\nalias fetch='{} exec -- curl -si'\nfetch {} --scope {{app: Paris, image: Berlin}}\n",
        cheops_tests::lab::program("cheops")?.display(),
        url(&federation, "/")
    );
    let mut bash = agent.host().command("bash");
    let output = bash.args(["-c", &script]).env("CHEOPS_SOCKET", agent.files().socket()).output()?;
    ensure!(output.status.success(), "{}", complaint(&output));
    assert_eq!(Answer::last_of(&output.stdout)?.site().as_deref(), Some("Paris"));
    Ok(())
}

#[test]
fn what_is_wrong_with_the_scope_is_said_and_nothing_runs() -> anyhow::Result<()> {
    let federation = two_sites()?;
    let agent = federation.agent("Berlin");
    let cases: &[(&[&str], &str)] = &[
        (&["--", "echo", "ran", "--scope", "{app: Paris"], "cheops exec -- echo ran --scope '{app: Paris …}'"),
        (&["--scope", "{app:", "Paris", "--", "echo", "ran"], "cheops exec --scope '{app: Paris …}' -- echo ran"),
        (&["--", "echo", "ran", "--scope", "Paris", "--scope", "Berlin"], "more than one --scope"),
        (&["--scope", "{app: & Paris}", "--", "echo", "ran"], "  | {app: & Paris}\n  |       ^"),
        (
            &["--scope", "{app: Pariss}", "--", "echo", "ran"],
            "unknown site \"Pariss\" (position 6)\n  | {app: Pariss}\n  |       ^^^^^^\nhelp: did you mean \"Paris\"?",
        ),
        (
            &["--scope", "{apps: Paris}", "--", "echo", "ran"],
            "  | {apps: Paris}\n  |  ^^^^\nhelp: did you mean \"app\"?",
        ),
    ];
    for (arguments, expected) in cases {
        let output = exec(agent, arguments)?;
        let said = complaint(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected) && said.contains("nothing was run"), "{arguments:?}: {said}");
        assert_eq!(out(&output), "", "{arguments:?}");
    }
    assert_eq!(groups(agent), Vec::<String>::new());
    Ok(())
}

#[test]
fn exit_status_and_signals_are_the_commands_own() -> anyhow::Result<()> {
    use std::os::unix::process::ExitStatusExt;
    let federation = two_sites()?;
    let agent = federation.agent("Berlin");
    let scope = ["--scope", "Paris", "--"];
    let ends = |command: &[&str]| exec(agent, &[scope.as_slice(), command].concat()).map(|output| output.status);
    assert_eq!(ends(&["sh", "-c", "exit 7"])?.code(), Some(7));
    assert_eq!(ends(&["sh", "-c", "kill -TERM $$"])?.signal(), Some(15));
    assert_eq!(ends(&["no-such-command"])?.code(), Some(127));
    assert_eq!(ends(&["/etc/passwd"])?.code(), Some(126));
    // Rust programs ignore SIGPIPE; the command must not inherit that.
    let output = exec(agent, &["--scope", "Paris", "--", "sh", "-c", "trap - PIPE; kill -PIPE $$; echo survived"])?;
    assert_eq!((output.status.signal(), out(&output)), (Some(13), String::new()));
    all_gone(agent);
    Ok(())
}

#[test]
fn without_an_agent_a_scoped_command_doesnt_run_and_an_unscoped_does() -> anyhow::Result<()> {
    let mut federation = two_sites()?;
    federation.agent_mut("Berlin").stop()?;
    let agent = federation.agent("Berlin");
    let output = exec(agent, &["--scope", "{app: Paris}", "--", "echo", "ran"])?;
    assert_eq!((output.status.code(), out(&output)), (Some(5), String::new()), "{}", complaint(&output));
    assert!(complaint(&output).contains("nothing was run"), "{}", complaint(&output));
    let output = exec(agent, &["--", "echo", "ran"])?;
    assert_eq!((output.status.code(), out(&output)), (Some(0), "ran\n".into()));
    Ok(())
}
