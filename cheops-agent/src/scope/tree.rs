//! The parsed scope.

use std::time::Duration;

/// A stretch of the scope's text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// A site's or service's name as it was written, and where.
#[derive(Clone, Debug, Eq)]
pub struct Name {
    pub text: String,
    pub span: Span,
}

/// Two names are the same when their text is; where they stood doesn't matter.
impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A whole scope: its items in the order written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub items: Vec<Item>,
}

/// One item between the braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `Nova: Berlin & Paris`
    Bind { service: Name, expr: Expr },
    /// `prime: Berlin`, or `prime(Nova): Berlin`
    Prime { service: Option<Name>, site: Name },
    /// `around: Berlin, 50ms`: where the addressed service is served.
    Around { site: Name, within: Duration },
    /// `Berlin & Paris`: where the addressed service is served.
    Bare(Expr),
}

/// Where a service is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    Site(Name),
    /// `around(Berlin, 50ms)`
    Around {
        site: Name,
        within: Duration,
    },
    /// `*`
    All(Span),
    /// `A & B`: at least two.
    Replicate(Vec<Expr>),
    /// `A % B`: at least two.
    Cross(Vec<Expr>),
    /// `A || B`: at least two.
    Otherwise(Vec<Expr>),
}
