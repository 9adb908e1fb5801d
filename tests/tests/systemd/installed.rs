//! `cargo xtask install` and `uninstall` below a directory.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use super::*;

const INSTALL: &[&str] = &["install", "--debug"];

/// Every file below `root`, with its mode.
fn files(root: &Path) -> anyhow::Result<BTreeMap<String, u32>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let mode = path.metadata()?.permissions().mode() & 0o777;
                found.insert(path.strip_prefix(root)?.display().to_string(), mode);
            }
        }
    }
    Ok(found)
}

#[test]
fn everything_is_installed_once_and_taken_away_whole() -> anyhow::Result<()> {
    let directory = directory()?;
    let root = directory.path();
    xtask(INSTALL, root)?;
    let installed = files(root)?;
    for (file, mode) in [
        ("usr/bin/cheops", 0o755),
        ("usr/bin/cheops-agent", 0o755),
        ("usr/lib/systemd/system/cheops-agent.service", 0o644),
        ("usr/lib/sysusers.d/cheops.conf", 0o644),
        ("usr/lib/tmpfiles.d/cheops.conf", 0o644),
        ("usr/share/cheops/profiles/rest.toml", 0o644),
        ("usr/share/cheops/profiles/openstack.toml", 0o644),
        ("usr/share/man/man1/cheops-exec.1", 0o644),
        ("usr/share/man/man8/cheops-agent.8", 0o644),
        ("usr/share/bash-completion/completions/cheops", 0o644),
        ("usr/share/zsh/vendor-completions/_cheops", 0o644),
        ("usr/share/fish/vendor_completions.d/cheops-agent.fish", 0o644),
        ("etc/cheops/agent.toml", 0o644),
    ] {
        assert_eq!(installed.get(file), Some(&mode), "{file}");
    }
    let again = xtask(INSTALL, root)?;
    assert!(again.contains(" 0 files written"), "{again}");
    assert_eq!(files(root)?, installed);

    std::fs::write(root.join("etc/cheops/agent.toml"), "site = \"Berlin\"\n")?;
    std::fs::write(root.join("usr/bin/cheops"), "old")?;
    let changed = xtask(INSTALL, root)?;
    assert!(changed.contains(" 1 files written"), "{changed}");
    assert_eq!(std::fs::read_to_string(root.join("etc/cheops/agent.toml"))?, "site = \"Berlin\"\n", "it is the user's");

    xtask(&["uninstall"], root)?;
    assert_eq!(files(root)?.into_keys().collect::<Vec<_>>(), ["etc/cheops/agent.toml"]);
    assert!(!root.join("usr").exists());
    xtask(&["uninstall", "--purge"], root)?;
    assert_eq!(files(root)?, BTreeMap::new());
    Ok(())
}

#[test]
fn what_an_earlier_version_left_goes() -> anyhow::Result<()> {
    let directory = directory()?;
    let root = directory.path();
    xtask(INSTALL, root)?;
    let list = root.join("usr/share/cheops/installed");
    std::fs::write(root.join("usr/share/man/man1/cheops-gone.1"), "old")?;
    std::fs::write(root.join("usr/share/man/man1/others.1"), "somebody else's")?;
    std::fs::write(&list, std::fs::read_to_string(&list)? + "usr/share/man/man1/cheops-gone.1\n")?;
    let text = xtask(INSTALL, root)?;
    assert!(text.contains("1 of an earlier version removed"), "{text}");
    xtask(&["uninstall", "--purge"], root)?;
    assert_eq!(files(root)?.into_keys().collect::<Vec<_>>(), ["usr/share/man/man1/others.1"]);
    Ok(())
}
