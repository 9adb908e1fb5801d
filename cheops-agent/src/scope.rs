//! scope-lang: the words in which a request says where it is served (SPEC.md 3). Pure.
//!
//! `lexer` → `parser` (`json` for the JSON form) → [`Scope`] → `resolve` (names against what is known) → `printer`
//! (normal form, JSON). `carriers` finds a scope in a request and cuts it out; `completed` is the form that travels
//! with a workflow.

pub mod carriers;
mod check;
pub mod completed;
pub mod error;
mod json;
mod lexer;
mod parser;
mod printer;
mod resolve;
#[cfg(test)]
mod tests;
pub mod tree;

pub use carriers::{Allowed, Carried, Carrier};
pub use completed::Completed;
pub use error::ScopeError;
pub use parser::{parse, parse_bytes};
pub use resolve::{Faults, resolve, resolve_all};
pub use tree::{Expr, Item, Name, Scope, Span, Star};

/// The longest scope, in bytes.
pub const MAX_BYTES: usize = 4096;

/// The deepest nesting of parentheses.
pub const MAX_NESTING: usize = 16;
