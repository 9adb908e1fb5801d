//! A server at Berlin, of an image that only Paris has: by whatever client, wherever it asks.

use anyhow::{Context, bail};
use cheops_tests::lab::openstack::{Api, Ask, COMPUTE, Token, shared, well};
use cheops_tests::lab::tell;
use serde_json::{Value, json};

use super::*;

const SCOPE: &str = "{Nova: Berlin, Glance: Paris}";

/// Where users may ask.
const ENTRIES: [&str; 3] = ["Berlin", "Paris", "Nantes"];

/// That a server is at Berlin, active, with the bytes of Paris's image; asked for at `entry` by the user's token there.
fn holds(cloud: &Cloud, entry: &str, token: &Token, id: &str) -> anyhow::Result<()> {
    holds_at("Berlin", cloud, entry, token, id)
}

/// The same of another site.
fn holds_at(nova: &str, cloud: &Cloud, entry: &str, token: &Token, id: &str) -> anyhow::Result<()> {
    let ask = Ask::get(&format!("/v2.1/servers/{id}")).token(token).header("OpenStack-API-Version", COMPUTE);
    let ask = ask.scope(&format!("{{Nova: {nova}}}"));
    let mut last = Value::Null;
    let built = cheops_tests::lab::eventually(BUILT, || {
        let answer = cloud.site(entry).need(Api::Nova, &ask);
        last = answer.map_or_else(|error| json!(error.to_string()), |mut answer| answer["server"].take());
        last["status"].as_str().is_some_and(|status| status != "BUILD") || {
            std::thread::sleep(Duration::from_millis(200));
            false
        }
    });
    if !built || last["status"] != "ACTIVE" {
        bail!("the server asked for at {entry} isn't active: {last}");
    }
    let disk = cloud.site(nova).disk(id)?;
    assert!(disk == debian(cloud).bytes, "of {} bytes, unlike Paris's image", disk.len());
    Ok(())
}

const BUILT: Duration = Duration::from_secs(60);

/// What the image is called at Paris, found as a client at `entry` finds it.
fn image_id(cloud: &Cloud, entry: &str, token: &Token) -> anyhow::Result<String> {
    let ask = Ask::get("/v2/images?name=debian").token(token).scope("{Glance: Paris}");
    let found = cloud.site(entry).need(Api::Glance, &ask)?;
    Ok(found["images"][0]["id"].as_str().with_context(|| format!("no image debian in {found}"))?.to_owned())
}

/// Runs curl at the entry's host, as its user would; the id of the server that was made.
fn by_curl(cloud: &Cloud, entry: &str, token: &Token, url: &str, more: &[&str]) -> anyhow::Result<String> {
    let image = image_id(cloud, entry, token)?;
    let server = json!({"name": "my-vm", "imageRef": image, "flavorRef": "tiny", "networks": "none"});
    let body = json!({ "server": server }).to_string();
    let token = format!("X-Auth-Token: {}", token.id);
    let version = format!("OpenStack-API-Version: {COMPUTE}");
    let given = ["-H", &token, "-H", &version, "--json", &body, url];
    let answer = cloud.site(entry).host().curl(&[&given, more].concat())?;
    let made = answer.json()?;
    assert_eq!(answer.header("x-cheops-site").as_deref(), Some("Berlin"), "{made}");
    Ok(made["server"]["id"].as_str().with_context(|| format!("{} {made}", answer.status))?.to_owned())
}

#[test]
fn by_curl_with_a_header_wherever_it_asks() -> anyhow::Result<()> {
    shared(|cloud| {
        for entry in ENTRIES {
            let token = cloud.site(entry).token("demo")?;
            let url = format!("http://{}/v2.1/servers", cloud.site(entry).host().at(Api::Nova.port()));
            let id = by_curl(cloud, entry, &token, &url, &["-H", &format!("X-Scope: {SCOPE}")])?;
            holds(cloud, entry, &token, &id)?;
            tell("openstack", &format!("entry at {entry}, curl with a header: {id} at Berlin, disk as Paris's image"));
        }
        Ok(())
    })
}

#[test]
fn by_curl_with_a_parameter_wherever_it_asks() -> anyhow::Result<()> {
    shared(|cloud| {
        let parameter = SCOPE.replace('{', "%7B").replace('}', "%7D").replace(' ', "%20").replace(':', "%3A");
        for entry in ENTRIES {
            let token = cloud.site(entry).token("demo")?;
            let at = cloud.site(entry).host().at(Api::Nova.port());
            let url = format!("http://{at}/v2.1/servers?scope={parameter}");
            let id = by_curl(cloud, entry, &token, &url, &[])?;
            holds(cloud, entry, &token, &id)?;
        }
        Ok(())
    })
}

/// `openstack server create` under `cheops exec`, as the member at `entry`; the server's id.
fn by_command(cloud: &Cloud, entry: &str, scope: &str) -> anyhow::Result<String> {
    let mut command = cloud.exec(entry, "demo")?;
    command.args(["--", "openstack", "server", "create", "my-vm", "--image", "debian", "--flavor", "tiny"]);
    command.args(["--nic", "none", "-f", "json", "--scope", scope]);
    let printed = well("cheops exec -- openstack server create", &mut command)?;
    let begin = printed.find('{').context("no document")?;
    let made: Value = serde_json::from_str(&printed[begin..])?;
    Ok(made["id"].as_str().context("no id")?.to_owned())
}

#[test]
fn by_the_unmodified_command_under_exec_wherever_it_asks() -> anyhow::Result<()> {
    shared(|cloud| {
        for entry in ENTRIES {
            let id = by_command(cloud, entry, SCOPE)?;
            holds(cloud, entry, &cloud.site(entry).token("demo")?, &id)?;
            tell("openstack", &format!("entry at {entry}, the seed's line: {id} at Berlin, disk as Paris's image"));
        }
        Ok(())
    })
}

/// A scope that names no service is for what the request addresses, and the services below that are its site's own: also
/// Glance, although Paris's Nova finds Berlin's in the catalog that came with the token of Berlin's user.
#[test]
fn a_bare_scope_makes_a_server_of_what_its_site_has() -> anyhow::Result<()> {
    shared(|cloud| {
        let token = cloud.site("Berlin").token("demo")?;
        let image = image_id(cloud, "Berlin", &token)?;
        let id = cloud.site("Berlin").create(&Ask::server("bare", &image).token(&token).scope("{Paris}"))?;
        holds_at("Paris", cloud, "Berlin", &token, &id)?;
        let id = by_command(cloud, "Berlin", "{Paris}")?;
        holds_at("Paris", cloud, "Berlin", &cloud.site("Berlin").token("demo")?, &id)?;
        tell("openstack", "a bare {Paris} at Berlin: a server at Paris, of Paris's image");
        Ok(())
    })
}
