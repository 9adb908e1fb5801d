//! Profiles: what a platform's API looks like, as data (SPEC.md 6.2). Pure but for reading files.
//!
//! `model` is the file's content, `check` what must hold in it, `load` reads it with located errors, `matcher` is its
//! compiled form, `pointer` names fields of bodies, `order` says how lists are sorted.

mod check;
pub mod load;
pub mod matcher;
pub mod model;
pub mod order;
pub mod pointer;

pub use load::{ProfileError, Profiles};
pub use matcher::{Matched, Profile};
pub use model::{CapacityError, Correlation, CredentialCheck, Credentials, List, OpKind};
