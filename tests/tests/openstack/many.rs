//! Many creations at once, scoped and not: each server has its own image's bytes, from where its scope says.
//!
//! The images have the same ids at both sites, and other bytes: a call that goes to the wrong place shows in a disk, and
//! doesn't fail.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use cheops_agent::peer::PeerIdentity;
use cheops_agent::peer::trust::Validity;
use cheops_tests::lab::openstack::{Api, Ask, Bus, COMPUTE, Cloud, SitePlan, Token};
use cheops_tests::lab::{Agent, Files, Settings, eventually, tell};
use serde_json::{Value, json};

use super::*;

/// Servers of each kind.
const EACH: usize = 30;
/// Clients at a time.
const CLIENTS: usize = 10;
/// Until all servers are built, however busy the machine.
const BUILT: Duration = Duration::from_secs(240);

/// What a server is made of, and where.
#[derive(Clone, Copy)]
struct Kind {
    /// Where Nova is, which is asked, and where the image is.
    nova: &'static str,
    glance: &'static str,
    scoped: bool,
}

const SHARED: Kind = Kind { nova: "Berlin", glance: "Paris", scoped: true };
const UNSCOPED: Kind = Kind { nova: "Berlin", glance: "Berlin", scoped: false };
const OTHER_WAY: Kind = Kind { nova: "Paris", glance: "Berlin", scoped: true };

/// Image number `number`'s id, at whichever site.
fn image(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// Its bytes at a site.
fn bytes(site: &str, number: usize) -> Vec<u8> {
    format!("image {number} of {site}, ").bytes().cycle().take(10_000 + number).collect()
}

/// Gives the sites images with the same ids and other bytes.
fn fill(cloud: &Cloud, count: usize) -> anyhow::Result<()> {
    for site in ["Berlin", "Paris"] {
        let (at, token) = (cloud.site(site), cloud.site(site).token("admin")?);
        for number in 0..count {
            let id = image(number);
            let about = json!({
                "id": id, "name": format!("image-{number}"), "disk_format": "raw", "container_format": "bare",
                "visibility": "public",
            });
            at.need(Api::Glance, &Ask::post("/v2/images", &about).token(&token))?;
            let put =
                Ask::new("PUT", &format!("/v2/images/{id}/file")).header("Content-Type", "application/octet-stream");
            at.need(Api::Glance, &put.token(&token).body(bytes(site, number)))?;
        }
    }
    Ok(())
}

/// A server that was asked for.
struct Made {
    kind: Kind,
    number: usize,
    id: String,
}

/// Asks for all servers at once, the kinds mixed; `meanwhile` is called when a third of them was asked for. A request that
/// `may_fail` and does is left out.
fn create(
    cloud: &Cloud,
    kinds: &[Kind],
    each: usize,
    may_fail: bool,
    meanwhile: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Made>> {
    let tokens = ["Berlin", "Paris"].map(|site| cloud.site(site).token("demo"));
    let [berlin, paris] = tokens;
    let (berlin, paris) = (berlin?, paris?);
    let (next, all) = (AtomicUsize::new(0), each * kinds.len());
    let ask = |turn: usize| -> anyhow::Result<Option<Made>> {
        let (kind, number) = (kinds[turn % kinds.len()], turn / kinds.len());
        let token = if kind.nova == "Berlin" { &berlin } else { &paris };
        let mut ask = Ask::server(&format!("vm-{turn}"), &image(number)).token(token);
        if kind.scoped {
            ask = ask.scope(&format!("{{Nova: {}, Glance: {}}}", kind.nova, kind.glance));
        }
        match cloud.site(kind.nova).create(&ask) {
            Ok(id) => Ok(Some(Made { kind, number, id })),
            Err(_) if may_fail => Ok(None),
            Err(error) => {
                // Nobody asks for more.
                next.store(all, Ordering::Relaxed);
                Err(error)
            }
        }
    };
    let work = || -> anyhow::Result<Vec<Made>> {
        let mut made = Vec::new();
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= all {
                return Ok(made);
            }
            made.extend(ask(turn)?);
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(work)).collect();
        let asked = eventually(BUILT, || next.load(Ordering::Relaxed) > all / 3);
        ensure!(asked, "the clients stand still");
        meanwhile()?;
        let joined = clients.into_iter().map(|client| client.join());
        let made = joined.map(|made| made.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        Ok(made.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect())
    })
}

/// Every server of a site, as its own Nova says.
fn servers(cloud: &Cloud, site: &str, token: &Token) -> anyhow::Result<Vec<Value>> {
    let ask = Ask::get("/v2.1/servers/detail?limit=1000").token(token).header("OpenStack-API-Version", COMPUTE);
    let mut answer = cloud.site(site).need(Api::Nova, &ask)?;
    Ok(answer["servers"].take().as_array().cloned().unwrap_or_default())
}

/// Waits until all are built; how many have the right disk. None may have a wrong one, and none may have failed unless
/// `may_fail`.
fn check(cloud: &Cloud, made: &[Made], may_fail: bool) -> anyhow::Result<usize> {
    let mut right = 0;
    for site in ["Berlin", "Paris"] {
        let (at, token) = (cloud.site(site), cloud.site(site).token("demo")?);
        let mut all = Vec::new();
        let built = || {
            all = servers(cloud, site, &token).unwrap_or_default();
            let of = |made: &Made| all.iter().find(|server| server["id"] == made.id.as_str());
            let over = |made: &Made| of(made).is_some_and(|server| server["status"] != "BUILD");
            let over = made.iter().filter(|made| made.kind.nova == site).all(over);
            if !over {
                std::thread::sleep(Duration::from_millis(500));
            }
            over
        };
        if !eventually(BUILT, built) {
            let mine = made.iter().filter(|made| made.kind.nova == site);
            let of = |id: &str| all.iter().find(|server| server["id"] == id);
            let left = mine.filter_map(|made| {
                let server = of(&made.id).unwrap_or(&Value::Null);
                let told = ["status", "OS-EXT-STS:task_state", "OS-EXT-SRV-ATTR:host"].map(|name| &server[name]);
                (server["status"] != "ACTIVE").then(|| format!("{} {}: {told:?}", made.id, made.number))
            });
            let left: Vec<String> = left.collect();
            bail!("of {site}'s servers are not built: {}\n{}", left.join("; "), cloud.last_words());
        }
        for Made { kind, number, id } in made.iter().filter(|made| made.kind.nova == site) {
            let server = all.iter().find(|server| server["id"] == id.as_str()).context("it is there")?;
            if server["status"] != "ACTIVE" {
                ensure!(
                    may_fail,
                    "{id} at {site} is {}: {}\n{}",
                    server["status"],
                    server["fault"],
                    cloud.last_words()
                );
                continue;
            }
            let disk = at.disk(id)?;
            if disk != bytes(kind.glance, *number) {
                let text = String::from_utf8_lossy(&disk[..disk.len().min(40)]).into_owned();
                bail!("{id} at {site} shall have image {number} of {}, and has \"{text}\"", kind.glance);
            }
            right += 1;
        }
    }
    Ok(right)
}

/// One round of all three kinds.
fn round(cloud: &Cloud, what: &str) -> anyhow::Result<()> {
    let begin = Instant::now();
    let kinds = [SHARED, UNSCOPED, OTHER_WAY];
    let made = create(cloud, &kinds, EACH, false, || Ok(()))?;
    let right = check(cloud, &made, false)?;
    ensure!(right == EACH * kinds.len(), "only {right} servers");
    let took = begin.elapsed().as_secs_f64();
    tell(
        "openstack",
        &format!("{what}: {right} servers at once in {took:.0} s, each with its image, 0 misplaced, 0 failed"),
    );
    Ok(())
}

fn two(plan: impl Fn(&mut SitePlan)) -> cheops_tests::lab::openstack::CloudBuilder {
    Cloud::builder().sites(&["Berlin", "Paris"]).every(plan)
}

#[test]
fn every_server_has_the_image_that_its_scope_says() -> anyhow::Result<()> {
    let cloud = two(|_| {}).start()?;
    fill(&cloud, EACH)?;
    round(&cloud, "one process for Nova")?;
    // A new agent takes over in the middle: what is under way goes on.
    let (begin, kinds) = (Instant::now(), [SHARED, OTHER_WAY]);
    let replaced = || {
        for site in ["Berlin", "Paris"] {
            let output = cloud.agent(site).cheops(&["upgrade"])?;
            ensure!(output.status.success(), "{site}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    };
    let made = create(&cloud, &kinds, EACH, true, replaced)?;
    let right = check(&cloud, &made, true)?;
    ensure!(right >= EACH, "only {right} of {} servers", made.len());
    let took = begin.elapsed().as_secs_f64();
    let all = EACH * kinds.len();
    tell("openstack", &format!("agents replaced in the middle: {right} of {all} servers in {took:.0} s, 0 misplaced"));
    Ok(())
}

/// Nova in four processes over RabbitMQ, and a second compute service on a host of its own: the ids cross RPC, and the
/// calls come from another host than the request went to.
#[test]
fn every_server_has_its_image_when_nova_is_many_processes_on_two_hosts() -> anyhow::Result<()> {
    const SECOND: &str = "10.77.1.2:7117";
    let own = |site: &str, table: &mut toml::Table| {
        if site == "Berlin" {
            let sites = table.get_mut("sites").and_then(|sites| sites.as_array_mut()).expect("sites");
            let own = [("name", "Berlin".into()), ("peer", toml::Value::Array(vec![SECOND.into()]))];
            sites.push(toml::Value::Table(own.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()));
        }
    };
    let cloud = two(|plan| plan.bus = Bus::Rabbit).at("Berlin", |plan| plan.second = true);
    let cloud = cloud.federation(move |federation| federation.configure(own)).start()?;
    let second = second(&cloud)?;
    fill(&cloud, EACH)?;
    round(&cloud, "Nova on RabbitMQ, Berlin's at two hosts")?;
    let calls = second.metric("cheops_workflow_calls_total{link=\"profile\"}")?.unwrap_or_default();
    ensure!(calls > 0.0, "no server was built on the second host");
    Ok(())
}

/// An agent on the second host of Berlin.
fn second(cloud: &Cloud) -> anyhow::Result<Agent> {
    let host = cloud.site("Berlin").second().context("a second host")?;
    let identity = PeerIdentity { federation: "lab".into(), site: "Berlin".into(), host: host.name().into() };
    let issued = cloud.federation.authority().issue(&identity, Validity::days(1))?;
    let first = cloud.agent("Berlin").files().config();
    let first: toml::Table = std::fs::read_to_string(first)?.parse()?;
    let tables = first["services"].as_array().context("services")?.iter();
    let services =
        tables.map(|table| table.as_table().cloned().context("a table")).collect::<anyhow::Result<Vec<_>>>()?;
    let sites = ["Berlin", "Paris"].map(|site| (site.to_owned(), vec![cloud.site(site).host().at(7117).to_string()]));
    let settings = Settings { peer: Some((cloud.federation.authority(), issued)), sites: sites.into(), services };
    Agent::start(host, Files::write(host, settings)?)
}
