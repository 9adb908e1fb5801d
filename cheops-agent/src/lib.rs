//! Cheops's agent: one HTTP request's path, from the kernel to a service and back.
//!
//! A connection to a guarded endpoint is taken by the kernel programs and accepted here; its bytes are read as HTTP;
//! a request's scope is cut out and parsed; the profile says what the request is; the plan says where it is served;
//! and the act serves it, at this site or at a peer. The rooms below stand in that order, and a room imports only
//! rooms above it, or the ones under *ground*.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)
)]

// ground: what every room may use
pub mod address;
pub mod names;
pub mod observe;

pub mod config;
pub mod metadata;

// the path of a request
pub mod accept;
pub mod act;
pub mod http;
pub mod kernel;
pub mod peer;
pub mod plan;
pub mod profile;
pub mod scope;
pub mod workflow;

// around it
pub mod admin;
pub mod app;
pub mod cli;
pub mod membership;
