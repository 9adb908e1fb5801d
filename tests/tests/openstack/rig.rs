//! The lab's OpenStack by itself: what a site costs, and that it keeps to itself.

use std::fs;

use cheops_tests::lab::openstack::{Api, Ask, Program, shared};

use super::*;

/// MiB. Proportional: what several processes share counts once.
const MEMORY: u64 = 700;

/// On an idle machine of two processors it is 20 s; three start at once, beside whatever else runs.
const UP: Duration = Duration::from_secs(180);

#[test]
fn a_site_is_up_soon_takes_little_memory_and_listens_nowhere_else() -> anyhow::Result<()> {
    shared(|cloud| {
        let outside = fs::read_link("/proc/self/ns/net")?;
        for site in cloud.sites() {
            let (pss, rss) = site.memory();
            println!("{}: up after {:?}, {pss} MiB, RSS {rss} MiB", site.name(), site.up());
            assert!(pss <= MEMORY, "{} takes {pss} MiB", site.name());
            assert!(site.up() <= UP, "{} took {:?}", site.name(), site.up());
            let pids = fs::read_to_string(site.host().cgroup().join("cgroup.procs"))?;
            assert!(pids.lines().count() >= 5, "{}: {pids}", site.name());
            for pid in pids.lines() {
                let inside = fs::read_link(format!("/proc/{pid}/ns/net"));
                assert!(inside.map_or(true, |inside| inside != outside), "{pid} of {} is outside", site.name());
            }
        }
        Ok(())
    })
}

#[test]
fn sites_share_no_user_project_key_or_password() -> anyhow::Result<()> {
    shared(|cloud| {
        let mut seen = std::collections::BTreeSet::new();
        for site in cloud.sites() {
            for user in ["admin", "demo"] {
                let token = site.token(user)?;
                assert!(seen.insert(token.user().to_owned()) && seen.insert(token.project().to_owned()));
                let known = cloud.sites().iter().filter(|other| {
                    let ask = Ask::get("/v3/auth/tokens").token(&token).header("X-Subject-Token", &token.id);
                    other.ask(Api::Keystone, &ask).is_ok_and(|answer| answer.status == 200)
                });
                assert_eq!(known.map(Site::name).collect::<Vec<_>>(), [site.name()]);
            }
            assert!(site.passwords().all().all(|(_, password)| seen.insert(password.to_owned())));
            for key in ["fernet/0", "fernet/1", "credential/0", "credential/1"] {
                assert!(seen.insert(fs::read_to_string(site.directory().join("keys").join(key))?));
            }
        }
        Ok(())
    })
}

#[test]
fn a_service_that_was_stopped_is_down_and_comes_back() -> anyhow::Result<()> {
    shared(|cloud| {
        let nantes = cloud.site("Nantes");
        let token = nantes.token("demo")?;
        nantes.stop(Program::Glance)?;
        let list = Ask::get("/v2/images").token(&token);
        assert!(nantes.ask(Api::Glance, &list).map_or(true, |answer| answer.status == 502));
        nantes.restart(Program::Glance)?;
        assert_eq!(nantes.need(Api::Glance, &list)?["images"][0]["name"], own_image(nantes).name.as_str());
        Ok(())
    })
}

#[test]
fn a_server_of_its_own_image_has_that_images_bytes() -> anyhow::Result<()> {
    shared(|cloud| {
        for site in cloud.sites() {
            let token = site.token("demo")?;
            let image = own_image(site);
            let server = site.create(&Ask::server("own", &site.image(&image.name)?).token(&token))?;
            site.active(&token, &server)?;
            assert!(site.disk(&server)? == image.bytes, "{}'s disk", site.name());
            let ask = Ask::delete(&format!("/v2.1/servers/{server}")).token(&token);
            site.need(Api::Nova, &ask)?;
        }
        Ok(())
    })
}
