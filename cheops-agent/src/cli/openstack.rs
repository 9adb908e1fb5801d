//! What OpenStack's own command knows of a cloud: where its credentials stand (`settings`), the token that Keystone gives
//! for them (`keystone`, over `connect`), and, by the catalog that comes with it, where its services are (`catalog`).
//!
//! Nothing secret is printed, kept, or part of an error.

pub mod catalog;
mod connect;
mod keystone;
pub mod settings;

pub use catalog::{Catalog, Found};
pub use settings::{Cloud, Environment};

/// Reads the catalog of a cloud, of one of its regions.
///
/// # Errors
/// Each says what to do; none holds a secret.
pub fn read(cloud: &Cloud, region: Option<&str>, interfaces: &[String]) -> anyhow::Result<Catalog> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let token = runtime.block_on(keystone::token(cloud))?;
    Ok(Catalog::of(&token, region.or(cloud.get("region_name")), interfaces)?)
}
