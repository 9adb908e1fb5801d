//! What the two commands say and do, by the real binaries: configuration errors, every verb in every format, exit codes,
//! permissions, reload, drain.

#[path = "commands/access.rs"]
mod access;
#[path = "commands/alone.rs"]
mod alone;
#[path = "commands/asked.rs"]
mod asked;
#[path = "commands/discovery.rs"]
mod discovery;
#[path = "commands/life.rs"]
mod life;
#[path = "commands/seen.rs"]
mod seen;

use std::process::Output;

use cheops_tests::lab::{Agent, Federation, Offered};
use serde_json::Value;

/// Exit codes of the specification.
const YES: i32 = 0;
const NO: i32 = 1;
const USAGE: i32 = 2;
const PARTIAL: i32 = 4;
const UNREACHABLE: i32 = 5;
const REFUSED: i32 = 6;

/// Berlin and Paris with the service `app` of type `store`; nothing is taken, as no kernel programs are needed for what
/// is asked.
fn quiet() -> anyhow::Result<Federation> {
    Federation::builder()
        .sites(&["Berlin", "Paris"])
        .service(Offered::new("app", 8080).key("type", "store"))
        .overlay("[intercept]\nmode = \"off\"\n[admin]\nlisten = \"127.0.0.1:7118\"")
        .start()
}

/// What a command printed.
fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it complained about.
fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The exit code, with everything printed when it isn't this one.
#[track_caller]
fn exits(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "out: {}\nerr: {}", out(output), complaint(output));
}

/// A verb's answer as JSON, which must carry the API's version.
#[track_caller]
fn json(agent: &Agent, arguments: &[&str]) -> Value {
    let output = agent.cheops(&[arguments, &["-o", "json"]].concat()).expect("cheops runs");
    let text = out(&output);
    let document: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{}", complaint(&output)));
    assert_eq!(document["apiVersion"], "cheops/v1", "{text}");
    document
}
