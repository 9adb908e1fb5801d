//! What a profile says of credentials.

use serde::Deserialize;
use toml::Spanned;

use super::super::pointer::Pointer;

/// What stands for the caller, and what becomes of it at other sites (SPEC.md 6.3).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Credentials {
    /// The header that holds the caller's credential.
    pub header: String,
    /// The class of the service that issues it.
    pub issuer: Option<String>,
    /// Where an answer of the issuer gives a fresh credential.
    pub issued: Option<Issued>,
    /// Headers with credentials that are of use at their own site only: taken out of what goes to another.
    #[serde(default)]
    pub local: Vec<String>,
    /// How services have credentials checked by the issuer.
    pub check: Option<CredentialCheck>,
    #[serde(default)]
    pub elsewhere: Elsewhere,
    /// Whether a token may link a call to a request, when exactly one live scope uses it.
    #[serde(default)]
    pub links: bool,
    /// Whether `<token>!SCOPE!<json>` in this header carries a scope.
    #[serde(default)]
    pub carries_scope: bool,
}

/// Where a fresh credential is in an answer: one of the two.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Issued {
    pub header: Option<String>,
    pub field: Option<Pointer>,
}

/// How an op that is applied later at another site gets that site's credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Elsewhere {
    /// The caller's own, as they came.
    #[default]
    Pass,
    /// The agent's own user at that site.
    ServiceAccount,
    /// The agent's certificate, with the authenticated caller in headers.
    FrontProxy,
    /// A header from a credential file.
    Static,
}

/// The request by which a service asks the issuer whose credential it was given. Credentials of another site are checked
/// by their own site's issuer in the same way, each by itself, and what it answers is let in only as far as this says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CredentialCheck {
    pub path: String,
    /// The first is the one whose answer has a body.
    pub methods: Vec<String>,
    /// The header with the credential that is to be checked.
    pub subject: String,
    /// The header with the credential of the service that asks; by default that of all requests.
    pub caller: Option<String>,
    /// The status by which the issuer says that it doesn't know the credential.
    pub unknown: u16,
    /// How expired ones are checked; none given: not at all.
    pub expired: Option<Expired>,
    /// What the credential lets its holder do.
    pub roles: Roles,
    /// Fields of credentials that hold for more than one part of a site: such a credential is refused.
    #[serde(default)]
    pub refused: Vec<Spanned<String>>,
    /// Fields that are set to false.
    #[serde(default)]
    pub denied: Vec<Spanned<String>>,
    /// What the credential must be of, and what the own issuer must not know.
    pub identified: Vec<Identified>,
}

/// A credential that has expired while services still work for its holder counts, if a service's own came along.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expired {
    /// The header in which a service's own comes along; one of `local`.
    pub along: String,
    /// The query parameter by which the issuer is asked for an expired one.
    pub query: String,
    /// Where the answer says until when the credential holds. RFC 3339 in UTC.
    pub until: Spanned<String>,
}

/// The roles in the answer to a check.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Roles {
    pub list: Spanned<String>,
    /// Within a role.
    pub name: Spanned<String>,
    /// Never let in from another site, whatever the configuration says.
    #[serde(default)]
    pub never: Vec<String>,
    /// A credential with one of these is a service's own: refused.
    #[serde(default)]
    pub services: Vec<String>,
}

/// An id in the answer to a check, and how the own issuer is asked for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Identified {
    /// For people: `project`.
    pub what: String,
    pub field: Spanned<String>,
    /// `/v3/projects/{id}`
    pub path: Spanned<String>,
    /// The status by which the issuer says that it doesn't know the id.
    pub unknown: u16,
}
