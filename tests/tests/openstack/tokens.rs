//! Tokens of another site, on real OpenStack: who is believed, and what the user is told when that, or the other site,
//! fails.

use cheops_tests::lab::openstack::{Api, Ask, Program, SitePlan, Token, shared};
use cheops_tests::lab::{Answer, eventually, files_below, program};

use super::*;

const SOON: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(120);
const PARIS: &str = "{Glance: Paris}";

/// What `openstack image list` says at Berlin, with its exit status; the scope by `cheops exec`.
fn listed(cloud: &Cloud) -> anyhow::Result<(Option<i32>, String)> {
    let mut command = cloud.exec("Berlin", "demo")?;
    command.args(["--scope", PARIS, "--", "openstack", "image", "list", "-f", "value", "-c", "Name"]);
    let output = command.stdin(std::process::Stdio::null()).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
}

/// Berlin's client asks for Paris's images.
fn images(cloud: &Cloud, token: &Token) -> anyhow::Result<Answer> {
    cloud.site("Berlin").ask(Api::Glance, &Ask::get("/v2/images").token(token).scope(PARIS))
}

#[test]
fn a_member_of_one_site_makes_a_server_there_of_another_sites_image() -> anyhow::Result<()> {
    shared(|cloud| {
        let (berlin, paris) = (cloud.site("Berlin"), cloud.site("Paris"));
        let image = own_image(paris);
        let token = berlin.token("demo")?;
        let ask = Ask::server("tokens-vm", &paris.image(&image.name)?).token(&token);
        let server = berlin.create(&ask.scope("{Nova: Berlin, Glance: Paris}"))?;
        berlin.active(&token, &server)?;
        assert!(berlin.disk(&server)? == image.bytes, "the disk is another image's");
        let (status, text) = listed(cloud)?;
        assert_eq!((status, text.trim()), (Some(0), image.name.as_str()));
        Ok(())
    })
}

/// Runs what fails, and what puts it right again; in between the client and the command are told of it.
fn told(
    cloud: &mut Cloud,
    breaks: impl FnOnce(&mut Cloud) -> anyhow::Result<()>,
    mends: impl FnOnce(&mut Cloud) -> anyhow::Result<()>,
    (status, code, says): (u16, &str, &str),
) -> anyhow::Result<()> {
    let token = cloud.site("Berlin").token("demo")?;
    breaks(cloud)?;
    let mut last = None;
    let seen = eventually(SOON, || {
        last = images(cloud, &token).ok();
        last.as_ref().is_some_and(|answer| answer.status == status)
    });
    let command = listed(cloud);
    mends(cloud)?;
    let answer = last.expect("an answer");
    let (_, said) = command?;
    assert!(
        seen && answer.text().contains(code) && answer.text().contains(says),
        "{} {}",
        answer.status,
        answer.text()
    );
    assert!(answer.text().contains("Paris") && said.contains("Paris"), "{said}");
    let works = || images(cloud, &token).is_ok_and(|answer| answer.status == 200);
    assert!(eventually(SOON, works), "it does not work again");
    Ok(())
}

#[test]
fn each_failure_is_told_once_with_the_site() -> anyhow::Result<()> {
    shared(|cloud| {
        let stop = |site: &'static str, program| move |cloud: &mut Cloud| cloud.site(site).stop(program);
        let restart = |site: &'static str, program| move |cloud: &mut Cloud| cloud.site(site).restart(program);
        told(
            cloud,
            stop("Paris", Program::Glance),
            restart("Paris", Program::Glance),
            (502, "service-unreachable", "Paris"),
        )?;
        told(
            cloud,
            stop("Paris", Program::Keystone),
            restart("Paris", Program::Keystone),
            (503, "issuer-unreachable", "Keystone"),
        )?;
        let isolate = |cut: bool| {
            move |cloud: &mut Cloud| {
                cloud.federation.world().isolate("Paris", cut);
                Ok(())
            }
        };
        told(cloud, isolate(true), isolate(false), (503, "peer-unreachable", "Paris"))?;
        let trust = |sites: &'static str| {
            move |cloud: &mut Cloud| {
                cloud.federation.agent_mut("Paris").reload(|table| {
                    table["identity"].as_table_mut().expect("a table").insert("trust".to_owned(), sites.into());
                })
            }
        };
        told(cloud, trust("Nantes"), trust("*"), (401, "token-untrusted", "Berlin"))?;
        Ok(())
    })
}

#[test]
fn a_home_that_is_away_vouches_for_nobody() -> anyhow::Result<()> {
    shared(|cloud| {
        let token = cloud.site("Berlin").token("demo")?;
        cloud.site("Berlin").stop(Program::Keystone)?;
        let answer = images(cloud, &token)?;
        cloud.site("Berlin").restart(Program::Keystone)?;
        assert!(answer.status == 503 && answer.text().contains("home-unreachable"), "{}", answer.text());
        assert!(answer.text().contains("Paris") && answer.text().contains("Berlin"), "{}", answer.text());
        Ok(())
    })
}

#[test]
fn a_revoked_token_ends_with_the_services_own_memory_of_it() -> anyhow::Result<()> {
    shared(|cloud| {
        let berlin = cloud.site("Berlin");
        let (token, other) = (berlin.token("demo")?, berlin.token("demo")?);
        assert_eq!(images(cloud, &token)?.status, 200);
        berlin.revoke(&token)?;
        let cache = Duration::from_secs(u64::try_from(berlin.plan().token_cache)?);
        let mut last = None;
        let refused = eventually(cache + SOON, || {
            last = images(cloud, &token).ok();
            last.as_ref().is_some_and(|answer| answer.status == 401)
        });
        let answer = last.expect("an answer");
        assert!(refused && answer.text().contains("token-not-valid-at-home"), "{} {}", answer.status, answer.text());
        assert_eq!(images(cloud, &other)?.status, 200, "the user's other token is as good as before");
        // Nova's own error for a server whose image can't be had.
        let image = cloud.site("Paris").image(&own_image(cloud.site("Paris")).name)?;
        let ask = Ask::server("tokens-revoked", &image).token(&token).scope("{Nova: Berlin, Glance: Paris}");
        let answer = berlin.ask(Api::Nova, &ask)?;
        assert_eq!(answer.status, 401, "{}", answer.text());
        Ok(())
    })
}

/// It is refused with the reason; but a server whose user's token expires while it is built gets its image: Nova's own
/// token comes along, and at home vouches for the user's.
#[test]
fn an_expired_token_is_refused_and_lasts_for_what_is_under_way() -> anyhow::Result<()> {
    const LIFE: u32 = 30;
    let builder = Cloud::builder().sites(&["Berlin", "Paris"]).every(|plan| plan.token_cache = 1);
    let image = Image::public("debian", "Paris's debian, ", 4096);
    let short = |plan: &mut SitePlan| (plan.token_life, plan.service_tokens) = (LIFE, true);
    let cloud = builder.image("Paris", image).at("Berlin", short).start()?;
    let (berlin, debian) = (cloud.site("Berlin"), cloud.site("Paris").image("debian")?);
    berlin.hold_images(true)?;
    let ask = Ask::server("slow", &debian).token(&berlin.token("demo")?).scope("{Nova: Berlin, Glance: Paris}");
    let slow = berlin.create(&ask)?;
    // Issued later.
    let token = berlin.token("demo")?;
    assert_eq!(images(&cloud, &token)?.status, 200);
    let mut last = None;
    let refused = eventually(Duration::from_secs(u64::from(LIFE)) + SOON, || {
        last = images(&cloud, &token).ok();
        last.as_ref().is_some_and(|answer| answer.status == 401)
    });
    let text = last.expect("an answer").text();
    assert!(refused && text.contains("token-not-valid-at-home") && text.contains("expired"), "{text}");
    assert!(text.contains("Paris") && text.contains("Berlin"), "{text}");
    berlin.hold_images(false)?;
    let mut last = String::new();
    let built = eventually(LONG, || {
        let server = berlin.token("demo").and_then(|token| berlin.server(&token, &slow));
        last = server.map_or_else(|error| error.to_string(), |server| server["status"].to_string());
        last == "\"ACTIVE\"" || {
            std::thread::sleep(Duration::from_millis(500));
            false
        }
    });
    assert!(built, "the server is {last}\n{}", cloud.last_words());
    assert!(berlin.disk(&slow)? == cloud.site("Paris").plan().images[0].bytes, "another image's disk");
    assert_eq!(images(&cloud, &berlin.token("demo")?)?.status, 200);
    Ok(())
}

/// Everything that agents write and say: logs, state and run directories, metrics, the admin API, reports.
fn places(cloud: &Cloud) -> anyhow::Result<Vec<(String, String)>> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut places = Vec::new();
    for site in cloud.sites() {
        let agent = cloud.agent(site.name());
        for path in ["/metrics", "/v1/status", "/v1/sites", "/v1/services", "/v1/workflows", "/v1/check", "/v1/config"]
        {
            places.push((path.to_owned(), agent.admin(path)?.text()));
        }
        for arguments in [&["bug-report", "--file", "-"][..], &["workflows", "-o", "json"]] {
            places.push((arguments.join(" "), lossy(&agent.cheops(arguments)?.stdout)));
        }
        let mut maps = agent.host().command(program("cheops-agent")?);
        let maps =
            maps.arg("--config").arg(agent.files().directory().join("agent.toml")).arg("--dump-maps").output()?;
        places.push(("--dump-maps".to_owned(), lossy(&maps.stdout)));
        let found = files_below(agent.files().directory())?;
        for path in found {
            places.push((path.display().to_string(), lossy(&std::fs::read(&path)?)));
        }
    }
    Ok(places)
}

#[test]
fn no_token_and_no_password_is_in_anything_that_agents_write_or_say() -> anyhow::Result<()> {
    shared(|cloud| {
        let mut secrets = Vec::new();
        for site in cloud.sites() {
            secrets.extend(site.passwords().all().map(|(_, password)| password.to_owned()));
            secrets.push(site.token("admin")?.id);
        }
        let (berlin, paris) = (cloud.site("Berlin"), cloud.site("Paris"));
        let (token, revoked) = (berlin.token("demo")?, berlin.token("demo")?);
        let ask = Ask::server("tokens-secret", &paris.image(&own_image(paris).name)?).token(&token);
        let server = berlin.create(&ask.scope("{Nova: Berlin, Glance: Paris}"))?;
        berlin.active(&token, &server)?;
        berlin.revoke(&revoked)?;
        assert_eq!(images(cloud, &revoked)?.status, 401);
        assert_eq!(listed(cloud)?.0, Some(0));
        secrets.extend([token.id, revoked.id]);
        let places = places(cloud)?;
        let looked: usize = places.iter().map(|(_, text)| text.len()).sum();
        assert!(looked > 100_000 && places.len() > 60, "only {looked} bytes in {} places", places.len());
        assert!(secrets.len() >= 14 && secrets.iter().all(|secret| secret.len() >= 8), "{}", secrets.len());
        for (name, text) in &places {
            assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())), "a secret is in {name}");
            // With this all of Keystone's tokens begin, the services' own, too.
            assert!(!text.contains("gAAAAA"), "a token is in {name}");
        }
        Ok(())
    })
}
