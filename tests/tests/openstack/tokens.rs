//! Tokens of another site, on real OpenStack: who is believed, and what the user is told when that, or the other site,
//! fails.

use cheops_tests::lab::openstack::{Ask, shared};

use super::*;

const PARIS: &str = "{Glance: Paris}";

/// What `openstack image list` says at Berlin, with its exit status; the scope by `cheops exec`.
fn listed(cloud: &Cloud) -> anyhow::Result<(Option<i32>, String)> {
    let mut command = cloud.exec("Berlin", "demo")?;
    command.args(["--scope", PARIS, "--", "openstack", "image", "list", "-f", "value", "-c", "Name"]);
    let output = command.stdin(std::process::Stdio::null()).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
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
