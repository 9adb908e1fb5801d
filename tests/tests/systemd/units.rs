//! The units by themselves.

use super::*;

#[test]
fn the_unit_is_clean_for_systemd() -> anyhow::Result<()> {
    let directory = directory()?;
    let agent = program("cheops-agent")?.display().to_string();
    let service = shipped("cheops-agent.service").replace("/usr/bin/cheops-agent", &agent);
    let path = directory.path().join("cheops-agent.service");
    std::fs::write(&path, service)?;
    let output = run("systemd-analyze", &["verify", "--man=no", &path.display().to_string()])?;
    assert_eq!((output.status.code(), complaint(&output)), (Some(0), String::new()), "{}", out(&output));
    Ok(())
}

#[test]
fn the_sandbox_is_tight() -> anyhow::Result<()> {
    let path = project().join("systemd/cheops-agent.service").display().to_string();
    let output = run("systemd-analyze", &["security", "--no-pager", "--offline=true", "--threshold=30", &path])?;
    assert!(output.status.success(), "more exposed than 3.0: {}{}", out(&output), complaint(&output));
    Ok(())
}

#[test]
fn each_capability_has_its_reason() {
    let text = shipped("cheops-agent.service");
    let list = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no {key}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let ambient = list("AmbientCapabilities=");
    assert_eq!(ambient, list("CapabilityBoundingSet="));
    for capability in ambient {
        assert!(text.lines().any(|line| line.starts_with(&format!("#  {capability} "))), "{capability}: why?");
    }
}

#[test]
fn accounts_and_directories_are_made() -> anyhow::Result<()> {
    let root = directory()?;
    let etc = root.path().join("etc");
    std::fs::create_dir(&etc)?;
    std::fs::write(etc.join("passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    std::fs::write(etc.join("group"), "root:x:0:\n")?;
    let at = format!("--root={}", root.path().display());
    for (name, more) in [("sysusers", [].as_slice()), ("tmpfiles", &["--create"])] {
        let file = project().join(format!("systemd/cheops.{name}")).display().to_string();
        let output = run(&format!("systemd-{name}"), &[&[at.as_str()], more, &[&file]].concat())?;
        assert!(output.status.success(), "{name}: {}", complaint(&output));
    }
    let group = std::fs::read_to_string(etc.join("group"))?;
    assert!(
        group.contains("cheops-admin:x:")
            && group.lines().any(|line| line.starts_with("cheops:") && line.ends_with(":cheops-agent")),
        "{group}"
    );
    assert!(std::fs::read_to_string(etc.join("passwd"))?.contains("cheops-agent:x:"));
    assert!(etc.join("cheops/tls").is_dir());
    Ok(())
}
