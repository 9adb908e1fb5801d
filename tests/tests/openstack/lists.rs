//! Lists of another site and of several, one resource of another site, and images that go there and come from there.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, ensure};
use cheops_tests::lab::openstack::{Api, Ask, shared, well};
use cheops_tests::lab::{Answer, eventually, tell};
use serde_json::Value;

use super::*;

const LONG: Duration = Duration::from_secs(120);

/// What the unmodified command prints at Berlin under `cheops exec`, for the ordinary member.
fn said(cloud: &Cloud, scope: &str, line: &str) -> anyhow::Result<String> {
    let mut command = cloud.exec("Berlin", "demo")?;
    command.args(["--scope", scope, "--", "openstack"]).args(line.split(' '));
    well(&format!("openstack {line} --scope {scope}"), &mut command)
}

fn json(cloud: &Cloud, scope: &str, line: &str) -> anyhow::Result<Value> {
    let said = said(cloud, scope, &format!("{line} -f json"))?;
    serde_json::from_str(&said).with_context(|| format!("no JSON: {said}"))
}

/// A column of what a list command printed.
fn column(list: &Value, name: &str) -> BTreeSet<String> {
    let rows = list.as_array().into_iter().flatten();
    rows.filter_map(|row| row[name].as_str()).map(str::to_owned).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_another_site_has_is_listed_and_shown() -> anyhow::Result<()> {
    shared(|cloud| {
        let (berlin, paris) = (cloud.site("Berlin"), cloud.site("Paris"));
        let image = paris.image("debian")?;
        let listed = column(&json(cloud, "{Glance: Paris}", "image list --public")?, "Name");
        assert!(listed.contains("debian") && !listed.contains("cirros"), "{listed:?}");
        let shown = json(cloud, "{Glance: Paris}", "image show debian")?;
        assert_eq!((&shown["id"], &shown["name"]), (&image.as_str().into(), &"debian".into()));

        let (token, scope) = (berlin.token("demo")?, "{Nova: Paris, Glance: Paris}");
        let server = berlin.create(&Ask::server("listed", &image).token(&token).scope(scope))?;
        let status = || {
            let ask = Ask::get(&format!("/v2.1/servers/{server}")).token(&token).scope(scope);
            Ok::<_, anyhow::Error>(berlin.need(Api::Nova, &ask)?["server"]["status"].clone())
        };
        let built = eventually(LONG, || status().is_ok_and(|status| status == "ACTIVE"));
        ensure!(built, "it is {:?}", status());
        assert!(column(&json(cloud, scope, "server list")?, "ID").contains(&server));
        assert!(!column(&json(cloud, "{Nova: Berlin}", "server list")?, "ID").contains(&server));
        let shown = json(cloud, scope, &format!("server show {server}"))?;
        assert_eq!((&shown["name"], &shown["status"]), (&"listed".into(), &"ACTIVE".into()));
        let log = said(cloud, scope, &format!("console log show {server}"))?;
        assert!(log.starts_with(&format!("paris: {server} ")), "{log}");
        said(cloud, scope, &format!("server delete --wait {server}"))?;
        Ok(())
    })
}

/// The most that a process's memory has been since it was last set back. KiB.
fn peak(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// KiB that agents may take for what passes through them.
const GROWTH: u64 = 8 * 1024;

#[test]
fn an_image_of_256_mib_goes_to_another_site_and_comes_back_without_being_held() -> anyhow::Result<()> {
    shared(|cloud| {
        let directory = tempfile::tempdir()?;
        let (up, down) = (directory.path().join("up"), directory.path().join("down"));
        let bytes: Vec<u8> = (0..256_u32 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        assert_eq!(bytes.len(), 256 << 20);
        fs::write(&up, &bytes)?;
        let agents: Vec<(&str, u32)> =
            ["Berlin", "Paris"].into_iter().filter_map(|site| Some((site, cloud.agent(site).pid()?))).collect();
        // What the first request of a kind makes an agent load isn't counted.
        said(cloud, "{Glance: Paris}", "image list")?;
        for (_, pid) in &agents {
            fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        }
        let before = agents.iter().map(|(_, pid)| peak(*pid)).collect::<anyhow::Result<Vec<_>>>()?;
        let create = "image create --disk-format raw --container-format bare --file";
        said(cloud, "{Glance: Paris}", &format!("{create} {} large", up.display()))?;
        said(cloud, "{Glance: Paris}", &format!("image save --file {} large", down.display()))?;
        for ((site, pid), before) in agents.iter().zip(before) {
            let grown = peak(*pid)?.saturating_sub(before);
            tell("lists", &format!("{site}'s agent grew by {grown} KiB from {before} KiB"));
            assert!(grown < GROWTH, "{site}'s agent grew by {grown} KiB");
        }
        assert!(fs::read(&down)? == bytes, "what comes back is what went");
        // It is at Paris, and nowhere else.
        let shown = json(cloud, "{Glance: Paris}", "image show large")?;
        let id = shown["id"].as_str().context("an id")?;
        assert_eq!(shown["size"], 256 << 20);
        let at = |site: &str| cloud.site(site).directory().join("images").join(id).exists();
        assert_eq!((at("Berlin"), at("Paris"), at("Nantes")), (false, true, false));
        said(cloud, "{Glance: Paris}", &format!("image delete {id}"))?;
        Ok(())
    })
}

/// Berlin & Paris, as curl sees it.
fn list(cloud: &Cloud, query: &str) -> anyhow::Result<Answer> {
    let berlin = cloud.site("Berlin");
    let ask = Ask::get(&format!("/v2/images?{query}")).token(&berlin.token("demo")?);
    berlin.ask(Api::Glance, &ask.scope(BOTH))
}

const BOTH: &str = "{Glance: Berlin & Paris}";

fn images(answer: &Answer) -> anyhow::Result<Vec<Value>> {
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    Ok(answer.json()?["images"].as_array().cloned().unwrap_or_default())
}

/// (site, image) of each element.
fn marked(images: &[Value]) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    images.iter().map(|image| (text(&image["cheops_site"]), text(&image["name"]))).collect()
}

fn both() -> BTreeSet<(String, String)> {
    [("Berlin", "cirros"), ("Paris", "debian")].map(|(site, name)| (site.to_owned(), name.to_owned())).into()
}

#[test]
fn images_of_two_sites_are_one_list_each_marked_and_paged() -> anyhow::Result<()> {
    shared(|cloud| {
        let whole = list(cloud, "visibility=public")?;
        assert_eq!(whole.header("x-cheops-sites").as_deref(), Some("Berlin=ok, Paris=ok"));
        let whole = images(&whole)?;
        assert_eq!(marked(&whole), both());
        assert!(whole.iter().rev().map(|image| image["created_at"].as_str()).is_sorted(), "newest first");

        // By the link, and by the last element's id as the command does it.
        let (mut by_link, mut query) = (Vec::new(), "visibility=public&limit=1".to_owned());
        loop {
            let answer = list(cloud, &query)?;
            by_link.extend(images(&answer)?);
            let document = answer.json()?;
            let Some(next) = document["next"].as_str() else { break };
            query = next.split_once('?').context("a query")?.1.to_owned();
        }
        assert_eq!(by_link, whole);
        let (mut by_id, mut marker) = (Vec::new(), String::new());
        loop {
            let page = json(cloud, BOTH, &format!("image list --public --limit 1{marker}"))?;
            let Some(id) = page[0]["ID"].as_str() else { break };
            by_id.push(id.to_owned());
            marker = format!(" --marker {id}");
        }
        let ids = whole.iter().filter_map(|image| image["id"].as_str()).collect::<Vec<_>>();
        assert_eq!(by_id, ids, "the command's pages");

        // What the command makes of the mark: a property like any other.
        let listed = json(cloud, BOTH, "image list --public")?;
        assert_eq!(column(&listed, "Name"), names(&["cirros", "debian"]));
        let paris = json(cloud, BOTH, "image list --public --property cheops_site=Paris")?;
        assert_eq!(column(&paris, "Name"), names(&["debian"]));
        // One image, wherever it is.
        for (site, image) in both() {
            let id = cloud.site(&site).image(&image)?;
            assert_eq!(json(cloud, BOTH, &format!("image show {id}"))?["name"], image.as_str());
        }
        Ok(())
    })
}

#[test]
fn with_a_site_away_the_others_images_are_there_and_what_is_missing_is_said() -> anyhow::Result<()> {
    shared(|cloud| {
        cloud.federation.world().isolate("Paris", true);
        let answer = list(cloud, "visibility=public");
        let listed = json(cloud, BOTH, "image list --public");
        cloud.federation.world().isolate("Paris", false);
        let answer = answer?;
        let sites = answer.header("x-cheops-sites").unwrap_or_default();
        assert!(sites.starts_with("Berlin=ok, Paris=") && !sites.ends_with("=ok"), "{sites}");
        assert_eq!(marked(&images(&answer)?), [("Berlin".to_owned(), "cirros".to_owned())].into());
        assert_eq!(column(&listed?, "Name"), names(&["cirros"]));
        let whole = || {
            list(cloud, "visibility=public").and_then(|answer| images(&answer)).is_ok_and(|all| marked(&all) == both())
        };
        ensure!(eventually(LONG, whole), "Paris's are there again");
        Ok(())
    })
}

/// A server of an image that either site may have: Nova at Berlin asks both.
#[test]
fn an_image_is_found_at_whichever_of_the_sites_it_is() -> anyhow::Result<()> {
    shared(|cloud| {
        let (berlin, paris) = (cloud.site("Berlin"), cloud.site("Paris"));
        let token = berlin.token("demo")?;
        for from in [berlin, paris] {
            let image = own_image(from);
            let ask = Ask::server("of-either", &from.image(&image.name)?).token(&token);
            let server = berlin.create(&ask.scope("{Nova: Berlin, Glance: Berlin & Paris}"))?;
            berlin.active(&token, &server)?;
            assert!(berlin.disk(&server)? == image.bytes, "{}'s image", from.name());
            berlin.need(Api::Nova, &Ask::delete(&format!("/v2.1/servers/{server}")).token(&token))?;
        }
        Ok(())
    })
}
