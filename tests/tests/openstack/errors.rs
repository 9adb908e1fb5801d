//! What people see of it when their request can't be served: the unmodified command shows the agent's own sentence.

use std::process::Output;

use anyhow::{Context, bail};
use cheops_tests::lab::openstack::{Api, Ask, shared};
use cheops_tests::lab::{eventually, tell};

use super::*;

const BACK: Duration = Duration::from_secs(60);

/// The unmodified command at Berlin under `cheops exec`, for the ordinary member.
fn run(cloud: &Cloud, scope: &str, line: &str) -> anyhow::Result<Output> {
    let mut command = cloud.exec("Berlin", "demo")?;
    command.args(["--scope", scope, "--", "openstack"]).args(line.split(' '));
    command.output().context("can't run cheops exec")
}

/// One sentence that names the site, whichever library the command uses for the service.
#[test]
fn a_site_that_is_away_is_named_by_the_unmodified_command() -> anyhow::Result<()> {
    shared(|cloud| {
        let refused = |scope: &str, line: &str, parts: &[&str]| {
            let output = run(cloud, scope, line)?;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            tell("lists", &format!("openstack {line} --scope {scope}: {}", text.trim()));
            if output.status.success() || !parts.iter().all(|part| text.contains(part)) {
                bail!("{scope}: {line}: {text}");
            }
            Ok(())
        };
        let cases = || {
            // openstacksdk, novaclient, and keystoneauth's own.
            refused("{Glance: Paris}", "image list", &["The other site can't be reached", "Paris"])?;
            refused("{Nova: Paris}", "server list", &["The other site can't be reached", "Paris"])?;
            refused("{Keystone: Paris}", "token issue", &["The other site can't be reached", "Paris"])
        };
        cloud.federation.world().isolate("Paris", true);
        let away = cases();
        cloud.federation.world().isolate("Paris", false);
        away?;
        refused("{Glance: Berlin % Paris}", "image list", &["This collaboration is not available yet"])?;
        Ok(())
    })
}

/// Nothing is half-made: before Nova accepts a server whose image's site is away, there is none; one that it accepted ends
/// in ERROR, for all to see. Nova tells neither why; the agent does.
#[test]
fn a_server_whose_image_is_out_of_reach_fails_for_all_to_see() -> anyhow::Result<()> {
    const SCOPE: &str = "{Nova: Berlin, Glance: Paris}";
    shared(|cloud| {
        let (berlin, paris) = (cloud.site("Berlin"), cloud.site("Paris"));
        let (token, image) = (berlin.token("demo")?, paris.image(&own_image(paris).name)?);
        let ask = |name: &str| Ask::server(name, &image).token(&token).scope(SCOPE);
        berlin.hold_images(true)?;
        let accepted = berlin.create(&ask("accepted"));
        cloud.federation.world().isolate("Paris", true);
        let refused = berlin.ask(Api::Nova, &ask("refused"));
        let line = format!("server create refused --image {image} --flavor tiny --network none");
        let commanded = run(cloud, SCOPE, &line);
        berlin.hold_images(false)?;
        let ended = accepted.and_then(|id| berlin.built(&token, &id));
        let told = cloud.agent("Berlin").cheops(&["workflows", "-o", "wide"]);
        cloud.federation.world().isolate("Paris", false);
        let (refused, ended) = (refused?, ended?);
        tell(
            "openstack",
            &format!("out of reach, before: {} {}; after: {}", refused.status, refused.text(), ended["fault"]),
        );
        let reason = ["Nova answered 500, since its call of Glance failed", "Paris"];
        assert!(reason.iter().all(|part| refused.text().contains(part)), "{} {}", refused.status, refused.text());
        assert!(refused.status >= 500, "{}", refused.status);
        let commanded = commanded?;
        let said = String::from_utf8_lossy(&commanded.stderr).into_owned();
        // It asks for the image before it asks for a server.
        let parts = ["The other site can't be reached", "Paris"];
        assert!(!commanded.status.success() && parts.iter().all(|part| said.contains(part)), "{said}");
        assert_eq!(ended["status"], "ERROR", "{ended}");
        let listed = berlin.need(Api::Nova, &Ask::get("/v2.1/servers").token(&token))?;
        let named =
            |name: &str| listed["servers"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == name));
        assert!(named("accepted") && !named("refused"), "{listed}");
        let told = String::from_utf8_lossy(&told?.stdout).into_owned();
        assert!(told.contains("Glance@Paris"), "{told}");
        let list = Ask::get("/v2/images").token(&token).scope("{Glance: Paris}");
        let back = || berlin.ask(Api::Glance, &list).is_ok_and(|answer| answer.status == 200);
        assert!(eventually(BACK, back), "Paris does not come back");
        Ok(())
    })
}
