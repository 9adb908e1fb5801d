//! `||` by what OpenStack's APIs answer: a real quota that is exhausted, a request that is wrong, a server that fails later.

use cheops_tests::lab::openstack::{Api, Ask, Token};
use serde_json::{Value, json};

use super::*;

/// Servers of a user at a site, as its own Nova lists them for its administrator.
fn servers(site: &Site) -> anyhow::Result<Vec<Value>> {
    let ask = Ask::get("/v2.1/servers/detail?all_tenants=1").token(&site.token("admin")?);
    Ok(site.need(Api::Nova, &ask)?["servers"].as_array().cloned().unwrap_or_default())
}

fn named(site: &Site, name: &str) -> anyhow::Result<usize> {
    Ok(servers(site)?.iter().filter(|server| server["name"] == name).count())
}

/// A flavor that no host has room for.
fn huge(site: &Site, name: &str, disk: u32) -> anyhow::Result<()> {
    let flavor = json!({"id": name, "name": name, "vcpus": 1, "ram": 900_000_000, "disk": disk});
    let ask = Ask::post("/v2.1/flavors", &json!({ "flavor": flavor })).token(&site.token("admin")?);
    site.need(Api::Nova, &ask).map(drop)
}

fn server(name: &str, image: &str, flavor: &str, token: &Token, scope: &str) -> Ask {
    let server = json!({"name": name, "imageRef": image, "flavorRef": flavor, "networks": "none"});
    let ask = Ask::post("/v2.1/servers", &json!({ "server": server }));
    ask.header("OpenStack-API-Version", cheops_tests::lab::openstack::COMPUTE).token(token).scope(scope)
}

#[test]
fn an_exhausted_quota_hands_over_and_nothing_else_does() -> anyhow::Result<()> {
    let cloud = Cloud::builder()
        .sites(&["Berlin", "Paris"])
        .every(|plan| plan.token_cache = 2)
        .at("Berlin", |plan| plan.instances = 0)
        .image("Berlin", Image::public("cirros", "Berlin's cirros ", 4096))
        .start()?;
    let (berlin, paris) = (cloud.site("Berlin"), cloud.site("Paris"));
    let (token, image) = (berlin.token("demo")?, berlin.image("cirros")?);

    // Berlin alone: its Nova's own words.
    let answer = berlin.ask(Api::Nova, &server("full", &image, "tiny", &token, "{Nova: Berlin}"))?;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains("Quota exceeded for"), "{}", answer.text());

    // With another site, whose Nova asks Berlin's Glance, as it is the entry's.
    let answer = berlin.ask(Api::Nova, &server("moved", &image, "tiny", &token, "{Nova: Berlin || Paris}"))?;
    assert_eq!((answer.status, answer.header("x-cheops-site").as_deref()), (202, Some("Paris")), "{}", answer.text());
    assert_eq!(answer.header("x-cheops-sites").as_deref(), Some("Berlin=declined, Paris=answered"));
    let id = answer.json()?["server"]["id"].as_str().unwrap_or_default().to_owned();
    paris.active(&paris.token("admin")?, &id)?;
    assert!(paris.disk(&id)? == own_image(berlin).bytes);
    assert_eq!((named(berlin, "moved")?, named(paris, "moved")?), (0, 1));

    // What is wrong with the request is wrong everywhere.
    let answer = berlin.ask(Api::Nova, &server("wrong", &image, "no-such", &token, "{Nova: Berlin || Paris}"))?;
    assert_eq!((answer.status, answer.header("x-cheops-site").as_deref()), (400, Some("Berlin")), "{}", answer.text());
    assert_eq!(named(paris, "wrong")?, 0);

    // Accepted, and failed afterwards: it stays where it is, to be looked at.
    huge(paris, "huge", 1)?;
    huge(paris, "no-disk", 0)?;
    let (own, scope) = (paris.token("demo")?, "{Nova: Paris || Berlin, Glance: Paris}");
    let copy = json!({"name": "copy", "disk_format": "raw", "container_format": "bare"});
    let made = paris.need(Api::Glance, &Ask::post("/v2/images", &copy).token(&own))?;
    let made = made["id"].as_str().unwrap_or_default();
    let bytes = Ask::new("PUT", &format!("/v2/images/{made}/file")).token(&own);
    paris.need(Api::Glance, &bytes.header("Content-Type", "application/octet-stream").body(vec![7; 4096]))?;
    let answer = paris.ask(Api::Nova, &server("too-large", made, "no-disk", &own, scope))?;
    let (status, site) = (answer.status, answer.header("x-cheops-site"));
    assert_eq!((status, site.as_deref()), (403, Some("Paris")), "another 403 than a quota's: {}", answer.text());
    let answer = paris.ask(Api::Nova, &server("too-large", made, "huge", &own, scope))?;
    assert_eq!((answer.status, answer.header("x-cheops-site").as_deref()), (202, Some("Paris")), "{}", answer.text());
    let id = answer.json()?["server"]["id"].as_str().unwrap_or_default().to_owned();
    let built = paris.built(&own, &id)?;
    assert_eq!(built["status"], "ERROR", "{built}");
    assert!(built["fault"]["message"].as_str().is_some_and(|fault| fault.contains("No valid host")), "{built}");
    assert_eq!((named(berlin, "too-large")?, named(paris, "too-large")?), (0, 1));
    Ok(())
}
