//! Nova as operators run it: four processes and a broker, and a compute service at a host of its own.

use std::collections::BTreeSet;

use cheops_tests::lab::openstack::{Api, Ask, Bus, Program};

use super::*;

/// Berlin's Nova runs on RabbitMQ, at two hosts, of which only the first has an agent.
fn two_hosts() -> anyhow::Result<Cloud> {
    let two = |plan: &mut cheops_tests::lab::openstack::SitePlan| {
        plan.bus = Bus::Rabbit;
        plan.second = true;
    };
    Cloud::builder()
        .sites(&["Berlin", "Paris"])
        .at("Berlin", two)
        .image("Berlin", Image::public("cirros", "Berlin's cirros, ", 100_001))
        .image("Paris", Image::public("debian", "Paris's debian, ", 300_001))
        .start()
}

#[test]
fn four_processes_at_two_hosts_build_servers_of_either_sites_image() -> anyhow::Result<()> {
    let cloud = two_hosts()?;
    let berlin = cloud.site("Berlin");
    let (token, admin) = (berlin.token("demo")?, berlin.token("admin")?);
    let images = [
        (berlin, berlin.image("cirros")?, "{Nova: Berlin}"),
        (cloud.site("Paris"), cloud.site("Paris").image("debian")?, "{Nova: Berlin, Glance: Paris}"),
    ];
    let mut hosts = BTreeSet::new();
    // The scheduler takes any host that has room.
    for number in 0..40 {
        for (site, image, scope) in &images {
            let server = berlin.create(&Ask::server(&format!("vm{number}"), image).token(&token).scope(scope))?;
            berlin.active(&token, &server)?;
            assert!(berlin.disk(&server)? == own_image(site).bytes, "not {}'s image", site.name());
            let about = berlin.server(&admin, &server)?;
            hosts.insert((about["OS-EXT-SRV-ATTR:host"].as_str().unwrap_or_default().to_owned(), site.name()));
        }
        if hosts.len() == 4 {
            break;
        }
    }
    let all = ["berlin", "berlin-compute"].map(|host| ["Berlin", "Paris"].map(|site| (host.to_owned(), site)));
    assert_eq!(hosts, all.into_iter().flatten().collect());
    let running = berlin.running();
    for program in [Program::NovaApi, Program::NovaConductor, Program::NovaScheduler, Program::NovaCompute] {
        assert!(running.contains(&program) && berlin.ended().is_none(), "{running:?}");
    }
    // The API answers while no compute service does: it is another process.
    berlin.stop(Program::NovaCompute)?;
    assert_eq!(berlin.ask(Api::Nova, &Ask::get("/v2.1/servers").token(&token))?.status, 200);
    Ok(())
}
