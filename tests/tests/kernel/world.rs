//! Two hosts, a service at the first, and a taker there.

use std::net::SocketAddr;

use cheops_tests::lab::taker::Taker;
use cheops_tests::lab::{Host, Service, World};

pub const TAKER: &str = env!("CARGO_BIN_EXE_cheops-lab-taker");

/// The service's port.
pub const PORT: u16 = 8080;

/// Berlin has a service and a taker that guards it; Paris is another host.
pub struct Two {
    pub berlin: Host,
    pub paris: Host,
    pub v4: SocketAddr,
    pub v6: SocketAddr,
    pub app: Service,
    pub taker: Taker,
    // Last: everything above lives in it.
    pub world: World,
}

impl Two {
    pub fn new() -> anyhow::Result<Self> {
        let world = World::new()?;
        let (berlin, paris) = (world.site("Berlin")?, world.site("Paris")?);
        let (v4, v6) = (berlin.at(PORT), SocketAddr::from((berlin.ipv6(), PORT)));
        let app = Service::start(&berlin, "app", &[v4, v6])?;
        let mut taker = Taker::start(&berlin, TAKER)?;
        taker.guard_own(&[v4, v6])?;
        Ok(Self { berlin, paris, v4, v6, app, taker, world })
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n")
}
