//! What the programs counted.

use aya::maps::{MapData, PerCpuArray};
use cheops_ebpf_common::Count;

use super::{KernelError, map};

/// One counter: the hook, outcome and reason in stable words, and how often since the programs were loaded.
pub type Counter = (&'static str, &'static str, u64);

/// All of them, those that never counted too, summed over the processors.
///
/// # Errors
/// When the map can't be read.
pub fn read(counters: &PerCpuArray<MapData, u64>) -> Result<Vec<Counter>, KernelError> {
    Count::ALL
        .iter()
        .map(|count| {
            let each = counters.get(&(*count as u32), 0).map_err(map("COUNTERS"))?;
            Ok((count.hook(), count.what(), each.iter().sum()))
        })
        .collect()
}
