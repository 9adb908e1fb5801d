//! Every target in one program, so that only one is linked: `CHEOPS_FUZZ_TARGET` names the one that runs.

#![no_main]

use std::sync::LazyLock;

use cheops_fuzz::TARGETS;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("CHEOPS_FUZZ_TARGET").expect("CHEOPS_FUZZ_TARGET names a target");
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("there is no target {name}")).1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
