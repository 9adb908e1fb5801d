//! What the tests of Cheops stand on.

pub mod interrupt;
pub mod lab;
