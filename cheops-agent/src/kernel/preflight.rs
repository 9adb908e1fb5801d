//! Whether this host will do, before anything is attached.

use std::path::Path;

use caps::{CapSet, Capability};

use super::found;
use super::tree::{Namespace, Tree};
use crate::config::Config;
use crate::observe::{Check, Grade};

/// Below this a hook or helper is missing: `bpf_get_netns_cookie` in `sock_ops` came last.
const OLDEST: (u32, u32) = (5, 16);
/// Below this nobody has tried.
const TRIED: (u32, u32) = (6, 1);

/// Where a kernel with BTF shows it.
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// What loading and attaching takes, with its reason.
const NEEDED: [(Capability, &str); 2] = [
    (Capability::CAP_BPF, "to load the kernel programs"),
    (Capability::CAP_NET_ADMIN, "to attach them, and to mark the agent's own connections"),
];

/// Looks whether this host will do: kernel, cgroup2, BTF, capabilities, others' programs on the same hooks. Changes nothing.
pub fn preflight(config: &Config) -> Vec<Check> {
    let release = nix::sys::utsname::uname().map(|uname| uname.release().to_string_lossy().into_owned());
    let mut checks =
        vec![programs(), kernel(release.unwrap_or_default().as_str()), btf(Path::new(BTF)), capabilities()];
    match Tree::open(&config.intercept.cgroup) {
        Err(error) => checks.push(Check::not(
            "cgroup2",
            Grade::Fail,
            error.to_string(),
            "Mount cgroup2, or correct intercept.cgroup in the configuration",
        )),
        Ok(tree) => {
            checks.push(Check::ok("cgroup2", format!("processes below {} are caught", tree.path.display())));
            checks.push(inside(&tree));
            checks.push(others(&tree));
        }
    }
    checks
}

fn programs() -> Check {
    if super::load::are_embedded() {
        return Check::ok("kernel-programs", format!("built in, ABI {}", cheops_ebpf_common::ABI_VERSION));
    }
    Check::not("kernel-programs", Grade::Fail, super::KernelError::NoPrograms.to_string(), "Run: cargo xtask build")
}

fn kernel(release: &str) -> Check {
    let mut numbers = release.split(['.', '-', '+']).map(|part| part.parse::<u32>().ok());
    let (Some(Some(major)), Some(Some(minor))) = (numbers.next(), numbers.next()) else {
        let remedy = format!("Use Linux {}.{} or newer", TRIED.0, TRIED.1);
        return Check::not("kernel", Grade::Warn, format!("Linux {release:?}, whose version can't be read"), remedy);
    };
    let found = format!("Linux {release}");
    let newer = format!("Boot Linux {}.{} or newer", TRIED.0, TRIED.1);
    if (major, minor) < OLDEST {
        Check::not("kernel", Grade::Fail, format!("{found} lacks hooks that are needed"), newer)
    } else if (major, minor) < TRIED {
        Check::not("kernel", Grade::Warn, format!("{found} may do, but nobody has tried"), newer)
    } else {
        Check::ok("kernel", found)
    }
}

fn btf(path: &Path) -> Check {
    if path.exists() {
        return Check::ok("btf", format!("{} is there", path.display()));
    }
    Check::not(
        "btf",
        Grade::Fail,
        format!("{} is missing: the kernel can't describe its types", path.display()),
        "Boot a kernel that is built with CONFIG_DEBUG_INFO_BTF=y, as distributions' are; in a container, mount /sys",
    )
}

fn capabilities() -> Check {
    let mut lacking = Vec::new();
    for (capability, reason) in NEEDED {
        if !caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false) {
            lacking.push(format!("{capability} ({reason})"));
        }
    }
    if lacking.is_empty() {
        return Check::ok("capabilities", "CAP_BPF and CAP_NET_ADMIN");
    }
    let remedy = "Run as root, or give them with AmbientCapabilities= as cheops-agent.service does";
    Check::not("capabilities", Grade::Fail, format!("lacking: {}", lacking.join(", ")), remedy)
}

fn inside(tree: &Tree) -> Check {
    match tree.holds_this_process() {
        Ok(()) => Check::ok("cgroup-tree", "this process is inside of the tree"),
        Err(error) => Check::not(
            "cgroup-tree",
            Grade::Warn,
            error.to_string(),
            "Start the agent inside of the tree: the programs must see its own sockets",
        ),
    }
}

/// Others' programs on the same hooks are no error: links stack. But both may rewrite one connection.
fn others(tree: &Tree) -> Check {
    const NAME: &str = "other-programs";
    let found = Namespace::own()
        .map_err(|error| error.to_string())
        .and_then(|namespace| found::programs(tree, &namespace, true).map_err(|error| error.to_string()));
    let found = match found {
        Ok(found) => found,
        Err(why) => return Check::not(NAME, Grade::Warn, format!("can't be asked for: {why}"), "Run as root"),
    };
    let foreign: Vec<String> = found
        .iter()
        .filter(|program| !program.is_cheops())
        .map(|program| match program.name.as_str() {
            "" => format!("number {} at {}", program.id, program.hook),
            name => format!("{name} (number {}) at {}", program.id, program.hook),
        })
        .collect();
    if foreign.is_empty() {
        return Check::ok(NAME, "none on the same hooks");
    }
    let remedy = "They run as well. If they rewrite connections to guarded endpoints, exempt those there; \
        see them with: bpftool prog show id NUMBER";
    Check::not(NAME, Grade::Warn, format!("on the same hooks: {}", foreign.join(", ")), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_graded_by_version() {
        let grade = |release: &str| kernel(release).grade;
        assert_eq!(grade("6.18.44"), Grade::Ok);
        assert_eq!(grade("6.1.0-28-amd64"), Grade::Ok);
        assert_eq!(grade("5.19-rc1"), Grade::Warn);
        assert_eq!(grade("5.10.0"), Grade::Fail);
        assert_eq!(grade("4.19"), Grade::Fail);
        assert_eq!(grade("unknown"), Grade::Warn);
    }

    #[test]
    fn what_fails_has_a_remedy() {
        for check in [kernel("4.19"), btf(Path::new("/nowhere/btf"))] {
            assert_eq!(check.grade, Grade::Fail);
            assert!(!check.remedy.is_empty() && !check.found.is_empty());
        }
    }
}
