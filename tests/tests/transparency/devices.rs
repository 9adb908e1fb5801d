//! A service whose socket is bound to the device that has its address.

use std::time::Duration;

use anyhow::ensure;
use cheops_tests::lab::{Client, Federation, Offered, eventually, tell};
use socket2::SockRef;

use crate::cases::{GET, OK};

const SOON: Duration = Duration::from_secs(40);

/// The lab's hosts have one, and loopback.
const DEVICE: &[u8] = b"wan0";

/// The agent dials over loopback all the same: to a socket, what this host sends to an address of its own comes in at the
/// device that has the address, not at loopback (`rt_iif` of a local route).
#[test]
fn a_service_that_is_bound_to_its_device_is_reached() -> anyhow::Result<()> {
    let app = Offered::new("app", 8080).unserved();
    let federation = Federation::builder().sites(&["Berlin"]).service(app).start()?;
    let (berlin, elsewhere) = (federation.host("Berlin"), federation.world().site("Nantes")?);
    let at = berlin.at(8080);
    let listener = berlin.listen(at)?;
    SockRef::from(&listener).bind_device(Some(DEVICE))?;
    SockRef::from(&listener).set_read_timeout(Some(SOON))?;
    for (number, host) in [berlin, &elsewhere].into_iter().enumerate() {
        let mut client = host.connect(at)?;
        client.send(GET)?;
        let service = loop {
            // What else comes is the agent's, which looks whether anybody listens.
            let (stream, peer) = listener.accept()?;
            if peer == client.local()? {
                break stream;
            }
        };
        let mut service = Client::new(service)?;
        service.read_until(b"\r\n\r\n")?;
        service.send(OK)?;
        ensure!(client.answer()?.status == 200);
        let taken = || {
            federation
                .agent("Berlin")
                .metric("cheops_requests_total")
                .is_ok_and(|taken| taken == Some(number as f64 + 1.0))
        };
        ensure!(eventually(SOON, taken), "it passed by");
    }
    tell("transparency", "2 cases: a service that is bound to a device");
    Ok(())
}
