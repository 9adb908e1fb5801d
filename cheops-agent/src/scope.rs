//! scope-lang: the words in which a request says where it is served (SPEC.md 3). Pure.
//!
//! `lexer` → `parser` → [`Scope`] → `resolve` (names against what is known) → `printer` (normal form, JSON).
//! `carriers` finds a scope in a request and cuts it out.

pub mod tree;

pub use tree::{Expr, Item, Name, Scope, Span};
