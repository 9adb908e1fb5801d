//! How far away the other sites are, and whether they live. Pure: time is told, as what passed since some start, and
//! nothing here knows a clock or a socket.
//!
//! `rtt` makes a distance of round trips, `accrual` a suspicion of silence, `loss` a share of the numbers that didn't
//! come; `track` puts them together for one agent. `coordinate` estimates distances that nobody measured, `hearsay` is
//! what is known of sites that this agent doesn't probe; `distances` is what a decision sees of all.

mod accrual;
mod coordinate;
mod distances;
pub mod hearsay;
mod loss;
mod rtt;
mod track;

pub use accrual::Accrual;
pub use coordinate::{Coordinate, Estimate, Vivaldi};
pub use distances::{Between, Distances, Measured, Placed};
pub use hearsay::{Hearsay, Word};
pub use loss::Loss;
pub(crate) use loss::share;
pub use rtt::Rtt;
pub use track::{State, TTL, Track};

#[cfg(test)]
mod tests;
