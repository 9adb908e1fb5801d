//! `cheops profile test`.

use super::*;

/// `cheops profile test`, as a person runs it.
fn test(file: &str, arguments: &[&str], request: &str) -> (i32, String, String) {
    use std::io::Write;
    use std::process::Stdio;
    let mut child = Command::new(cheops_tests::lab::program("cheops").expect("built"))
        .args(["profile", "test", file])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cheops runs");
    // A command that stops at a broken profile doesn't read its input.
    let _unread = child.stdin.take().expect("piped").write_all(request.as_bytes()).is_err();
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
}

#[test]
fn profile_test_says_what_it_makes_of_a_request() {
    let request = "PATCH /v1/things/7?x=1 HTTP/1.1\nHost: a\nX-Request-Id: r-1\nX-Scope: {Nova: Paris}\n\n{\"a\": 1}";
    let (code, out, err) = test("rest", &[], request);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    for part in [
        "request     PATCH /v1/things/7\n",
        "kind        things\n",
        "id          7\n",
        "operation   merge\n",
        "scope       {Nova: Paris}\n",
        "correlation X-Request-Id: r-1\n",
        "correlation traceparent: absent\n",
        "sets some fields of things 7",
        "with A || B: served at A; at B if",
    ] {
        assert!(out.contains(part), "{part:?} is not in\n{out}");
    }

    let directory = tempfile::tempdir().expect("made");
    let file = directory.path().join("cloud.toml");
    std::fs::write(&file, CLOUD).expect("written");
    let file = file.to_str().expect("text");
    let arguments = ["--service", "compute", "--prefix", "/compute", "-o", "json"];
    let (code, out, _) = test(file, &arguments, "POST /compute/v2.1/servers/7/action\n");
    let document: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(code, 0);
    for (name, value) in [("resource-kind", "server"), ("id", "7"), ("operation", "once"), ("profile", "cloud")] {
        assert_eq!(document[name], value, "{out}");
    }
    assert_eq!(document["correlation"][0]["set"], "req-{uuid}");

    let (code, out, _) = test("openstack", &["--service", "compute"], "GET /v2.1\n");
    assert!(code == 0 && out.contains("with several sites: answered by one of them, own site first"), "{out}");
    let (code, out, _) = test("openstack", &["--service", "image"], "GET /v2/images/7\n");
    assert!(code == 0 && out.contains("with A & B: read at one of them, own site first"), "{out}");

    std::fs::write(file, CLOUD.replace("items =", "itmes =")).expect("written");
    let (code, out, err) = test(file, &[], "GET /\n");
    assert_eq!((code, out.as_str()), (1, ""), "a broken profile");
    assert!(err.contains("cloud.toml:33:1: error: unknown key \"itmes\": did you mean \"items\"?"), "{err}");
    assert_eq!(test("rest", &[], "nonsense").0, 2, "no request");
    assert_eq!(test("rest", &[], "").0, 2, "no request");
    assert_eq!(test("/nowhere/at-all.toml", &[], "GET /\n").0, 1, "no file");
    let (code, out, _) = test("rest", &[], "GET / HTTP/1.1\nX-Scope: {Nova\n\n");
    assert!(code == 1 && out.contains("expected"), "a broken scope: {out}");
}
