//! The smallest agent, for tests of the kernel programs; see `cheops_tests::lab::taker`.

fn main() -> anyhow::Result<()> {
    cheops_tests::lab::taker::serve()
}
