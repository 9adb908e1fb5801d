//! `cheops scope`.

/// `cheops scope …`, as a person runs it: exit code, standard output, standard error.
fn cheops(arguments: &[&str]) -> (i32, String, String) {
    let program = cheops_tests::lab::program("cheops").expect("built");
    let output = std::process::Command::new(program).arg("scope").args(arguments).output().expect("cheops runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
}

#[test]
fn a_typo_is_shown_with_its_place_and_remedy() {
    let (code, out, err) = cheops(&["parse", "{Nova: Berlim & Paris}", "--sites", "Berlin,Paris"]);
    assert_eq!((code, out.as_str()), (1, ""));
    let expected = "error: unknown site \"Berlim\" (position 7)\n  | {Nova: Berlim & Paris}\n  |        ^^^^^^\n\
                    help: did you mean \"Berlin\"?\n";
    assert_eq!(err, expected);
    // every fault at once, and no others
    let (code, _, err) = cheops(&["parse", "{Nova: Berlim || Pari}", "--sites", "Berlin,Paris", "--services", "Nova"]);
    assert_eq!((code, err.matches("error:").count()), (1, 2), "{err}");
    let (code, out, _) = cheops(&["fmt", "{Nova: Berlim}", "--sites", "Berlin", "-o", "json"]);
    let document: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &document["problems"][0]["position"]), (1, &7.into()), "{out}");
    assert_eq!(document["problems"][0]["hint"], "did you mean \"Berlin\"?");
}

#[test]
fn the_command_shows_trees_and_normal_forms() {
    let (code, out, _) =
        cheops(&["fmt", "{nova:berlin|paris}", "--sites", "Berlin,Paris", "--services", "Nova/compute"]);
    assert_eq!((code, out.as_str()), (0, "{Nova: Berlin || Paris}\n"));
    let (code, out, _) = cheops(&["fmt", "{compute:", "Berlin}", "--sites", "Berlin", "--services", "Nova/compute"]);
    assert_eq!((code, out.as_str()), (0, "{Nova: Berlin}\n"), "words that a shell has split");
    let (code, out, _) = cheops(&["parse", "{A: B & C}", "--sites", "B,C"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("{A: B & C}\n└── service A\n    └── & replication"), "{out}");
    assert_eq!(cheops(&["parse"]).0, 2);
    let (code, _, err) = cheops(&["parse", "{A: B", "--socket", "/nowhere"]);
    assert!(code == 1 && err.contains("expected \",\" or \"}\""), "{err}");
    let (code, out, err) = cheops(&["fmt", "{A:B}", "--socket", "/nowhere"]);
    assert_eq!((code, out.as_str()), (0, "{A: B}\n"));
    assert!(err.starts_with("note: ") && err.contains("only the syntax was checked"), "{err}");
}

/// An admin socket that knows one site and one service.
fn admin(path: &std::path::Path) -> std::thread::JoinHandle<()> {
    use std::io::{Read, Write};
    let listener = std::os::unix::net::UnixListener::bind(path).expect("bound");
    std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut connection, _) = listener.accept().expect("accepted");
            let mut request = [0; 1024];
            let length = connection.read(&mut request).expect("read");
            let body = if request[..length].starts_with(b"GET /v1/sites ") {
                r#"{"sites": [{"name": "Berlin"}]}"#
            } else {
                r#"{"services": [{"name": "Nova", "type": "compute"}]}"#
            };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            connection.write_all((head + body).as_bytes()).expect("written");
        }
    })
}

#[test]
fn the_agents_names_are_asked_for() {
    let directory = tempfile::tempdir().expect("made");
    let socket = directory.path().join("admin.sock");
    let agent = admin(&socket);
    let (code, out, err) = cheops(&["fmt", "{COMPUTE: berlin}", "--socket", socket.to_str().expect("text")]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "{Nova: Berlin}\n", ""));
    agent.join().expect("both were asked");
}
