//! The process that makes sockets inside a host of the lab; see `cheops_tests::lab`.

fn main() -> anyhow::Result<()> {
    cheops_tests::lab::door::serve()
}
