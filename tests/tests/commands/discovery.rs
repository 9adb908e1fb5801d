//! Services out of Keystone's catalogs: `cheops services import openstack` and `cheops check --cloud`, with Keystones that
//! are scripted.

#[path = "discovery/scene.rs"]
mod scene;
#[path = "discovery/tls.rs"]
mod tls;

use std::path::Path;
use std::process::Output;

use cheops_tests::lab::program;
use serde_json::{Value, json};

use scene::{PASSWORD, Scene, TOKEN, answer, entry};

use super::{NO, PARTIAL, USAGE, YES, complaint, exits, out};

/// Nothing that was used to ask is printed.
#[track_caller]
fn hushed(output: &Output) {
    let printed = out(output) + &complaint(output);
    assert!(!printed.contains(PASSWORD) && !printed.contains(TOKEN), "{printed}");
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", out(output), complaint(output)))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn catalogs_of_two_sites_become_services_of_the_agent() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    let dry = scene.import(&["--cloud", "Berlin=berlin", "--cloud", "Paris=paris", "--dry-run"])?;
    exits(&dry, YES);
    assert!(out(&dry).contains("nothing was written") && !scene.drop_in().exists(), "{}", out(&dry));

    let written = scene.both()?;
    exits(&written, YES);
    hushed(&written);
    let text = read(&scene.drop_in());
    assert!(out(&dry).contains(&text) && !text.is_empty(), "what a dry run shows is what is written: {}", out(&dry));
    for part in ["Glance  ", "added", "written: ", "left out: Cinder (volumev2) at Paris: it is at the same address"] {
        assert!(out(&written).contains(part), "{part}: {}", out(&written));
    }
    let output = scene
        .agent()
        .host()
        .command(program("cheops-agent")?)
        .args(["--check-config", "--config", &scene.config()])
        .output()?;
    exits(&output, YES);
    assert!(out(&output).contains("openstack.toml"), "{}", out(&output));

    scene.federation.agent_mut("Berlin").reload(|_| {})?;
    let services = super::json(scene.agent(), &["services"]);
    let mut lines: Vec<String> = services["services"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|service| {
            let urls = service["endpoints"].as_array().into_iter().flatten();
            let urls: Vec<String> = urls.map(|at| format!("{}={}", at["site"], at["url"]).replace('"', "")).collect();
            format!("{} {} {} {}", service["name"], service["type"], service["profile"], urls.join(" "))
                .replace('"', "")
        })
        .collect();
    lines.sort();
    let (berlin, paris) = (scene.federation.host("Berlin").ipv4(), scene.federation.host("Paris").ipv4());
    let line = |name: &str, kind: &str, port: u16| {
        format!("{name} {kind} openstack Berlin=http://{berlin}:{port} Paris=http://{paris}:{port}")
    };
    assert_eq!(
        lines,
        [
            line("Cinder", "volumev3", 8776),
            line("Glance", "image", 9292),
            line("Keystone", "identity", 5000),
            line("Nova", "compute", 8774)
        ]
    );
    let again = scene.both()?;
    exits(&again, YES);
    assert!(out(&again).ends_with("openstack.toml is as it was\n"), "{}", out(&again));
    for keystone in &scene.keystones {
        assert!(keystone.requests().iter().all(|request| request.line() == "POST /v3/auth/tokens HTTP/1.1"));
    }
    Ok(())
}

#[test]
fn an_import_of_one_site_keeps_what_others_have() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    exits(&scene.both()?, YES);
    let before = read(&scene.drop_in());
    std::fs::write(scene.drop_in(), before.replace("name = \"Glance\"", "name = \"Images\" # ours\nexport = false"))?;
    let (paris, host) = (&scene.keystones[1], scene.federation.host("Paris"));
    let moved = json!([
        entry("image", "glance", &format!("http://{}", host.at(9393))),
        entry("key-manager", "barbican", &format!("https://{}", host.at(9311))),
        entry("network", "neutron", "http://no-such-host.invalid:9696/"),
        entry("dns", "designate", "http://127.0.0.1:9001"),
        entry("console", "novnc", "ws://10.0.0.1:6080"),
    ]);
    paris.script_all(move |request| Some(answer(request, &moved)));
    let output = scene.import(&["--site", "Paris", "--cloud", "paris", "-o", "json"])?;
    exits(&output, YES);
    let said = document(&output);
    let mut states: Vec<String> = said["services"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| format!("{} {}", row["name"], row["state"]).replace('"', ""))
        .collect();
    states.sort();
    assert_eq!(
        states,
        [
            "Barbican added",
            "Cinder removed",
            "Designate added",
            "Images changed",
            "Keystone removed",
            "Neutron added",
            "Nova removed"
        ]
    );
    assert_eq!(said["left-out"][0]["what"], "novnc (console)");
    let warnings = said["warnings"].to_string();
    for part in ["is https: without a certificate", "can't be resolved here", "is a loopback address"] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    let text = read(&scene.drop_in());
    let berlin = scene.federation.host("Berlin").ipv4();
    for part in ["# ours\nexport = false", &format!("Berlin = \"http://{berlin}:8774\""), ":9393"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains(&format!("http://{}", host.at(8774))), "{text}");
    Ok(())
}

#[test]
fn what_another_file_says_holds_and_a_broken_result_is_not_written() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let berlin = scene.federation.host("Berlin").ipv4();
    let directory = scene.agent().files().directory().join("agent.d");
    std::fs::create_dir(&directory)?;
    let own = format!(
        "[[services]]\nname = \"Bilder\"\ntype = \"image\"\nendpoints = {{ Berlin = [\"http://{berlin}:9292\", \"http://127.0.0.1:9292\"] }}\n"
    );
    std::fs::write(directory.join("10-own.toml"), &own)?;
    let output = scene.both()?;
    exits(&output, YES);
    assert!(out(&output).contains("left out: Bilder (image) at Berlin: another file"), "{}", out(&output));
    let text = read(&scene.drop_in());
    let paris = scene.federation.host("Paris").ipv4();
    assert!(text.contains(&format!("name = \"Bilder\"\nendpoints = {{ Paris = \"http://{paris}:9292\" }}")), "{text}");

    // Two services at one address: an agent would not start.
    std::fs::write(directory.join("10-own.toml"), own.replace("image", "other").replace("Bilder", "Other"))?;
    std::fs::remove_file(scene.drop_in())?;
    let output = scene.both()?;
    exits(&output, NO);
    assert!(complaint(&output).contains("would be broken by it; nothing was written"), "{}", complaint(&output));
    assert!(!scene.drop_in().exists());
    std::fs::write(directory.join("10-own.toml"), "sit = 1")?;
    let output = scene.both()?;
    exits(&output, NO);
    assert!(complaint(&output).contains("is broken already"), "{}", complaint(&output));
    Ok(())
}

#[test]
fn standard_output_variables_and_no_configuration() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let url = format!("http://{}", scene.agent().host().at(5000));
    let variables = [
        ("OS_AUTH_URL", url.as_str()),
        ("OS_USERNAME", "demo"),
        ("OS_PASSWORD", PASSWORD),
        ("OS_PROJECT_NAME", "demo"),
    ];
    let import = ["services", "import", "openstack", "--config", "/nonexistent/agent.toml", "--file", "-"];
    let output = scene.run(&import, &variables)?;
    exits(&output, NO);
    assert!(complaint(&output).contains("say it with --site SITE"), "{}", complaint(&output));
    let output = scene.run(&[&import[..], &["--site", "New York"]].concat(), &variables)?;
    exits(&output, YES);
    hushed(&output);
    let services: toml::Table = out(&output).parse()?;
    let first = &services["services"][0];
    assert_eq!((first["name"].as_str(), first["profile"].as_str()), (Some("Keystone"), Some("openstack")));
    assert!(first["endpoints"].get("New York").is_some(), "{services}");
    assert!(complaint(&output).contains("was not checked with it"), "{}", complaint(&output));
    let asked: Value = serde_json::from_slice(scene.keystones[0].requests()[0].body())?;
    assert_eq!(asked["auth"]["scope"]["project"], json!({ "name": "demo", "domain": { "id": "default" } }));
    Ok(())
}

#[test]
fn what_fails_is_named_and_changes_nothing() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    let secure = scene.clouds.path().join("secure.yaml");
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--cloud", "tokyo"], NO, "has no cloud \"tokyo\"; it has: berlin, paris"),
        (&["--cloud", "pari"], NO, "did you mean \"paris\"?"),
        (&[], NO, "no cloud is named: give --cloud NAME"),
        (&["--cloud", "berlin", "--cloud", "paris"], NO, "--cloud SITE=berlin"),
        (&["--cloud", "Paris=berlin", "--cloud", "Paris=paris"], NO, "Paris is named twice"),
        (&["--cloud", "Pariss=paris"], NO, "no site \"Pariss\": did you mean \"Paris\"?"),
        (&["--cloud", "Tokyo=paris"], NO, "[[sites]] with name = \"Tokyo\""),
        (&["--cloud", "paris", "--region", "RegionTwo"], NO, "no region \"RegionTwo\"; it has: RegionOne"),
        (&["--cloud", "paris", "--interface", "secret"], USAGE, "possible values: public, internal, admin"),
    ];
    for (arguments, code, part) in cases {
        let output = scene.import(arguments)?;
        exits(&output, *code);
        let said = out(&output) + &complaint(&output);
        assert!(said.contains(part), "{arguments:?}: {said}");
        hushed(&output);
    }
    assert!(!scene.drop_in().exists());

    // One site of two fails: the other is written, and the command says so.
    scene.keystones[1].stop();
    let output = scene.both()?;
    exits(&output, PARTIAL);
    assert!(
        out(&output).contains("failed: Paris: Keystone at http://10.77.2.1:5000 can't be reached"),
        "{}",
        out(&output)
    );
    assert!(read(&scene.drop_in()).contains("Berlin") && !read(&scene.drop_in()).contains("Paris"));

    std::fs::write(&secure, format!("clouds: {{berlin: {{auth: {{password: {PASSWORD}x}}}}}}"))?;
    let output = scene.import(&["--cloud", "berlin"])?;
    exits(&output, NO);
    hushed(&output);
    assert!(out(&output).contains("refuses the credentials of the cloud \"berlin\" (401)"), "{}", out(&output));
    std::fs::write(&secure, "clouds: {}")?;
    let output = scene.import(&["--cloud", "berlin"])?;
    assert!(out(&output).contains("no password (secure.yaml, OS_PASSWORD)"), "{}", out(&output));
    let url = format!("http://{}/horizon", scene.agent().host().at(5000));
    let variables = [("OS_AUTH_URL", url.as_str()), ("OS_USERNAME", "u"), ("OS_PASSWORD", PASSWORD)];
    let output = scene.run(&["services", "import", "openstack", "--config", &scene.config()], &variables)?;
    exits(&output, NO);
    assert!(out(&output).contains("there is no Keystone at http://10.77.1.1:5000/horizon (404)"), "{}", out(&output));
    Ok(())
}

#[test]
fn check_compares_what_is_configured_with_the_catalog() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    exits(&scene.both()?, YES);
    scene.federation.agent_mut("Berlin").reload(|_| {})?;
    let compared = |scene: &Scene, arguments: &[&str], variables: &[(&str, &str)]| -> anyhow::Result<Vec<Value>> {
        let output = scene.run(&[&["check", "-o", "json"], arguments].concat(), variables)?;
        hushed(&output);
        let checks = document(&output)["checks"].as_array().cloned().unwrap_or_default();
        Ok(checks
            .into_iter()
            .filter(|check| check["name"].as_str().is_some_and(|name| name.starts_with("catalog")))
            .collect())
    };
    assert_eq!(compared(&scene, &[], &[])?, Vec::<Value>::new(), "no cloud is named");
    for arguments in [&["--cloud", "berlin"] as &[&str], &["--cloud", "Paris=paris"]] {
        let checks = compared(&scene, arguments, &[])?;
        assert_eq!((checks.len(), &checks[0]["grade"]), (1, &"ok".into()), "{checks:?}");
    }
    let host = scene.federation.host("Berlin");
    let moved = json!([
        entry("identity", "keystone", &format!("http://{}/v3", host.at(5000))),
        entry("image", "glance", &format!("http://{}", host.at(9393))),
        entry("compute", "nova", &format!("http://{}/v2.1", host.at(8774))),
        entry("object-store", "swift", &format!("http://{}/v1", host.at(8080))),
    ]);
    scene.keystones[0].script_all(move |request| Some(answer(request, &moved)));
    let names = |checks: &[Value]| -> Vec<String> {
        checks.iter().map(|check| format!("{} {}", check["name"], check["grade"]).replace('"', "")).collect()
    };
    let expected = ["catalog-address fail", "catalog-service warn", "catalog-lacks warn"];
    assert_eq!(names(&compared(&scene, &[], &[("OS_CLOUD", "berlin")])?), expected);
    let config = scene.config();
    assert_eq!(names(&compared(&scene, &["--pre", "--config", &config, "--cloud", "berlin"], &[])?), expected);
    let output = scene.run(&["check", "--cloud", "berlin"], &[])?;
    exits(&output, NO);
    assert!(
        out(&output).contains("Cinder is configured at Berlin, and Berlin's catalog doesn't have it"),
        "{}",
        out(&output)
    );

    scene.keystones[0].stop();
    assert_eq!(names(&compared(&scene, &["--cloud", "berlin"], &[])?), ["catalog fail"]);
    assert_eq!(
        names(&compared(&scene, &[], &[("OS_CLOUD", "berlin")])?),
        ["catalog warn"],
        "it may be set for another purpose"
    );
    Ok(())
}

#[test]
fn a_proxy_that_is_not_used_is_named_when_keystone_can_not_be_reached() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    let proxy = [("http_proxy", "http://10.77.1.1:1"), ("HTTPS_PROXY", "http://10.77.1.1:1")];
    let config = scene.config();
    let import = ["services", "import", "openstack", "--dry-run", "--config", &config, "--cloud", "berlin"];
    let output = scene.run(&import, &proxy)?;
    exits(&output, YES);
    assert!(!(out(&output) + &complaint(&output)).contains("proxy"), "Keystone is reached directly");
    scene.keystones[0].stop();
    let output = scene.run(&import, &proxy)?;
    exits(&output, NO);
    assert!(out(&output).contains("; http_proxy is set, but no proxy is used"), "{}", out(&output));
    Ok(())
}
