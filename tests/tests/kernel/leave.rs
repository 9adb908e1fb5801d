//! Connections that processes of the host open.

use crate::world::{Two, get};

#[test]
fn ipv4_is_taken_and_both_ends_see_each_other() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let mut client = two.berlin.connect(two.v4)?;
    let answer = client.exchange(get("/echo"))?;
    assert_eq!(answer.site().as_deref(), Some("Berlin"));
    let seen = two.taker.taken()?;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].orig, two.v4);
    assert_eq!(client.stream().peer_addr()?, two.v4);
    assert_eq!(client.local()?.ip(), two.v4.ip());
    assert_eq!(seen[0].client, client.local()?);
    assert_eq!(two.app.requests()[0].peer, client.local()?);
    Ok(())
}
