//! A service that counts what it is sent, and clients that never try anything twice; see `cheops_tests::lab::load`.

fn main() -> anyhow::Result<()> {
    cheops_tests::lab::load::main()
}
