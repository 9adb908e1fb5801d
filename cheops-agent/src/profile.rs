//! Profiles: what a platform's API looks like, as data (SPEC.md 6.2). Pure.
//!
//! `model` is the file's content, `load` reads it with located errors, `matcher` is its compiled form.
