//! Tokens of another site (AMENDMENTS 21): whole agents, real kernel programs, real peer links, and identity and image
//! services that the lab plays.

#[path = "tokens/cloud.rs"]
mod cloud;
#[path = "tokens/kept.rs"]
mod kept;

use std::time::Duration;

use anyhow::ensure;
use cheops_tests::lab::{Answer, Recorded, eventually};
use serde_json::{Value, json};

use cloud::{Cloud, EXPIRED, SITES, document, service_token};

const SOON: Duration = Duration::from_secs(60);
const ALL: &str = "trust = '*'";
const GLANCE_AT_PARIS: Option<&str> = Some("{Glance: Paris}");

fn lines(requests: &[Recorded]) -> Vec<String> {
    requests.iter().map(Recorded::line).collect()
}

fn roles(answer: &Answer) -> anyhow::Result<Vec<String>> {
    let told = answer.json()?["told"]["token"]["roles"].take();
    let names = told.as_array().into_iter().flatten().filter_map(|role| role["name"].as_str().map(str::to_owned));
    Ok(names.collect())
}

/// It is a problem with this code, and names both sites.
fn refused(answer: &Answer, status: u16, code: &str, says: &str) -> anyhow::Result<()> {
    refused_at(answer, status, code, says)?;
    ensure!(answer.text().contains("Berlin"), "{}", answer.text());
    Ok(())
}

/// The same, by the site where the token is used alone; that is named once.
fn refused_at(answer: &Answer, status: u16, code: &str, says: &str) -> anyhow::Result<()> {
    let problem = answer.json().unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or_default();
    let right = answer.status == status && problem["code"] == code && detail.contains(says);
    ensure!(right && detail.starts_with("Paris") && !detail.contains("Paris: Paris"), "{} {problem}", answer.status);
    ensure!(!problem.to_string().contains("secret"), "{problem}");
    Ok(())
}

#[test]
fn a_home_vouches_for_its_tokens_and_is_asked_by_the_token_itself() -> anyhow::Result<()> {
    let cloud = Cloud::start(ALL)?;
    let token = cloud.login("Berlin")?;
    cloud.keystone("Berlin").change(&token, |said| {
        *said = document("Berlin", &["admin", "member", "heat_stack_owner", "reader"]);
    });
    cloud.forget();
    let answer = cloud.images("Berlin", &token, GLANCE_AT_PARIS)?;
    ensure!((answer.status, answer.site()) == (200, Some("Paris".to_owned())), "{} {}", answer.status, answer.text());
    ensure!(roles(&answer)? == ["member", "reader"], "{}", answer.text());
    let told = &answer.json()?["told"]["token"];
    ensure!(told["is_admin_project"] == json!(false) && told["user"]["id"] == "user-of-Berlin", "{told}");

    // The own one first; then whether it knows the user and the project.
    let asked = cloud.taken("Paris", "Keystone");
    let mut paths = lines(&asked);
    paths[1..].sort();
    let of = |what: &str| format!("GET /v3/{what}-of-Berlin HTTP/1.1");
    let check = "GET /v3/auth/tokens?allow_expired=1 HTTP/1.1".to_owned();
    ensure!(paths == [check.clone(), of("projects/project"), of("users/user")], "{paths:?}");
    ensure!(asked.iter().all(|one| one.header("X-Auth-Token") == Some(service_token("Paris"))), "{asked:?}");

    // The home by the token itself, and by nothing else.
    let home = cloud.taken("Berlin", "Keystone");
    ensure!(lines(&home) == [check], "{:?}", lines(&home));
    for header in ["X-Auth-Token", "X-Subject-Token"] {
        ensure!(home[0].header(header).as_ref() == Some(&token), "{header}: {:?}", home[0]);
    }
    ensure!(!String::from_utf8_lossy(&home[0].raw).contains("service-secret"), "{:?}", home[0]);
    ensure!(cloud.taken("Nantes", "Keystone").is_empty());

    // Service tokens stay at home, the user's goes along.
    let images = cloud.taken("Paris", "Glance");
    ensure!(images[0].header("X-Service-Token").is_none() && images[0].header("X-Auth-Token") == Some(token.clone()));
    let own = cloud.images("Berlin", &token, Some("{Glance: Berlin}"))?;
    ensure!(own.status == 200 && roles(&own)?.len() == 4, "{}", own.text());
    ensure!(cloud.taken("Berlin", "Glance")[0].header("X-Service-Token") == Some(service_token("Berlin")));
    Ok(())
}

#[test]
fn the_home_goes_with_the_request_through_every_site() -> anyhow::Result<()> {
    let cloud = Cloud::start(ALL)?;
    let token = cloud.login("Paris")?;
    // Paris's agent saw the issue; Nantes's learns of it only here.
    let answer = cloud.images("Paris", &token, Some("{Glance: Nantes}"))?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    // Where it enters, nobody knows it: it is taken for one of that site, which does not know it either.
    let stranger = "token-secret-made-at-Paris";
    cloud.keystone("Paris").make(stranger, document("Paris", &["member"]));
    let answer = cloud.images("Berlin", stranger, Some("{Glance: Nantes}"))?;
    let problem = answer.json()?;
    ensure!((answer.status, &problem["code"]) == (401, &json!("token-not-valid-at-home")), "{problem}");
    // One home's word does not stand for another's.
    let known = cloud.images("Paris", stranger, Some("{Glance: Nantes}"))?;
    ensure!(known.status == 200, "{} {}", known.status, known.text());
    Ok(())
}

#[test]
fn a_site_that_is_not_trusted_is_not_asked() -> anyhow::Result<()> {
    let mut cloud = Cloud::start("trust = ['Nantes']")?;
    let token = cloud.login("Berlin")?;
    cloud.forget();
    let answer = cloud.images("Berlin", &token, GLANCE_AT_PARIS)?;
    refused(&answer, 401, "token-untrusted", "not accepted")?;
    ensure!(cloud.taken("Berlin", "Keystone").is_empty(), "its home was asked");
    // As soon as it is.
    let trust = |table: &mut toml::Table| {
        table["identity"] = toml::Value::Table(toml::Table::from_iter([("trust".to_owned(), "Berlin".into())]));
    };
    cloud.federation.agent_mut("Paris").reload(trust)?;
    let answer = cloud.images("Berlin", &token, GLANCE_AT_PARIS)?;
    ensure!(answer.status == 200 && roles(&answer)? == ["member"], "{} {}", answer.status, answer.text());
    Ok(())
}

#[test]
fn nobody_is_asked_by_trial() -> anyhow::Result<()> {
    let cloud = Cloud::start(ALL)?;
    let token = "token-secret-of-nobody-knows-where";
    cloud.keystone("Berlin").make(token, document("Berlin", &["member"]));
    cloud.forget();
    let answer = cloud.images("Paris", token, None)?;
    ensure!(answer.status == 401 && answer.header("X-Glance").is_some(), "{} {}", answer.status, answer.text());
    ensure!(cloud.taken("Berlin", "Keystone").is_empty() && cloud.taken("Nantes", "Keystone").is_empty());
    ensure!(cloud.taken("Paris", "Keystone").len() == 1);
    Ok(())
}

#[test]
fn only_that_the_own_service_does_not_know_it_counts() -> anyhow::Result<()> {
    let cloud = Cloud::start(ALL)?;
    let token = cloud.login("Berlin")?;
    for (own, seen) in [(401, 401), (500, 503), (403, 503)] {
        cloud.keystone("Paris").checks(Some(own));
        cloud.forget();
        let answer = cloud.images("Berlin", &token, GLANCE_AT_PARIS)?;
        ensure!(answer.status == seen, "{own}: {} {}", answer.status, answer.text());
        ensure!(lines(&cloud.taken("Paris", "Keystone")).len() == 1, "{own}");
        ensure!(cloud.taken("Berlin", "Keystone").is_empty(), "{own}");
    }
    // A token that both know is the own one's.
    cloud.keystone("Paris").checks(None);
    cloud.keystone("Paris").make(&token, document("Paris", &["admin"]));
    let answer = cloud.images("Berlin", &token, GLANCE_AT_PARIS)?;
    ensure!(roles(&answer)? == ["admin"] && cloud.taken("Berlin", "Keystone").is_empty(), "{}", answer.text());
    Ok(())
}

#[test]
fn a_user_or_project_that_is_known_here_is_refused() -> anyhow::Result<()> {
    for id in ["user-of-Berlin", "project-of-Berlin"] {
        let cloud = Cloud::start(ALL)?;
        cloud.keystone("Paris").know(id);
        let token = cloud.login("Berlin")?;
        let answer = cloud.images("Berlin", &token, GLANCE_AT_PARIS)?;
        refused(&answer, 401, "token-refused", id.split('-').next().unwrap_or_default())?;
    }
    Ok(())
}

#[test]
fn what_can_not_be_looked_up_is_refused_with_the_reason() -> anyhow::Result<()> {
    let cloud = Cloud::start(ALL)?;
    cloud.keystone("Paris").look_ups(Some(403));
    let token = cloud.login("Berlin")?;
    refused(&cloud.images("Berlin", &token, GLANCE_AT_PARIS)?, 401, "token-refused", "needs a role")?;
    cloud.keystone("Paris").look_ups(None);
    let believed = || cloud.images("Berlin", &token, GLANCE_AT_PARIS).is_ok_and(|answer| answer.status == 200);
    ensure!(eventually(SOON, believed), "it is not asked again");
    Ok(())
}

#[test]
fn an_id_is_looked_up_once_however_many_ask_at_a_time() -> anyhow::Result<()> {
    let cloud = Cloud::start(ALL)?;
    let token = cloud.login("Berlin")?;
    cloud.forget();
    let all = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| cloud.images("Berlin", &token, GLANCE_AT_PARIS))).collect();
        let joined = asked.into_iter().map(|one| one.join().expect("no panic"));
        joined.collect::<anyhow::Result<Vec<Answer>>>()
    });
    for answer in all? {
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    }
    let asked = lines(&cloud.taken("Paris", "Keystone"));
    for what in ["users/user", "projects/project"] {
        let count = asked.iter().filter(|line| line.contains(what)).count();
        ensure!(count == 1, "{what}: {asked:?}");
    }
    Ok(())
}

#[test]
fn what_can_not_be_looked_up_now_is_no_refusal() -> anyhow::Result<()> {
    let cloud = Cloud::start(ALL)?;
    let token = cloud.login("Berlin")?;
    // An answer that is none.
    cloud.keystone("Paris").look_ups(Some(0));
    refused_at(&cloud.images("Berlin", &token, GLANCE_AT_PARIS)?, 503, "issuer-unreachable", "can't be looked up")?;
    cloud.keystone("Paris").look_ups(None);
    ensure!(cloud.images("Berlin", &token, GLANCE_AT_PARIS)?.status == 200, "it is asked again at once");
    Ok(())
}

/// What is done to what a home says.
type Change = fn(&mut Value);

#[test]
fn tokens_that_hold_for_more_than_a_project_are_refused() -> anyhow::Result<()> {
    let cloud = Cloud::start(ALL)?;
    let cases: [(&str, Change); 6] = [
        ("a whole system", |said| said["token"]["system"] = json!({ "all": true })),
        ("a whole domain", |said| said["token"]["domain"] = json!({ "id": "default" })),
        ("of no project", |said| _ = said["token"].as_object_mut().expect("an object").remove("project")),
        ("none of the roles", |said| *said = document("Berlin", &["admin"])),
        ("a service's own", |said| *said = document("Berlin", &["member", "service"])),
        ("can't be looked up", |said| said["token"]["project"]["id"] = "../users/x".into()),
    ];
    for (says, change) in cases {
        let token = cloud.login("Berlin")?;
        cloud.keystone("Berlin").change(&token, change);
        refused(&cloud.images("Berlin", &token, GLANCE_AT_PARIS)?, 401, "token-refused", says)?;
    }
    Ok(())
}

#[test]
fn what_is_revoked_or_can_not_be_asked_is_told_with_both_sites() -> anyhow::Result<()> {
    let mut cloud = Cloud::start(ALL)?;
    let token = cloud.login("Berlin")?;
    ensure!(cloud.images("Berlin", &token, GLANCE_AT_PARIS)?.status == 200);
    cloud.keystone("Berlin").revoke(&token);
    cloud.forget();
    for _ in 0..3 {
        refused(&cloud.images("Berlin", &token, GLANCE_AT_PARIS)?, 401, "token-not-valid-at-home", "revoked")?;
    }
    // By the token itself, and by what came along.
    let asked = cloud.taken("Berlin", "Keystone").len();
    ensure!(asked == 2, "what the home said a moment ago is not asked again: {asked}");

    let token = cloud.login("Berlin")?;
    cloud.keystone("Berlin").checks(Some(503));
    refused(&cloud.images("Berlin", &token, GLANCE_AT_PARIS)?, 503, "home-unreachable", "503")?;
    cloud.keystone("Berlin").checks(None);

    let token = cloud.login("Berlin")?;
    cloud.federation.service_mut("Berlin", "Keystone").stop();
    refused(&cloud.images("Berlin", &token, GLANCE_AT_PARIS)?, 503, "home-unreachable", "can't be asked")?;
    cloud.federation.service_mut("Berlin", "Keystone").restart()?;
    // Nobody has to wait for long once it is back.
    let believed = || cloud.images("Berlin", &token, GLANCE_AT_PARIS).is_ok_and(|answer| answer.status == 200);
    ensure!(eventually(SOON, believed), "{}", cloud.federation.agent("Paris").log());
    Ok(())
}

/// A service that still works for a user sends its own token along. It vouches for the user's at its own site, and goes
/// nowhere else.
#[test]
fn an_expired_token_counts_at_home_by_what_a_service_sent_along() -> anyhow::Result<()> {
    let cloud = Cloud::start(ALL)?;
    let token = cloud.login("Berlin")?;
    cloud.keystone("Berlin").expire(&token);
    cloud.forget();
    let answer = cloud.images("Berlin", &token, GLANCE_AT_PARIS)?;
    ensure!(answer.status == 200 && roles(&answer)? == ["member"], "{} {}", answer.status, answer.text());
    let until = answer.json()?["told"]["token"]["expires_at"].take();
    ensure!(until.as_str().is_some_and(|until| until > EXPIRED && until.ends_with('Z')), "{until}");
    let asked = |lines: &[&str]| -> anyhow::Result<()> {
        let home = cloud.taken("Berlin", "Keystone");
        let all: Vec<String> = lines.iter().map(|line| format!("GET /v3/auth/tokens{line} HTTP/1.1")).collect();
        ensure!(home.iter().map(Recorded::line).collect::<Vec<_>>() == all, "{home:?}");
        let callers: Vec<_> = home.iter().filter_map(|one| one.header("X-Auth-Token")).collect();
        ensure!(callers == [token.clone(), service_token("Berlin")], "{callers:?}");
        ensure!(home.iter().all(|one| one.header("X-Subject-Token").as_ref() == Some(&token)), "{home:?}");
        Ok(())
    };
    asked(&["?allow_expired=1", "?allow_expired=1"])?;
    for (service, taken) in ["Keystone", "Glance"].map(|service| (service, cloud.taken("Paris", service))) {
        let of_berlin = service_token("Berlin");
        let told = taken.iter().any(|one| String::from_utf8_lossy(&one.raw).contains(&of_berlin));
        ensure!(!taken.is_empty() && !told, "{service}: {taken:?}");
    }
    // What no service sent along asks for none that have expired; the home's agent does.
    let plain = format!(
        "GET /v3/auth/tokens HTTP/1.1\r\nHost: k\r\nX-Auth-Token: {}\r\nX-Subject-Token: {token}\r\n\r\n",
        service_token("Paris")
    );
    ensure!(cloud.federation.connect("Paris", "Keystone")?.exchange(plain)?.status == 200);
    asked(&["", "?allow_expired=1"])
}

#[test]
fn nobody_else_makes_an_expired_token_count() -> anyhow::Result<()> {
    let cloud = Cloud::start(ALL)?;
    let says = "expired or was revoked";
    // Its user alone.
    let token = cloud.login("Berlin")?;
    cloud.keystone("Berlin").expire(&token);
    let answer = cloud.images_of_user("Berlin", &token, GLANCE_AT_PARIS)?;
    refused(&answer, 401, "token-not-valid-at-home", says)?;
    // A service of the site where it is used.
    let token = cloud.login("Berlin")?;
    ensure!(cloud.images_of_user("Berlin", &token, GLANCE_AT_PARIS)?.status == 200);
    cloud.keystone("Berlin").expire(&token);
    cloud.forget();
    let answer = cloud.images("Paris", &token, None)?;
    ensure!(answer.status == 401 && answer.header("X-Glance").is_some(), "{} {}", answer.status, answer.text());
    ensure!(cloud.taken("Berlin", "Keystone").len() == 1, "its home is asked by the token alone");
    // What is revoked stays so, whoever asks.
    let token = cloud.login("Berlin")?;
    cloud.keystone("Berlin").expire(&token);
    ensure!(cloud.images("Berlin", &token, GLANCE_AT_PARIS)?.status == 200);
    cloud.keystone("Berlin").revoke(&token);
    refused(&cloud.images("Berlin", &token, GLANCE_AT_PARIS)?, 401, "token-not-valid-at-home", says)
}

#[test]
fn an_identity_service_that_is_not_exported_is_named() -> anyhow::Result<()> {
    let mut cloud = Cloud::start(ALL)?;
    let hide = |table: &mut toml::Table| {
        let services = table["services"].as_array_mut().expect("a list");
        let keystone = services.iter_mut().find(|service| service["name"].as_str() == Some("Keystone"));
        keystone.expect("Keystone").as_table_mut().expect("a table").insert("export".to_owned(), false.into());
    };
    cloud.federation.agent_mut("Berlin").reload(hide)?;
    let token = cloud.login("Berlin")?;
    refused(&cloud.images("Berlin", &token, GLANCE_AT_PARIS)?, 503, "home-unreachable", "export = false")?;
    let check = String::from_utf8_lossy(&cloud.federation.agent("Berlin").cheops(&["check"])?.stdout).into_owned();
    ensure!(check.contains("Keystone") && check.contains("export"), "{check}");
    Ok(())
}

/// What is said over the identity service besides checks goes on as it came.
#[test]
fn other_requests_to_the_issuer_are_left_alone() -> anyhow::Result<()> {
    let cloud = Cloud::start(ALL)?;
    let token = cloud.login("Berlin")?;
    ensure!(cloud.images("Berlin", &token, GLANCE_AT_PARIS)?.status == 200);
    cloud.forget();
    let ask = |method: &str| {
        let text = format!(
            "{method} /v3/auth/tokens HTTP/1.1\r\nHost: k\r\nX-Auth-Token: {}\r\nX-Subject-Token: {token}\r\n\r\n",
            service_token("Paris")
        );
        let mut client = cloud.federation.connect("Paris", "Keystone")?;
        client.send(text)?;
        client.half_close()?;
        Ok::<_, anyhow::Error>(String::from_utf8_lossy(&client.read_to_end()?).into_owned())
    };
    // A check without a body of its answer is one, too, and its home is asked for all that must be judged.
    let checked = ask("HEAD")?;
    ensure!(checked.starts_with("HTTP/1.1 200") && checked.ends_with("\r\n\r\n"), "{checked}");
    ensure!(lines(&cloud.taken("Berlin", "Keystone")) == ["GET /v3/auth/tokens HTTP/1.1"]);
    let checked = ask("GET")?;
    ensure!(checked.starts_with("HTTP/1.1 200") && checked.contains("user-of-Berlin"), "{checked}");
    ensure!(checked.matches("Content-Length").count() == 1 && checked.contains("X-Subject-Token"), "{checked}");
    // Only its home can revoke it.
    cloud.forget();
    let revoked = ask("DELETE")?;
    ensure!(revoked.starts_with("HTTP/1.1 404") && revoked.contains("X-Unknown: yes"), "{revoked}");
    ensure!(cloud.taken("Berlin", "Keystone").is_empty());
    for site in SITES.iter().filter(|site| **site != "Berlin") {
        ensure!(cloud.federation.agent(site).metric("cheops_token_checks_total{outcome=\"refused\"")? == Some(0.0));
    }
    Ok(())
}
