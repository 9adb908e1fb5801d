use super::*;

/// Variables, and one directory with these files.
fn environment(variables: &[(&str, &str)], files: &[(&str, &str)]) -> (tempfile::TempDir, Environment) {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).expect("written");
    }
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let directories = vec!["/nonexistent".into(), directory.path().to_owned()];
    (directory, Environment { variables, directories })
}

const CLOUDS: &str = "\
clouds:
  berlin:
    auth:
      auth_url: http://10.77.0.1:5000/v3
      username: demo
      project_name: demo
      user_domain_name: Default
    region_name: RegionOne
    verify: false
  paris:
    auth-type: v3token
    auth: {auth_url: 'https://paris:5000', token: 12345}
    regions: [{name: FR, values: {x: 1}}]
    cacert: ~/ca.pem
";

#[test]
fn secrets_are_laid_over_the_clouds() {
    let secure = "clouds:\n  berlin:\n    auth:\n      password: s3cr3t\n  other: {auth: {password: x}}\n";
    let (_directory, environment) = environment(&[], &[("clouds.yaml", CLOUDS), ("secure.yml", secure)]);
    let berlin = environment.cloud(Some("berlin")).expect("known");
    assert_eq!(berlin.get("auth_url"), Some("http://10.77.0.1:5000/v3"));
    assert_eq!((berlin.get("username"), berlin.get("password")), (Some("demo"), Some("s3cr3t")));
    assert_eq!((berlin.get("region_name"), berlin.is_insecure()), (Some("RegionOne"), true));
    assert!(!format!("{berlin:?}").contains("s3cr3t") && format!("{berlin:?}").contains("password"));
    let paris = environment.cloud(Some("paris")).expect("known");
    assert_eq!((paris.get("auth_type"), paris.get("token")), (Some("v3token"), Some("12345")));
    assert_eq!((paris.get("region_name"), paris.is_insecure()), (Some("FR"), false));
    assert!(paris.authority().is_some_and(|path| path.ends_with("ca.pem") && path.is_absolute()));
}

#[test]
fn which_cloud_is_meant() {
    let one = "clouds: {only: {auth: {auth_url: 'http://k'}}}";
    let cloud = |variables: &[(&str, &str)], file: &str, name: Option<&str>| {
        let (_directory, environment) = environment(variables, &[("clouds.yaml", file)]);
        environment.cloud(name).map(|cloud| cloud.name)
    };
    let url = ("OS_AUTH_URL", "http://k");
    assert_eq!(cloud(&[], one, None).expect("the only one"), "only");
    assert_eq!(cloud(&[("OS_CLOUD", "paris"), url], CLOUDS, None).expect("OS_CLOUD"), "paris");
    assert_eq!(cloud(&[("OS_CLOUD", "paris")], CLOUDS, Some("berlin")).expect("the option"), "berlin");
    assert_eq!(cloud(&[url], CLOUDS, None).expect("the variables"), "envvars");
    assert_eq!(cloud(&[url], CLOUDS, Some("envvars")).expect("by its name"), "envvars");
    assert!(matches!(cloud(&[], CLOUDS, None), Err(SettingsError::NoCloud)), "two, and none is named");
    let error = cloud(&[], CLOUDS, Some("pariss")).expect_err("unknown").to_string();
    assert!(error.ends_with("has no cloud \"pariss\": did you mean \"paris\"?"), "{error}");
    let error = cloud(&[], CLOUDS, Some("tokyo")).expect_err("unknown").to_string();
    assert!(error.ends_with("; it has: berlin, paris"), "{error}");
}

#[test]
fn variables_are_settings() {
    let variables = [
        ("OS_AUTH_URL", "http://k:5000/v3"),
        ("OS_USERNAME", "demo"),
        ("OS_PASSWORD", "s3cr3t"),
        ("OS_PROJECT_NAME", ""),
        ("OS_CACERT", "/etc/ca.pem"),
        ("HOME", "/root"),
    ];
    let (_directory, environment) = environment(&variables, &[]);
    assert!(environment.names_a_cloud());
    let cloud = environment.cloud(None).expect("named by the variables");
    assert_eq!((cloud.get("username"), cloud.get("project_name"), cloud.get("home")), (Some("demo"), None, None));
    assert_eq!(cloud.authority(), Some("/etc/ca.pem".into()));
    assert!(!format!("{cloud:?}").contains("s3cr3t"));
}

#[test]
fn files_that_are_named_come_first_and_json_is_read_too() {
    let (directory, mut environment) = environment(
        &[],
        &[
            ("clouds.json", r#"{"clouds": {"here": {"auth": {"auth_url": "http://json"}}}}"#),
            ("elsewhere", "clouds: {there: {profile: edge, auth: {username: u}}}"),
            ("clouds-public.yaml", "public-clouds: {edge: {auth: {auth_url: 'http://edge'}, region_name: R}}"),
        ],
    );
    assert_eq!(environment.cloud(Some("here")).expect("known").get("auth_url"), Some("http://json"));
    let named = directory.path().join("elsewhere").to_string_lossy().into_owned();
    environment.variables.insert("OS_CLIENT_CONFIG_FILE".into(), named);
    let there = environment.cloud(Some("there")).expect("known");
    assert_eq!((there.get("auth_url"), there.get("username")), (Some("http://edge"), Some("u")), "over the vendor's");
}

#[test]
fn what_is_wrong_is_said_without_what_stands_there() {
    let (_directory, none) = environment(&[], &[]);
    let error = none.cloud(Some("paris")).expect_err("no file").to_string();
    assert!(error.contains("stands in a clouds.yaml, and there is none; looked in /nonexistent"), "{error}");
    assert!(!none.names_a_cloud());
    let (_directory, broken) = environment(&[], &[("clouds.yaml", "clouds:\n  a:\n    auth: {password: s3cr3t, [\n")]);
    let error = broken.cloud(Some("a")).expect_err("broken").to_string();
    assert!(error.contains("clouds.yaml:") && error.contains("not well-formed YAML"), "{error}");
    assert!(!error.contains("s3cr3t"), "{error}");
    let (_directory, vendor) = environment(&[], &[("clouds.yaml", "clouds: {a: {profile: rackspace}}")]);
    let error = vendor.cloud(Some("a")).expect_err("no such vendor").to_string();
    assert!(error.contains("vendor \"rackspace\"") && error.contains("write its auth_url"), "{error}");
}

#[test]
fn certificates_and_proxies_are_known_of() {
    let clouds =
        "clouds: {a: {auth: {auth_url: 'https://k'}, cert: /tls/me.pem, key: ~/me.key}, b: {cert: both.pem}, c: {}}";
    let variables = [("https_proxy", "http://proxy:3128"), ("HTTP_PROXY", "")];
    let (_directory, environment) = environment(&variables, &[("clouds.yaml", clouds)]);
    let cloud = |name: &str| environment.cloud(Some(name)).expect("known");
    let (certificate, key) = cloud("a").certificate().expect("one");
    assert_eq!(certificate, Path::new("/tls/me.pem"));
    assert!(key.is_absolute() && key.ends_with("me.key"), "{}", key.display());
    assert_eq!(cloud("b").certificate(), Some(("both.pem".into(), "both.pem".into())), "both stand in one file");
    assert_eq!(cloud("c").certificate(), None);
    assert_eq!((cloud("a").proxy("https"), cloud("a").proxy("http")), (Some("https_proxy"), None));
}
