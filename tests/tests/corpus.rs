//! Suite `corpus`: the seeds of the fuzz targets, played through every target as `cargo xtask fuzz` does.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fuzz::TARGETS;

#[path = "../fuzz/src/lib.rs"]
#[expect(dead_code, reason = "other suites use the rest of it")]
mod fuzz;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(corpus().join(target)).expect("each target has seeds");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths.map(|path| (path.clone(), fs::read(path).expect("a readable seed"))).collect()
}

/// Every seed through every target, so that what one of them found is tried on all.
fn all_through(target: &str) {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target of this name");
    assert!(!seeds(target).is_empty());
    for (path, data) in TARGETS.iter().flat_map(|(folder, _)| seeds(folder)) {
        assert!(catch_unwind(|| run(&data)).is_ok(), "{target} fails with {}", path.display());
        // Cut off anywhere, as a connection may be.
        for end in (0..data.len()).step_by(data.len() / 50 + 1) {
            let cut = &data[..end];
            assert!(catch_unwind(|| run(cut)).is_ok(), "{target} fails with the first {end} of {}", path.display());
        }
    }
}

macro_rules! targets {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            all_through(stringify!($name));
        })*

        #[test]
        fn every_target_and_every_folder_is_played() {
            let played = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), played);
            let mut folders: Vec<_> = fs::read_dir(corpus()).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
            folders.sort();
            assert_eq!(folders, played);
        }
    };
}

targets!(answer, body, carriers, envelope, framing, head, peer, profile, scope);
