//! Real OpenStack at three sites, unmodified, with its own command: what a scope does there, and what it must not do.
//!
//! Starting three sites takes half a minute, so tests share one cloud as far as they don't disturb each other:
//!
//! ```ignore
//! #[test]
//! fn something_holds() -> anyhow::Result<()> {
//!     shared(|cloud| {
//!         let berlin = cloud.site("Berlin");
//!         let token = berlin.token("demo")?;
//!         …
//!     })
//! }
//! ```
//!
//! See [`cheops_tests::lab::openstack::shared`] for what a test may leave behind. One that needs other sites (RabbitMQ, a
//! quota, tokens that expire soon) makes its own by `Cloud::builder()`.

#[path = "openstack/carry.rs"]
mod carry;
#[path = "openstack/errors.rs"]
mod errors;
#[path = "openstack/lists.rs"]
mod lists;
#[path = "openstack/many.rs"]
mod many;
#[path = "openstack/quota.rs"]
mod quota;
#[path = "openstack/rabbit.rs"]
mod rabbit;
#[path = "openstack/rig.rs"]
mod rig;
#[path = "openstack/sharing.rs"]
mod sharing;
#[path = "openstack/tokens.rs"]
mod tokens;
#[path = "openstack/unscoped.rs"]
mod unscoped;

use std::time::Duration;

use cheops_tests::lab::openstack::{Cloud, Image, Site};

/// The image that only Paris has, as its Glance got it.
fn debian(cloud: &Cloud) -> &Image {
    own_image(cloud.site("Paris"))
}

/// The image that a site of the shared cloud has, and no other.
fn own_image(site: &Site) -> &Image {
    &site.plan().images[0]
}
