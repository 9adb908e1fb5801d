use serde_json::json;

use super::*;

const USER: [(&str, &str); 3] = [("auth_url", "http://k:5000"), ("username", "demo"), ("password", "s3cr3t")];

fn asked(settings: &[(&str, &str)]) -> Value {
    question(&Cloud::of(&[&USER, settings].concat())).expect("enough")
}

#[test]
fn a_password_is_asked_with_for_what_the_settings_name() {
    let default = json!({ "id": "default" });
    let whole = asked(&[("project_name", "p"), ("user_domain_name", "U"), ("project_domain_id", "pd")]);
    assert_eq!(
        whole,
        json!({ "auth": {
            "identity": { "methods": ["password"], "password": { "user": {
                "name": "demo", "domain": { "name": "U" }, "password": "s3cr3t" } } },
            "scope": { "project": { "name": "p", "domain": { "id": "pd" } } }
        }})
    );
    for (settings, scope) in [
        (&[("tenant_name", "p")] as &[_], json!({ "project": { "name": "p", "domain": default } })),
        (&[("project_id", "7"), ("project_name", "p")], json!({ "project": { "id": "7" } })),
        (
            &[("project_name", "p"), ("default_domain", "d")],
            json!({ "project": { "name": "p", "domain": { "id": "d" } } }),
        ),
        (&[("domain_name", "D")], json!({ "domain": { "name": "D" } })),
        (&[("domain_id", "D")], json!({ "domain": { "id": "D" } })),
        (&[("system_scope", "all")], json!({ "system": { "all": true } })),
        (&[], Value::Null),
    ] {
        assert_eq!(asked(settings)["auth"]["scope"], scope, "{settings:?}");
    }
    assert_eq!(asked(&[("user_id", "u")])["auth"]["identity"]["password"]["user"]["id"], "u");
}

#[test]
fn tokens_and_application_credentials() {
    let token = [("auth_type", "v3token"), ("token", "gAAA"), ("project_id", "7")];
    assert_eq!(
        question(&Cloud::of(&token)).expect("enough"),
        json!({ "auth": { "identity": { "methods": ["token"], "token": { "id": "gAAA" } },
            "scope": { "project": { "id": "7" } } } })
    );
    let by_id = [("application_credential_id", "ac"), ("application_credential_secret", "x"), ("project_id", "7")];
    assert_eq!(
        question(&Cloud::of(&by_id)).expect("enough"),
        json!({ "auth": { "identity": { "methods": ["application_credential"],
            "application_credential": { "id": "ac", "secret": "x" } } } }),
        "it has its own project"
    );
    let by_name = [
        ("auth_type", "v3applicationcredential"),
        ("application_credential_name", "mine"),
        ("application_credential_secret", "x"),
        ("username", "demo"),
    ];
    let identity = question(&Cloud::of(&by_name)).expect("enough")["auth"]["identity"].clone();
    assert_eq!(identity["application_credential"]["user"], json!({ "name": "demo", "domain": { "id": "default" } }));
}

#[test]
fn what_is_missing_is_named_and_nothing_secret_shown() {
    for (settings, part) in [
        (&[("username", "demo")] as &[_], "no password (secure.yaml, OS_PASSWORD)"),
        (&[("password", "s3cr3t")], "no username"),
        (&[("auth_type", "token"), ("password", "s3cr3t")], "no token (OS_TOKEN)"),
        (&[("auth_type", "v3oidcpassword"), ("password", "s3cr3t")], "\"v3oidcpassword\", which is not supported"),
        (&[("application_credential_secret", "s3cr3t")], "no application_credential_id"),
    ] {
        let error = question(&Cloud::of(settings)).expect_err("incomplete").to_string();
        assert!(error.contains(part), "{error}");
        assert!(!error.contains("s3cr3t"), "{error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut settings = vec![("username", "demo"), ("password", "s3cr3t")];
    let error = runtime.block_on(token(&Cloud::of(&settings))).expect_err("no URL").to_string();
    assert!(error.contains("no auth_url"), "{error}");
    for url in ["http://demo:s3cr3t@k:5000/v3", "http://s3cr3t@ k", "ftp://k"] {
        settings.push(("auth_url", url));
        let error = runtime.block_on(token(&Cloud::of(&settings))).expect_err("odd").to_string();
        assert!(error.contains("can't be used") && !error.contains("s3cr3t"), "{error}");
    }
}
