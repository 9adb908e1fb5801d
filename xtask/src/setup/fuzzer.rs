//! What the fuzz targets are built with: the compiler, and what it is told so that libFuzzer sees where bytes lead to. It
//! is what cargo-fuzz would tell it, without building cargo-fuzz, and with more than one codegen unit: the agent's crate
//! would be compiled on one processor.

use std::process::Command;

use crate::run;

/// Counters and comparisons, as libFuzzer reads them.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-sanitizer-coverage-stack-depth \
                        -Cllvm-args=-simplifycfg-branch-fold-threshold=0 --cfg fuzzing -Cdebug-assertions";

/// Only a nightly compiler has it.
const SANITIZER: &str = "-Zsanitizer=address";

/// Whether rustup's nightly is there: it alone has the address sanitizer.
pub fn has_sanitizer() -> bool {
    run::output(run::command("rustc").args(["+nightly", "--version"])).is_some()
}

/// cargo, with the compiler that serves here and what it is told.
pub fn cargo() -> Command {
    let sanitizer = has_sanitizer();
    let mut cargo = run::command("cargo");
    let mut flags = COVERAGE.to_owned();
    if sanitizer {
        cargo.arg("+nightly");
        flags = format!("{flags} {SANITIZER}");
    }
    cargo.env("RUSTFLAGS", flags);
    cargo
}
