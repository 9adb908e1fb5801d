//! Files of profiles: their faults, their order, what services name.

use super::*;

#[test]
fn faults_have_a_line_a_column_and_a_remedy() {
    let mut wrong = Vec::new();
    for (was, becomes, place, part) in FAULTS {
        assert!(CLOUD.contains(was), "{was}");
        let error = match from_text("test", Path::new("test.toml"), &CLOUD.replacen(was, becomes, 1)) {
            Ok(_) => {
                wrong.push(format!("{becomes} is taken"));
                continue;
            }
            Err(error) => error.to_string(),
        };
        if !error.starts_with(&format!("test.toml:{place}: error: ")) || !error.contains(part) {
            wrong.push(format!("{becomes} at {place}, {part}\n{error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_later_directory_wins_and_rest_is_always_there() {
    let (first, second) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    let put = |directory: &tempfile::TempDir, name: &str, about: &str| {
        let text = format!("version = 1\nabout = \"{about}\"\n[conventional]\n");
        std::fs::write(directory.path().join(name), text).expect("written");
    };
    let directories = [first.path().to_owned(), second.path().to_owned(), first.path().join("none")];
    let about = |profiles: &Profiles, name: &str| profiles.get(name).and_then(|profile| profile.file.about.clone());

    let profiles = Profiles::load(&directories).expect("empty directories");
    assert_eq!(profiles.names().collect::<Vec<_>>(), ["openstack", "rest"]);
    assert_eq!(profiles.get_or_default("nothing of this name").name, "rest");

    put(&first, "a.toml", "a of the first");
    put(&first, "b.toml", "b of the first");
    put(&second, "b.toml", "b of the second");
    put(&second, "rest.toml", "rest of the second");
    std::fs::write(second.path().join("README"), "not a profile").expect("written");
    let profiles = Profiles::load(&directories).expect("valid");
    assert_eq!(profiles.names().collect::<Vec<_>>(), ["a", "b", "openstack", "rest"]);
    assert_eq!(about(&profiles, "a").as_deref(), Some("a of the first"));
    assert_eq!(about(&profiles, "b").as_deref(), Some("b of the second"));
    assert_eq!(about(&profiles, "rest").as_deref(), Some("rest of the second"));
    // methods are those of the built-in rest where a file has none
    assert_eq!(profiles.get("a").expect("there").matching(None, "PUT", "/x/1").op, OpKind::Replace);

    // a file that doesn't count isn't read; of those that do, every one's faults are told
    std::fs::write(first.path().join("b.toml"), "broken").expect("written");
    assert!(Profiles::load(&directories).is_ok(), "the second's b counts");
    std::fs::write(second.path().join("b.toml"), "version = 1\nkind = 1\n").expect("written");
    std::fs::write(first.path().join("a.toml"), "version = 9").expect("written");
    let error = Profiles::load(&directories).expect_err("two are broken");
    assert_eq!(error.findings.len(), 2, "{error}");
    assert!(error.to_string().contains("b.toml:2:1: error: unknown key \"kind\": did you mean \"kinds\"?"), "{error}");
}

#[test]
fn the_example_in_the_shipped_file_is_a_profile() {
    let shipped = include_str!("../../../cheops-agent/profiles/rest.toml");
    let example: Vec<&str> = shipped.lines().filter_map(|line| line.strip_prefix("#: ")).collect();
    let example = profile(&format!("version = 1\n{}", example.join("\n")));
    let matched = example.matching(Some("compute"), "POST", "/v2.1/servers/7/action");
    assert_eq!((matched.kind, matched.op), (Some("server"), OpKind::Once));
    assert_eq!(example.capacity(Some("server"), OpKind::Create).len(), 2);
    assert_eq!(example.capacity(Some("server"), OpKind::Once).len(), 0);
    assert_eq!(example.matching(Some("compute"), "GET", "/").op, OpKind::Describe);
    // every key of the format is shown
    let (model, list) = (
        include_str!("../../../cheops-agent/src/profile/model.rs"),
        include_str!("../../../cheops-agent/src/profile/model/list.rs"),
    );
    for key in model.lines().chain(list.lines()) {
        let Some((name, _)) = key.trim().strip_prefix("pub ").and_then(|field| field.split_once(':')) else { continue };
        let key = name.replace('_', "-");
        if key.contains(' ') {
            continue;
        }
        assert!(
            shipped.contains(&format!("{key} =")) || shipped.contains(&format!("{key}]")),
            "{key} isn't in rest.toml"
        );
    }
}

#[test]
fn a_service_names_a_profile_that_is_there() {
    let text = |profile: &str| {
        format!(
            "site = \"A\"\nprofile-dirs = []\n[[services]]\nname = \"S\"\nprofile = \"{profile}\"\nendpoints = {{ A = \"http://127.0.0.1:1\" }}\n"
        )
    };
    let config = |profile: &str| cheops_agent::config::from_text(&text(profile)).expect("valid").config;
    assert!(Profiles::for_config(&config("rest")).is_ok());
    let error = Profiles::for_config(&config("rets")).expect_err("none of this name").to_string();
    assert!(error.contains("no profile \"rets\", which the service S names: did you mean \"rest\"?"), "{error}");
    let error = Profiles::for_config(&config("kubernetes-of-mine")).expect_err("none of this name").to_string();
    assert!(error.contains("; there are: openstack, rest"), "{error}");
}
