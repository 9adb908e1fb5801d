//! What the tests of Cheops stand on.

pub mod lab;
