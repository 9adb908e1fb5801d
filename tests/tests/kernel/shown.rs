//! What can be seen of the programs from outside.

use std::fs::File;

use anyhow::Context;
use aya::EbpfLoader;
use aya::programs::CgroupSockAddr;
use aya::programs::links::CgroupAttachMode;

use crate::world::{Two, exchange};

const OBJECT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../cheops-ebpf/target/bpfel-unknown-none/release/cheops-ebpf");

#[test]
fn maps_are_dumped_with_their_abi() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    two.taker.session(9, 4711)?;
    exchange(&two.berlin, two.v4)?;
    let maps = two.taker.dump_maps()?;
    assert_eq!(maps["settings"]["abi"], cheops_ebpf_common::ABI_VERSION);
    assert_eq!(maps["programs"].as_array().map(Vec::len), Some(8));
    assert_eq!(maps["lease"]["fresh"], true);
    let guarded = maps["guarded"].as_array().context("a list")?;
    assert_eq!(guarded.len(), 4, "two of the test, two of the self-probe");
    let entry = guarded.iter().find(|entry| entry["address"] == two.v4.to_string()).context("the guarded address")?;
    assert_eq!((&entry["own"], &entry["when-agent-down"]), (&true.into(), &"pass".into()));
    let endpoint =
        maps["endpoints"].as_array().into_iter().flatten().find(|endpoint| endpoint["number"] == entry["number"]);
    assert_eq!(endpoint.map(|endpoint| &endpoint["source"]), Some(&two.v4.ip().to_string().into()));
    assert_eq!(maps["sessions"], serde_json::json!([{ "cgroup": 4711, "session": 9 }]));
    let taken = maps["counters"].as_array().into_iter().flatten();
    let taken = taken.filter(|counter| counter["what"] == "taken").filter_map(|counter| counter["count"].as_u64());
    assert!(taken.sum::<u64>() > 0);
    let facts = two.taker.facts()?;
    assert_eq!(facts["abi"], cheops_ebpf_common::ABI_VERSION);
    Ok(())
}

#[test]
fn detach_takes_the_programs_away_and_services_are_reached() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let (host, to) = (two.berlin.clone(), two.v4);
    two.reaches(&host, to, true)?;
    let gone = two.taker.detach()?;
    assert_eq!(gone.len(), 8, "{gone:?}");
    two.reaches(&host, to, false)?;
    let error = two.taker.dump_maps().expect_err("nothing is attached").to_string();
    assert!(error.contains("no kernel programs of Cheops"), "{error}");
    assert_eq!(two.taker.detach()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn this_host_passes_the_preflight_and_others_programs_are_shown() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let checks = two.taker.preflight()?;
    let checks = checks.as_array().context("a list")?;
    for name in ["kernel-programs", "kernel", "btf", "capabilities", "cgroup2", "cgroup-tree", "other-programs"] {
        let check = checks.iter().find(|check| check["name"] == name).with_context(|| format!("no check {name}"))?;
        assert_eq!(check["grade"], "ok", "{check}");
    }

    // The same object under another name is somebody else's program.
    let object = std::fs::read(OBJECT).context("run: cargo xtask build")?;
    let mut foreign = EbpfLoader::new().load(&renamed(&object, b"cheops_peer4", b"others_peer4"))?;
    let program: &mut CgroupSockAddr = foreign.program_mut("others_peer4").context("renamed")?.try_into()?;
    program.load()?;
    program.attach(File::open(two.berlin.cgroup())?, CgroupAttachMode::Single)?;
    let checks = two.taker.preflight()?;
    let check = checks.as_array().into_iter().flatten().find(|check| check["name"] == "other-programs");
    let check = check.context("no such check")?;
    assert_eq!(check["grade"], "warn");
    assert!(
        check["found"].as_str().is_some_and(|found| found.contains("others_peer4") && found.contains("getpeername4")),
        "{check}"
    );
    assert!(check["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()));
    // Both run, and ours still does its work.
    let (host, to) = (two.berlin.clone(), two.v4);
    two.reaches(&host, to, true)
}

fn renamed(object: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut object = object.to_vec();
    let places: Vec<usize> = (0..object.len()).filter(|at| object[*at..].starts_with(from)).collect();
    for place in places {
        object[place..place + to.len()].copy_from_slice(to);
    }
    object
}
