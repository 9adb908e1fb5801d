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

/// Where `*` stands. Any two are the same.
#[derive(Clone, Copy, Debug, Default, Eq)]
pub struct Star(pub Span);

impl PartialEq for Star {
    fn eq(&self, _: &Self) -> bool {
        true
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

/// Where a service is served. The parts of an operator never have the same operator themselves: `A & (B & C)` is
/// `A & B & C`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    Site(Name),
    /// `around(Berlin, 50ms)`
    Around {
        site: Name,
        within: Duration,
    },
    /// `*`
    All(Star),
    /// `A & B`: at least two.
    Replicate(Vec<Expr>),
    /// `A % B`: at least two.
    Cross(Vec<Expr>),
    /// `A || B`: at least two.
    Otherwise(Vec<Expr>),
}

impl Expr {
    /// `A & B & …`, of at least one part.
    pub fn replicate(parts: Vec<Expr>) -> Self {
        Self::join(parts, Self::Replicate, |part| if let Self::Replicate(inner) = part { Ok(inner) } else { Err(part) })
    }

    /// `A % B % …`, of at least one part.
    pub fn cross(parts: Vec<Expr>) -> Self {
        Self::join(parts, Self::Cross, |part| if let Self::Cross(inner) = part { Ok(inner) } else { Err(part) })
    }

    /// `A || B || …`, of at least one part.
    pub fn otherwise(parts: Vec<Expr>) -> Self {
        Self::join(parts, Self::Otherwise, |part| if let Self::Otherwise(inner) = part { Ok(inner) } else { Err(part) })
    }

    fn join(parts: Vec<Expr>, make: fn(Vec<Expr>) -> Self, same: fn(Expr) -> Result<Vec<Expr>, Expr>) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match same(part) {
                Ok(inner) => flat.extend(inner),
                Err(part) => flat.push(part),
            }
        }
        match flat.pop() {
            Some(only) if flat.is_empty() => only,
            Some(last) => {
                flat.push(last);
                make(flat)
            }
            None => make(flat),
        }
    }

    /// The operands of an operator; none for a site, `around` and `*`.
    pub fn parts(&self) -> &[Expr] {
        match self {
            Self::Replicate(parts) | Self::Cross(parts) | Self::Otherwise(parts) => parts,
            Self::Site(_) | Self::Around { .. } | Self::All(_) => &[],
        }
    }

    /// Whether `%` stands in it.
    pub fn crosses(&self) -> bool {
        matches!(self, Self::Cross(_)) || self.parts().iter().any(Self::crosses)
    }

    /// From its first name's start to its last name's end.
    pub fn span(&self) -> Span {
        match self {
            Self::Site(name) | Self::Around { site: name, .. } => name.span,
            Self::All(Star(span)) => *span,
            _ => {
                let first = self.parts().first().map(Self::span).unwrap_or_default();
                let last = self.parts().last().map_or(first, Self::span);
                Span { start: first.start, end: last.end }
            }
        }
    }
}
