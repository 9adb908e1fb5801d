//! The scope as the password of a `.netrc`, for clients that can't say it and don't run under `cheops exec`.

use super::*;

/// What says that a service issues credentials, and that a token may carry a scope behind it.
const CLOUD: &str = "version = 1\n[platform]\nclasses = { identity = \"identity\" }\n\
    [platform.credentials]\nheader = \"X-Auth-Token\"\ncarries-scope = true\n[conventional]\nskip = [\"v{number}\"]\n";

/// Berlin and Paris with `image` and `keys`, of which the latter issues credentials; a login carries scopes.
fn with_logins() -> anyhow::Result<Federation> {
    let mut federation = Federation::builder()
        .sites(&["Berlin", "Paris"])
        .service(Offered::new("image", 9292).key("type", "image"))
        .service(Offered::new("keys", 5000).key("type", "identity"))
        .overlay("[scope]\nbasic = true")
        .start()?;
    for site in ["Berlin", "Paris"] {
        let agent = federation.agent_mut(site);
        agent.files().profile("cloud", CLOUD)?;
        agent.reload(|table| {
            let services = table.get_mut("services").and_then(toml::Value::as_array_mut).into_iter().flatten();
            for service in services.filter_map(toml::Value::as_table_mut) {
                service.insert("profile".into(), "cloud".into());
            }
        })?;
    }
    Ok(federation)
}

/// A `.netrc` with this line behind the machine's name, for Berlin's services.
fn netrc(federation: &Federation, line: &str) -> anyhow::Result<tempfile::NamedTempFile> {
    let machine = federation.agent("Berlin").host().ipv4();
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), format!("machine {machine} {line}\n"))?;
    Ok(file)
}

fn to(federation: &Federation, service: &str, path: &str) -> String {
    format!("http://{}{path}", federation.address("Berlin", service))
}

/// What a curl got that takes its credentials from that file.
fn curl(federation: &Federation, netrc: &tempfile::NamedTempFile, more: &[&str], url: &str) -> anyhow::Result<Answer> {
    let file = netrc.path().to_string_lossy().into_owned();
    federation.agent("Berlin").host().curl(&[&["--netrc-file", &file], more, &[url]].concat())
}

#[test]
fn a_netrc_carries_the_scope_and_no_service_sees_the_login() -> anyhow::Result<()> {
    let federation = with_logins()?;
    let image = to(&federation, "image", "/v2/images?limit=1");
    // Words are split at spaces; curl from 7.84 on and Python from 3.11 on read quotes.
    for line in [
        "login cheops-scope password {image:Paris}",
        "login cheops-scope password \"{image: Paris}\"",
        "login cheops-scope password {image:Paris,keys:Berlin}",
        "login cheops-scope password \"{\\\"image\\\": \\\"Paris\\\"}\"",
        "login cheops-scope password Paris",
    ] {
        let file = netrc(&federation, line)?;
        let answer = curl(&federation, &file, &[], &image)?;
        assert_eq!(answer.site().as_deref(), Some("Paris"), "{line}");
        assert_eq!(answer.header("x-cheops-site").as_deref(), Some("Paris"), "{line}");
        let [asked] = &federation.service("Paris", "image").take_requests()[..] else { panic!("one request: {line}") };
        assert_eq!(asked.line(), "GET /v2/images?limit=1 HTTP/1.1");
        assert_eq!(asked.header("authorization"), None, "{line}");
        // The same login goes to what issues credentials, which nobody named.
        let answer = curl(&federation, &file, &["-X", "POST"], &to(&federation, "keys", "/v3/auth/tokens"))?;
        assert_eq!(answer.site().as_deref(), Some("Berlin"), "{line}");
        let [asked] = &federation.service("Berlin", "keys").take_requests()[..] else { panic!("one request: {line}") };
        assert_eq!(asked.header("authorization"), None, "{line}");
    }
    assert_eq!(federation.service("Paris", "keys").requests(), []);
    assert_eq!(federation.service("Berlin", "image").requests(), []);
    Ok(())
}

#[test]
fn other_logins_pass_and_a_wrong_scope_is_answered() -> anyhow::Result<()> {
    let federation = with_logins()?;
    let image = to(&federation, "image", "/v2/images");
    let file = netrc(&federation, "login demo password {image:Paris}")?;
    assert_eq!(curl(&federation, &file, &[], &image)?.site().as_deref(), Some("Berlin"));
    let [asked] = &federation.service("Berlin", "image").take_requests()[..] else { panic!("one request") };
    assert_eq!(asked.header("authorization").as_deref(), Some("Basic ZGVtbzp7aW1hZ2U6UGFyaXN9"));
    let file = netrc(&federation, "login cheops-scope password {image:Pariss}")?;
    let refused = curl(&federation, &file, &[], &image)?;
    assert_eq!((refused.status, refused.json()?["position"].as_u64()), (400, Some(7)), "{}", refused.text());
    assert!(refused.text().contains("did you mean"), "{}", refused.text());
    let file = netrc(&federation, "login cheops-scope password {image:Paris}")?;
    let refused = curl(&federation, &file, &["-H", "X-Scope: {image: Paris}"], &image)?;
    assert_eq!(
        (refused.status, refused.json()?["code"].as_str().map(str::to_owned)),
        (400, Some("several-scopes".into()))
    );
    assert_eq!(federation.service("Berlin", "image").requests(), []);
    Ok(())
}

#[test]
fn without_the_key_it_is_a_login_like_any_other() -> anyhow::Result<()> {
    let federation = two_sites()?;
    let file = netrc(&federation, "login cheops-scope password {image:Paris}")?;
    let answer = curl(&federation, &file, &[], &to(&federation, "image", "/v2/images"))?;
    assert_eq!((answer.site().as_deref(), answer.header("x-cheops-site")), (Some("Berlin"), None));
    let [asked] = &federation.service("Berlin", "image").take_requests()[..] else { panic!("one request") };
    assert!(asked.header("authorization").is_some());
    Ok(())
}

#[test]
fn what_stands_behind_a_token_is_cut_and_the_tap_says_where_scopes_came_from() -> anyhow::Result<()> {
    let federation = with_logins()?;
    let agent = federation.agent("Berlin");
    let image = to(&federation, "image", "/v2/images");
    let mut tap = agent.cheops_command()?;
    let tap = tap.args(["tap", "--scoped", "-n", "3", "-o", "json"]).stdout(Stdio::piped()).spawn()?;
    assert!(eventually(SOON, || agent.metric("cheops_taps_open").ok().flatten() == Some(1.0)), "nobody watches");
    let behind = "X-Auth-Token: gAAAAAB-x_!SCOPE!{\"image\":\"Paris\"}";
    let host = agent.host();
    assert_eq!(host.curl(&["-H", behind, &image])?.site().as_deref(), Some("Paris"));
    let [asked] = &federation.service("Paris", "image").take_requests()[..] else { panic!("one request") };
    assert_eq!(asked.header("x-auth-token").as_deref(), Some("gAAAAAB-x_"));
    assert_eq!(host.curl(&["-H", behind, &to(&federation, "keys", "/v3")])?.site().as_deref(), Some("Berlin"));
    let file = netrc(&federation, "login cheops-scope password {image:Paris}")?;
    curl(&federation, &file, &[], &image)?;
    let seen = tap.wait_with_output()?;
    let sources: Vec<serde_json::Value> = out(&seen)
        .lines()
        .filter_map(|line| Some(serde_json::from_str::<serde_json::Value>(line).ok()?["scope-source"].clone()))
        .collect();
    assert_eq!(sources, ["token", "token", "basic"], "{}", out(&seen));
    Ok(())
}
